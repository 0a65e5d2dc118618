// Squared distances of float32 rows of many features: products on tensor cores.
//
// With both sets translated by one vector near the middle of y, which changes no difference,
//     sum_k (x_k - y_k)^2 = |x|^2 + |y|^2 - 2 <x, y>,
// where the norms are sums in double. Each factor of <x, y> is split in two, a = high + low, with 11 bits each, and
// high high + high low + low high taken as three products of the matrix instruction (H. Ootomo and R. Yokota, Int.
// J. High Perform. Comput. Appl. 36 (2022) 475): what is lost is about 2^-22 of each term. The instruction
// truncates its sums, so they are kept short, and added up outside of it.
//
// Rows in half precision go the same way: as they are, one product of theirs would be exact, but translated, as they
// must be to have no large norms cancel, a value has up to 24 bits again.
//
// A block of 4 warps takes 64 rows by 128 columns; each warp 64 by 32, as 4 x 4 blocks of the instruction. Features
// pass through shared memory 16 at a time, copied while earlier ones are multiplied.
#pragma once

#include "cuda/float_product_facts.h"

SEMIDEEP_MATH_BEGIN

constexpr int kProductThreads = 128;
constexpr int kProductColumns = 128;
constexpr int kPitch =
    kStepFeatures + 4;  // the 8 x 4 floats that a warp reads then stand in 32 banks
constexpr int kProductFlushTiles = 8;

// The 11 leading bits of a value, and those of the rest.
struct SplitFloat {
  uint32_t high, low;
  SplitFloat() = default;
  // Not as initialisers: nvcc leaves those to the host's compiler, which knows no __float_as_uint.
  __device__ __forceinline__ explicit SplitFloat(float value) {
    high = (__float_as_uint(value) + 0x1000u) & 0xffffe000u;
    low = __float_as_uint(value - __uint_as_float(high));
  }
};

// Features as they stand in global memory: of rows in half precision, a row takes half of its place.
struct ProductStage {
  float x[kUnitRows][kPitch];
  float y[kProductColumns][kPitch];
  float center[kStepFeatures];
};

// Steps of features, from `first` on.
struct StepRange {
  int64_t first, count;
};

// Lane l of a warp has, of each 16 x 8 block of the instruction, the rows g and g + 8 and the columns 2 t and
// 2 t + 1, where g = l / 4 and t = l % 4: in all 8 rows and 8 columns.
template <class Metric>
class ProductTile {
 public:
  __device__ ProductTile(const Problem& problem, const FloatFacts& facts, const Place& place)
      : p_(problem),
        facts_(facts),
        place_(place),
        center_(facts.center + place.batch * facts.center_stride),
        steps_(facts.features_padded / kStepFeatures),
        split_error_(kSplitError * center_[facts.features_padded]) {
    clear();
  }

  static __device__ int warp() { return threadIdx.x / kWarp; }
  static __device__ int lane() { return threadIdx.x % kWarp; }
  static __device__ int g() { return lane() / 4; }
  static __device__ int t() { return lane() % 4; }
  // Of the lane's 8 rows and 8 columns, where they stand in the tile.
  static __device__ int row(int r) { return r / 2 * 16 + r % 2 * 8 + g(); }
  static __device__ int column(int c) { return warp() * 32 + c / 2 * 8 + 2 * t() + c % 2; }

  __device__ int64_t steps() const { return steps_; }
  // Rows and columns past the end repeat the last one.
  __device__ int64_t row_at(int64_t row) const {
    return place_.row_begin + (row < place_.rows ? row : place_.rows - 1);
  }
  __device__ int64_t column_at(int64_t at) const {
    return at < place_.column_end ? at : place_.column_end - 1;
  }
  __device__ const RowFacts& left_facts(int64_t row) const {
    return facts_.left[place_.batch * p_.left.count + row_at(row)];
  }
  __device__ const RowFacts& right_facts(int64_t at) const {
    return facts_.right[place_.batch * p_.right.count + column_at(at)];
  }

  // Takes each tile's features through the stages, then once more those of `again`, and calls
  // use(stage, begin, step), where `begin` is of the tile's columns, and `step` is counted through both rounds.
  template <int Stages, class Use>
  __device__ void run(ProductStage (&stages)[Stages], const StepRange& again, Use&& use) {
    const int64_t columns = place_.column_end - place_.column_begin;
    const int64_t steps = steps_ + again.count;
    const int64_t all = (columns + kProductColumns - 1) / kProductColumns * steps;
    Cursor next{place_.column_begin, 0}, now = next;
    const auto copy_next = [&](ProductStage& to, bool exists) {
      const int64_t step = next.step < steps_ ? next.step : next.step - steps_ + again.first;
      if (exists) copy(next.begin, step * kStepFeatures, to);
      cuda::copies_commit();  // an empty group, if nothing is left
      next.advance(steps);
    };
    for (int i = 0; i < Stages - 1; ++i) copy_next(stages[i], i < all);
    int stage = 0;
    for (int64_t i = 0; i < all; ++i) {
      cuda::copies_wait<Stages - 2>();
      __syncthreads();  // this stage is filled, and the last one read
      copy_next(stages[(stage + Stages - 1) % Stages], i + Stages - 1 < all);
      use(stages[stage], now.begin, now.step);
      stage = (stage + 1) % Stages;
      now.advance(steps);
    }
    cuda::copies_wait<0>();
  }

