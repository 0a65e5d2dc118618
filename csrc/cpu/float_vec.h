// One machine vector of floats: twice the lanes of Vec.
#pragma once

#include "cpu/vec.h"

SEMIDEEP_MATH_BEGIN

// The kernels on floats recover rounding errors by fused multiply-add; without the instruction they would be
// slower than doubles.
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
constexpr bool kHasFma = true;
#else
constexpr bool kHasFma = false;
#endif

using FloatVec = VecOf<float>;
constexpr int kFloatLanes = kLanesOf<float>;

// a b + c rounded once; where that would take a library call, nothing that needs it is compiled in.
SEMIDEEP_INLINE FloatVec fma(FloatVec a, FloatVec b, FloatVec c) {
#if defined(__AVX512F__)
  return FloatVec::Native(_mm512_fmadd_ps(a.v, b.v, c.v));
#elif defined(__FMA__)
  return FloatVec::Native(_mm256_fmadd_ps(a.v, b.v, c.v));
#elif defined(__ARM_FEATURE_FMA)
  return FloatVec::Native(vfmaq_f32(c.v, a.v, b.v));
#else
  return a.v * b.v + c.v;
#endif
}

SEMIDEEP_INLINE FloatVec sqrt(FloatVec a) {
#if defined(__AVX512F__)
  return FloatVec::Native(_mm512_sqrt_ps(a.v));
#elif defined(__AVX2__)
  return FloatVec::Native(_mm256_sqrt_ps(a.v));
#elif defined(__aarch64__)
  return FloatVec::Native(vsqrtq_f32(a.v));
#else
  for (int lane = 0; lane < kFloatLanes; ++lane) a.v[lane] = ::sqrtf(a.v[lane]);
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
  return FloatVec::Native(1.0f / a.v);
#endif
}

// Of normal numbers: integers are added beside the units that multiply.
SEMIDEEP_INLINE FloatVec halved(FloatVec a) {
  return FloatVec::Native((FloatVec::Bits)a.v - (1 << 23));
}

// Good to the last bit or two; no number where b is 0.
SEMIDEEP_INLINE FloatVec operator/(FloatVec a, FloatVec b) {
  const FloatVec reciprocal = rough_reciprocal(b);
  const FloatVec quotient = a * reciprocal;
  return fma(fma(-quotient, b, a), reciprocal, quotient);
}

// The larger and the smaller of a bound and a value; a NaN value stays NaN.
SEMIDEEP_INLINE FloatVec at_least(float bound, FloatVec a) {
#if defined(__AVX512F__)
  return FloatVec::Native(_mm512_max_ps(FloatVec(bound).v, a.v));
#elif defined(__AVX2__)
  return FloatVec::Native(_mm256_max_ps(FloatVec(bound).v, a.v));
#else
  return select(FloatVec(bound) > a, FloatVec(bound), a);
#endif
}
SEMIDEEP_INLINE FloatVec at_most(float bound, FloatVec a) {
#if defined(__AVX512F__)
  return FloatVec::Native(_mm512_min_ps(FloatVec(bound).v, a.v));
#elif defined(__AVX2__)
  return FloatVec::Native(_mm256_min_ps(FloatVec(bound).v, a.v));
#else
  return select(a > FloatVec(bound), FloatVec(bound), a);
#endif
}

// Bit i says whether lane i of a is not at most b; it is set where either is NaN.
SEMIDEEP_INLINE uint32_t lanes_above(FloatVec a, FloatVec b) {
#if defined(__AVX512F__)
  return _mm512_cmp_ps_mask(a.v, b.v, _CMP_NLE_UQ);
#elif defined(__AVX2__)
  return static_cast<uint32_t>(_mm256_movemask_ps(_mm256_cmp_ps(a.v, b.v, _CMP_NLE_UQ)));
#else
  uint32_t lanes = 0;
  for (int lane = 0; lane < kFloatLanes; ++lane)
    lanes |= static_cast<uint32_t>(!(a.v[lane] <= b.v[lane])) << lane;
  return lanes;
#endif
}

// The halves as doubles, and their sum. Through memory the conversion would wait for a store that the next
// load cannot forward from.
#if defined(__AVX512F__)
SEMIDEEP_INLINE Vec widen_first(FloatVec a) {
  return Vec::Native(_mm512_cvtps_pd(_mm512_castps512_ps256(a.v)));
}
SEMIDEEP_INLINE Vec widen_second(FloatVec a) {
  return Vec::Native(_mm512_cvtps_pd(_mm512_extractf32x8_ps(a.v, 1)));
}
SEMIDEEP_INLINE FloatVec narrow(Vec first, Vec second) {
  const __m512 low = _mm512_castps256_ps512(_mm512_cvtpd_ps(first.v));
  return FloatVec::Native(_mm512_insertf32x8(low, _mm512_cvtpd_ps(second.v), 1));
}
#elif defined(__AVX2__)
SEMIDEEP_INLINE Vec widen_first(FloatVec a) {
  return Vec::Native(_mm256_cvtps_pd(_mm256_castps256_ps128(a.v)));
}
SEMIDEEP_INLINE Vec widen_second(FloatVec a) {
  return Vec::Native(_mm256_cvtps_pd(_mm256_extractf128_ps(a.v, 1)));
}
SEMIDEEP_INLINE FloatVec narrow(Vec first, Vec second) {
  const __m256 low = _mm256_castps128_ps256(_mm256_cvtpd_ps(first.v));
  return FloatVec::Native(_mm256_insertf128_ps(low, _mm256_cvtpd_ps(second.v), 1));
}
#else
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
SEMIDEEP_INLINE FloatVec narrow(Vec first, Vec second) {
  FloatVec joined;
  for (int lane = 0; lane < kLanes; ++lane) {
    joined.v[lane] = static_cast<float>(first.v[lane]);
    joined.v[kLanes + lane] = static_cast<float>(second.v[lane]);
  }
  return joined;
}
#endif
SEMIDEEP_INLINE double sum_lanes(FloatVec a) { return sum_lanes(widen_first(a) + widen_second(a)); }

SEMIDEEP_INLINE FloatVec round(FloatVec a) {
#if defined(__AVX512F__)
  return FloatVec::Native(_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
#elif defined(__AVX2__)
  return FloatVec::Native(_mm256_round_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
#elif defined(__aarch64__)
  return FloatVec::Native(vrndnq_f32(a.v));
#else
  for (int lane = 0; lane < kFloatLanes; ++lane) a.v[lane] = ::nearbyintf(a.v[lane]);
  return a;
#endif
}

SEMIDEEP_MATH_END
