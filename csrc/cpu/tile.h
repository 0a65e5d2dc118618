// The tile: distances between a block of left rows and a panel of right rows.
//
// Right rows are packed in transposed panels, so that one vector holds the same feature of kLanes rows;
// left features are broadcast. A register block of kRegisterRows x kRegisterVectors accumulates over the
// features; distances then stand in the tile, in L2, for the tasks of task.h.
//
// Everything is taken to double when it is packed, and computed in double. A pair's arithmetic depends on nothing but its two rows,
// and a row's reduction over the right rows on nothing but their order: results are the same bits for any
// split of the rows over threads, tasks or calls.
#pragma once

#include <type_traits>

#include "core/kernels.h"
#include "core/problem.h"
#include "core/rescale.h"
#include "cpu/backend.h"
#include "cpu/vec.h"

SEMIDEEP_MATH_BEGIN

// 128 columns x 128 features of doubles are 128 KiB, as is twice the 64 x 128 tile: together well inside
// the 1 MiB (Intel: 2 MiB) of L2 of current server cores, with the next panel on its way.
constexpr int64_t kTileColumns = 128;
constexpr int64_t kTileFeatures = 128;
constexpr int64_t kTileVectors = kTileColumns / kLanes;
constexpr int kRegisterRows = 4;
constexpr int kRegisterVectors = 2;

// Calls f with a null pointer of the element type, so that the type is chosen once a row, not once a value.
template <class F>
SEMIDEEP_INLINE void with_element_type(DType dtype, F&& f) {
  if (dtype == DType::float32) {
    f(static_cast<const float*>(nullptr));
  } else {
    f(static_cast<const double*>(nullptr));
  }
}

SEMIDEEP_INLINE double load_element(const void* data, DType dtype, int64_t at) {
  return dtype == DType::float32 ? static_cast<double>(static_cast<const float*>(data)[at])
                                 : static_cast<const double*>(data)[at];
}

// Reads features of one row as scalars S; a Dual takes its tangent from Side::tangents.
template <class S, class T>
struct RowReader {
  const T* row;
  const T* tangent;

  RowReader(const Problem& p, const Side& side, int64_t batch, int64_t at)
      : row(static_cast<const T*>(side.rows) + batch * side.rows_batch_stride +
            at * side.rows_row_stride),
        tangent(side.tangents
                    ? static_cast<const T*>(side.tangents) + (batch * side.count + at) * p.features
                    : nullptr) {}
  SEMIDEEP_INLINE S operator()(int64_t k) const {
    if constexpr (kIsDual<S>) {
      return S(static_cast<double>(row[k]), tangent ? static_cast<double>(tangent[k]) : 0.0);
    } else {
      return static_cast<double>(row[k]);
    }
  }
};

template <class V, class Metric>
class Tile {
 public:
  using S = Lane<V>;
  using Info = RowInfo<S>;

  struct Storage {
    alignas(64) V panel[kTileVectors * kTileFeatures];  // [vector][feature]
    alignas(64) V distances[kTileRows * kTileVectors];  // [row][vector]
    alignas(64) V column_stats[kTileVectors];
    S block[kTileRows * kTileFeatures];  // [row][feature]
  };

  Tile(const Problem& problem, const Block& block, Storage& storage)
      : problem_(problem), block_(block), storage_(storage) {}

  // Fills the distances of all rows of the block to columns [begin, begin + count).
  void compute(int64_t begin, int64_t count) {
    compute_sums(begin, count);
    const V features(static_cast<double>(problem_.features));
    for (int64_t row = 0; row < block_.rows; ++row) {
      const V stat = row_stat(row);
      for (int64_t v = 0; v < vectors_; ++v) {
        V& d = distance(row, v);
        const V sum = d;
        d = problem_.features == 0
                ? V(0.0)
                : Metric::distance(sum, stat, storage_.column_stats[v], features);
        if constexpr (Metric::rescale)
          if (problem_.dtype == DType::float64) rescale(row, v, sum, d);
      }
    }
  }

  // Even, so that vectors can be taken two at a time.
  int64_t vectors() const { return vectors_; }
  V& distance(int64_t row, int64_t v) { return storage_.distances[row * vectors_ + v]; }
  V row_stat(int64_t row) const {
    return broadcast(info(block_.left_info, block_.row_begin + row).stat);
  }
  V column_stat(int64_t v) const { return storage_.column_stats[v]; }

