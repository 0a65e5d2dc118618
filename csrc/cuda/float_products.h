// The weighted sum of float32 rows of many features under the exponential kernel: products on tensor cores.
//
// With both sets translated by one vector near the middle of y, which changes no difference,
//     sum_k (x_k - y_k)^2 = |x|^2 + |y|^2 - 2 <x, y>,
// where the norms are sums in double. Each factor of <x, y> is split in two, a = high + low, with 11 bits each, and
// high high + high low + low high taken as three products of the matrix instruction (H. Ootomo and R. Yokota, Int.
// J. High Perform. Comput. Appl. 36 (2022) 475): what is lost is about 2^-22 of each term. The instruction
// truncates its sums, so they are kept short, and added up outside of it.
//
// A block of 4 warps takes 64 rows by 128 columns; each warp 64 by 32, as 4 x 4 blocks of the instruction. Features
// pass through shared memory 16 at a time, copied while earlier ones are multiplied.
#pragma once

#include "cuda/float_care.h"

SEMIDEEP_MATH_BEGIN

constexpr int kProductThreads = 128;
constexpr int kProductColumns = 128;
constexpr int kStepFeatures = 16;
constexpr int kPitch =
    kStepFeatures + 4;  // the 8 x 4 floats that a warp reads then stand in 32 banks
constexpr int kStages = 3;
constexpr int kProductFlushTiles = 8;

// What a row brings besides its features.
struct alignas(16) RowFacts {
  float norm, norm_rest;  // of the translated row; NaN where products of floats cannot stand for it
  float scale, scale_rest;  // what prepare() multiplies by
};

struct FloatFacts {
  const RowFacts* left;   // (B, N)
  const RowFacts* right;  // (B, M)
  const float*
      center;  // (B, center_stride): features, zeros, and at features_padded the concentration
  int64_t features_padded, center_stride;
};

// The mean of a few rows of y; and the root of sum v^2 over sum v, v being the features' variances: 1 / sqrt(D) where
// all features count alike, 1 where one dominates. One block for each batch.
template <class Metric>
__global__ void __launch_bounds__(kMergeThreads)
    find_center(const Problem p, const Pass pass, const FloatFacts facts, float* centers) {
  constexpr int64_t kSamples = 64;
  double* sums = cuda::shared_memory<double>();  // of v, and of v^2, of each thread
  const int64_t batch = blockIdx.x;
  float* center = centers + batch * facts.center_stride;
  const int64_t samples = p.right.count < kSamples ? p.right.count : kSamples;
  const auto at = [&](int64_t s, int64_t k) {
    const int64_t row = s * p.right.count / samples;
    return Metric::Row::prepare(RowReader<double>(p, p.right, batch, row)(k),
                                info_of<double, Metric>(p, p.right, pass.right_info, batch, row));
  };
  double sum = 0.0, squares = 0.0;
  for (int64_t k = threadIdx.x; k < facts.center_stride; k += kMergeThreads) {
    double mean = 0.0, variance = 0.0;
    if (k < p.features) {
      for (int64_t s = 0; s < samples; ++s) mean += at(s, k);
      mean /= static_cast<double>(samples);
      if (!(mean - mean == 0.0)) mean = 0.0;  // infinite or NaN
      for (int64_t s = 0; s < samples; ++s) variance += (at(s, k) - mean) * (at(s, k) - mean);
    }
    center[k] = static_cast<float>(mean);
    sum += variance;
    squares += variance * variance;
  }
  sums[2 * threadIdx.x] = sum;
  sums[2 * threadIdx.x + 1] = squares;
  for (int half = kMergeThreads / 2; half > 0; half /= 2) {
    __syncthreads();
    if (static_cast<int>(threadIdx.x) >= half) continue;
    sums[2 * threadIdx.x] += sums[2 * (threadIdx.x + half)];
    sums[2 * threadIdx.x + 1] += sums[2 * (threadIdx.x + half) + 1];
  }
  if (threadIdx.x > 0) return;
  const double concentration = ::sqrt(sums[1]) / sums[0];
  center[facts.features_padded] = concentration <= 1.0 ? static_cast<float>(concentration) : 1.0f;
}

