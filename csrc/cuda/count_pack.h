// Rows as bit planes, for metrics that count features: bit k % 32 of a word says something of feature k.
//
// jaccard needs one plane, zero or not. hamming compares codes of several bits, one plane for each: two features
// differ where any of their planes does, which is one three-input operation a plane and word for 32 features.
// Whole numbers from 0 to 255 are their own codes. Any other values are coded by their bits as floats, of which
// planes that are the same in all values are left out: 1 plane is left for -1 and 1.
#pragma once

#include "cuda/access.h"
#include "cuda/pass.h"

SEMIDEEP_MATH_BEGIN

constexpr int kMostPlanes = 32;
constexpr int kSurveyBlocks = 256;

// What all values of a problem have in common; device memory.
struct Planes {
  uint32_t whole;    // all codes as whole numbers, or-ed; bit 31: not all are
  uint32_t varying;  // bits in which some values differ as floats
};

struct Packed {
  const Planes* planes;
  int64_t words;         // of a plane: D / 32, rounded up
  const uint32_t* left;  // (B, N) rows of words x planes, [word][plane]
  const uint32_t* right;
  const float* left_stats;  // (B, N)
  const float* right_stats;
};

__device__ __forceinline__ uint32_t float_bits(float value) {
  return value == 0.0f ? 0u : __float_as_uint(value);  // -0 equals 0
}
__device__ __forceinline__ uint32_t whole_code(float value) {
  const bool is_whole = value >= 0.0f && value <= 255.0f && value == ::floorf(value);
  return is_whole ? static_cast<uint32_t>(value) : 1u << 31;
}

__device__ __forceinline__ float float_at(const Side& side, int64_t batch, int64_t row, int64_t k) {
  return static_cast<const float*>(
      side.rows)[batch * side.rows_batch_stride + row * side.rows_row_stride + k];
}

// Bits that a code has, as a mask; and the code of a value under it.
struct Coding {
  bool whole;
  uint32_t mask;
  __device__ explicit Coding(const Planes& planes) {
    const uint32_t bits = planes.whole;
    // All bits up to the highest.
    const uint32_t below = bits == 0 ? 1u : 0xffffffffu >> __clz(static_cast<int>(bits));
    whole = __popc(below) <= __popc(planes.varying) || planes.varying == 0;
    mask = whole ? below : planes.varying;
  }
  __device__ int planes() const { return __popc(mask); }
  __device__ uint32_t code(float value) const {
    return whole ? whole_code(value) : float_bits(value);
  }
};

// One warp for each row.
template <class Metric>
__global__ void __launch_bounds__(kMergeThreads)
    pack_rows(const Problem p, const Side side, const Planes* planes, int64_t words, uint32_t* to,
              float* stats) {
  const int lane = threadIdx.x % kWarp;
  const int64_t index = int64_t{blockIdx.x} * (kMergeThreads / kWarp) + threadIdx.x / kWarp;
  if (index >= p.batches * side.count) return;
  const int64_t batch = index / side.count, row = index % side.count;

  double stat = 0.0;
  for (int64_t word = 0; word < words; ++word) {
    const int64_t k = word * 32 + lane;
    const float value = k < p.features ? float_at(side, batch, row, k) : 0.0f;
    stat += Metric::Row::template describe<double>(
                [=](int64_t) { return static_cast<double>(value); }, 1)
                .stat;
    if constexpr (Metric::counts == Counts::both) {
      const uint32_t bits = __ballot_sync(0xffffffffu, value != 0.0f);
      if (lane == 0) to[index * words + word] = bits;
    } else {
      const Coding coding(*planes);
      const uint32_t code = coding.code(value);
      uint32_t* out = to + (index * words + word) * coding.planes();
      for (uint32_t left = coding.mask; left != 0; left &= left - 1) {
        const uint32_t bits = __ballot_sync(0xffffffffu, (code & left & (~left + 1u)) != 0);
        if (lane == 0) *out++ = bits;
      }
    }
  }
  for (int step = kWarp / 2; step > 0; step /= 2) stat += shuffle_xor(stat, step);
  if (lane == 0) stats[index] = static_cast<float>(stat);
}

SEMIDEEP_MATH_END