  // The right row behind a lane. Lanes past the end repeat the last row, so that whatever is computed
  // from them is as tame as real data; callers give them the value 0.
  int64_t column(int64_t v, int lane) const {
    const int64_t at = v * kLanes + lane;
    return begin_ + (at < count_ ? at : count_ - 1);
  }
  bool is_column(int64_t v, int lane) const { return v * kLanes + lane < count_; }

  // result(row, k) += sum over columns of w[row][v] Direction::of(x[row][k], y[column][k])
  template <class Result>
  void add_weighted_directions(const V* w, Result&& result) {
    for_feature_blocks([&](int64_t first, int64_t features) {
      int64_t row = 0;
      for (; row + kRegisterRows <= block_.rows; row += kRegisterRows)
        add_weighted_rows<kRegisterRows>(w, row, first, features, result);
      for (; row < block_.rows; ++row) add_weighted_rows<1>(w, row, first, features, result);
    });
  }

 private:
  Info info(const void* infos, int64_t at) const {
    if constexpr (Metric::Row::has_info) {
      return static_cast<const Info*>(infos)[at];
    } else {
      return Info{S(1.0), S(1.0), S(0.0)};
    }
  }

  // Leaves the sums over features where distances will stand.
  void compute_sums(int64_t begin, int64_t count) {
    begin_ = begin;
    count_ = count;
    vectors_ = (count + 2 * kLanes - 1) / (2 * kLanes) * 2;
    for (int64_t v = 0; v < vectors_; ++v)
      for (int lane = 0; lane < kLanes; ++lane)
        set_lane(storage_.column_stats[v], lane, info(block_.right_info, column(v, lane)).stat);
    for (int64_t i = 0; i < block_.rows * vectors_; ++i) storage_.distances[i] = V(0.0);
    for_feature_blocks([&](int64_t, int64_t features) { accumulate(features); });
  }

  // Calls f(first, count) for each block of features, with both operands packed.
  template <class F>
  void for_feature_blocks(F&& f) {
    for (int64_t first = 0; first < problem_.features; first += kTileFeatures) {
      const int64_t left = problem_.features - first;
      const int64_t features = left < kTileFeatures ? left : kTileFeatures;
      if (packed_row_features_ != first) {
        packed_row_features_ = first;
        for (int64_t row = 0; row < block_.rows; ++row)
          pack(problem_.left, block_.left_info, block_.row_begin + row, first, features,
               [&](int64_t k, S value) {
                 storage_.block[row * features + k] = value;
                 note_tiny(value);
               });
      }
      if (packed_begin_ != begin_ || packed_column_features_ != first) {
        packed_begin_ = begin_;
        packed_column_features_ = first;
        for (int64_t v = 0; v < vectors_; ++v)
          for (int lane = 0; lane < kLanes; ++lane)
            pack(problem_.right, block_.right_info, column(v, lane), first, features,
                 [&](int64_t k, S value) {
                   set_lane(storage_.panel[v * features + k], lane, value);
                   note_tiny(value);
                 });
      }
      f(first, features);
    }
  }

  template <class Store>
  void pack(const Side& side, const void* infos, int64_t at, int64_t first, int64_t features,
            Store&& store) {
    const Info facts = info(infos, at);
    with_element_type(problem_.dtype, [&](auto* type) {
      using T = std::remove_cv_t<std::remove_pointer_t<decltype(type)>>;
      const RowReader<S, T> read(problem_, side, block_.batch, at);
      for (int64_t k = 0; k < features; ++k) store(k, Metric::Row::prepare(read(first + k), facts));
    });
  }

  // Values from 1e-124 on differ by more than 1e-140 or not at all, so their squares cannot vanish.
  SEMIDEEP_INLINE void note_tiny(S value) {
    if constexpr (Metric::rescale) {
      const double magnitude = ::fabs(primal(value));
      tiny_ = tiny_ || (magnitude > 0.0 && magnitude < 1e-124);
    }
  }

  void accumulate(int64_t features) {
    int64_t row = 0;
    for (; row + kRegisterRows <= block_.rows; row += kRegisterRows)
      accumulate_rows<kRegisterRows>(row, features);
    for (; row < block_.rows; ++row) accumulate_rows<1>(row, features);
  }

