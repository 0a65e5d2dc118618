// Counts of features in which two rows differ, or that both have, on 32-bit words of codes.
//
// Rows are coded as tightly as their values allow: a bit each where only 0 and 1 occur (and for sets, always),
// a byte where whole numbers of one byte do, else the float or the double itself. Counts are whole numbers, so the
// coding does not show in a result.
#pragma once

#include "cpu/float_tile.h"
#include "cpu/word_vec.h"

SEMIDEEP_MATH_BEGIN

enum class Code : int32_t { bits, bytes, floats, doubles };

// What is found out about each row before any is coded.
struct CountInfo {
  float
      stat;  // as Metric::Row says: of sets how many features are not 0, else 0; NaN if one is NaN
  uint32_t needs;  // bit c: Code c will not do for this row
};
// What follows from all rows of a batch.
struct CountPlan {
  Code code;
  bool right_has_nan;
};

constexpr uint32_t kNotBits = 1, kNotUnsigned = 2, kNotSigned = 4, kNotFloats = 8;

// Sums of truth values, which vectorise.
template <class T>
CountInfo describe_count(const T* row, int64_t features, bool sets) {
  int32_t set = 0, nan = 0, others = 0;
  for (int64_t k = 0; k < features; ++k) {
    set += row[k] != 0;
    nan |= row[k] != row[k];
    others |= (row[k] != 0) & (row[k] != 1);
  }
  CountInfo info{nan ? static_cast<float>(NAN) : sets ? static_cast<float>(set) : 0.0f, 0};
  if (sets || !others) return info;
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
  return info;
}

inline int64_t words_of(Code code, int64_t features) {
  switch (code) {
    case Code::bits:
      return (features + 31) / 32;
    case Code::bytes:
      return (features + 3) / 4;
    case Code::floats:
      return features;
    default:
      return 2 * features;
  }
}

#if defined(__AVX512F__)
SEMIDEEP_INLINE uint32_t nonzero_bits(const float* from) {
  const __m512 zero = _mm512_setzero_ps();
  const uint32_t low = _mm512_cmp_ps_mask(_mm512_loadu_ps(from), zero, _CMP_NEQ_UQ);
  return low |
         static_cast<uint32_t>(_mm512_cmp_ps_mask(_mm512_loadu_ps(from + 16), zero, _CMP_NEQ_UQ))
             << 16;
}
#endif
// Bit k: whether from[k] is not 0, of 32.
template <class T>
SEMIDEEP_INLINE uint32_t nonzero_bits(const T* from) {
  uint32_t bits = 0;
  for (int k = 0; k < 32; ++k) bits |= static_cast<uint32_t>(from[k] != 0) << k;
  return bits;
}

// Calls store(word, code) for each word of a row.
template <class T, class Store>
void code_row(const T* row, int64_t features, Code code, Store&& store) {
  if (code == Code::bits) {
    int64_t k = 0;
    for (; k + 32 <= features; k += 32) store(k / 32, nonzero_bits(row + k));
    uint32_t word = 0;
    for (int64_t rest = k; rest < features; ++rest)
      word |= static_cast<uint32_t>(row[rest] != 0) << (rest - k);
    if (k < features) store(k / 32, word);
  } else if (code == Code::bytes) {
    for (int64_t k = 0; k < features; k += 4) {
      uint32_t word = 0;
      for (int64_t i = k; i < k + 4 && i < features; ++i) {
        word |= (static_cast<uint32_t>(static_cast<int32_t>(row[i])) & 0xffu) << (8 * (i - k));
      }
      store(k / 4, word);
    }
  } else if (code == Code::floats) {
    for (int64_t k = 0; k < features; ++k) {
      const float value = static_cast<float>(row[k]) + 0.0f;  // -0 becomes 0
      uint32_t word;
      __builtin_memcpy(&word, &value, sizeof word);
      store(k, word);
    }
  } else {
    for (int64_t k = 0; k < features; ++k) {
      const double value = static_cast<double>(row[k]) + 0.0;
      uint32_t words[2];
      __builtin_memcpy(words, &value, sizeof words);
      store(2 * k, words[0]);
      store(2 * k + 1, words[1]);
    }
  }
}

inline CountPlan plan_counts(Counts counts, const CountInfo* left, int64_t n,
                             const CountInfo* right, int64_t m) {
  uint32_t needs = 0;
  CountPlan plan{Code::bits, false};
  for (int64_t i = 0; i < n; ++i) needs |= left[i].needs;
  for (int64_t j = 0; j < m; ++j) {
    needs |= right[j].needs;
    plan.right_has_nan |= right[j].stat != right[j].stat;
  }
  if (counts == Counts::unequal && (needs & kNotBits))
    plan.code = !(needs & kNotUnsigned) || !(needs & kNotSigned) ? Code::bytes
                : !(needs & kNotFloats)                          ? Code::floats
                                                                 : Code::doubles;
  return plan;
}