// A norm as two floats. The first has 16 bits, so that the sum of two is exact unless one is negligible.
__device__ __forceinline__ FloatPair split_norm(double squares) {
  if (!(squares == 0.0 || (squares > 1e-30 && squares < 1e36))) return {NAN, NAN};
  const float hi = __uint_as_float(__float_as_uint(static_cast<float>(squares)) & 0xffffff00u);
  return {hi, static_cast<float>(squares - static_cast<double>(hi))};
}

// One warp for each row of a side.
template <class Metric>
__global__ void __launch_bounds__(kMergeThreads)
    find_facts(const Problem p, const Side side, const void* infos, const FloatFacts facts,
               RowFacts* to) {
  const int64_t index = int64_t{blockIdx.x} * (kMergeThreads / kWarp) + threadIdx.x / kWarp;
  if (index >= p.batches * side.count) return;
  const int64_t batch = index / side.count, row = index % side.count;
  const auto info = info_of<double, Metric>(p, side, infos, batch, row);
  const RowReader<double> read(p, side, batch, row);
  const float* center = facts.center + batch * facts.center_stride;
  double squares = 0.0;
  for (int64_t k = threadIdx.x % kWarp; k < p.features; k += kWarp) {
    const double value = Metric::Row::prepare(read(k), info) - static_cast<double>(center[k]);
    squares = fma(value, value, squares);
  }
  for (int step = kWarp / 2; step > 0; step /= 2) squares += shuffle_xor(squares, step);
  if (threadIdx.x % kWarp != 0) return;
  // A zero row under cosine: no sum of squares gives its distances.
  if (Metric::Row::has_info && info.stat != 1.0) squares = NAN;
  const FloatPair norm = split_norm(squares), scale(info.scale * info.inverse_norm);
  to[index] = {norm.hi, norm.lo, scale.hi, scale.lo};
}

// The 11 leading bits of a value, and those of the rest.
struct SplitFloat {
  uint32_t high, low;
  SplitFloat() = default;
  __device__ __forceinline__ explicit SplitFloat(float value)
      : high((__float_as_uint(value) + 0x1000u) & 0xffffe000u),
        low(__float_as_uint(value - __uint_as_float(high))) {}
};

struct ProductStage {
  float x[kUnitRows][kPitch];
  float y[kProductColumns][kPitch];
  float center[kStepFeatures];
};
struct ProductShared {
  ProductStage stages[kStages];
};

template <class Metric, int Sums>
class ProductBlock {
 public:
  __device__ ProductBlock(const Problem& problem, const Pass& pass, const FloatFacts& facts,
                          const Place& place, int64_t first)
      : p_(problem),
        pass_(pass),
        facts_(facts),
        place_(place),
        first_(first),
        care_(problem, place.batch),
        shared_(*cuda::shared_memory<ProductShared>()),
        center_(facts.center + place.batch * facts.center_stride),
        steps_(facts.features_padded / kStepFeatures) {
#pragma unroll
    for (int s = 0; s < Sums; ++s) parameters_[s] = bits_parameter(p_, place.batch, lambda_of(s));
    const float split = kSplitError * center_[facts.features_padded];
    split_error_ = split;
  }

  __device__ void run() {
    const int64_t columns = place_.column_end - place_.column_begin;
    const int64_t tiles = (columns + kProductColumns - 1) / kProductColumns;
    const int64_t all = tiles * steps_;
    Cursor next{place_.column_begin, 0};
    for (int i = 0; i < kStages - 1; ++i) copy(next, i, i < all);
    Cursor now{place_.column_begin, 0};
    int stage = 0, tile = 0;
    clear(products_);
    for (int64_t i = 0; i < all; ++i) {
      cuda::copies_wait<kStages - 2>();
      __syncthreads();  // this stage is filled, and the last one read
      copy(next, (stage + kStages - 1) % kStages, i + kStages - 1 < all);
      multiply(shared_.stages[stage], now.begin);
      stage = (stage + 1) % kStages;
      if (++now.step < steps_) continue;
      finish(now.begin);
      clear(products_);
      now = {now.begin + kProductColumns, 0};
      if (++tile % kProductFlushTiles == 0) flush();
    }
    flush();
    store();
  }

