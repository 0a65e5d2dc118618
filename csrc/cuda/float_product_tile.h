// Squared distances of float32 rows of many features: products on tensor cores.
//
// With both sets translated by one vector near the middle of y, which changes no difference,
//     sum_k (x_k - y_k)^2 = |x|^2 + |y|^2 - 2 <x, y>,
// where the norms are sums in double. Each factor of <x, y> is split into two float16, a = high + low, with 11 bits
// each, and high high + high low + low high taken as three products of the matrix instruction (H. Ootomo and
// R. Yokota, Int. J. High Perform. Comput. Appl. 36 (2022) 475): what is lost is about 2^-22 of each term. TF32 has
// no more bits and half the rate; its wider range is not missed where each row is scaled by a power of two. The
// instruction truncates its sums, so they are kept short, and added up outside of it.
//
// Rows in half precision that lie about 0 stay as they are, and one product of theirs is exact. Others go the same way
// as float32: translated, as they must be to have no large norms cancel, a value has up to 24 bits again.
//
// A block of 4 warps takes 64 rows by 128 columns; each warp 64 by 32, as 4 x 4 blocks of the instruction. Features
// pass through shared memory 16 at a time: copied while earlier ones are multiplied, then split where they are by the
// thread that had them copied, which needs no barrier.
#pragma once

#include "cuda/float_product_facts.h"
#include "cuda/float_row_totals.h"
#include "cuda/float_split.h"

SEMIDEEP_MATH_BEGIN

constexpr int kProductColumns = 128;
constexpr int kProductFlushTiles = 8;
static_assert(kProductThreads == kProductColumns);  // a thread copies what one column brings

// One step's features of one row are two octets. Each is four floats and four more, or eight halves as they were
// given, in the first piece; split, eight high and eight low halves. One row after the other, as load_matrices likes
// it; the row too many sets neighbouring quarters of a row apart by one piece, in other banks.
struct alignas(16) Piece {
  uint32_t words[4];
};
struct ProductStage {
  Piece pieces[2][kStepFeatures / 8][kUnitRows + kProductColumns + 1];  // [which][octet][x's, y's]
};

// A slot has what the columns of one tile bring. It is filled for a tile while another tile's step Stages - 1 before is
// in use, so that Slots - 1 tiles must have more than Stages - 1 steps in all.
template <int Stages, int Slots>
struct ProductShared {
  ProductStage stages[Stages];
  RowFacts columns[Slots][kProductColumns];
  RowFacts rows[kUnitRows];
};

// What is known of a pair: |x - y|^2, and that may be wrong by so much.
struct PairSquares {
  float squares, error;
};

// Steps of features, from `first` on.
struct StepRange {
  int first, count;
};

// A step of a tile.
struct StepPlace {
  int begin;  // of the tile's columns, counted from the span's
  int step;   // counted through both rounds
  int slot;   // of ProductShared::columns
};

// Lane l of a warp has, of each 16 x 8 block of the instruction, the rows g and g + 8 and the columns 2 t and
// 2 t + 1, where g = l / 4 and t = l % 4: in all 8 rows and 8 columns.
template <class Metric, int Stages, int Slots>
class ProductTile {
 public:
  using Shared = ProductShared<Stages, Slots>;

  __device__ ProductTile(const Problem& problem, const FloatFacts& facts, const Place& place,
                         Shared& shared)
      : p_(problem),
        facts_(facts),
        place_(place),
        shared_(shared),
        center_(facts.center_of(place.batch)),
        columns_(static_cast<int>(place.column_end - place.column_begin)),
        steps_(static_cast<int>(facts.features_padded / kStepFeatures)),
        whole_(facts.fact_of(place.batch, kWhole) > 0.0f),
        split_error_(whole_ ? 0.0f : kSplitError * facts.fact_of(place.batch, kConcentration)),
        odd_(odd_bytes()) {
    clear();
  }

  static __device__ int warp() { return threadIdx.x / kWarp; }
  static __device__ int lane() { return threadIdx.x % kWarp; }
  static __device__ int g() { return lane() / 4; }
  static __device__ int t() { return lane() % 4; }
  // Of the lane's 8 rows and 8 columns, where they stand in the tile.
  static __device__ int row(int r) { return r / 2 * 16 + r % 2 * 8 + g(); }
  static __device__ int column(int c) { return warp() * 32 + c / 2 * 8 + 2 * t() + c % 2; }

