// CUDA's arithmetic names for the emulator: vector types, bit functions, half-width floats, and approximate
// functions that are as wrong as the hardware's may be.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

namespace semideep::emulator {

template <class To, class From>
inline To same_bits(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof to);
  return to;
}

}  // namespace semideep::emulator

// --- vector types ---------------------------------------------------------------------------------

#define SEMIDEEP_EMULATED_VECTORS(type, name)                      \
  struct alignas(2 * sizeof(type)) name##2 { type x, y; };         \
  struct alignas(16) name##4 { type x, y, z, w; };                 \
  inline name##2 make_##name##2(type x, type y) { return {x, y}; } \
  inline name##4 make_##name##4(type x, type y, type z, type w) { return {x, y, z, w}; }
SEMIDEEP_EMULATED_VECTORS(float, float)
SEMIDEEP_EMULATED_VECTORS(double, double)
SEMIDEEP_EMULATED_VECTORS(int, int)
SEMIDEEP_EMULATED_VECTORS(unsigned, uint)
#undef SEMIDEEP_EMULATED_VECTORS

// --- functions ------------------------------------------------------------------------------------

template <class T>
inline T min(T a, T b) {
  return b < a ? b : a;
}
template <class T>
inline T max(T a, T b) {
  return a < b ? b : a;
}

inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __clz(int x) { return x == 0 ? 32 : __builtin_clz(static_cast<unsigned>(x)); }
inline unsigned __brev(unsigned x) {
  unsigned reversed = 0;
  for (int bit = 0; bit < 32; ++bit) reversed |= (x >> bit & 1u) << (31 - bit);
  return reversed;
}
// Byte i of the result is that of y:x which the lower three bits of the selector's i-th digit name.
inline unsigned __byte_perm(unsigned x, unsigned y, unsigned selector) {
  const uint64_t bytes = uint64_t{y} << 32 | x;
  unsigned result = 0;
  for (int i = 0; i < 4; ++i)
    result |= static_cast<unsigned>(bytes >> (selector >> 4 * i & 7) * 8 & 255) << 8 * i;
  return result;
}
template <class T>
inline T __ldg(const T* address) {
  return *address;
}

inline unsigned __float_as_uint(float x) { return semideep::emulator::same_bits<unsigned>(x); }
inline float __uint_as_float(unsigned x) { return semideep::emulator::same_bits<float>(x); }
inline int __float_as_int(float x) { return semideep::emulator::same_bits<int>(x); }
inline float __int_as_float(int x) { return semideep::emulator::same_bits<float>(x); }
inline long long __double_as_longlong(double x) {
  return semideep::emulator::same_bits<long long>(x);
}
inline double __longlong_as_double(long long x) { return semideep::emulator::same_bits<double>(x); }

inline float __fmaf_rn(float a, float b, float c) { return ::fmaf(a, b, c); }
inline double __fma_rn(double a, double b, double c) { return ::fma(a, b, c); }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float rsqrtf(float x) { return static_cast<float>(1 / ::sqrt(static_cast<double>(x))); }
inline double rsqrt(double x) { return 1 / ::sqrt(x); }

// --- 16-bit floats --------------------------------------------------------------------------------

struct __half {
  uint16_t bits;
};
struct __nv_bfloat16 {
  uint16_t bits;
};

inline float __bfloat162float(__nv_bfloat16 x) { return __uint_as_float(uint32_t{x.bits} << 16); }
inline __nv_bfloat16 __float2bfloat16_rn(float x) {
  const uint32_t bits = __float_as_uint(x);
  if (x != x) return {0x7fff};
  return {static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};  // ties to even
}
inline __nv_bfloat16 __float2bfloat16(float x) { return __float2bfloat16_rn(x); }