 private:
  // Lane l of a warp has, of each 16 x 8 block of the instruction, the rows g and g + 8 and the columns 2 t and
  // 2 t + 1, where g = l / 4 and t = l % 4.
  using Products = float[4][4][4];
  struct Cursor {
    int64_t begin;  // of the tile's columns
    int64_t step;
  };

  static __device__ int warp() { return threadIdx.x / kWarp; }
  static __device__ int lane() { return threadIdx.x % kWarp; }
  static __device__ int g() { return lane() / 4; }
  static __device__ int t() { return lane() % 4; }

  __device__ int64_t lambda_of(int s) const {
    return (first_ + s < pass_.width ? first_ + s : pass_.width - 1) / p_.columns;
  }
  __device__ int64_t row_at(int64_t row) const {
    return place_.row_begin + (row < place_.rows ? row : place_.rows - 1);
  }
  __device__ int64_t column_at(int64_t at) const {
    return at < place_.column_end ? at : place_.column_end - 1;
  }
  static __device__ void clear(Products& products) {
#pragma unroll
    for (int i = 0; i < 64; ++i) products[i / 16][i / 4 % 4][i % 4] = 0.0f;
  }

  // Begins to copy one step of features, and moves on to the next; without one, closes an empty group.
  __device__ void copy(Cursor& next, int stage, bool exists) {
    if (exists) {
      ProductStage& to = shared_.stages[stage];
      const int64_t first = next.step * kStepFeatures;
      copy_rows(p_.left, to.x, first, [&](int i) { return row_at(i); });
      copy_rows(p_.right, to.y, first, [&](int i) { return column_at(next.begin + i); });
      if (threadIdx.x < kStepFeatures / 4)
        cuda::copy_async<16>(to.center + 4 * threadIdx.x, center_ + first + 4 * threadIdx.x, 16);
      if (++next.step == steps_) next = {next.begin + kProductColumns, 0};
    }
    cuda::copies_commit();
  }

  template <int Rows, class At>
  __device__ void copy_rows(const Side& side, float (&to)[Rows][kPitch], int64_t first, At&& at) {
    const float* rows =
        static_cast<const float*>(side.rows) + place_.batch * side.rows_batch_stride;
    const uintptr_t odd =
        reinterpret_cast<uintptr_t>(rows) | static_cast<uintptr_t>(side.rows_row_stride) * 4;
    if (odd % 16 == 0) {
      copy_rows<4>(rows, side.rows_row_stride, to, first, at);
    } else if (odd % 8 == 0) {
      copy_rows<2>(rows, side.rows_row_stride, to, first, at);
    } else {
      copy_rows<1>(rows, side.rows_row_stride, to, first, at);
    }
  }
  template <int Floats, int Rows, class At>
  __device__ void copy_rows(const float* rows, int64_t stride, float (&to)[Rows][kPitch],
                            int64_t first, At&& at) {
    constexpr int kPieces = kStepFeatures / Floats;
#pragma unroll 4
    for (int i = threadIdx.x; i < Rows * kPieces; i += kProductThreads) {
      const int row = i / kPieces, k = i % kPieces * Floats;
      const int64_t left = p_.features - first - k;
      const int count = left < 0 ? 0 : left < Floats ? static_cast<int>(left) : Floats;
      const float* from = rows + at(row) * stride + first + k;
      cuda::copy_async<Floats * 4>(&to[row][k], count > 0 ? from : rows, count * 4);
    }
  }

