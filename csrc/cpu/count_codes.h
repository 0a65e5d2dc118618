// How rows are coded for counting, and what must be known of all of them for that.
//
// Rows are coded as tightly as their values allow: a bit each where only 0 and 1 occur (and for sets, always),
// a byte where whole numbers of one byte do, else the float or the double itself; or, where pairs are many, by
// the values that each column has (column_codes.h). Counts are whole numbers, so the coding does not show in a
// result.
#pragma once

#include "cpu/column_codes.h"
#include "cpu/float_vec.h"

SEMIDEEP_MATH_BEGIN

enum class Code : int32_t { bits, bytes, floats, doubles };

// What is found out about each row before any is coded. Behind it stand the row's bits (keeps_bits).
struct CountInfo {
  float
      stat;  // as Metric::Row says: of sets how many features are not 0, else 0; NaN if one is NaN
  uint32_t needs;    // bit c: Code c will not do for this row
  int32_t at_place;  // where columns are ordered: which one stands where this stood
};
// What follows from all rows of a batch. Behind it stand the codes of its columns, where they are learnt.
struct CountPlan {
  Code plain;  // the code of the values as they are
  bool right_has_nan;
  bool learns;  // whether columns are to be coded by their values
  Learnt learnt;

  bool by_column() const { return learns && !learnt.too_many; }
  Code code() const { return !by_column() ? plain : learnt.beyond_two ? Code::bytes : Code::bits; }
};

constexpr uint32_t kNotBits = 1, kNotUnsigned = 2, kNotSigned = 4, kNotFloats = 8;
constexpr int64_t kWordBits = 32;
constexpr int64_t kKeptBytes = int64_t{4} << 20;  // of rows as bits

inline int64_t words_of(Code code, int64_t features) {
  switch (code) {
    case Code::bits:
      return (features + kWordBits - 1) / kWordBits;
    case Code::bytes:
      return (features + 3) / 4;
    case Code::floats:
      return features;
    default:
      return 2 * features;
  }
}

// --- bits -----------------------------------------------------------------------------------------

// Bit i: whether lane i of a is not b's, or a NaN.
SEMIDEEP_INLINE uint32_t lanes_unequal(const float* a, const float* b) {
#if defined(__AVX512F__)
  return _mm512_cmp_ps_mask(_mm512_loadu_ps(a), _mm512_loadu_ps(b), _CMP_NEQ_UQ);
#elif defined(__AVX2__)
  return static_cast<uint32_t>(
      _mm256_movemask_ps(_mm256_cmp_ps(_mm256_loadu_ps(a), _mm256_loadu_ps(b), _CMP_NEQ_UQ)));
#else
  uint32_t lanes = 0;
  for (int i = 0; i < kFloatLanes; ++i) lanes |= static_cast<uint32_t>(a[i] != b[i]) << i;
  return lanes;
#endif
}
SEMIDEEP_INLINE uint32_t lanes_unequal(const double* a, const double* b) {
#if defined(__AVX512F__)
  return _mm512_cmp_pd_mask(_mm512_loadu_pd(a), _mm512_loadu_pd(b), _CMP_NEQ_UQ);
#elif defined(__AVX2__)
  return static_cast<uint32_t>(
      _mm256_movemask_pd(_mm256_cmp_pd(_mm256_loadu_pd(a), _mm256_loadu_pd(b), _CMP_NEQ_UQ)));
#else
  uint32_t lanes = 0;
  for (int i = 0; i < kLanes; ++i) lanes |= static_cast<uint32_t>(a[i] != b[i]) << i;
  return lanes;
#endif
}
template <class T>
SEMIDEEP_INLINE uint32_t unequal_bits(const T* a, const T* b) {
  constexpr int kStep = kLanes * static_cast<int>(sizeof(double) / sizeof(T));
  uint32_t bits = 0;
  for (int k = 0; k < kWordBits; k += kStep) bits |= lanes_unequal(a + k, b + k) << k;
  return bits;
}

template <class T>
struct Repeated {
  T values[kWordBits];
  explicit Repeated(T value) {
    for (T& to : values) to = value;
  }
};

// Calls f(word, values) for each 32 values of a row, the last filled up with zeros.
template <class T, class F>
SEMIDEEP_INLINE void for_words(const T* row, int64_t features, F&& f) {
  int64_t k = 0;
  for (; k + kWordBits <= features; k += kWordBits) f(k / kWordBits, row + k);
  if (k == features) return;
  T rest[kWordBits] = {};
  __builtin_memcpy(rest, row + k, static_cast<size_t>(features - k) * sizeof(T));
  f(k / kWordBits, static_cast<const T*>(rest));
}

// --- what all rows need ---------------------------------------------------------------------------

// Where the rows of a problem fit as bits, they are kept while they are looked at, and not read twice.
inline bool keeps_bits(const Problem& p) {
  const int64_t rows = p.batches * (p.left.count + p.right.count);
  return rows * words_of(Code::bits, p.features) * 4 <= kKeptBytes;
}
inline int64_t count_info_bytes(const Problem& p) {
  const int64_t words = keeps_bits(p) ? words_of(Code::bits, p.features) : 0;
  return static_cast<int64_t>(sizeof(CountInfo)) + words * 4;
}
inline CountInfo& count_info(const Problem& p, void* infos, int64_t at) {
  return *reinterpret_cast<CountInfo*>(static_cast<char*>(infos) + at * count_info_bytes(p));
}
inline const CountInfo& count_info(const Problem& p, const void* infos, int64_t at) {
  return count_info(p, const_cast<void*>(infos), at);
}