  __device__ int steps() const { return steps_; }
  // Rows and columns past the end repeat the last one.
  __device__ int64_t row_at(int64_t row) const {
    return place_.row_begin + (row < place_.rows ? row : place_.rows - 1);
  }
  __device__ bool has_column(int column) const { return column < columns_; }
  __device__ int64_t column_at(int column) const {
    return place_.column_begin + (has_column(column) ? column : columns_ - 1);
  }

  // Takes each tile's features through the stages, split, then y's of `again` once more, and calls use(stage, at) with
  // each. copy_column(at, column) is called in good time before a tile's first use, on one thread for each column, to
  // begin copies of its own.
  template <class CopyColumn, class Use>
  __device__ void run(const StepRange& again, CopyColumn&& copy_column, Use&& use) {
    again_ = again;
    StepPlace next{0, 0, 0}, now = next;
    const auto begin_tile = [&](const StepPlace& at) {
      const int column = at.begin + static_cast<int>(threadIdx.x);
      cuda::copy_async<16>(&shared_.columns[at.slot][threadIdx.x],
                           facts_.right + place_.batch * p_.right.count + column_at(column), true);
      copy_column(at, column);
    };
    // What a tile's columns bring comes with the step before its first, so that a barrier lies between.
    const auto copy_next = [&](int stage) {
      if (exists(next)) {
        copy(next, shared_.stages[stage]);
        next = after(next);
        if (next.step == 0 && exists(next)) begin_tile(next);
      }
      cuda::copies_commit();  // an empty group, if nothing is left
    };
    if (threadIdx.x < kUnitRows)
      cuda::copy_async<16>(&shared_.rows[threadIdx.x],
                           facts_.left + place_.batch * p_.left.count + row_at(threadIdx.x), true);
    begin_tile(now);
#pragma unroll
    for (int i = 0; i < Stages - 1; ++i) copy_next(i);
    cuda::copies_wait<Stages - 2>();
    __syncthreads();
    int stage = 0, free = Stages - 1;
    convert(shared_.stages[stage], now);
    while (exists(now)) {
      __syncthreads();  // this stage is converted, and the last one read
      copy_next(free);
      use(shared_.stages[stage], now);
      free = stage;
      stage = following<Stages>(stage);
      now = after(now);
      cuda::copies_wait<Stages - 2>();
      if (exists(now)) convert(shared_.stages[stage], now);
    }
    cuda::copies_wait<0>();
  }

  __device__ void multiply(const ProductStage& stage) {
    if (whole_) {
      multiply<true>(stage);
    } else {
      multiply<false>(stage);
    }
  }

  __device__ void clear() {
#pragma unroll
    for (int i = 0; i < 64; ++i) products_[i / 16][i / 4 % 4][i % 4] = 0.0f;
  }

  // A pair's product; once of_pair has been called with it, the place is the caller's.
  __device__ float& product(int r, int c) { return products_[r / 2][c / 2][r % 2 * 2 + c % 2]; }
  // The power of two that a column's features are to be multiplied by for them to be what was given.
  __device__ float column_unit(const StepPlace& tile, int c) const {
    return power_of_two(-exponent_of(shared_.columns[tile.slot][column(c)].norm));
  }

  // From products to distances: calls of_column(c, pairs) for each of the lane's columns, which calls
  // pairs(of_pair) for of_pair(r, distance, PairSquares) with each of its rows.
  template <class OfColumn>
  __device__ void for_distances(const StepPlace& tile, OfColumn&& of_column) {
    RowFacts x[8];
    float unit[8];
#pragma unroll
    for (int r = 0; r < 8; ++r) {
      x[r] = shared_.rows[row(r)];
      unit[r] = -2.0f * power_of_two(-exponent_of(x[r].norm));
    }
#pragma unroll
    for (int c = 0; c < 8; ++c) {
      const RowFacts y = shared_.columns[tile.slot][column(c)];
      const float y_unit = column_unit(tile, c);
      of_column(c, [&](auto&& of_pair) {
#pragma unroll
        for (int r = 0; r < 8; ++r) {
          // -2 <x, y>, exactly as the products came
          const float twice = product(r, c) * (unit[r] * y_unit);
          const float both = x[r].norm + y.norm, sum = both + twice;
          const float lost = ((both - sum) + twice) + (x[r].norm_rest + y.norm_rest);
          const FloatPair d = float_distance<Metric>({sum, lost}, p_.features);
          const float error = ::fmaf(split_error_, both, 0.5f * kSumError * ::fabsf(twice));
          of_pair(r, d, PairSquares{sum, error});
        }
      });
    }
  }

