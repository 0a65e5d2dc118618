// One machine vector of doubles, as wide as the instruction set this file is compiled for.
//
// The compiler's vector extension supplies + - * / and comparisons on every target; only square root and
// fused multiply-add need the target's own instruction.
#pragma once

#if defined(__x86_64__)
#include <immintrin.h>
// GCC bug 105593: its own AVX-512 header trips its own warning.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#include "core/dual.h"

SEMIDEEP_MATH_BEGIN

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
#elif defined(__AVX2__)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif
template <class E>
constexpr int kLanesOf = kVectorBytes / sizeof(E);

// GCC cannot overload on vectors of a template's parameter.
template <class E>
struct NativeOf;
template <>
struct NativeOf<double> {
  typedef double Native __attribute__((vector_size(kVectorBytes)));
  typedef int64_t Bits __attribute__((vector_size(kVectorBytes)));
  static constexpr int64_t kSign = INT64_MIN;
};
template <>
struct NativeOf<float> {
  typedef float Native __attribute__((vector_size(kVectorBytes)));
  typedef int32_t Bits __attribute__((vector_size(kVectorBytes)));
  static constexpr int32_t kSign = INT32_MIN;
};

// E: double, or float (float_vec.h).
template <class E>
struct VecOf {
  using Native = typename NativeOf<E>::Native;
  using Bits = typename NativeOf<E>::Bits;
  Native v;

  VecOf() = default;
  SEMIDEEP_INLINE VecOf(E constant) : v(constant - Native{}) {}  // NOLINT: implicit
  SEMIDEEP_INLINE VecOf(Native native) : v(native) {}            // NOLINT: implicit
  static SEMIDEEP_INLINE VecOf load(const E* from) {
    Native native;
    __builtin_memcpy(&native, from, sizeof native);
    return native;
  }
  SEMIDEEP_INLINE void store(E* to) const { __builtin_memcpy(to, &v, sizeof v); }

  friend SEMIDEEP_INLINE VecOf operator+(VecOf a, VecOf b) { return a.v + b.v; }
  friend SEMIDEEP_INLINE VecOf operator-(VecOf a, VecOf b) { return a.v - b.v; }
  friend SEMIDEEP_INLINE VecOf operator-(VecOf a) { return -a.v; }
  friend SEMIDEEP_INLINE VecOf operator*(VecOf a, VecOf b) { return a.v * b.v; }
  friend SEMIDEEP_INLINE Bits operator>(VecOf a, VecOf b) { return a.v > b.v; }
  friend SEMIDEEP_INLINE Bits operator==(VecOf a, VecOf b) { return a.v == b.v; }
  friend SEMIDEEP_INLINE Bits operator!=(VecOf a, VecOf b) { return a.v != b.v; }
  friend SEMIDEEP_INLINE VecOf select(Bits mask, VecOf a, VecOf b) { return mask ? a.v : b.v; }
  friend SEMIDEEP_INLINE VecOf abs(VecOf a) {
    return VecOf((Native)((Bits)a.v & ~NativeOf<E>::kSign));
  }
};

using Vec = VecOf<double>;
constexpr int kLanes = kLanesOf<double>;

SEMIDEEP_INLINE Vec operator/(Vec a, Vec b) { return a.v / b.v; }
SEMIDEEP_INLINE Vec max(Vec a, Vec b) { return select(a > b, a, b); }
SEMIDEEP_INLINE Vec primal(Vec a) { return a; }
// The larger and the smaller of a bound and a value; a NaN value stays NaN.
SEMIDEEP_INLINE Vec at_least(double bound, Vec a) {
#if defined(__AVX512F__)
  return Vec::Native(_mm512_max_pd(Vec(bound).v, a.v));
#elif defined(__AVX2__)
  return Vec::Native(_mm256_max_pd(Vec(bound).v, a.v));
#else
  return select(Vec(bound) > a, Vec(bound), a);
#endif
}
SEMIDEEP_INLINE Vec at_most(double bound, Vec a) {
#if defined(__AVX512F__)
  return Vec::Native(_mm512_min_pd(Vec(bound).v, a.v));
#elif defined(__AVX2__)
  return Vec::Native(_mm256_min_pd(Vec(bound).v, a.v));
#else
  return select(a > Vec(bound), Vec(bound), a);
#endif
}
// Bit i says whether lane i of a is not at most b; it is set where either is NaN.
SEMIDEEP_INLINE uint32_t lanes_above(Vec a, Vec b) {
#if defined(__AVX512F__)
  return _mm512_cmp_pd_mask(a.v, b.v, _CMP_NLE_UQ);
#elif defined(__AVX2__)
  return static_cast<uint32_t>(_mm256_movemask_pd(_mm256_cmp_pd(a.v, b.v, _CMP_NLE_UQ)));
#else
  uint32_t lanes = 0;
  for (int lane = 0; lane < kLanes; ++lane)
    lanes |= static_cast<uint32_t>(!(a.v[lane] <= b.v[lane])) << lane;
  return lanes;
#endif
}

SEMIDEEP_INLINE Vec fma(Vec a, Vec b, Vec c) {
#if defined(__AVX512F__)
  return Vec::Native(_mm512_fmadd_pd(a.v, b.v, c.v));
#elif defined(__FMA__)
  return Vec::Native(_mm256_fmadd_pd(a.v, b.v, c.v));
#elif defined(__aarch64__)
  return Vec::Native(vfmaq_f64(c.v, a.v, b.v));
#else
  return a.v * b.v + c.v;
#endif
}

