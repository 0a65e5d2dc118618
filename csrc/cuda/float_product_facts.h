// What float_product_tile.h must know beforehand: where to translate rows to, and each row's norm.
#pragma once

#include "cuda/float_care.h"

SEMIDEEP_MATH_BEGIN

constexpr int kStepFeatures = 16;  // what passes through shared memory at a time

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

SEMIDEEP_MATH_END