  template <int Rows>
  SEMIDEEP_INLINE void accumulate_rows(int64_t row, int64_t features) {
    int64_t v = 0;
    for (; v + kRegisterVectors <= vectors_; v += kRegisterVectors)
      accumulate_registers<Rows, kRegisterVectors>(row, v, features);
    for (; v < vectors_; ++v) accumulate_registers<Rows, 1>(row, v, features);
  }

  // Sums start at 0 in each block of features and are added to the tile at its end: the rounding error then
  // grows with the block's length and the number of blocks, not with the number of features.
  template <int Rows, int Vectors>
  SEMIDEEP_INLINE void accumulate_registers(int64_t row, int64_t v, int64_t features) {
    V sums[Rows][Vectors];
    for (int r = 0; r < Rows; ++r)
      for (int c = 0; c < Vectors; ++c) sums[r][c] = V(0.0);
    const S* x = storage_.block + row * features;
    const V* y = storage_.panel + v * features;
    for (int64_t k = 0; k < features; ++k)
      for (int r = 0; r < Rows; ++r) {
        const V value = broadcast(x[r * features + k]);
        for (int c = 0; c < Vectors; ++c)
          sums[r][c] = Metric::accumulate(sums[r][c], value, y[c * features + k]);
      }
    for (int r = 0; r < Rows; ++r)
      for (int c = 0; c < Vectors; ++c) {
        V& total = distance(row + r, v + c);
        total = total + sums[r][c];
      }
  }

  template <int Rows, class Result>
  SEMIDEEP_INLINE void add_weighted_rows(const V* w, int64_t row, int64_t first, int64_t features,
                                         Result& result) {
    int64_t k = 0;
    for (; k + kRegisterVectors <= features; k += kRegisterVectors)
      add_weighted_registers<Rows, kRegisterVectors>(w, row, k, first, features, result);
    for (; k < features; ++k) add_weighted_registers<Rows, 1>(w, row, k, first, features, result);
  }

  // Rows x Features sums side by side, so that additions do not wait for each other.
  template <int Rows, int Features, class Result>
  SEMIDEEP_INLINE void add_weighted_registers(const V* w, int64_t row, int64_t k, int64_t first,
                                              int64_t features, Result& result) {
    V sums[Rows][Features], x[Rows][Features];
    for (int r = 0; r < Rows; ++r)
      for (int c = 0; c < Features; ++c) {
        sums[r][c] = V(0.0);
        x[r][c] = broadcast(storage_.block[(row + r) * features + k + c]);
      }
    for (int64_t v = 0; v < vectors_; ++v)
      for (int r = 0; r < Rows; ++r) {
        const V weight = w[(row + r) * vectors_ + v];
        for (int c = 0; c < Features; ++c)
          sums[r][c] =
              fma(weight, Metric::Direction::of(x[r][c], storage_.panel[v * features + k + c]),
                  sums[r][c]);
      }
    for (int r = 0; r < Rows; ++r)
      for (int c = 0; c < Features; ++c) {
        S& total = result(row + r, first + k + c);
        total = total + sum_lanes(sums[r][c]);
      }
  }

  void rescale(int64_t row, int64_t v, V sum, V& d) {
    static_assert(Metric::sum_of == SumOf::squares && Metric::power == 0.5,
                  "rescale.h is for roots of sums of squares");
    for (int lane = 0; lane < kLanes; ++lane) {
      const double squared = primal(get_lane(sum, lane));
      // Below the least, rows are equal unless they hold tiny values.
      if ((squared >= kLeastSquares || !tiny_) && squared <= kLargestSquares) continue;
      using Reader = RowReader<S, double>;
      const Reader x(problem_, problem_.left, block_.batch, block_.row_begin + row);
      const Reader y(problem_, problem_.right, block_.batch, column(v, lane));
      set_lane(d, lane, rescaled_euclidean<S>(x, y, problem_.features));
    }
  }

  const Problem& problem_;
  const Block& block_;
  Storage& storage_;
  int64_t begin_ = 0;
  int64_t count_ = 0;
  int64_t vectors_ = 0;
  bool tiny_ = false;  // whether a value so small was packed
  int64_t packed_row_features_ = -1;
  int64_t packed_begin_ = -1;
  int64_t packed_column_features_ = -1;
};

SEMIDEEP_MATH_END