SEMIDEEP_INLINE Vec sqrt(Vec a) {
#if defined(__AVX512F__)
  return Vec::Native(_mm512_sqrt_pd(a.v));
#elif defined(__AVX2__)
  return Vec::Native(_mm256_sqrt_pd(a.v));
#elif defined(__x86_64__)
  return Vec::Native(_mm_sqrt_pd(a.v));
#elif defined(__aarch64__)
  return Vec::Native(vsqrtq_f64(a.v));
#else
  for (int lane = 0; lane < kLanes; ++lane) a.v[lane] = ::sqrt(a.v[lane]);
  return a;
#endif
}

constexpr double kRound = 6755399441055744.0;  // 1.5 * 2^52: adding it rounds to an integer

// 2^n for integers n in [-1022, 1023]: the low bits of n + kRound are n, and become the exponent.
SEMIDEEP_INLINE Vec power_of_two(Vec n) {
  const Vec::Bits bits = (Vec::Bits)(n + Vec(kRound)).v;
  return Vec::Native((bits + 1023) << 52);
}

// 2^n p for integers n, p near 1: rounded once, also where the result is below 2^-1022.
SEMIDEEP_INLINE Vec scaled(Vec p, Vec n) {
#if defined(__AVX512F__)
  return Vec::Native(_mm512_scalef_pd(p.v, n.v));
#else
  const Vec half = fma(n, Vec(0.5), Vec(kRound)) - Vec(kRound);
  return p * power_of_two(half) * power_of_two(n - half);
#endif
}

// exp(x) = 2^n exp(r), n = round(x / ln 2), |r| <= ln 2 / 2. The Taylor polynomial of degree 13 is off by
// 4e-18 there; rounding leaves at most 2 units in the last place.
SEMIDEEP_INLINE Vec exp(Vec x) {
  // Beyond these every double result is 0 or infinite.
  x = at_least(-800.0, at_most(800.0, x));
  const Vec n = fma(x, Vec(1.4426950408889634), Vec(kRound)) - Vec(kRound);
  // ln 2 in two parts; the first has trailing zeros, so its product with n is exact.
  Vec r = fma(n, Vec(-0.6931471803691238), x);
  r = fma(n, Vec(-1.9082149292705877e-10), r);

  Vec p(1.0 / 6227020800.0);
  p = fma(p, r, Vec(1.0 / 479001600.0));
  p = fma(p, r, Vec(1.0 / 39916800.0));
  p = fma(p, r, Vec(1.0 / 3628800.0));
  p = fma(p, r, Vec(1.0 / 362880.0));
  p = fma(p, r, Vec(1.0 / 40320.0));
  p = fma(p, r, Vec(1.0 / 5040.0));
  p = fma(p, r, Vec(1.0 / 720.0));
  p = fma(p, r, Vec(1.0 / 120.0));
  p = fma(p, r, Vec(1.0 / 24.0));
  p = fma(p, r, Vec(1.0 / 6.0));
  p = fma(p, r, Vec(0.5));
  p = fma(p, r, Vec(1.0));
  p = fma(p, r, Vec(1.0));
  return scaled(p, n);
}

// The scalar that a lane holds, and access to it.
template <class V>
struct LaneOf;
template <>
struct LaneOf<Vec> {
  using type = double;
};
template <>
struct LaneOf<Dual<Vec>> {
  using type = Dual<double>;
};
template <class V>
using Lane = typename LaneOf<V>::type;

SEMIDEEP_INLINE double get_lane(const Vec& v, int lane) { return v.v[lane]; }
SEMIDEEP_INLINE void set_lane(Vec& v, int lane, double value) { v.v[lane] = value; }
SEMIDEEP_INLINE Dual<double> get_lane(const Dual<Vec>& v, int lane) {
  return {v.value.v[lane], v.tangent.v[lane]};
}
SEMIDEEP_INLINE void set_lane(Dual<Vec>& v, int lane, Dual<double> value) {
  v.value.v[lane] = value.value;
  v.tangent.v[lane] = value.tangent;
}

SEMIDEEP_INLINE Vec broadcast(double value) { return value; }
SEMIDEEP_INLINE Dual<Vec> broadcast(Dual<double> value) {
  return {Vec(value.value), Vec(value.tangent)};
}

// Sums over lanes pairwise, always in the same order.
SEMIDEEP_INLINE double sum_lanes(Vec a) {
  double lanes[kLanes];
  __builtin_memcpy(lanes, &a.v, sizeof lanes);
  for (int width = kLanes / 2; width > 0; width /= 2)
    for (int lane = 0; lane < width; ++lane) lanes[lane] += lanes[lane + width];
  return lanes[0];
}
SEMIDEEP_INLINE Dual<double> sum_lanes(Dual<Vec> a) {
  return {sum_lanes(a.value), sum_lanes(a.tangent)};
}
SEMIDEEP_INLINE double max_lanes(Vec a) {
  double largest = a.v[0];
  for (int lane = 1; lane < kLanes; ++lane) largest = a.v[lane] > largest ? a.v[lane] : largest;
  return largest;
}

SEMIDEEP_MATH_END
