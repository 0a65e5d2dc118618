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
  const float* center;    // (B, center_stride): features, zeros, and what CenterFact names
  int64_t features_padded, center_stride;

  __device__ const float* center_of(int64_t batch) const { return center + batch * center_stride; }
  __device__ float fact_of(int64_t batch, int64_t which) const {
    return center_of(batch)[features_padded + which];
  }
};
enum CenterFact : int64_t {
  kConcentration,  // the root of sum v^2 over sum v, v being the features' variances: 1 / sqrt(D) where all features
                   // count alike, 1 where one dominates
  kWhole,  // whether rows are multiplied as they are, because one half holds what each feature is
  kCenterFacts = 4  // with what makes a stride of whole pieces
};

// Rows in half precision stay untranslated where the center's square is less than this share of their variance.
constexpr double kLeastShift = 0.25;

constexpr int kCenterThreads = 1024;
constexpr int kCenterFeatures = 64;  // at a time

struct CenterShared {
  double parts[kCenterThreads / kCenterFeatures][kCenterFeatures];
  double sums[3][kCenterFeatures];
};

// The mean of a few rows of y, and what they tell of the others. One block for each batch; a thread has one feature of
// some rows, which it reads once.
template <class Metric>
__global__ void __launch_bounds__(kCenterThreads)
    find_center(const Problem p, const Pass pass, const FloatFacts facts, float* centers) {
  constexpr int kSamples = 64, kGroups = kCenterThreads / kCenterFeatures;
  auto& shared = *cuda::shared_memory<CenterShared>();
  const int feature = threadIdx.x % kCenterFeatures, group = threadIdx.x / kCenterFeatures;
  const int64_t batch = blockIdx.x;
  float* center = centers + batch * facts.center_stride;
  const int64_t samples = p.right.count < kSamples ? p.right.count : kSamples;
  const auto add_groups = [&](double mine) {
    __syncthreads();  // until the last sum has been read
    shared.parts[group][feature] = mine;
    __syncthreads();
    double sum = 0.0;
    for (int i = 0; i < kGroups; ++i) sum += shared.parts[i][feature];
    return sum;
  };
  double variances = 0.0, squares = 0.0, mean_squares = 0.0;
  for (int64_t first = 0; first < facts.features_padded; first += kCenterFeatures) {
    const int64_t k = first + feature;
    double values[kSamples / kGroups] = {}, sum = 0.0;
#pragma unroll
    for (int i = 0; i < kSamples / kGroups; ++i) {
      const int64_t sample = group + kGroups * i, row = sample * p.right.count / samples;
      if (sample >= samples || k >= p.features) continue;
      values[i] =
          Metric::Row::prepare(RowReader<double>(p, p.right, batch, row)(k),
                               info_of<double, Metric>(p, p.right, pass.right_info, batch, row));
      sum += values[i];
    }
    double mean = add_groups(sum) / static_cast<double>(samples);
    if (!(mean - mean == 0.0)) mean = 0.0;  // infinite or NaN
    double apart = 0.0;
#pragma unroll
    for (int i = 0; i < kSamples / kGroups; ++i)
      if (group + kGroups * i < samples && k < p.features)
        apart = fma(values[i] - mean, values[i] - mean, apart);
    const double variance = add_groups(apart) / static_cast<double>(samples);
    if (k < facts.features_padded && group == 0) center[k] = static_cast<float>(mean);
    variances += variance;
    squares = fma(variance, variance, squares);
    mean_squares = fma(mean, mean, mean_squares);
  }
  if (group == 0) {
    shared.sums[0][feature] = variances;
    shared.sums[1][feature] = squares;
    shared.sums[2][feature] = mean_squares;
  }
  __syncthreads();
  double totals[3] = {};
  for (int i = 0; i < kCenterFeatures; ++i)
    for (int which = 0; which < 3; ++which) totals[which] += shared.sums[which][i];
  const bool whole =
      p.right.half != Half::none && !Metric::Row::has_info && totals[2] <= kLeastShift * totals[0];
  if (whole)
    for (int64_t k = threadIdx.x; k < p.features; k += kCenterThreads) center[k] = 0.0f;
  if (threadIdx.x > 0) return;
  const double concentration = ::sqrt(totals[1]) / totals[0];
  center[facts.features_padded + kConcentration] =
      concentration <= 1.0 ? static_cast<float>(concentration) : 1.0f;
  center[facts.features_padded + kWhole] = whole ? 1.0f : 0.0f;
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
  const float* center = facts.center_of(batch);
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