  // The raw feature k of a row of a stage.
  __device__ __forceinline__ float raw(const float (&row)[kPitch], int k) const {
    const Half half = p_.left.half;
    return half == Half::none ? row[k]
                              : half_value(reinterpret_cast<const uint16_t*>(row)[k], half);
  }

  // What the metric makes of a raw feature, translated.
  static __device__ __forceinline__ float prepared(float raw, float center, const RowFacts& facts) {
    if constexpr (Metric::Row::has_info)
      return ::fmaf(raw, facts.scale, ::fmaf(raw, facts.scale_rest, -center));
    return raw - center;
  }

  __device__ void multiply(const ProductStage& stage, int64_t begin) {
    float center[4];
#pragma unroll
    for (int k = 0; k < 4; ++k) center[k] = stage.center[t() + 4 * k];
    SplitFloat y[4][4];  // [block of columns][4 k's]
#pragma unroll
    for (int n = 0; n < 4; ++n) {
      const int at = warp() * 32 + n * 8 + g();
      const RowFacts facts = scale_of(right_facts(begin + at));
      float raw[4];
      load(stage.y[at], raw);
#pragma unroll
      for (int k = 0; k < 4; ++k) y[n][k] = SplitFloat(prepared(raw[k], center[k], facts));
    }
#pragma unroll
    for (int m = 0; m < 4; ++m) {
      SplitFloat x[2][4];  // [row g, g + 8][4 k's]
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        const int at = m * 16 + h * 8 + g();
        const RowFacts facts = scale_of(left_facts(at));
        float raw[4];
        load(stage.x[at], raw);
#pragma unroll
        for (int k = 0; k < 4; ++k) x[h][k] = SplitFloat(prepared(raw[k], center[k], facts));
      }
#pragma unroll
      for (int n = 0; n < 4; ++n) {
        float part[4] = {};
        // The small terms first: less is truncated.
#pragma unroll
        for (int k = 0; k < 4; k += 2) {
          cuda::multiply_tf32(part, {x[0][k].low, x[1][k].low, x[0][k + 1].low, x[1][k + 1].low},
                              {y[n][k].high, y[n][k + 1].high});
          cuda::multiply_tf32(part,
                              {x[0][k].high, x[1][k].high, x[0][k + 1].high, x[1][k + 1].high},
                              {y[n][k].low, y[n][k + 1].low});
        }
#pragma unroll
        for (int k = 0; k < 4; k += 2)
          cuda::multiply_tf32(part,
                              {x[0][k].high, x[1][k].high, x[0][k + 1].high, x[1][k + 1].high},
                              {y[n][k].high, y[n][k + 1].high});
#pragma unroll
        for (int e = 0; e < 4; ++e) products_[m][n][e] += part[e];
      }
    }
  }

  __device__ void clear() {
#pragma unroll
    for (int i = 0; i < 64; ++i) products_[i / 16][i / 4 % 4][i % 4] = 0.0f;
  }

  // From products to distances: calls of_column(c, at, pairs) for each of the lane's columns, which calls
  // pairs(of_pair) for of_pair(r, distance, squares, error of the squares) with each of its rows.
  template <class OfColumn>
  __device__ void for_distances(int64_t begin, OfColumn&& of_column) const {
#pragma unroll
    for (int c = 0; c < 8; ++c) {
      const int64_t at = begin + column(c);
      const RowFacts y = right_facts(at);
      of_column(c, at, [&](auto&& of_pair) {
#pragma unroll
        for (int r = 0; r < 8; ++r) {
          const RowFacts x = left_facts(row(r));
          const float product = products_[r / 2][c / 2][r % 2 * 2 + c % 2];
          const float both = x.norm + y.norm;
          const float sum = ::fmaf(-2.0f, product, both);
          const float lost = ::fmaf(-2.0f, product, both - sum) + (x.norm_rest + y.norm_rest);
          const FloatPair d = float_distance<Metric>({sum, lost}, p_.features);
          of_pair(r, d, sum, ::fmaf(split_error_, both, kSumError * ::fabsf(product)));
        }
      });
    }
  }

 private:
  using Products = float[4][4][4];
  struct Cursor {
    int64_t begin;  // of the tile's columns
    int64_t step;   // of both rounds

    __device__ void advance(int64_t steps) {
      if (++step < steps) return;
      step = 0;
      begin += kProductColumns;
    }
  };

  // Begins to copy one step of features.
  __device__ void copy(int64_t begin, int64_t first, ProductStage& to) {
    copy_rows(p_.left, to.x, first, [&](int i) { return row_at(i); });
    copy_rows(p_.right, to.y, first, [&](int i) { return column_at(begin + i); });
    if (threadIdx.x < kStepFeatures / 4)
      cuda::copy_async<16>(to.center + 4 * threadIdx.x, center_ + first + 4 * threadIdx.x, 16);
  }

  // One step's bytes of each row; past the last feature they are 0.
  struct StepBytes {
    const char* rows;
    int64_t stride, left;  // to the next row; in a row, from the step's first feature on
    int size;
  };
  template <int Rows, class At>
  __device__ void copy_rows(const Side& side, float (&to)[Rows][kPitch], int64_t first, At&& at) {
    const int64_t size = feature_bytes(p_, side), stride = side.rows_row_stride * size;
    const char* rows = static_cast<const char*>(side.rows) +
                       (place_.batch * side.rows_batch_stride + first) * size;
    const StepBytes step{rows, stride, (p_.features - first) * size,
                         kStepFeatures * static_cast<int>(size)};
    const uintptr_t odd = reinterpret_cast<uintptr_t>(rows) | static_cast<uintptr_t>(stride);
    if (odd % 16 == 0) {
      copy_rows<16>(step, to, at);
    } else if (odd % 8 == 0) {
      copy_rows<8>(step, to, at);
    } else if (odd % 4 == 0) {
      copy_rows<4>(step, to, at);
    } else {
      copy_rows<2>(step, to, at);
    }
  }
  template <int Bytes, int Rows, class At>
  __device__ void copy_rows(const StepBytes& step, float (&to)[Rows][kPitch], At&& at) {
    // As for floats, which are never moved by 2 bytes; halves have half as many pieces.
    constexpr int kPieces = kStepFeatures * (Bytes == 2 ? 2 : 4) / Bytes;
#pragma unroll 4
    for (int i = threadIdx.x; i < Rows * kPieces; i += kProductThreads) {
      const int row = i / kPieces, begin = i % kPieces * Bytes;
      if (begin >= step.size) continue;
      const int64_t left = step.left - begin;
      const int count = left < 0 ? 0 : left < Bytes ? static_cast<int>(left) : Bytes;
      const char* from = step.rows + at(row) * step.stride + begin;
      cuda::copy_async<Bytes>(reinterpret_cast<char*>(to[row]) + begin,
                              count > 0 ? from : step.rows, count);
    }
  }

  // The four features of a row that are the lane's.
  __device__ __forceinline__ void load(const float (&row)[kPitch], float (&to)[4]) const {
    if (p_.left.half == Half::none) {
#pragma unroll
      for (int k = 0; k < 4; ++k) to[k] = row[t() + 4 * k];
    } else {
#pragma unroll
      for (int k = 0; k < 4; ++k) to[k] = raw(row, t() + 4 * k);
    }
  }

  // Only prepared rows have a scale.
  static __device__ RowFacts scale_of(const RowFacts& facts) {
    if constexpr (Metric::Row::has_info) return facts;
    return {};
  }

  const Problem& p_;
  const FloatFacts& facts_;
  const Place& place_;
  const float* center_;
  const int64_t steps_;
  const float split_error_;
  Products products_;
};