// Where things stand in a packed panel of columns, in words. Rows are allotted for the widest coding.
template <class T>
struct CountLayout {
  int64_t stats, values, panel;

  CountLayout(const Problem& p, Counts counts) {
    stats = kPanelColumns * words_of(counts == Counts::both       ? Code::bits
                                     : sizeof(T) == sizeof(float) ? Code::floats
                                                                  : Code::doubles,
                                     p.features);
    values = stats + kPanelColumns;
    panel = values + p.parameters * p.columns * kPanelColumns *
                         static_cast<int64_t>(sizeof(T) / sizeof(uint32_t));
  }
};

template <class T>
const T* count_row(const Side& side, int64_t batch, int64_t at) {
  return static_cast<const T*>(side.rows) + batch * side.rows_batch_stride +
         at * side.rows_row_stride;
}

// Packs panels [begin, end) of the columns of a span.
template <class T>
void pack_count_panels(const Problem& p, Counts counts, const Block& span, int64_t begin,
                       int64_t end, uint32_t* packed) {
  const CountLayout<T> at(p, counts);
  const Attachments<double> attached{p, span.batch};
  const Code code = static_cast<const CountPlan*>(span.plan)->code;
  for (int64_t panel = begin; panel < end; ++panel) {
    uint32_t* to = packed + panel * at.panel;
    T* values = reinterpret_cast<T*>(to + at.values);
    for (int64_t lane = 0; lane < kPanelColumns; ++lane) {
      // Lanes past the end repeat the last row, with the value 0.
      const int64_t asked = span.column_begin + panel * kPanelColumns + lane;
      const bool is_column = asked < span.column_end;
      const int64_t column = is_column ? asked : span.column_end - 1;
      code_row(count_row<T>(p.right, span.batch, column), p.features, code,
               [&](int64_t word, uint32_t bits) { to[word * kPanelColumns + lane] = bits; });
      reinterpret_cast<float*>(to + at.stats)[lane] =
          static_cast<const CountInfo*>(span.right_info)[column].stat;
      for (int64_t l = 0; l < p.parameters; ++l)
        for (int64_t c = 0; c < p.columns; ++c)
          values[(l * p.columns + c) * kPanelColumns + lane] =
              is_column ? static_cast<T>(attached.value(p.right, l, column, c)) : T(0);
    }
  }
}

template <class Op, int Rows>
SEMIDEEP_INLINE void add_steps(const uint32_t* x, const uint32_t* y, int64_t words,
                               WordVec (&counts)[Rows][2]) {
  for (int64_t w = 0; w < words; ++w, x += kGroupRows, y += kPanelColumns) {
    const WordVec left = WordVec::load(y), right = WordVec::load(y + kFloatLanes);
    for (int r = 0; r < Rows; ++r) {
      const WordVec word(x[r]);
      counts[r][0] = Op::step(counts[r][0], word, left);
      counts[r][1] = Op::step(counts[r][1], word, right);
    }
  }
}

// Counts of a group of rows against one panel: words of x as [word][row of group].
template <class Op, int Rows>
SEMIDEEP_INLINE void count_words(const uint32_t* x, const uint32_t* y, int64_t words,
                                 WordVec (&counts)[Rows][2]) {
  for (int r = 0; r < Rows; ++r) counts[r][0] = counts[r][1] = WordVec(0u);
  if constexpr (__is_same(Op, CountUnequalPairs)) {
    for (int64_t w = 0; w < words; w += 2, x += 2 * kGroupRows, y += 2 * kPanelColumns)
      for (int c = 0; c < 2; ++c) {
        const WordVec y0 = WordVec::load(y + c * kFloatLanes);
        const WordVec y1 = WordVec::load(y + kPanelColumns + c * kFloatLanes);
        for (int r = 0; r < Rows; ++r)
          counts[r][c] = Op::step(counts[r][c], WordVec(x[r]), y0, WordVec(x[kGroupRows + r]), y1);
      }
  } else if constexpr (Op::kSteps == 0) {
    add_steps<Op, Rows>(x, y, words, counts);
  } else {
    while (words > 0) {
      const int64_t steps = words < Op::kSteps ? words : Op::kSteps;
      WordVec running[Rows][2];
      for (int r = 0; r < Rows; ++r) running[r][0] = running[r][1] = WordVec(0u);
      add_steps<Op, Rows>(x, y, steps, running);
      for (int r = 0; r < Rows; ++r)
        for (int c = 0; c < 2; ++c) counts[r][c] = counts[r][c] + sum_bytes(running[r][c]);
      words -= steps;
      x += steps * kGroupRows;
      y += steps * kPanelColumns;
    }
  }
}

SEMIDEEP_MATH_END
