// Counts of features in which two rows differ, or that both have, on 32-bit words of codes (count_codes.h).
#pragma once

#include "cpu/count_codes.h"
#include "cpu/float_tile.h"
#include "cpu/set_tables.h"

SEMIDEEP_MATH_BEGIN

// Where things stand in a packed panel of columns, in words. Rows are allotted for the widest coding.
template <class T>
struct CountLayout {
  // sizes: of the sets in each of the panel's two vectors, or -1 where they differ
  int64_t stats, sizes, values, panel;

  CountLayout(const Problem& p, SumOf counted) {
    stats = kPanelColumns * words_of(counted == SumOf::common     ? Code::bits
                                     : sizeof(T) == sizeof(float) ? Code::floats
                                                                  : Code::doubles,
                                     p.features);
    sizes = stats + kPanelColumns;
    values = sizes + (counted == SumOf::common ? kPanelColumns : 0);
    panel = values + p.parameters * p.columns * kPanelColumns *
                         static_cast<int64_t>(sizeof(T) / sizeof(uint32_t));
  }
};

inline void write_sizes(const float* stats, uint32_t* sizes) {
  for (int c = 0; c < 2; ++c, stats += kFloatLanes) {
    bool equal = true;
    for (int lane = 0; lane < kFloatLanes; ++lane) equal &= stats[lane] == stats[0];
    sizes[c] = equal ? static_cast<uint32_t>(stats[0]) : ~0u;
  }
}

// Packs panels [begin, end) of the columns of a span.
template <class T>
void pack_count_panels(const Problem& p, SumOf counted, const Block& span, int64_t begin,
                       int64_t end, uint32_t* packed) {
  const CountLayout<T> at(p, counted);
  const Attachments<double> attached{p, span.batch};
  const CountPlan& plan = *static_cast<const CountPlan*>(span.plan);
  const bool orders = counted == SumOf::common && SetTables::order(p);
  for (int64_t panel = begin; panel < end; ++panel) {
    uint32_t* to = packed + panel * at.panel;
    T* values = reinterpret_cast<T*>(to + at.values);
    for (int64_t lane = 0; lane < kPanelColumns; ++lane) {
      // Lanes past the end repeat the last row, with the value 0.
      const int64_t asked = span.column_begin + panel * kPanelColumns + lane;
      const bool is_column = asked < span.column_end;
      const int64_t place = is_column ? asked : span.column_end - 1;
      const int64_t column = orders ? count_info(p, span.right_info, place).at_place : place;
      const CountInfo& info = count_info(p, span.right_info, column);
      code_row(p, plan, info, count_row<T>(p.right, span.batch, column),
               [&](int64_t word, uint32_t bits) { to[word * kPanelColumns + lane] = bits; });
      reinterpret_cast<float*>(to + at.stats)[lane] = info.stat;
      for (int64_t l = 0; l < p.parameters; ++l)
        for (int64_t c = 0; c < p.columns; ++c)
          values[(l * p.columns + c) * kPanelColumns + lane] =
              is_column ? static_cast<T>(attached.value(p.right, l, column, c)) : T(0);
    }
    if (orders) write_sizes(reinterpret_cast<float*>(to + at.stats), to + at.sizes);
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
