// The weighted sum for metrics that count features, under the exponential kernel.
#pragma once

#include "cpu/count_tile.h"
#include "cpu/digit_tables.h"

SEMIDEEP_MATH_BEGIN

// Whole numbers below 2^24, which float adds exactly, and their quotients as pairs.
struct Whole : FloatPair {
  Whole() = default;
  SEMIDEEP_INLINE Whole(FloatVec h) : FloatPair(h, FloatVec(0.0f)) {}  // NOLINT: implicit
  SEMIDEEP_INLINE Whole(double constant) : FloatPair(constant) {}      // NOLINT: implicit
  SEMIDEEP_INLINE Whole(FloatPair pair) : FloatPair(pair) {}           // NOLINT: implicit
};
SEMIDEEP_INLINE Whole operator+(Whole a, Whole b) { return a.hi + b.hi; }
SEMIDEEP_INLINE Whole operator-(Whole a, Whole b) { return a.hi - b.hi; }
SEMIDEEP_INLINE Whole operator/(Whole a, Whole b) {
  return static_cast<FloatPair>(a) / static_cast<FloatPair>(b);
}
SEMIDEEP_INLINE FloatVec::Bits operator==(Whole a, Whole b) { return a.hi == b.hi; }
SEMIDEEP_INLINE Whole select(FloatVec::Bits mask, Whole a, Whole b) {
  return select(mask, static_cast<FloatPair>(a), static_cast<FloatPair>(b));
}

// out[l, i, c] = sum_j k_l(d_ij) values[l, j, c] of rows of T, float or double
template <class Metric, class Kernel, class T, bool HasVpopcnt>
struct CountSumTask {
  static_assert(kCountsFeatures<Metric>, "serves counts of features alone");
  static_assert(Kernel::exponential, "serves exp(-lambda d) alone");
  using S = double;

  static constexpr bool kFloat = sizeof(T) == sizeof(float);
  static constexpr int64_t kSpanBytes = int64_t{1} << 20;
  static constexpr int64_t kFlushPanels = 16;
  static constexpr int64_t kMostSums = 16;
  static constexpr float kLargestValue = 1 << 20;
  // Up to here roundings of a float in lambda d, of quotients up to 1, leave less than 6e-7 in exp(-lambda d).
  static constexpr double kPlainLambda = 2.0;
  static constexpr int64_t kMostFeatures =
      kFloat && Metric::sum_of != SumOf::common ? DigitTables::kMostFeatures : int64_t{1} << 24;
  static constexpr bool kCommon = Metric::sum_of == SumOf::common;
  static constexpr bool kTables = kFloat && !kCommon;  // of digits
  static constexpr bool kSets = kFloat && kCommon;     // whose kernels may stand in SetTables

  struct Workspace {
    alignas(64) FloatVec sums[kFloatRows * kMostSums];  // of float; of double Vec
    alignas(64) DigitTables tables[kMostSums];
    alignas(64) FloatPair parameters[kMostSums];
    float stats[kFloatRows];
    int32_t sizes[kFloatRows];  // of sets
  };

  static bool suits(const Problem& p) {
    if (p.dtype != (kFloat ? DType::float32 : DType::float64) || p.left.shift || p.right.shift ||
        p.right.count < 1 || p.features < 1 || p.features > kMostFeatures ||
        p.parameters * p.columns > kMostSums)
      return false;
    return !kFloat || (lambdas_in_range(p) && values_at_most(p, p.right, kLargestValue));
  }

  static int64_t width(const Problem& p) { return p.parameters * p.columns; }
  static int64_t group_words(const Problem& p) {
    return CountLayout<T>(p, Metric::sum_of).stats / kPanelColumns * kGroupRows;
  }
  static int64_t block_rows(const Problem& p) {
    const int64_t groups = kBlockFloats / group_words(p);
    return groups * kGroupRows > kFloatRows ? kFloatRows
           : groups < 1                     ? kGroupRows
                                            : groups * kGroupRows;
  }
  static int64_t workspace_bytes(const Problem& p) {
    return static_cast<int64_t>(sizeof(Workspace)) +
           block_rows(p) / kGroupRows * group_words(p) * static_cast<int64_t>(sizeof(uint32_t));
  }

  static void enter(const Problem& p, const Block& block, Workspace& ws) {
    const CountPlan& plan = *static_cast<const CountPlan*>(block.plan);
    for (int64_t row = 0; row < padded(block.rows); ++row) {
      const int64_t at = block.row_begin + (row < block.rows ? row : block.rows - 1);
      uint32_t* to = group(p, ws, row) + row % kGroupRows;
      const CountInfo& info = count_info(p, block.left_info, at);
      code_row(p, plan, info, count_row<T>(p.left, block.batch, at),
               [&](int64_t word, uint32_t bits) { to[word * kGroupRows] = bits; });
      ws.stats[row] = info.stat;
      ws.sizes[row] = info.stat == info.stat ? static_cast<int32_t>(info.stat) : 0;
    }
    for (int64_t l = 0; l < p.parameters; ++l) {
      const double lambda = p.parameter[block.batch * p.parameters + l];
      ws.parameters[l] = bits_parameter<Kernel>(p, block, l);
      if constexpr (kTables)
        ws.tables[l].fill(DigitTables::digits_of(p.features), [&](double count) {
          return Kernel::log_value(
              Metric::distance(count, 0.0, 0.0, static_cast<double>(p.features)), lambda);
        });
    }
  }

