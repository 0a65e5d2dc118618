// Values as unevaluated sums of two floats, hi + lo, about 44 bits wide: twice the lanes of Vec.
//
// float32 results want distances to better than float32: at lambda d = 20 a relative error of 6e-8 in d is
// one of 1.2e-6 in exp(-lambda d). Pairs give that at the price of a few operations, where doubles halve the
// lanes and take several times as long for each square root.
#pragma once

#include "cpu/vec.h"

SEMIDEEP_MATH_BEGIN

// Without a fused multiply-add the products of pairs cost more than doubles (SSE2: 1.5 times slower).
#if defined(__FMA__)
constexpr bool kPairsPay = true;
#else
constexpr bool kPairsPay = false;
#endif

struct FloatVec {
  typedef float Native __attribute__((vector_size(kLanes * sizeof(double))));
  typedef int32_t Bits __attribute__((vector_size(kLanes * sizeof(double))));
  Native v;

  FloatVec() = default;
  SEMIDEEP_INLINE FloatVec(float constant) : v(constant - Native{}) {}  // NOLINT: implicit
  SEMIDEEP_INLINE FloatVec(Native native) : v(native) {}                // NOLINT: implicit
};

SEMIDEEP_INLINE FloatVec operator+(FloatVec a, FloatVec b) { return a.v + b.v; }
SEMIDEEP_INLINE FloatVec operator-(FloatVec a, FloatVec b) { return a.v - b.v; }
SEMIDEEP_INLINE FloatVec operator-(FloatVec a) { return -a.v; }
SEMIDEEP_INLINE FloatVec operator*(FloatVec a, FloatVec b) { return a.v * b.v; }
SEMIDEEP_INLINE FloatVec operator/(FloatVec a, FloatVec b) { return a.v / b.v; }
SEMIDEEP_INLINE FloatVec::Bits operator>(FloatVec a, FloatVec b) { return a.v > b.v; }
SEMIDEEP_INLINE FloatVec::Bits operator==(FloatVec a, FloatVec b) { return a.v == b.v; }
SEMIDEEP_INLINE FloatVec select(FloatVec::Bits mask, FloatVec a, FloatVec b) {
  return mask ? a.v : b.v;
}

// a b + c rounded once. The lane loops here and below only let this file compile where pairs do not pay.
SEMIDEEP_INLINE FloatVec fma(FloatVec a, FloatVec b, FloatVec c) {
#if defined(__AVX512F__)
  return FloatVec::Native(_mm512_fmadd_ps(a.v, b.v, c.v));
#elif defined(__FMA__)
  return FloatVec::Native(_mm256_fmadd_ps(a.v, b.v, c.v));
#else
  for (int lane = 0; lane < 2 * kLanes; ++lane)
    c.v[lane] = static_cast<float>(static_cast<double>(a.v[lane]) * b.v[lane] + c.v[lane]);
  return c;
#endif
}

SEMIDEEP_INLINE FloatVec sqrt(FloatVec a) {
#if defined(__AVX512F__)
  return FloatVec::Native(_mm512_sqrt_ps(a.v));
#elif defined(__AVX2__)
  return FloatVec::Native(_mm256_sqrt_ps(a.v));
#else
  for (int lane = 0; lane < 2 * kLanes; ++lane) a.v[lane] = ::sqrtf(a.v[lane]);
  return a;
#endif
}

// 1 / a to at least 11 bits.
SEMIDEEP_INLINE FloatVec rough_reciprocal(FloatVec a) {
#if defined(__AVX512F__)
  return FloatVec::Native(_mm512_rcp14_ps(a.v));
#elif defined(__AVX2__)
  return FloatVec::Native(_mm256_rcp_ps(a.v));
#else
  return FloatVec(1.0f) / a;
#endif
}

// Both vectors of doubles rounded to float, and each half of the floats as doubles. Through memory either
// would wait for a store that the next load cannot forward from.
#if defined(__AVX512F__)
SEMIDEEP_INLINE FloatVec narrow(Vec first, Vec second) {
  const __m512 low = _mm512_castps256_ps512(_mm512_cvtpd_ps(first.v));
  return FloatVec::Native(_mm512_insertf32x8(low, _mm512_cvtpd_ps(second.v), 1));
}
SEMIDEEP_INLINE Vec widen_first(FloatVec a) {
  return Vec::Native(_mm512_cvtps_pd(_mm512_castps512_ps256(a.v)));
}
SEMIDEEP_INLINE Vec widen_second(FloatVec a) {
  return Vec::Native(_mm512_cvtps_pd(_mm512_extractf32x8_ps(a.v, 1)));
}
#elif defined(__AVX2__)
SEMIDEEP_INLINE FloatVec narrow(Vec first, Vec second) {
  const __m256 low = _mm256_castps128_ps256(_mm256_cvtpd_ps(first.v));
  return FloatVec::Native(_mm256_insertf128_ps(low, _mm256_cvtpd_ps(second.v), 1));
}
SEMIDEEP_INLINE Vec widen_first(FloatVec a) {
  return Vec::Native(_mm256_cvtps_pd(_mm256_castps256_ps128(a.v)));
}
SEMIDEEP_INLINE Vec widen_second(FloatVec a) {
  return Vec::Native(_mm256_cvtps_pd(_mm256_extractf128_ps(a.v, 1)));
}
#else
SEMIDEEP_INLINE FloatVec narrow(Vec first, Vec second) {
  FloatVec joined;
  for (int lane = 0; lane < kLanes; ++lane) {
    joined.v[lane] = static_cast<float>(first.v[lane]);
    joined.v[kLanes + lane] = static_cast<float>(second.v[lane]);
  }
  return joined;
}
SEMIDEEP_INLINE Vec widen_first(FloatVec a) {
  Vec wide;
  for (int lane = 0; lane < kLanes; ++lane) wide.v[lane] = a.v[lane];
  return wide;
}
SEMIDEEP_INLINE Vec widen_second(FloatVec a) {
  Vec wide;
  for (int lane = 0; lane < kLanes; ++lane) wide.v[lane] = a.v[kLanes + lane];
  return wide;
}
#endif

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

