// Values as unevaluated sums of two floats, hi + lo: what csrc/cpu/float_pair.h does in vectors, and why.
#pragma once

#include "core/math.h"
#include "cuda/device.h"

SEMIDEEP_MATH_BEGIN

__device__ __forceinline__ float fma(float a, float b, float c) { return ::fmaf(a, b, c); }

struct FloatPair {
  float hi, lo;

  FloatPair() = default;
  __device__ __forceinline__ FloatPair(float h, float l) : hi(h), lo(l) {}
  __device__ __forceinline__ FloatPair(double constant)  // NOLINT: implicit
      : hi(static_cast<float>(constant)),
        lo(static_cast<float>(constant - static_cast<double>(static_cast<float>(constant)))) {}
};

__device__ __forceinline__ FloatPair operator-(FloatPair a) { return {-a.hi, -a.lo}; }
// Knuth's two-sum: the rounding error of a + b is a float, and these operations find it.
__device__ __forceinline__ FloatPair operator+(FloatPair a, FloatPair b) {
  const float sum = a.hi + b.hi;
  const float part = sum - a.hi;
  const float error = (a.hi - (sum - part)) + (b.hi - part);
  return {sum, error + (a.lo + b.lo)};
}
__device__ __forceinline__ FloatPair operator-(FloatPair a, FloatPair b) { return a + (-b); }
__device__ __forceinline__ FloatPair operator*(FloatPair a, FloatPair b) {
  const float product = a.hi * b.hi;
  const float error = ::fmaf(a.hi, b.hi, -product);
  return {product, ::fmaf(a.hi, b.lo, ::fmaf(a.lo, b.hi, error))};
}
__device__ __forceinline__ bool operator>(FloatPair a, FloatPair b) { return a.hi > b.hi; }
__device__ __forceinline__ bool operator==(FloatPair a, FloatPair b) { return a.hi == b.hi; }
__device__ __forceinline__ FloatPair select(bool mask, FloatPair a, FloatPair b) {
  return {mask ? a.hi : b.hi, mask ? a.lo : b.lo};
}
// Of finite sums of squares; the root of less than 1e-36 is taken as 1e-18. From an estimate r of 1 / sqrt(a):
// the root a r, and the Newton step that it lacks.
__device__ __forceinline__ FloatPair sqrt(FloatPair a) {
  const float bounded = cuda::maximum(a.hi, 1e-36f);
  const float r = cuda::rsqrt_approximate(bounded);
  const float root = bounded * r;
  return {root, (::fmaf(-root, root, bounded) + a.lo) * (0.5f * r)};
}
// 2^x as power * unit. The special-function unit makes 0 of powers below 2^-126, which a value of 1e38 would bring back
// into the range of float: they are taken 2^126 times as large, and the value by the unit, 2^-126.
struct ScaledPower {
  float power, unit;
};
__device__ __forceinline__ ScaledPower exp2(FloatPair x) {
  const bool small = x.hi < -125.0f;  // one more, since the result may come out below the exact one
  const float power = cuda::exp2_approximate(small ? x.hi + 126.0f : x.hi);
  // The second factor is 2^lo to first order. Where hi is -inf, lo is inf or NaN, and 0 times either would be NaN.
  return {::fmaf(power * 0.693147181f, ::fminf(x.lo, 1.0f), power), small ? 0x1p-126f : 1.0f};
}
__device__ __forceinline__ float fma(ScaledPower a, float b, float c) {
  return ::fmaf(a.power, a.unit * b, c);
}

SEMIDEEP_MATH_END
