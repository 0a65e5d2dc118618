// The weighted sum of float32 rows under the exponential kernel, for metrics that count features.
//
// A block is 16 x 16 threads; thread (tx, ty) has the pairs of rows ty + 16 r and columns tx + 16 c.
#pragma once

#include "cuda/count_pack.h"
#include "cuda/float_care.h"

SEMIDEEP_MATH_BEGIN

constexpr int kCountThreads = 256;
constexpr int kCountColumns = 64;
constexpr int kCountSide = 4;    // pairs of a thread: so many rows by so many columns
constexpr int kChunkWords = 32;  // of each row in shared memory
constexpr int kCountFlushTiles = 16;

// Whole numbers below 2^24, which float adds exactly, and their quotients as pairs.
struct Whole : FloatPair {
  Whole() = default;
  __device__ __forceinline__ Whole(float value) : FloatPair(value, 0.0f) {}   // NOLINT: implicit
  __device__ __forceinline__ Whole(double constant) : FloatPair(constant) {}  // NOLINT: implicit
  __device__ __forceinline__ Whole(FloatPair pair) : FloatPair(pair) {}       // NOLINT: implicit
};
__device__ __forceinline__ Whole operator+(Whole a, Whole b) { return a.hi + b.hi; }
__device__ __forceinline__ Whole operator-(Whole a, Whole b) { return a.hi - b.hi; }
__device__ __forceinline__ Whole operator/(Whole a, Whole b) {
  const float reciprocal = 1.0f / b.hi, quotient = a.hi * reciprocal;
  return FloatPair(quotient, ::fmaf(-quotient, b.hi, a.hi) * reciprocal);
}
__device__ __forceinline__ Whole select(bool mask, Whole a, Whole b) {
  return select(mask, static_cast<FloatPair>(a), static_cast<FloatPair>(b));
}

struct CountShared {
  uint32_t x[kChunkWords][kUnitRows + 1];
  uint32_t y[kChunkWords][kCountColumns + 1];
};

template <class F>
__device__ __forceinline__ void for_counts(F&& f) {
#pragma unroll
  for (int r = 0; r < kCountSide; ++r)
#pragma unroll
    for (int c = 0; c < kCountSide; ++c) f(r, c);
}

// partial[row][s] = sum_j k_l(d_ij) values[l, j, c] with s = l C + c
template <class Metric, int Sums>
__global__ void __launch_bounds__(kCountThreads)
    count_sum(const Problem p, const Pass pass, const Packed packed) {
  auto& shared = *cuda::shared_memory<CountShared>();
  const int64_t groups = (pass.width + Sums - 1) / Sums;
  const Place place(p, pass, blockIdx.x / groups);
  const int64_t first = blockIdx.x % groups * Sums;
  const int tx = threadIdx.x % 16, ty = threadIdx.x / 16;
  int planes = 1;
  if constexpr (Metric::counts == Counts::unequal) planes = Coding(*packed.planes).planes();
  const int64_t row_words = packed.words * planes;
  const int chunk = kChunkWords / planes * planes;

  // Rows past the end of a side repeat its last one.
  const auto row_at = [&](int row) {
    return place.row_begin + (row < place.rows ? row : place.rows - 1);
  };
  const auto column_at = [&](int64_t at) {
    return at < place.column_end ? at : place.column_end - 1;
  };
  FloatPair parameters[Sums];
#pragma unroll
  for (int s = 0; s < Sums; ++s) {
    const int64_t at = first + s < pass.width ? first + s : pass.width - 1;
    const double lambda = p.parameter[place.batch * p.parameters + at / p.columns];
    parameters[s] = FloatPair((lambda > 1e30 ? 1e30 : lambda) * 1.4426950408889634);
  }
  float x_stats[kCountSide];
#pragma unroll
  for (int r = 0; r < kCountSide; ++r)
    x_stats[r] = packed.left_stats[place.batch * p.left.count + row_at(ty + 16 * r)];

  double totals[kCountSide][Sums] = {};
  float sums[kCountSide][Sums] = {};
  const auto flush = [&] {
#pragma unroll
    for (int r = 0; r < kCountSide; ++r)
#pragma unroll
      for (int s = 0; s < Sums; ++s) {
        totals[r][s] += static_cast<double>(sums[r][s]);
        sums[r][s] = 0.0f;
      }
  };
  int tiles = 0;
  for (int64_t begin = place.column_begin; begin < place.column_end; begin += kCountColumns) {
    int counts[kCountSide][kCountSide] = {};
    for (int64_t word = 0; word < row_words; word += chunk) {
      const int here = row_words - word < chunk ? static_cast<int>(row_words - word) : chunk;
      __syncthreads();  // until all are done with what stands there
      for (int i = threadIdx.x; i < kUnitRows * kChunkWords; i += kCountThreads) {
        const int row = i / kChunkWords, w = i % kChunkWords;
        if (w >= here) continue;
        shared.x[w][row] =
            packed.left[(place.batch * p.left.count + row_at(row)) * row_words + word + w];
        shared.y[w][row] =
            packed.right[(place.batch * p.right.count + column_at(begin + row)) * row_words + word +
                         w];
      }
      __syncthreads();
      for (int w = 0; w < here; w += planes) {
        uint32_t found[kCountSide][kCountSide] = {};
        for (int plane = 0; plane < planes; ++plane) {
          uint32_t x[kCountSide], y[kCountSide];
#pragma unroll
          for (int i = 0; i < kCountSide; ++i) {
            x[i] = shared.x[w + plane][ty + 16 * i];
            y[i] = shared.y[w + plane][tx + 16 * i];
          }
          for_counts([&](int r, int c) {
            found[r][c] |= Metric::counts == Counts::both ? x[r] & y[c] : x[r] ^ y[c];
          });
        }
        for_counts([&](int r, int c) { counts[r][c] += __popc(found[r][c]); });
      }
    }
#pragma unroll
    for (int c = 0; c < kCountSide; ++c) {
      const int64_t at = begin + tx + 16 * c;
      const float y_stat = packed.right_stats[place.batch * p.right.count + column_at(at)];
      float values[Sums];
#pragma unroll
      for (int s = 0; s < Sums; ++s) {
        const bool exists = at < place.column_end && first + s < pass.width;
        values[s] =
            exists ? static_cast<float>(value_at(p, p.right, place.batch, (first + s) / p.columns,
                                                 at, (first + s) % p.columns))
                   : 0.0f;
      }
#pragma unroll
      for (int r = 0; r < kCountSide; ++r) {
        const FloatPair d =
            Metric::distance(Whole(static_cast<float>(counts[r][c])), Whole(x_stats[r]),
                             Whole(y_stat), Whole(static_cast<float>(p.features)));
#pragma unroll
        for (int s = 0; s < Sums; ++s)
          sums[r][s] =
              ::fmaf(exp2(Exponential::log_value(d, parameters[s])), values[s], sums[r][s]);
      }
    }
    if (++tiles % kCountFlushTiles == 0) flush();
  }
  flush();

  double* partial = static_cast<double*>(pass.partial) + place.partial * pass.width;
#pragma unroll
  for (int r = 0; r < kCountSide; ++r)
#pragma unroll
    for (int s = 0; s < Sums; ++s) {
      const double total = sum_of_16(totals[r][s]);
      if (tx == 0 && ty + 16 * r < place.rows && first + s < pass.width)
        partial[(ty + 16 * r) * pass.width + first + s] = total;
    }
}

SEMIDEEP_MATH_END
