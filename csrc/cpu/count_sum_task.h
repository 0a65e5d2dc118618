// The weighted sum for metrics that count features, under the exponential kernel.
#pragma once

#include "cpu/count_tile.h"

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

// out[l, i, c] = sum_j k_l(d_ij) values[l, j, c] of rows of T, float or double
template <class Metric, class Kernel, class T, bool HasVpopcnt>
struct CountSumTask {
  using S = double;

  static constexpr bool kFloat = sizeof(T) == sizeof(float);
  static constexpr int64_t kFlushPanels = 16;
  static constexpr int64_t kMostSums = 16;
  static constexpr float kLargestValue = 1 << 20;
  static constexpr int64_t kMostFeatures =
      kFloat && Metric::counts == Counts::unequal ? DigitTables::kMostFeatures : int64_t{1} << 24;
  static constexpr bool kTables = kFloat && Metric::counts == Counts::unequal;

  struct Workspace {
    alignas(64) FloatVec sums[kFloatRows * kMostSums];  // of float; of double Vec
    alignas(64) DigitTables tables[kMostSums];
    alignas(64) FloatPair parameters[kMostSums];
    float stats[kFloatRows];
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
    return CountLayout<T>(p, Metric::counts).stats / kPanelColumns * kGroupRows;
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
    const Code code = static_cast<const CountPlan*>(block.plan)->code;
    for (int64_t row = 0; row < padded(block.rows); ++row) {
      const int64_t at = block.row_begin + (row < block.rows ? row : block.rows - 1);
      uint32_t* to = group(p, ws, row) + row % kGroupRows;
      code_row(count_row<T>(p.left, block.batch, at), p.features, code,
               [&](int64_t word, uint32_t bits) { to[word * kGroupRows] = bits; });
      ws.stats[row] = static_cast<const CountInfo*>(block.left_info)[at].stat;
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
    using Bits = std::conditional_t<Metric::counts == Counts::both, Both, Unequal>;
    using BitsOp = std::conditional_t<HasVpopcnt, CountBits<Bits>, CountBitsByBytes<Bits>>;
    if constexpr (Metric::counts == Counts::both) {
      run_with<BitsOp>(p, block, ws, partial, plan.code);
    } else if (plan.code == Code::bits) {
      run_with<BitsOp>(p, block, ws, partial, plan.code);
    } else if (plan.code == Code::bytes) {
      run_with<CountEqualBytes>(p, block, ws, partial, plan.code);
    } else if (plan.code == Code::floats) {
      run_with<CountUnequalWords>(p, block, ws, partial, plan.code);
    } else {
      run_with<CountUnequalPairs>(p, block, ws, partial, plan.code);
    }
    // Codes do not show a NaN.
    for (int64_t row = 0; row < block.rows; ++row)
      if (plan.right_has_nan || ws.stats[row] != ws.stats[row])
        for (int64_t i = 0; i < width(p); ++i) partial[row * width(p) + i] = NAN;
  }

  static void merge(int64_t count, S* total, const S* part) { add_scalars(count, total, part); }
  static void store(const Problem& p, const Block& block, const S* total, S*) {
    store_sums(p, block, total);
  }

 private:
  static uint32_t* group(const Problem& p, Workspace& ws, int64_t row) {
    return reinterpret_cast<uint32_t*>(&ws + 1) + row / kGroupRows * group_words(p);
  }

  template <class Op>
  static void run_with(const Problem& p, const Block& block, Workspace& ws, S* partial, Code code) {
    const int64_t sums = width(p);
    const int64_t words = words_of(code, p.features);
    const CountLayout<T> layout(p, Metric::counts);
    const int64_t panels = panels_of(block.column_end - block.column_begin);
    for (int64_t i = 0; i < block.rows * sums; ++i) partial[i] = 0.0;
    for (int64_t begin = 0; begin < panels; begin += kFlushPanels) {
      for (int64_t i = 0; i < block.rows * sums; ++i) ws.sums[i] = FloatVec(0.0f);
      for (int64_t i = begin; i < panels && i < begin + kFlushPanels; ++i) {
        const uint32_t* panel = static_cast<const uint32_t*>(block.packed) + i * layout.panel;
        int64_t row = 0;
        for (; block.rows - row > kGroupRows / 2; row += kGroupRows)
          fold<Op, kGroupRows>(p, block, ws, row, panel, words, layout);
        for (; row < block.rows; ++row) fold<Op, 1>(p, block, ws, row, panel, words, layout);
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

  template <class Op, int Rows>
  static SEMIDEEP_INLINE void fold(const Problem& p, const Block& block, Workspace& ws, int64_t row,
                                   const uint32_t* panel, int64_t words,
                                   const CountLayout<T>& layout) {
    WordVec counts[Rows][2];
    count_words<Op, Rows>(group(p, ws, row) + row % kGroupRows, panel, words, counts);
    const int rows = block.rows - row < Rows ? static_cast<int>(block.rows - row) : Rows;
    const float* stats = reinterpret_cast<const float*>(panel + layout.stats);
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
        const Whole stat(FloatVec(ws.stats[row + r]));
        const Whole features(static_cast<double>(p.features));
        FloatPair d[2];
        for (int c = 0; c < 2; ++c)
          d[c] = Metric::distance(Whole(to_float(count[c])), stat,
                                  Whole(FloatVec::load(stats + c * kFloatLanes)), features);
        for (int64_t l = 0; l < p.parameters; ++l)
          add(p, scaled_exp2(Kernel::log_value(d[0], ws.parameters[l])),
              scaled_exp2(Kernel::log_value(d[1], ws.parameters[l])), values, sums);
      } else {
        add_doubles(p, block, count, Vec(ws.stats[row + r]), stats, values, sums);
      }
    }
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
