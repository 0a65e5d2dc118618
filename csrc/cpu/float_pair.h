// Values as unevaluated sums of two floats, hi + lo, good to about 2^-28: twice the lanes of Vec.
//
// float32 results want distances to better than float32: at lambda d = 20 a relative error of 6e-8 in d is
// one of 1.2e-6 in exp(-lambda d). Pairs give that at the price of a few operations, where doubles halve the
// lanes and take several times as long for each square root.
#pragma once

#include "cpu/float_vec.h"

SEMIDEEP_MATH_BEGIN

struct FloatPair {
  FloatVec hi;
  FloatVec lo;

  FloatPair() = default;
  SEMIDEEP_INLINE FloatPair(FloatVec h, FloatVec l) : hi(h), lo(l) {}
  SEMIDEEP_INLINE FloatPair(double constant)  // NOLINT: implicit
      : hi(static_cast<float>(constant)),
        lo(static_cast<float>(constant - static_cast<float>(constant))) {}
  SEMIDEEP_INLINE FloatPair(Vec first, Vec second)
      : hi(narrow(first, second)), lo(narrow(first - widen_first(hi), second - widen_second(hi))) {}
};

SEMIDEEP_INLINE FloatPair operator-(FloatPair a) { return {-a.hi, -a.lo}; }
// Knuth's two-sum: the rounding error of a + b is a float, and these operations find it.
SEMIDEEP_INLINE FloatPair operator+(FloatPair a, FloatPair b) {
  const FloatVec sum = a.hi + b.hi;
  const FloatVec part = sum - a.hi;
  const FloatVec error = (a.hi - (sum - part)) + (b.hi - part);
  return {sum, error + (a.lo + b.lo)};
}
SEMIDEEP_INLINE FloatPair operator-(FloatPair a, FloatPair b) { return a + (-b); }
// A product that is not rounded yet: who wants but its exponential needs no pair of it.
struct FloatProduct {
  FloatPair a, b;

  SEMIDEEP_INLINE operator FloatPair() const {  // NOLINT: implicit
    const FloatVec product = a.hi * b.hi;
    const FloatVec error = fma(a.hi, b.hi, -product);
    return {product, fma(a.hi, b.lo, fma(a.lo, b.hi, error))};
  }
};
SEMIDEEP_INLINE FloatProduct operator*(FloatPair a, FloatPair b) { return {a, b}; }
// A quotient good to 2^-14 or better, and what it lacks by the same reciprocal.
SEMIDEEP_INLINE FloatPair operator/(FloatPair a, FloatPair b) {
  const FloatVec reciprocal = rough_reciprocal(b.hi);
#if defined(__AVX512F__)
  const FloatVec quotient = a.hi * reciprocal;
#else
  const FloatVec quotient = a.hi.v / b.hi.v;
#endif
  const FloatVec rest = fma(-quotient, b.hi, a.hi) + fma(-quotient, b.lo, a.lo);
  return {quotient, rest * reciprocal};
}
SEMIDEEP_INLINE FloatVec::Bits operator>(FloatPair a, FloatPair b) { return a.hi > b.hi; }
SEMIDEEP_INLINE FloatVec::Bits operator==(FloatPair a, FloatPair b) { return a.hi == b.hi; }
SEMIDEEP_INLINE FloatPair select(FloatVec::Bits mask, FloatPair a, FloatPair b) {
  return {select(mask, a.hi, b.hi), select(mask, a.lo, b.lo)};
}
// Of finite sums of squares; the root of less than 1e-36 is taken as 1e-18.
SEMIDEEP_INLINE FloatPair sqrt(FloatPair a) {
  const FloatVec bounded = at_least(1e-36f, a.hi);
#if defined(__AVX512F__)
  // From an estimate r of 1 / sqrt(a) good to 2^-14: the root a r, and the Newton step that it lacks.
  const FloatVec r(FloatVec::Native(_mm512_rsqrt14_ps(bounded.v)));
  const FloatVec root = bounded * r;
  const FloatVec half = halved(r);
#else
  const FloatVec root = sqrt(bounded);
  const FloatVec half = halved(rough_reciprocal(root));
#endif
  return {root, (fma(-root, root, bounded) + a.lo) * half};
}

// k = 2^x for x <= 0, scaled by 2^kKernelExponent. Scaled, kernels reach below the least float, and the sum of
// 2^40 of them times values of up to 2^20 is still a float. x = n + f, n whole and |f| <= 1/2.
constexpr int kKernelExponent = 64;
SEMIDEEP_INLINE FloatVec scaled_exp2(FloatVec n, FloatVec f) {
#if defined(__AVX512F__)
  constexpr float kScale = 0x1p64f;
#else
  constexpr float kScale = 1.0f;
#endif
  // The minimax polynomial with p(0) = 1, so that 2^0 is 1; off by 1.3e-8 for |f| <= 1/2.
  FloatVec p(kScale * 0.00015619676560163498f);
  p = fma(p, f, FloatVec(kScale * 0.001341719995252788f));
  p = fma(p, f, FloatVec(kScale * 0.009617744944989681f));
  p = fma(p, f, FloatVec(kScale * 0.05550302565097809f));
  p = fma(p, f, FloatVec(kScale * 0.24022649228572845f));
  p = fma(p, f, FloatVec(kScale * 0.6931471824645996f));
  p = fma(p, f, FloatVec(kScale));
#if defined(__AVX512F__)
  return FloatVec::Native(_mm512_scalef_ps(p.v, n.v));
#else
  // The factor as bits: below its range, 2^-190, nothing is left to see.
  const FloatVec bounded = at_least(-190.0f, n);
  const FloatVec::Bits exponent = __builtin_convertvector(bounded.v, FloatVec::Bits);
  return p * FloatVec((FloatVec::Native)((exponent + (127 + kKernelExponent)) << 23));
#endif
}
SEMIDEEP_INLINE FloatVec scaled_exp2(FloatVec x) {
  const FloatVec n = round(x);
  return scaled_exp2(n, x - n);
}
SEMIDEEP_INLINE FloatVec scaled_exp2(FloatProduct x) {
  const FloatVec n = round(x.a.hi * x.b.hi);
  return scaled_exp2(n, fma(x.a.hi, x.b.lo, fma(x.a.lo, x.b.hi, fma(x.a.hi, x.b.hi, -n))));
}
// Kernels below the least float are 0.
SEMIDEEP_INLINE FloatVec unscaled(FloatVec scaled) { return scaled * FloatVec(0x1p-64f); }

SEMIDEEP_MATH_END
