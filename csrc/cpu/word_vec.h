// One machine vector of 32-bit words, and what is counted in them.
//
// An operation adds, for each word of x and of y, the number of features that it counts:
//   step          adds what one word of x (of CountUnequalPairs: two) and vectors of words of y have to a count
//   kSteps        after so many steps the running count is folded into 32-bit counts; 0: it is one already
#pragma once

#include "cpu/float_vec.h"

SEMIDEEP_MATH_BEGIN

// Counting pays where a vector instruction does it.
#if defined(__AVX2__)
constexpr bool kHasCounts = true;
#else
constexpr bool kHasCounts = false;
#endif

struct WordVec {
  typedef uint32_t Native __attribute__((vector_size(kFloatLanes * sizeof(uint32_t))));
  typedef int8_t Bytes __attribute__((vector_size(kFloatLanes * sizeof(uint32_t))));
  Native v;

  WordVec() = default;
  SEMIDEEP_INLINE WordVec(uint32_t constant) : v(constant + Native{}) {}  // NOLINT: implicit
  SEMIDEEP_INLINE WordVec(Native native) : v(native) {}                   // NOLINT: implicit
  SEMIDEEP_INLINE WordVec(Bytes bytes) : v((Native)bytes) {}              // NOLINT: implicit
  static SEMIDEEP_INLINE WordVec load(const uint32_t* from) {
    Native native;
    __builtin_memcpy(&native, from, sizeof native);
    return native;
  }
  SEMIDEEP_INLINE Bytes bytes() const { return (Bytes)v; }
};
SEMIDEEP_INLINE WordVec operator&(WordVec a, WordVec b) { return a.v & b.v; }
SEMIDEEP_INLINE WordVec operator|(WordVec a, WordVec b) { return a.v | b.v; }
SEMIDEEP_INLINE WordVec operator^(WordVec a, WordVec b) { return a.v ^ b.v; }
SEMIDEEP_INLINE WordVec operator+(WordVec a, WordVec b) { return a.v + b.v; }
SEMIDEEP_INLINE WordVec operator-(WordVec a, WordVec b) { return a.v - b.v; }
SEMIDEEP_INLINE FloatVec to_float(WordVec a) {
  return __builtin_convertvector((FloatVec::Bits)a.v, FloatVec::Native);
}

// count + 1 in words where a != 0.
SEMIDEEP_INLINE WordVec add_nonzero(WordVec count, WordVec a) {
#if defined(__AVX512F__)
  const __m512i words = (__m512i)a.v;
  return (WordVec::Native)_mm512_mask_add_epi32((__m512i)count.v,
                                                _mm512_test_epi32_mask(words, words),
                                                (__m512i)count.v, _mm512_set1_epi32(1));
#else
  return count.v - (WordVec::Native)(a.v != WordVec(0).v);
#endif
}

// count + 1 in bytes where a == b.
SEMIDEEP_INLINE WordVec add_equal_bytes(WordVec count, WordVec a, WordVec b) {
#if defined(__AVX512BW__)
  return (WordVec::Native)_mm512_mask_add_epi8((__m512i)count.v,
                                               _mm512_cmpeq_epi8_mask((__m512i)a.v, (__m512i)b.v),
                                               (__m512i)count.v, _mm512_set1_epi8(1));
#else
  return WordVec((WordVec::Bytes)(count.bytes() - (WordVec::Bytes)(a.bytes() == b.bytes())));
#endif
}

// The sum of each word's four unsigned bytes.
SEMIDEEP_INLINE WordVec sum_bytes(WordVec a) {
#if defined(__AVX512BW__)
  const __m512i pairs = _mm512_maddubs_epi16((__m512i)a.v, _mm512_set1_epi8(1));
  return (WordVec::Native)_mm512_madd_epi16(pairs, _mm512_set1_epi16(1));
#elif defined(__AVX2__)
  const __m256i pairs = _mm256_maddubs_epi16((__m256i)a.v, _mm256_set1_epi8(1));
  return (WordVec::Native)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
#else
  const WordVec low(0x00ff00ffu), pairs = (a & low) + (WordVec(a.v >> 8) & low);
  return WordVec(pairs.v & 0xffffu) + WordVec(pairs.v >> 16);
#endif
}

// The number of bits set in each byte, looked up for each half of it (W. Mula, N. Kurz and D. Lemire, Faster
// population counts using AVX2 instructions, Computer Journal 61 (2018)).
SEMIDEEP_INLINE WordVec count_bits_of_bytes(WordVec a) {
  const WordVec low(0x0f0f0f0fu);
  const WordVec first = a & low, second = WordVec(a.v >> 4) & low;
#if defined(__AVX512BW__)
  const __m512i table =
      _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
  return (WordVec::Native)_mm512_add_epi8(_mm512_shuffle_epi8(table, (__m512i)first.v),
                                          _mm512_shuffle_epi8(table, (__m512i)second.v));
#elif defined(__AVX2__)
  const __m256i table =
      _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
  return (WordVec::Native)_mm256_add_epi8(_mm256_shuffle_epi8(table, (__m256i)first.v),
                                          _mm256_shuffle_epi8(table, (__m256i)second.v));
#else
  return first + second;  // not reached: kHasCounts
#endif
}

// The number of bits set in each word, on machines that have the instruction. As assembly, because these files
// are compiled for machines that do not.
SEMIDEEP_INLINE WordVec count_bits(WordVec a) {
#if defined(__AVX512F__)
  __asm__("vpopcntd %1, %0" : "=v"(a.v) : "v"(a.v));
#endif
  return a;
}

struct Both {
  static SEMIDEEP_INLINE WordVec of(WordVec x, WordVec y) { return x & y; }
};
struct Unequal {
  static SEMIDEEP_INLINE WordVec of(WordVec x, WordVec y) { return x ^ y; }
};

template <class Bits>
struct CountBits {
  static constexpr int kSteps = 0;
  static SEMIDEEP_INLINE WordVec step(WordVec count, WordVec x, WordVec y) {
    return count + count_bits(Bits::of(x, y));
  }
};
template <class Bits>
struct CountBitsByBytes {
  static constexpr int kSteps = 31;  // of at most 8 a byte
  static SEMIDEEP_INLINE WordVec step(WordVec count, WordVec x, WordVec y) {
    return WordVec((WordVec::Bytes)(count.bytes() + count_bits_of_bytes(Bits::of(x, y)).bytes()));
  }
};
struct CountEqualBytes {
  static constexpr int kSteps = 255;
  static SEMIDEEP_INLINE WordVec step(WordVec count, WordVec x, WordVec y) {
    return add_equal_bytes(count, x, y);
  }
};
struct CountUnequalWords {
  static constexpr int kSteps = 0;
  static SEMIDEEP_INLINE WordVec step(WordVec count, WordVec x, WordVec y) {
    return add_nonzero(count, x ^ y);
  }
};

// Of doubles, two words each.
struct CountUnequalPairs {
  static constexpr int kSteps = 0;
  static SEMIDEEP_INLINE WordVec step(WordVec count, WordVec x0, WordVec y0, WordVec x1,
                                      WordVec y1) {
    return add_nonzero(count, (x0 ^ y0) | (x1 ^ y1));
  }
};

SEMIDEEP_MATH_END
