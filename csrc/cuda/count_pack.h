// Rows as bit planes, for metrics that count features: bit k % 32 of a word says something of feature k.
//
// jaccard needs one plane, zero or not. hamming compares codes of several bits, one plane for each: two features
// differ where any of their planes does, which is one three-input operation a plane and word for 32 features.
// Whole numbers from 0 to 255 are their own codes. Any other values are coded by their bits as floats, of which
// planes that are the same in all values are left out: 1 plane is left for -1 and 1.
#pragma once

#include "cuda/count_whole.h"
#include "cuda/pass.h"

SEMIDEEP_MATH_BEGIN

constexpr int kMostPlanes = 32;
constexpr int kSurveyBlocks = 1024;

// What all values of a problem have in common; device memory.
struct Planes {
  uint32_t whole;    // all codes as whole numbers, or-ed; bit 31: not all are
  uint32_t varying;  // bits in which some values differ as floats
};

struct PackedRow {
  float stat;  // as describe() finds it
  int bits;    // that are set
};

struct Packed {
  const Planes* planes;
  int64_t words;         // of a plane: D / 32, rounded up
  const uint32_t* left;  // (B, N) rows of words x planes, [word][plane]
  const uint32_t* right;
  const PackedRow* left_rows;  // (B, N)
  const PackedRow* right_rows;
};

__device__ __forceinline__ uint32_t float_bits(float value) {
  return value == 0.0f ? 0u : __float_as_uint(value);  // -0 equals 0
}
__device__ __forceinline__ uint32_t whole_code(float value) {
  const bool is_whole = value >= 0.0f && value <= 255.0f && value == ::floorf(value);
  return is_whole ? static_cast<uint32_t>(value) : 1u << 31;
}

__device__ __forceinline__ float float_at(const Side& side, int64_t batch, int64_t row, int64_t k) {
  const int64_t at = batch * side.rows_batch_stride + row * side.rows_row_stride + k;
  if (side.half != Half::none)
    return half_value(static_cast<const uint16_t*>(side.rows)[at], side.half);
  return static_cast<const float*>(side.rows)[at];
}

// Bits that a code has, as a mask; and the code of a value under it.
struct Coding {
  bool whole;
  uint32_t mask;
  __device__ explicit Coding(const Planes& planes) {
    const uint32_t bits = planes.whole;
    // All bits up to the highest; and those of floats, of which equal values need any one.
    const uint32_t below = bits == 0 ? 1u : 0xffffffffu >> __clz(static_cast<int>(bits));
    const uint32_t varying = planes.varying == 0 ? 1u : planes.varying;
    whole = bits >> 31 == 0 && __popc(below) <= __popc(varying);
    mask = whole ? below : varying;
  }
  __device__ int planes() const { return __popc(mask); }
  __device__ uint32_t code(float value) const {
    return whole ? whole_code(value) : float_bits(value);
  }
};

// What one lane, or all threads of a block, have seen: folds it into the first.
__device__ __forceinline__ Planes fold_planes(Planes found) {
  Planes* warps = cuda::shared_memory<Planes>();
  const auto fold_lanes = [&found] {
    for (int step = kWarp / 2; step > 0; step /= 2) {
      found.whole |= __shfl_xor_sync(0xffffffffu, found.whole, step);
      found.varying |= __shfl_xor_sync(0xffffffffu, found.varying, step);
    }
  };
  fold_lanes();
  if (threadIdx.x % kWarp == 0) warps[threadIdx.x / kWarp] = found;
  __syncthreads();
  if (threadIdx.x < kWarp) {
    found = threadIdx.x < kMergeThreads / kWarp ? warps[threadIdx.x] : Planes{0, 0};
    fold_lanes();
  }
  return found;
}

// Surveys the values of both sides, one warp for each row at a time; each block leaves its part.
static __global__ void __launch_bounds__(kMergeThreads)
    survey_values(const Problem p, Planes* parts) {
  Planes found{0, 0};
  const uint32_t origin = p.left.count > 0 ? float_bits(float_at(p.left, 0, 0, 0)) : 0u;
  const auto see = [&](const Side& side) {
    constexpr int kWarps = kMergeThreads / kWarp;
    for (int64_t i = int64_t{blockIdx.x} * kWarps + threadIdx.x / kWarp; i < p.batches * side.count;
         i += int64_t{gridDim.x} * kWarps) {
      const int64_t batch = i / side.count, row = i % side.count;
#pragma unroll 4
      for (int64_t k = threadIdx.x % kWarp; k < p.features; k += kWarp) {
        const float value = float_at(side, batch, row, k);
        found.varying |= float_bits(value) ^ origin;
        found.whole |= whole_code(value);
      }
    }
  };
  see(p.left);
  see(p.right);
  found = fold_planes(found);
  if (threadIdx.x == 0) parts[blockIdx.x] = found;
}

// Folds all parts into the first; one block.
static __global__ void __launch_bounds__(kMergeThreads) merge_survey(Planes* parts, int count) {
  Planes found{0, 0};
  for (int i = threadIdx.x; i < count; i += kMergeThreads) {
    found.whole |= parts[i].whole;
    found.varying |= parts[i].varying;
  }
  found = fold_planes(found);  // after its barrier nobody reads parts
  if (threadIdx.x == 0) parts[0] = found;
}

// One warp for each row.
template <class Metric>
__global__ void __launch_bounds__(kMergeThreads)
    pack_rows(const Problem p, const Side side, const Planes* planes, int64_t words, uint32_t* to,
              PackedRow* to_rows) {
  const int lane = threadIdx.x % kWarp;
  const int64_t index = int64_t{blockIdx.x} * (kMergeThreads / kWarp) + threadIdx.x / kWarp;
  if (index >= p.batches * side.count) return;
  const int64_t batch = index / side.count, row = index % side.count;

  Whole stat(0.0);
  int set = 0;
  const auto put = [&](uint32_t* out, bool bit) {
    const uint32_t bits = __ballot_sync(0xffffffffu, bit);
    set += __popc(bits);
    if (lane == 0) *out = bits;
  };
  const auto pack = [&](int64_t word_planes, auto&& put_word) {
    uint32_t* out = to + index * words * word_planes;
#pragma unroll 4
    for (int64_t word = 0; word < words; ++word) {
      const int64_t k = word * 32 + lane;
      const float value = k < p.features ? float_at(side, batch, row, k) : 0.0f;
      stat = stat +
             Metric::Row::template describe<Whole>([=](int64_t) { return Whole(value); }, 1).stat;
      put_word(value, out + word * word_planes);
    }
  };
  if constexpr (Metric::sum_of == SumOf::common) {
    pack(1, [&](float value, uint32_t* out) { put(out, value != 0.0f); });
  } else {
    const Coding coding(*planes);
    pack(coding.planes(), [&](float value, uint32_t* out) {
      const uint32_t code = coding.code(value);
      for (uint32_t left = coding.mask; left != 0; left &= left - 1)
        put(out++, (code & left & (~left + 1u)) != 0);
    });
  }
  float sum = stat.hi;
  for (int step = kWarp / 2; step > 0; step /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, step);
  if (lane == 0) to_rows[index] = {sum, set};
}

SEMIDEEP_MATH_END
