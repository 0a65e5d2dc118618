// Whole numbers below 2^24, which float adds exactly, and their quotients as pairs: the scalar type of distances
// that count features.
#pragma once

#include "cuda/float_pair.h"

SEMIDEEP_MATH_BEGIN

struct Whole : FloatPair {
  Whole() = default;
  __device__ __forceinline__ Whole(float value) : FloatPair(value, 0.0f) {}   // NOLINT: implicit
  __device__ __forceinline__ Whole(double constant) : FloatPair(constant) {}  // NOLINT: implicit
  __device__ __forceinline__ Whole(FloatPair pair) : FloatPair(pair) {}       // NOLINT: implicit
};
__device__ __forceinline__ Whole operator+(Whole a, Whole b) { return a.hi + b.hi; }
__device__ __forceinline__ Whole operator-(Whole a, Whole b) { return a.hi - b.hi; }
// What the quotient lacks is found exactly, and divided as coarsely.
__device__ __forceinline__ Whole operator/(Whole a, Whole b) {
  const float reciprocal = cuda::reciprocal_approximate(b.hi), quotient = a.hi * reciprocal;
  return FloatPair(quotient, ::fmaf(-quotient, b.hi, a.hi) * reciprocal);
}
__device__ __forceinline__ Whole select(bool mask, Whole a, Whole b) {
  return select(mask, static_cast<FloatPair>(a), static_cast<FloatPair>(b));
}

SEMIDEEP_MATH_END