  static void run(const Problem& p, const Block& block, Workspace& ws, S* partial) {
    const CountPlan& plan = *static_cast<const CountPlan*>(block.plan);
    const Code code = plan.code();
    using Bits = std::conditional_t<kCommon, Both, Unequal>;
    using BitsOp = std::conditional_t<HasVpopcnt, CountBits<Bits>, CountBitsByBytes<Bits>>;
    if constexpr (kCommon) {
      if (kFloat && lambdas_at_most(p, block.batch, kPlainLambda)) {
        run_with<BitsOp, FloatVec>(p, block, ws, partial, code);
      } else {
        run_with<BitsOp>(p, block, ws, partial, code);
      }
    } else if (code == Code::bits) {
      run_with<BitsOp>(p, block, ws, partial, code);
    } else if (code == Code::bytes) {
      run_with<CountEqualBytes>(p, block, ws, partial, code);
    } else if (code == Code::floats) {
      run_with<CountUnequalWords>(p, block, ws, partial, code);
    } else {
      run_with<CountUnequalPairs>(p, block, ws, partial, code);
    }
    // Codes do not show a NaN.
    for (int64_t row = 0; row < block.rows; ++row)
      if (plan.right_has_nan || ws.stats[row] != ws.stats[row])
        for (int64_t i = 0; i < width(p); ++i) partial[row * width(p) + i] = NAN;
  }

  // Fills the tables of small sets as run() would compute their kernels.
  static void fill(const Problem& p, int64_t batch, SetTables tables) {
    if (lambdas_at_most(p, batch, kPlainLambda)) {
      fill_with<FloatVec>(p, batch, tables);
    } else {
      fill_with<Whole>(p, batch, tables);
    }
  }

  static void merge(int64_t count, S* total, const S* part) { add_scalars(count, total, part); }
  static void store(const Problem& p, const Block& block, const S* total, S*) {
    store_sums(p, block, total);
  }

 private:
  static uint32_t* group(const Problem& p, Workspace& ws, int64_t row) {
    return reinterpret_cast<uint32_t*>(&ws + 1) + row / kGroupRows * group_words(p);
  }

  static bool lambdas_at_most(const Problem& p, int64_t batch, double bound) {
    for (int64_t l = 0; l < p.parameters; ++l)
      if (p.parameter[batch * p.parameters + l] > bound) return false;
    return true;
  }

  template <class Number>
  static void fill_with(const Problem& p, int64_t batch, SetTables tables) {
    Block block;
    block.batch = batch;
    tables.fill(p.parameters, [&](int64_t l, float sum, FloatVec common) {
      return kernel(distance<Number>(p, common, FloatVec(sum), FloatVec(0.0f)),
                    bits_parameter<Kernel>(p, block, l));
    });
  }

  // Number: what quotients are computed in.
  template <class Op, class Number = Whole>
  static void run_with(const Problem& p, const Block& block, Workspace& ws, S* partial, Code code) {
    const int64_t sums = width(p);
    const int64_t words = words_of(code, p.features);
    const CountLayout<T> layout(p, Metric::sum_of);
    const int64_t panels = panels_of(block.column_end - block.column_begin);
    const bool has_tables = kSets && SetTables::pay(p);
    for (int64_t i = 0; i < block.rows * sums; ++i) partial[i] = 0.0;
    for (int64_t begin = 0; begin < panels; begin += kFlushPanels) {
      for (int64_t i = 0; i < block.rows * sums; ++i) ws.sums[i] = FloatVec(0.0f);
      for (int64_t i = begin; i < panels && i < begin + kFlushPanels; ++i) {
        const uint32_t* panel = static_cast<const uint32_t*>(block.packed) + i * layout.panel;
        const uint32_t* sizes = panel + layout.sizes;
        const bool looks_up = has_tables && sizes[0] != ~0u && sizes[1] != ~0u;
        int64_t row = 0;
        for (; block.rows - row > kGroupRows / 2; row += kGroupRows)
          fold<Op, Number, kGroupRows>(p, block, ws, row, panel, words, layout, looks_up);
        for (; row < block.rows; ++row)
          fold<Op, Number, 1>(p, block, ws, row, panel, words, layout, looks_up);
      }
      for (int64_t i = 0; i < block.rows * sums; ++i) partial[i] += flushed(ws.sums[i]);
    }
  }
  static double flushed(const FloatVec& sum) {
    if constexpr (kFloat) {
      return sum_lanes(sum) * kUnscale;
    } else {
      return sum_lanes(Vec((Vec::Native)sum.v));
    }
  }

