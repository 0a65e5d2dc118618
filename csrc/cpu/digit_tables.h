// Kernels of numbers of unequal features, looked up.
#pragma once

#include "cpu/float_pair.h"
#include "cpu/word_vec.h"

SEMIDEEP_MATH_BEGIN

// Kernels of whole numbers whose logarithms are proportional to them: one small table for each digit, and the
// kernel is the product of what stands there.
struct DigitTables {
#if defined(__AVX512F__)
  static constexpr int kBits = 4;
#else
  static constexpr int kBits = 3;
#endif
  static constexpr int kMostDigits = 4;
  static constexpr int64_t kMostFeatures = (int64_t{1} << (kBits * kMostDigits)) - 1;
  FloatVec digit[kMostDigits];

  static int digits_of(int64_t features) {
    int digits = 1;
    while (features >> (kBits * digits)) ++digits;
    return digits;
  }

  // log_kernel(c) is the natural logarithm of the kernel at count c.
  template <class LogKernel>
  void fill(int digits, LogKernel&& log_kernel) {
    for (int i = 0; i < digits; ++i) {
      const int scale = kKernelExponent / digits + (i < kKernelExponent % digits ? 1 : 0);
      for (int entry = 0; entry < (1 << kBits); ++entry) {
        const double exponent = log_kernel(static_cast<double>(entry << (kBits * i)));
        digit[i].v[entry] = static_cast<float>(::exp(exponent + scale * 0.6931471805599453));
      }
    }
  }
  SEMIDEEP_INLINE FloatVec kernel(int digits, WordVec count) const {
    FloatVec k = look_up(digit[0], count);
    for (int i = 1; i < digits; ++i) {
      count = WordVec(count.v >> kBits);
      k = k * look_up(digit[i], count);
    }
    return k;
  }

 private:
  // By the lowest kBits of each index.
  static SEMIDEEP_INLINE FloatVec look_up(FloatVec table, WordVec index) {
#if defined(__AVX512F__)
    return FloatVec::Native(_mm512_permutexvar_ps((__m512i)index.v, table.v));
#elif defined(__AVX2__)
    return FloatVec::Native(_mm256_permutevar8x32_ps(table.v, (__m256i)index.v));
#else
    for (int lane = 0; lane < kFloatLanes; ++lane) index.v[lane] &= (1u << kBits) - 1;
    FloatVec result;
    for (int lane = 0; lane < kFloatLanes; ++lane) result.v[lane] = table.v[index.v[lane]];
    return result;
#endif
  }
};

SEMIDEEP_MATH_END