 private:
  using Products = float[4][4][4];

  template <bool kWhole>
  __device__ void multiply(const ProductStage& stage) {
    const int block = lane() / 8, row = lane() % 8;
    uint32_t y[4][4];  // [block of columns][two octets high, two low]
#pragma unroll
    for (int n = 0; n < 4; ++n)
      cuda::load_matrices(
          y[n], &stage.pieces[block / 2][block % 2][kUnitRows + warp() * 32 + n * 8 + row]);
#pragma unroll
    for (int m = 0; m < 4; ++m) {
      uint32_t x[2][4];  // [high, low][rows g and g + 8 of the first octet, then of the second]
#pragma unroll
      for (int part = 0; part < (kWhole ? 1 : 2); ++part)
        cuda::load_matrices(x[part], &stage.pieces[part][block / 2][m * 16 + block % 2 * 8 + row]);
#pragma unroll
      for (int n = 0; n < 4; ++n) {
        float sums[4] = {};
        if (kWhole) {
          cuda::multiply_halves(sums, x[0], {y[n][0], y[n][1]});
        } else {
          multiply_split(sums, x, {y[n][0], y[n][1]}, {y[n][2], y[n][3]});
        }
#pragma unroll
        for (int e = 0; e < 4; ++e) products_[m][n][e] += sums[e];
      }
    }
  }

  template <int Count>
  static __device__ int following(int i) {
    return i + 1 < Count ? i + 1 : 0;
  }
  __device__ bool exists(const StepPlace& at) const { return has_column(at.begin); }
  __device__ StepPlace after(const StepPlace& at) const {
    if (at.step + 1 < steps_ + again_.count) return {at.begin, at.step + 1, at.slot};
    return {at.begin + kProductColumns, 0, following<Slots>(at.slot)};
  }
  // Whether a step needs features of x: once there are weights, products of these and y do not.
  __device__ bool takes_left(const StepPlace& at) const { return at.step < steps_; }
  // Where the features of a step begin.
  __device__ int64_t feature_of(int step) const {
    return int64_t{step < steps_ ? step : step - steps_ + again_.first} * kStepFeatures;
  }

  // The power of two, as its exponent, that brings a row's features below 2^15, none being larger than the root of
  // the norm; what float16 cannot hold of them is then below 2^-39 of that root. From 1e-30 to 1e36, powers stay in
  // range.
  static __device__ int exponent_of(float norm) { return kHalfExponent - (log2_below(norm) >> 1); }

  // Of each 64 rows of a stage, a thread copies and converts one octet of one; neighbouring threads have neighbouring
  // rows, in other banks, and the warp all of 16 rows' features.
  static constexpr int kOwnRows = (kUnitRows + kProductColumns) / kUnitRows;
  static __device__ int octet() { return threadIdx.x / 8 % 2; }
  static __device__ int own_row(int i) {
    return i * kUnitRows + threadIdx.x / 16 * 8 + threadIdx.x % 8;
  }

  // What is copied at a time must lie within a row, and be aligned: the last bits tell how much that may be.
  __device__ int odd_bytes() const {
    const int64_t size = feature_bytes(p_, p_.left);
    const auto bits = [&](const Side& side) {
      return reinterpret_cast<uintptr_t>(side.rows) |
             static_cast<uintptr_t>((side.rows_batch_stride | side.rows_row_stride) * size);
    };
    return static_cast<int>(
        (bits(p_.left) | bits(p_.right) | static_cast<uintptr_t>(p_.features * size)) % 16);
  }