// Of a row that holds more than bits; sums of truth values, which vectorise.
template <class T>
void describe_values(const T* row, int64_t features, CountInfo& info) {
  const int32_t nan = info.stat != info.stat;
  int32_t fractions = 0, negative = 0, above_signed = 0, below_signed = 0, above = 0, wide = 0;
  for (int64_t k = 0; k < features; ++k) {
    const T value = row[k];
    above |= value >= 256;
    above_signed |= value >= 128;
    negative |= value < 0;
    below_signed |= value < -128;
    // Outside this range the conversion to an integer would be undefined.
    const T bounded = value > -256 && value < 256 ? value : T(0);
    fractions |= bounded != static_cast<T>(static_cast<int32_t>(bounded));
    wide |= (static_cast<T>(static_cast<float>(value)) != value) & (value == value);
  }
  info.needs = kNotBits | (fractions | negative | above | nan ? kNotUnsigned : 0) |
               (fractions | below_signed | above_signed | nan ? kNotSigned : 0) |
               (wide ? kNotFloats : 0);
}

template <class T>
bool are_bits(const T* row, int64_t features) {
  int32_t others = 0;
  for (int64_t k = 0; k < features; ++k) others |= (row[k] != 0) & (row[k] != 1);
  return !others;
}

// Writes the info of a row and, if they are kept, its bits.
template <class T>
void describe_count(const T* row, int64_t features, bool sets, bool keeps, CountInfo& info) {
  const Repeated<T> zeros(T(0)), ones(T(1));
  uint32_t* kept = reinterpret_cast<uint32_t*>(&info + 1);
  uint32_t others = 0, nans = 0;
  int set = 0;
  for_words(row, features, [&](int64_t word, const T* values) {
    const uint32_t bits = unequal_bits(values, zeros.values);
    const uint32_t more = bits & unequal_bits(values, ones.values);
    others |= more;
    if (more) nans |= unequal_bits(values, values);
    set += __builtin_popcount(bits);
    if (keeps) kept[word] = bits;
  });
  info = {nans   ? static_cast<float>(NAN)
          : sets ? static_cast<float>(set)
                 : 0.0f,
          others ? kNotBits : 0, 0};
  if (others && !sets) describe_values(row, features, info);
}

inline CountPlan plan_counts(const Problem& p, SumOf counted, bool learns, const void* left,
                             const void* right) {
  uint32_t needs = 0;
  CountPlan plan{Code::bits, false, false, {}};
  for (int64_t i = 0; i < p.left.count; ++i) needs |= count_info(p, left, i).needs;
  for (int64_t j = 0; j < p.right.count; ++j) {
    const CountInfo& info = count_info(p, right, j);
    needs |= info.needs;
    plan.right_has_nan |= info.stat != info.stat;
  }
  if (counted == SumOf::common || !(needs & kNotBits)) return plan;
  const bool bytes = !(needs & kNotUnsigned) || !(needs & kNotSigned);
  plan.plain = bytes ? Code::bytes : !(needs & kNotFloats) ? Code::floats : Code::doubles;
  plan.learns = learns && !bytes;
  return plan;
}

// --- coding ---------------------------------------------------------------------------------------

template <class Store, class GetByte>
SEMIDEEP_INLINE void code_bytes(int64_t features, Store&& store, GetByte&& byte) {
  int64_t k = 0;
  for (; k + 4 <= features; k += 4)
    store(k / 4, byte(k) | byte(k + 1) << 8 | byte(k + 2) << 16 | byte(k + 3) << 24);
  if (k == features) return;
  uint32_t word = 0;
  for (int64_t i = k; i < features; ++i) word |= byte(i) << (8 * (i - k));
  store(k / 4, word);
}

// Calls store(word, code) for each word of a row, given what is known of it and of all.
template <class T, class Store>
void code_row(const Problem& p, const CountPlan& plan, const CountInfo& info, const T* row,
              Store&& store) {
  const int64_t features = p.features;
  const ColumnCodes<T> columns(&plan + 1, features);
  switch (plan.code()) {
    case Code::bits:
      if (plan.by_column()) {
        for_words(row, features, [&](int64_t word, const T* values) {
          store(word, unequal_bits(values, columns.first() + word * kWordBits));
        });
      } else if (keeps_bits(p)) {
        const uint32_t* kept = reinterpret_cast<const uint32_t*>(&info + 1);
        for (int64_t word = 0; word < words_of(Code::bits, features); ++word)
          store(word, kept[word]);
      } else {
        const Repeated<T> zeros(T(0));
        for_words(row, features, [&](int64_t word, const T* values) {
          store(word, unequal_bits(values, zeros.values));
        });
      }
      break;
    case Code::bytes:
      if (plan.by_column()) {
        code_bytes(features, store, [&](int64_t k) { return columns.code(k, row[k]); });
      } else {
        code_bytes(features, store, [&](int64_t k) {
          return static_cast<uint32_t>(static_cast<int32_t>(row[k])) & 0xffu;
        });
      }
      break;
    case Code::floats:
      for (int64_t k = 0; k < features; ++k) {
        const float value = static_cast<float>(row[k]) + 0.0f;  // -0 becomes 0
        uint32_t word;
        __builtin_memcpy(&word, &value, sizeof word);
        store(k, word);
      }
      break;
    case Code::doubles:
      for (int64_t k = 0; k < features; ++k) {
        const double value = static_cast<double>(row[k]) + 0.0;
        uint32_t words[2];
        __builtin_memcpy(words, &value, sizeof words);
        store(2 * k, words[0]);
        store(2 * k + 1, words[1]);
      }
  }
}

SEMIDEEP_MATH_END