// A pair in the room of two vectors of doubles. Copied vector by vector: GCC splits a copy of the whole pair
// into 16-byte stores, which the loads that follow would wait for.
SEMIDEEP_INLINE FloatPair load_pair(const Vec* from) {
  FloatPair pair;
  __builtin_memcpy(&pair.hi.v, from, sizeof pair.hi.v);
  __builtin_memcpy(&pair.lo.v, from + 1, sizeof pair.lo.v);
  return pair;
}
SEMIDEEP_INLINE void store_pair(Vec* to, FloatPair pair) {
  __builtin_memcpy(to, &pair.hi.v, sizeof pair.hi.v);
  __builtin_memcpy(to + 1, &pair.lo.v, sizeof pair.lo.v);
}

// Knuth's two-sum: the rounding error of a + b is a float, and these operations find it.
SEMIDEEP_INLINE FloatPair operator+(FloatPair a, FloatPair b) {
  const FloatVec sum = a.hi + b.hi;
  const FloatVec part = sum - a.hi;
  const FloatVec error = (a.hi - (sum - part)) + (b.hi - part);
  return {sum, error + (a.lo + b.lo)};
}
SEMIDEEP_INLINE FloatPair operator-(FloatPair a) { return {-a.hi, -a.lo}; }
SEMIDEEP_INLINE FloatPair operator-(FloatPair a, FloatPair b) { return a + (-b); }
SEMIDEEP_INLINE FloatPair operator*(FloatPair a, FloatPair b) {
  const FloatVec product = a.hi * b.hi;
  const FloatVec error = fma(a.hi, b.hi, -product);
  return {product, error + fma(a.hi, b.lo, a.lo * b.hi)};
}
SEMIDEEP_INLINE FloatPair operator/(FloatPair a, FloatPair b) {
  const FloatVec quotient = a.hi / b.hi;
  const FloatVec rest = fma(-quotient, b.hi, a.hi) + fma(-quotient, b.lo, a.lo);
  return {quotient, rest / b.hi};
}
SEMIDEEP_INLINE FloatVec::Bits operator>(FloatPair a, FloatPair b) { return a.hi > b.hi; }
SEMIDEEP_INLINE FloatVec::Bits operator==(FloatPair a, FloatPair b) { return a.hi == b.hi; }
SEMIDEEP_INLINE FloatPair select(FloatVec::Bits mask, FloatPair a, FloatPair b) {
  return {select(mask, a.hi, b.hi), select(mask, a.lo, b.lo)};
}
SEMIDEEP_INLINE FloatPair sqrt(FloatPair a) {
  const FloatVec root = sqrt(a.hi);
  const FloatVec rest = fma(-root, root, a.hi) + a.lo;
  const FloatVec correction = rest * rough_reciprocal(root + root);
  return {root, select(root > FloatVec(0.0f), correction, FloatVec(0.0f))};
}

// exp of a pair as two vectors of doubles: 2^n exp(r) as in exp(Vec), with exp(r) in float, where the Taylor
// polynomial of degree 7 is off by 5e-9, and 2^n in double, because values multiply k and may be as large as
// it is small.
SEMIDEEP_INLINE void exp(FloatPair x, Vec* first, Vec* second) {
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23
  // Below -700, exp times any float is 0 in float; lo may be NaN there, where hi is infinite.
  const FloatVec::Bits inside = x.hi > FloatVec(-700.0f);
  const FloatVec hi = select(FloatVec(-700.0f) > x.hi, FloatVec(-700.0f), x.hi);
  const FloatVec n = fma(hi, FloatVec(1.44269504f), FloatVec(kRound)) - FloatVec(kRound);
  FloatVec r = fma(n, FloatVec(-0.693359375f), hi);
  r = fma(n, FloatVec(2.12194440e-4f), r) + select(inside, x.lo, FloatVec(0.0f));

  FloatVec p(1.0f / 5040.0f);
  p = fma(p, r, FloatVec(1.0f / 720.0f));
  p = fma(p, r, FloatVec(1.0f / 120.0f));
  p = fma(p, r, FloatVec(1.0f / 24.0f));
  p = fma(p, r, FloatVec(1.0f / 6.0f));
  p = fma(p, r, FloatVec(0.5f));
  p = fma(p, r, FloatVec(1.0f));
  p = fma(p, r, FloatVec(1.0f));
  *first = widen_first(p) * power_of_two(widen_first(n));
  *second = widen_second(p) * power_of_two(widen_second(n));
}

SEMIDEEP_MATH_END