  template <class Op, class Number, int Rows>
  static SEMIDEEP_INLINE void fold(const Problem& p, const Block& block, Workspace& ws, int64_t row,
                                   const uint32_t* panel, int64_t words,
                                   const CountLayout<T>& layout, bool looks_up) {
    WordVec counts[Rows][2];
    count_words<Op, Rows>(group(p, ws, row) + row % kGroupRows, panel, words, counts);
    const int rows = block.rows - row < Rows ? static_cast<int>(block.rows - row) : Rows;
    const float* stats = reinterpret_cast<const float*>(panel + layout.stats);
    if constexpr (kSets) {
      if (looks_up) return look_up<Rows>(p, block, ws, row, rows, panel, layout, counts);
    }
    for (int r = 0; r < rows; ++r) {
      const T* values = reinterpret_cast<const T*>(panel + layout.values);
      WordVec* count = counts[r];
      if constexpr (__is_same(Op, CountEqualBytes))
        for (int c = 0; c < 2; ++c) count[c] = WordVec(static_cast<uint32_t>(4 * words)) - count[c];
      FloatVec* sums = ws.sums + (row + r) * width(p);
      if constexpr (kTables) {
        const int digits = DigitTables::digits_of(p.features);
        for (int64_t l = 0; l < p.parameters; ++l)
          add(p, ws.tables[l].kernel(digits, count[0]), ws.tables[l].kernel(digits, count[1]),
              values, sums);
      } else if constexpr (kFloat) {
        const FloatVec stat(ws.stats[row + r]);
        const Number d[2] = {
            distance<Number>(p, to_float(count[0]), stat, FloatVec::load(stats)),
            distance<Number>(p, to_float(count[1]), stat, FloatVec::load(stats + kFloatLanes))};
        for (int64_t l = 0; l < p.parameters; ++l)
          add(p, kernel(d[0], ws.parameters[l]), kernel(d[1], ws.parameters[l]), values, sums);
      } else {
        add_doubles(p, block, count, Vec(ws.stats[row + r]), stats, values, sums);
      }
    }
  }

  template <int Rows>
  static SEMIDEEP_INLINE void look_up(const Problem& p, const Block& block, Workspace& ws,
                                      int64_t row, int rows, const uint32_t* panel,
                                      const CountLayout<T>& layout,
                                      const WordVec (&counts)[Rows][2]) {
    const SetTables tables(static_cast<const CountPlan*>(block.plan) + 1, p.features);
    const int64_t first = panel[layout.sizes], second = panel[layout.sizes + 1];
    for (int r = 0; r < rows; ++r) {
      const T* values = reinterpret_cast<const T*>(panel + layout.values);
      FloatVec* sums = ws.sums + (row + r) * width(p);
      const int64_t size = ws.sizes[row + r];
      for (int64_t l = 0; l < p.parameters; ++l)
        add(p, tables.kernel(l, size + first, counts[r][0]),
            tables.kernel(l, size + second, counts[r][1]), values, sums);
    }
  }

  template <class Number>
  static SEMIDEEP_INLINE Number distance(const Problem& p, FloatVec count, FloatVec stat_x,
                                         FloatVec stat_y) {
    return Metric::distance(Number(count), Number(stat_x), Number(stat_y),
                            Number(FloatVec(static_cast<float>(p.features))));
  }
  static SEMIDEEP_INLINE FloatVec kernel(FloatPair d, FloatPair parameter) {
    return scaled_exp2(Kernel::log_value(d, parameter));
  }
  static SEMIDEEP_INLINE FloatVec kernel(FloatVec d, FloatPair parameter) {
    return scaled_exp2(Kernel::log_value(d, parameter.hi));
  }

  static SEMIDEEP_INLINE void add(const Problem& p, FloatVec first, FloatVec second,
                                  const float*& values, FloatVec*& sum) {
    for (int64_t c = 0; c < p.columns; ++c, ++sum, values += kPanelColumns)
      *sum = fma(first, FloatVec::load(values),
                 fma(second, FloatVec::load(values + kFloatLanes), *sum));
  }

  static SEMIDEEP_INLINE void add_doubles(const Problem& p, const Block& block,
                                          const WordVec* count, Vec stat, const float* stats,
                                          const double* values, FloatVec* sums) {
    const Vec features(static_cast<double>(p.features));
    Vec d[4];
    for (int c = 0; c < 2; ++c) {
      const FloatVec whole = to_float(count[c]);
      const FloatVec of_y = FloatVec::load(stats + c * kFloatLanes);
      d[2 * c] = Metric::distance(widen_first(whole), stat, widen_first(of_y), features);
      d[2 * c + 1] = Metric::distance(widen_second(whole), stat, widen_second(of_y), features);
    }
    for (int64_t l = 0; l < p.parameters; ++l) {
      const Vec parameter(p.parameter[block.batch * p.parameters + l]);
      Vec k[4];
      for (int i = 0; i < 4; ++i) k[i] = Kernel::value(d[i], parameter, Vec(0.0));
      for (int64_t c = 0; c < p.columns; ++c, ++sums, values += kPanelColumns) {
        Vec sum((Vec::Native)sums->v);
        for (int i = 0; i < 4; ++i) sum = fma(k[i], Vec::load(values + i * kLanes), sum);
        sums->v = (FloatVec::Native)sum.v;
      }
    }
  }
};

SEMIDEEP_MATH_END