// Sums in float over the columns of the lane's 8 rows, and what they come to in double.
template <int Sums>
struct ProductSums {
  float sums[8][Sums] = {};
  double totals[2][Sums] = {};

  // A row's 4 lanes fold their sums; lane t keeps those of the rows 16 t + g and 16 t + g + 8.
  __device__ void flush(int t) {
#pragma unroll
    for (int r = 0; r < 8; ++r)
#pragma unroll
      for (int s = 0; s < Sums; ++s) {
        float sum = sums[r][s];
        sum += __shfl_xor_sync(0xffffffffu, sum, 1);
        sum += __shfl_xor_sync(0xffffffffu, sum, 2);
        if (t == r / 2) totals[r % 2][s] += static_cast<double>(sum);
        sums[r][s] = 0.0f;
      }
  }

  // Calls f(row, sum, total), of each row on one thread; the warps' columns are folded in order, in shared memory that is otherwise done with.
  template <class F>
  __device__ void for_totals(int64_t rows, F&& f) {
    const int warp = threadIdx.x / kWarp, g = threadIdx.x % kWarp / 4, t = threadIdx.x % 4;
    double* parts = cuda::shared_memory<double>();  // [warp][row][sum]
    __syncthreads();
#pragma unroll
    for (int h = 0; h < 2; ++h)
#pragma unroll
      for (int s = 0; s < Sums; ++s)
        parts[(warp * kUnitRows + t * 16 + h * 8 + g) * Sums + s] = totals[h][s];
    __syncthreads();
    for (int row = threadIdx.x; row < rows; row += kProductThreads)
      for (int s = 0; s < Sums; ++s) {
        double total = 0.0;
        for (int w = 0; w < kProductThreads / kWarp; ++w)
          total += parts[(w * kUnitRows + row) * Sums + s];
        f(row, s, total);
      }
  }
};

SEMIDEEP_MATH_END
