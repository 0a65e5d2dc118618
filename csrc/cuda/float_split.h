// Floats split into two float16, high + low with 11 bits each, and products of such (float_product_tile.h).
#pragma once

#include "core/portable.h"
#include "cuda/device.h"

SEMIDEEP_MATH_BEGIN

constexpr int kHalfExponent = 14;  // of what is scaled to become halves: it is then below 2^15

// As exponents: the largest power of two that is not above a positive float, and from one to the power.
__device__ __forceinline__ int log2_below(float value) {
  return static_cast<int>(__float_as_uint(value) >> 23) - 127;
}
__device__ __forceinline__ float power_of_two(int exponent) {
  return __uint_as_float(static_cast<uint32_t>(127 + exponent) << 23);
}

// Floats as two halves each, high[0] and low[0] those of the first.
struct SplitPair {
  uint32_t high, low;
  __device__ __forceinline__ SplitPair(float a, float b) {
    high = cuda::float16_bits(a, b);
    low = cuda::float16_bits(a - cuda::float16_value(static_cast<uint16_t>(high)),
                             b - cuda::float16_value(static_cast<uint16_t>(high >> 16)));
  }
};

// sums += a b, of blocks of halves. The small terms first: less is truncated.
__device__ __forceinline__ void multiply_split(float (&sums)[4], const uint32_t (&a)[2][4],
                                               const uint32_t (&b_high)[2],
                                               const uint32_t (&b_low)[2]) {
  cuda::multiply_halves(sums, a[1], b_high);
  cuda::multiply_halves(sums, a[0], b_low);
  cuda::multiply_halves(sums, a[0], b_high);
}

SEMIDEEP_MATH_END