  // What the metric makes of a raw feature, translated.
  static __device__ __forceinline__ SplitFloat prepared(float raw, float center,
                                                        const RowFacts& facts) {
    if constexpr (Metric::Row::has_info)
      return SplitFloat(::fmaf(raw, facts.scale, ::fmaf(raw, facts.scale_rest, -center)));
    return SplitFloat(raw - center);
  }
  // Only prepared rows have a scale.
  __device__ RowFacts facts_of(const RowFacts* facts, const Side& side, int64_t at) const {
    if constexpr (Metric::Row::has_info) return facts[place_.batch * side.count + at];
    return {};
  }

  __device__ void multiply(const ProductStage& stage, int64_t begin) {
    float center[4];
#pragma unroll
    for (int k = 0; k < 4; ++k) center[k] = stage.center[t() + 4 * k];
    SplitFloat y[4][4];  // [block of columns][4 k's]
#pragma unroll
    for (int n = 0; n < 4; ++n) {
      const int at = warp() * 32 + n * 8 + g();
      const RowFacts facts = facts_of(facts_.right, p_.right, column_at(begin + at));
#pragma unroll
      for (int k = 0; k < 4; ++k) y[n][k] = prepared(stage.y[at][t() + 4 * k], center[k], facts);
    }
#pragma unroll
    for (int m = 0; m < 4; ++m) {
      SplitFloat x[2][4];  // [row g, g + 8][4 k's]
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        const int at = m * 16 + h * 8 + g();
        const RowFacts facts = facts_of(facts_.left, p_.left, row_at(at));
#pragma unroll
        for (int k = 0; k < 4; ++k) x[h][k] = prepared(stage.x[at][t() + 4 * k], center[k], facts);
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

  // From products to sums.
  __device__ void finish(int64_t begin) {
    uint32_t doubtful[2] = {0, 0};  // one bit for each of the thread's 64 pairs
#pragma unroll
    for (int n = 0; n < 4; ++n)
#pragma unroll
      for (int c = 0; c < 2; ++c) {
        const int64_t at = begin + warp() * 32 + n * 8 + 2 * t() + c;
        const RowFacts y = facts_.right[place_.batch * p_.right.count + column_at(at)];
        float values[Sums];
#pragma unroll
        for (int s = 0; s < Sums; ++s) values[s] = value(at, s);
#pragma unroll
        for (int r = 0; r < 8; ++r) {
          const RowFacts x =
              facts_.left[place_.batch * p_.left.count + row_at(r / 2 * 16 + r % 2 * 8 + g())];
          const float product = products_[r / 2][n][r % 2 * 2 + c];
          const float both = x.norm + y.norm;
          const float sum = ::fmaf(-2.0f, product, both);
          const float lost = ::fmaf(-2.0f, product, both - sum) + (x.norm_rest + y.norm_rest);
          const FloatPair d = float_distance<Metric>({sum, lost}, p_.features);
          const float error = ::fmaf(split_error_, both, kSumError * ::fabsf(product));
          const bool doubt = care_.doubts_products(d.hi, sum, error);
          const int pair = (n * 2 + c) * 8 + r;
          if (doubt) doubtful[pair / 32] |= 1u << pair % 32;
#pragma unroll
          for (int s = 0; s < Sums; ++s) {
            const float kernel = exp2(Exponential::log_value(d, parameters_[s]));
            sums_[r][s] = ::fmaf(doubt ? 0.0f : kernel, values[s], sums_[r][s]);
          }
        }
      }
    if (__any_sync(0xffffffffu, (doubtful[0] | doubtful[1]) != 0)) mend(begin, doubtful);
  }

  // Takes what was left out, a warp for each pair.
  __device__ void mend(int64_t begin, const uint32_t (&doubtful)[2]) {
#pragma unroll 1
    for (int pair = 0; pair < 64; ++pair) {
      const uint32_t word = pair < 32 ? doubtful[0] : doubtful[1];
      unsigned lanes = __ballot_sync(0xffffffffu, (word >> pair % 32 & 1u) != 0);
      for (; lanes != 0; lanes &= lanes - 1) {
        const int owner = __ffs(static_cast<int>(lanes)) - 1, r = pair % 8;
        const int64_t at = begin + warp() * 32 + pair / 16 * 8 + 2 * (owner % 4) + pair / 8 % 2;
        if (at >= place_.column_end) continue;
        const double d = exact_distance<Metric, kWarp>(
            p_, pass_, place_.batch, row_at(r / 2 * 16 + r % 2 * 8 + owner / 4), at);
        if (lane() != owner) continue;
#pragma unroll
        for (int s = 0; s < Sums; ++s) {
          const double lambda = p_.parameter[place_.batch * p_.parameters + lambda_of(s)];
          const float part = static_cast<float>(Exponential::value(d, lambda, 0.0) *
                                                static_cast<double>(value(at, s)));
#pragma unroll
          for (int to = 0; to < 8; ++to)  // registers have no addresses
            if (to == r) sums_[to][s] += part;
        }
      }
    }
  }

  // Columns past the end, and sums, have the value 0.
  __device__ float value(int64_t at, int s) const {
    if (at >= place_.column_end || first_ + s >= pass_.width) return 0.0f;
    return static_cast<float>(
        value_at(p_, p_.right, place_.batch, lambda_of(s), at, (first_ + s) % p_.columns));
  }

  // A row's 4 lanes fold their sums; lane t keeps those of the rows 16 t + g and 16 t + g + 8.
  __device__ void flush() {
#pragma unroll
    for (int r = 0; r < 8; ++r)
#pragma unroll
      for (int s = 0; s < Sums; ++s) {
        float sum = sums_[r][s];
        sum += __shfl_xor_sync(0xffffffffu, sum, 1);
        sum += __shfl_xor_sync(0xffffffffu, sum, 2);
        if (t() == r / 2) totals_[r % 2][s] += static_cast<double>(sum);
        sums_[r][s] = 0.0f;
      }
  }

  // The warps' columns are folded in order.
  __device__ void store() {
    cuda::copies_wait<0>();
    __syncthreads();
    double* parts = cuda::shared_memory<double>();  // [warp][row][sum]
#pragma unroll
    for (int h = 0; h < 2; ++h)
#pragma unroll
      for (int s = 0; s < Sums; ++s)
        parts[(warp() * kUnitRows + t() * 16 + h * 8 + g()) * Sums + s] = totals_[h][s];
    __syncthreads();
    double* partial = static_cast<double*>(pass_.partial) + place_.partial * pass_.width;
    for (int i = threadIdx.x; i < place_.rows * Sums; i += kProductThreads) {
      if (first_ + i % Sums >= pass_.width) continue;
      double total = 0.0;
      for (int w = 0; w < kProductThreads / kWarp; ++w) total += parts[w * kUnitRows * Sums + i];
      partial[i / Sums * pass_.width + first_ + i % Sums] = total;
    }
  }

  const Problem& p_;
  const Pass& pass_;
  const FloatFacts& facts_;
  const Place& place_;
  const int64_t first_;  // of the sums that this block takes
  const FloatCare<Metric> care_;
  ProductShared& shared_;
  const float* center_;
  const int64_t steps_;
  float split_error_;
  FloatPair parameters_[Sums];
  Products products_;
  float sums_[8][Sums] = {};
  double totals_[2][Sums] = {};
};

// partial[row][s] = sum_j k_l(d_ij) values[l, j, c] with s = l C + c
template <class Metric, int Sums>
__global__ void __launch_bounds__(kProductThreads)
    float_product_sum(const Problem p, const Pass pass, const FloatFacts facts) {
  const int64_t groups = (pass.width + Sums - 1) / Sums;
  const Place place(p, pass, blockIdx.x / groups);
  ProductBlock<Metric, Sums>(p, pass, facts, place, blockIdx.x % groups * Sums).run();
}

SEMIDEEP_MATH_END