inline float __half2float(__half x) {
  const int exponent = x.bits >> 10 & 31, fraction = x.bits & 1023;
  float size = exponent == 31  ? (fraction ? NAN : INFINITY)
               : exponent == 0 ? ::ldexpf(static_cast<float>(fraction), -24)
                               : ::ldexpf(static_cast<float>(fraction + 1024), exponent - 25);
  return x.bits >> 15 ? -size : size;
}
inline __half __float2half_rn(float x) {
  if (x != x) return {0x7fff};
  const auto sign = static_cast<uint16_t>(__float_as_uint(x) >> 16 & 0x8000);
  const float size = ::fabsf(x);
  if (size >= 65520) return {static_cast<uint16_t>(sign | 0x7c00)};
  // The unit is 2^-24 among subnormals; nearbyint rounds ties to even, and a carry runs into the exponent.
  const int exponent = size < 0x1p-14f ? -14 : ::ilogbf(size);
  const auto units = static_cast<int>(::nearbyintf(::ldexpf(size, 10 - exponent)));
  return {static_cast<uint16_t>(sign | (units + ((exponent + 14) << 10)))};
}
inline __half __float2half(float x) { return __float2half_rn(x); }

namespace semideep::cuda {

inline float float16_value(uint16_t bits) { return __half2float({bits}); }
inline uint32_t float16_bits(float low, float high) {
  return uint32_t{__float2half_rn(high).bits} << 16 | __float2half_rn(low).bits;
}
inline float bfloat16_value(uint16_t bits) { return __bfloat162float({bits}); }

}  // namespace semideep::cuda

// --- approximations -------------------------------------------------------------------------------

namespace semideep::emulator {

// In [-1, 1], the same for the same x: what a kernel must not depend on.
inline double error_of(float x) {
  uint64_t hash = (uint64_t{__float_as_uint(x)} + 1) * 0x9e3779b97f4a7c15u;
  hash = (hash ^ hash >> 31) * 0xbf58476d1ce4e5b9u;
  return 2 * static_cast<double>(hash >> 11) * 0x1p-53 - 1;
}

}  // namespace semideep::emulator

namespace semideep::cuda {

// ex2.approx.ftz: wrong by up to 2 units in the last place; 0 below 2^-126; exact where the PTX manual lists the
// result.
inline float exp2_approximate(float x) {
  const double exact = ::exp2(static_cast<double>(x));
  const auto rounded = static_cast<float>(exact);
  if (x == 0 || !std::isfinite(rounded)) return rounded;
  const double unit = std::nextafter(rounded, INFINITY) - static_cast<double>(rounded);
  const auto result =
      static_cast<float>(exact + 1.5 * unit * emulator::error_of(x));  // + 0.5 for the rounding
  return result < 0x1p-126f ? 0 : result;
}

// rsqrt.approx.ftz: relative error up to 2^-22.9; arguments below 2^-126 are 0.
inline float rsqrt_approximate(float x) {
  const double exact =
      1 / ::sqrt(std::fabs(x) < 0x1p-126f ? std::copysign(0.0, x) : static_cast<double>(x));
  if (exact == 0 || !std::isfinite(exact)) return static_cast<float>(exact);
  const double allowed = 1.2798e-7 - 0x1p-24;  // 2^-22.9, less the rounding
  return static_cast<float>(exact * (1 + allowed * emulator::error_of(x)));
}

// rcp.approx.ftz: wrong by up to 1 unit in the last place; arguments and results below 2^-126 are 0.
inline float reciprocal_approximate(float x) {
  const double exact =
      1 / (std::fabs(x) < 0x1p-126f ? std::copysign(0.0, x) : static_cast<double>(x));
  const auto rounded = static_cast<float>(exact);
  if (exact == 0 || !std::isfinite(rounded)) return rounded;
  const double unit = std::nextafter(std::fabs(rounded), INFINITY) - std::fabs(rounded);
  const auto result = static_cast<float>(exact + 0.5 * unit * emulator::error_of(x));
  return std::fabs(result) < 0x1p-126f ? std::copysign(0.0f, result) : result;
}

}  // namespace semideep::cuda