  // Begins to copy the thread's part of a step.
  __device__ void copy(const StepPlace& at, ProductStage& to) {
    const int64_t size = feature_bytes(p_, p_.left);
    const auto of_row = [&](const Side& side, int64_t row) {
      return static_cast<const char*>(side.rows) +
             (place_.batch * side.rows_batch_stride + row * side.rows_row_stride + octet() * 8) *
                 size;
    };
    if (at.step == 0) {
#pragma unroll
      for (int i = 0; i < kOwnRows; ++i)
        own_[i] = i == 0 ? of_row(p_.left, row_at(own_row(0)))
                         : of_row(p_.right, column_at(at.begin + own_row(i) - kUnitRows));
    }
    const int64_t begin = feature_of(at.step) * size;
    const OctetBytes octets{begin, (p_.features - octet() * 8) * size - begin,
                            static_cast<int>(size * 8), takes_left(at)};
    if (odd_ % 16 == 0) {
      copy_octets<16>(octets, to);
    } else if (odd_ % 8 == 0) {
      copy_octets<8>(octets, to);
    } else if (odd_ % 4 == 0) {
      copy_octets<4>(octets, to);
    } else {
      copy_octets<2>(octets, to);
    }
  }
  // An octet in its row: where it begins, so many bytes, of which those before `left` exist and others become 0.
  struct OctetBytes {
    int64_t begin, left;
    int size;
    bool of_x;  // or of y alone
  };
  template <int Bytes>
  __device__ void copy_octets(const OctetBytes& octets, ProductStage& to) const {
#pragma unroll
    for (int which = 0; which < (Bytes == 2 ? 1 : 2); ++which) {
      if (which * 16 >= octets.size) continue;  // of halves, an octet takes one piece
#pragma unroll
      for (int i = 0; i < kOwnRows; ++i) {
        if (i == 0 && !octets.of_x) continue;
        char* piece = reinterpret_cast<char*>(&to.pieces[which][octet()][own_row(i)]);
#pragma unroll
        for (int at = 0; at < 16; at += Bytes)
          cuda::copy_async<Bytes>(piece + at, own_[i] + octets.begin + which * 16 + at,
                                  which * 16 + at < octets.left);
      }
    }
  }

  // What the metric makes of a raw feature, translated.
  static __device__ __forceinline__ float prepared(float raw, float center, const RowFacts& facts) {
    if constexpr (Metric::Row::has_info)
      return ::fmaf(raw, facts.scale, ::fmaf(raw, facts.scale_rest, -center));
    return raw - center;
  }

  // Splits what the thread copied. Rows that floats cannot stand for, whose pairs all weigh 0, become 0, lest the
  // weights meet an infinity.
  __device__ void convert(ProductStage& stage, const StepPlace& at) const {
    const auto* from = reinterpret_cast<const Piece*>(center_ + feature_of(at.step) + octet() * 8);
    float center[8];
    floats_of(from[0], from[1], center);
#pragma unroll
    for (int i = 0; i < kOwnRows; ++i) {
      if (i == 0 && !takes_left(at)) continue;
      const int row = own_row(i);
      const RowFacts facts = i == 0 ? shared_.rows[row] : shared_.columns[at.slot][row - kUnitRows];
      Piece& first = stage.pieces[0][octet()][row];
      Piece& second = stage.pieces[1][octet()][row];
      Piece high{}, low{};
      if (facts.norm == facts.norm) {
        float values[8];
        load(first, second, values);
        const float scale = power_of_two(exponent_of(facts.norm));
#pragma unroll
        for (int k = 0; k < 4; ++k) {
          const float even = prepared(values[2 * k], center[2 * k], facts) * scale;
          const float odd = prepared(values[2 * k + 1], center[2 * k + 1], facts) * scale;
          const SplitPair split(even, odd);
          high.words[k] = split.high;
          low.words[k] = split.low;
        }
      }
      first = high;
      second = low;
    }
  }

  static __device__ __forceinline__ void floats_of(const Piece& head, const Piece& tail,
                                                   float (&to)[8]) {
#pragma unroll
    for (int k = 0; k < 8; ++k)
      to[k] = __uint_as_float(k < 4 ? head.words[k % 4] : tail.words[k % 4]);
  }
  // An octet of raw features.
  __device__ void load(const Piece& first, const Piece& second, float (&to)[8]) const {
    const Half half = p_.left.half;
    const Piece head = first;
    if (half == Half::none) return floats_of(head, Piece(second), to);
#pragma unroll
    for (int k = 0; k < 8; ++k)
      to[k] = half_value(static_cast<uint16_t>(head.words[k / 2] >> 16 * (k % 2)), half);
  }

  const Problem& p_;
  const FloatFacts& facts_;
  const Place& place_;
  Shared& shared_;
  const float* center_;
  const int columns_, steps_;
  const bool whole_;  // low halves are 0
  const float split_error_;
  const int odd_;
  StepRange again_;
  const char* own_[kOwnRows];  // where the thread's octets of the tile begin that is copied
  Products products_;
};

SEMIDEEP_MATH_END
