// Distances of float32 rows at the speed of float32, for metrics that are functions of sum_k (x_k - y_k)^2.
//
// Rows of up to kDirectFeatures features are subtracted. Longer rows are multiplied: with both sets translated
// by one vector near the middle of y, which changes no difference,
//     sum_k (x_k - y_k)^2 = |x|^2 + |y|^2 - 2 <x, y>,
// where the norms are sums in double of the translated rows before they are rounded to float.
//
// Rounding is kept in check thrice. Products are summed in steps of 16, those in slices of 128, so errors grow
// with the length of a step and the number of steps, not with the number of features. Norms, distances and
// exponents are pairs of floats. And where the expected error of a pair of rows could still be seen in
// exp(-lambda d), because the sum is small against the norms, its distance is taken again in double.
#pragma once

#include "cpu/float_rows.h"

SEMIDEEP_MATH_BEGIN

// Beyond these the arithmetic of float could leave its range where exp(-lambda d) still matters.
constexpr double kLeastLambda = 1e-12, kLargestLambda = 1e6, kLargestRatio = 1e3;

// In exp(-lambda d), what rounding may leave: a relative error of 8e-7 while lambda d <= 20; beyond, where
// 1e-6 (1 + lambda d) is promised, nothing needs a second look.
constexpr float kTolerance = 8e-7f;
constexpr float kLog2E = 1.44269504f;
constexpr float kCareBits = 21.0f * kLog2E;
// Below this cosine distance the rounding of unit rows exceeds a relative error of the tolerance.
constexpr float kRoundedDistance = 0.05f;
constexpr float kLeastCareBits = 0.01f;  // so that equal rows are recognised under any lambda
constexpr float kReachBits = 1e4f;       // exp(-lambda d) is 0 from here on
// Differences of at most 8 features, their squares and the root are off by at most 8 roundings in all, and by
// far less than half of that in practice.
constexpr float kDirectCareBits = 6.0f * kLog2E;

inline bool lambdas_in_range(const Problem& p) {
  for (int64_t b = 0; b < p.batches; ++b) {
    double least = kLargestLambda, largest = kLeastLambda;
    for (int64_t l = 0; l < p.parameters; ++l) {
      const double lambda = p.parameter[b * p.parameters + l];
      if (!(lambda >= kLeastLambda && lambda <= kLargestLambda)) return false;
      least = lambda < least ? lambda : least;
      largest = lambda > largest ? lambda : largest;
    }
    if (largest > kLargestRatio * least) return false;
  }
  return true;
}

// Whether floats answer a problem to the promised accuracy.
inline bool suits_floats(const Problem& p) {
  return kHasFma && p.dtype == DType::float32 && !p.left.shift && !p.right.shift &&
         p.features > 0 && p.right.count > 0 && lambdas_in_range(p);
}

// Whether no value of a side exceeds the bound; strides of 0 repeat what was seen.
inline bool values_at_most(const Problem& p, const Side& side, float bound) {
  const auto distinct = [](int64_t stride, int64_t count) {
    return stride == 0 && count > 1 ? int64_t{1} : count;
  };
  for (int64_t b = 0; b < distinct(side.values_batch_stride, p.batches); ++b)
    for (int64_t l = 0; l < distinct(side.values_parameter_stride, p.parameters); ++l) {
      const float* values = static_cast<const float*>(side.values) + b * side.values_batch_stride +
                            l * side.values_parameter_stride;
      for (int64_t i = 0; i < distinct(side.values_row_stride, side.count); ++i)
        for (int64_t c = 0; c < p.columns; ++c)
          if (!(::fabsf(values[i * side.values_row_stride + c]) <= bound)) return false;
    }
  return true;
}

// A kernel's parameter for logarithms to base 2: log_value is linear in it.
template <class Kernel>
FloatPair bits_parameter(const Problem& p, const Block& block, int64_t l) {
  const Vec bits(p.parameter[block.batch * p.parameters + l] * 1.4426950408889634);
  return FloatPair(bits, bits);
}

constexpr double kUnscale = 1.0 / static_cast<double>(uint64_t{1} << (kKernelExponent / 2)) /
                            static_cast<double>(uint64_t{1} << (kKernelExponent / 2));

// Distances between a block of left rows and the packed columns of a span.
template <class Metric>
class FloatTile {
 public:
  struct Storage {
    alignas(64) FloatVec sums[kFloatRows * 2];  // unfinished, of one panel
    SplitNorm norms[kFloatRows];                // of the left rows
    double exact[kFloatRows * kDirectFeatures];
  };
  static int64_t block_rows(const Problem& p) {
    const int64_t groups = kBlockFloats / (p.features * kGroupRows);
    return groups < 1                         ? kGroupRows
           : groups * kGroupRows < kFloatRows ? groups * kGroupRows
                                              : kFloatRows;
  }
  static int64_t block_bytes(const Problem& p) {
    return block_rows(p) * p.features * static_cast<int64_t>(sizeof(float));
  }

  static void pack_rows(const Problem& p, const Block& block, Storage& storage, float* rows) {
    const FloatRows<Metric> left(p, p.left, block.batch, block.left_info);
    const bool products = p.features > kDirectFeatures;
    const float* center = products ? static_cast<const float*>(block.plan) : nullptr;
    alignas(64) float values[kGroupRows * kChunkFeatures], rests[kGroupRows * kChunkFeatures];
    for (int64_t row = 0; row < padded(block.rows); row += kGroupRows) {
      double squares[kGroupRows] = {};
      for (Slice slice(p.features); slice.exists(); slice.next())
        for (int64_t k = slice.begin; k < slice.end; k += kChunkFeatures) {
          const int64_t stop = k + kChunkFeatures < slice.end ? k + kChunkFeatures : slice.end;
          for (int r = 0; r < kGroupRows; ++r) {
            // A group's missing rows repeat the last one.
            const int64_t at = block.row_begin + (row + r < block.rows ? row + r : block.rows - 1);
            float* value = values + r * kChunkFeatures;
            float* rest = rests + r * kChunkFeatures;
            squares[r] += left.load(at, left.trusted_info(at), k, stop, center, value, rest);
            if (!products)
              for (int64_t i = 0; i < p.features; ++i)
                storage.exact[(row + r) * kDirectFeatures + i] =
                    static_cast<double>(value[i]) + rest[i];
          }
          transpose(values, kGroupRows, stop - k,
                    rows + slice.of_row(row, block.rows) + (k - slice.begin) * kGroupRows,
                    kGroupRows);
        }
      for (int r = 0; r < kGroupRows; ++r) storage.norms[row + r] = left.norm(squares[r]);
    }
  }

  FloatTile(const Problem& p, const Block& block, Storage& storage, float* rows)
      : p_(p),
        block_(block),
        layout_(p, Metric::Row::has_info),
        packed_(static_cast<const float*>(block.packed)),
        storage_(storage),
        rows_(rows),
        left_(p, p.left, block.batch, block.left_info),
        right_(p, p.right, block.batch, block.right_info) {
    const Attachments<double> at{p, block.batch};
    for (int64_t l = 0; l < p.parameters; ++l) {
      const float bits = static_cast<float>(at.parameter(l)) * kLog2E;
      least_bits_ = l == 0 || bits < least_bits_ ? bits : least_bits_;
      largest_bits_ = bits > largest_bits_ ? bits : largest_bits_;
    }
    reach_ = kReachBits / least_bits_;
    if (Metric::power < 1.0) reach_ = reach_ > 1e18f ? 1e36f : reach_ * reach_;
    // Prepared rows are not floats; rounding them matters where they nearly coincide and lambda is large.
    const float rounded = 66.0f / largest_bits_;
    const float bits = kDirectCareBits * 0.5f / static_cast<float>(Metric::power);
    care_ = (Metric::Row::has_info && rounded < bits ? rounded : bits) / largest_bits_;
    beyond_care_ = kCareBits / least_bits_;
    if (Metric::Row::has_info && beyond_care_ < kRoundedDistance) beyond_care_ = kRoundedDistance;
    // Four standard errors of -2 <x, y>, fitted to simulated rows of every correlation: terms of either sign
    // leave an error in proportion to the norms, terms of one sign one in proportion to their sum
    // (N. Higham and T. Mary, SIAM J. Sci. Comput. 41 (2019) A2815, say why).
    constexpr float kRoundings =
        4.0f * 0x1p-24f * static_cast<float>(Metric::power) / (kTolerance * kLog2E);
    const float steps = static_cast<float>(p.features) / static_cast<float>(kStepFeatures);
    by_norms_ = kRoundings * 0.31f / ::sqrtf(steps > 1.0f ? steps : 1.0f);
    by_product_ = kRoundings * 1.3f;
    // All that is added to one dominant product is rounded to its precision.
    if (layout_.products)
      by_product_ *= 1.0f + 3.0f * static_cast<const float*>(block.plan)[p.features];
  }

  const FloatLayout& layout() const { return layout_; }
  const float* panel(int64_t i) const { return packed_ + i * layout_.panel; }
  const float* left_row(int64_t at) const { return left_.raw(at); }
  const float* right_row(int64_t at) const { return right_.raw(at); }
  double left_stat(int64_t row) const { return left_.info(block_.row_begin + row).stat; }
  FloatVec right_stats(const float* panel, int c) const {
    if constexpr (Metric::Row::has_info) {
      return FloatVec::load(panel + layout_.stats + c * kFloatLanes);
    } else {
      return FloatVec(0.0f);
    }
  }
  int64_t panels() const { return panels_of(block_.column_end - block_.column_begin); }
  // In double, from the rows as they were given.
  double exact_distance(int64_t at, int64_t column) const {
    const float* x = left_.raw(at);
    const float* y = right_.raw(column);
    const RowInfo<double> of_x = left_.info(at), of_y = right_.info(column);
    const auto wide = [](const RowInfo<double>& info) {
      return RowInfo<Vec>{Vec(info.scale), Vec(info.inverse_norm), Vec(info.stat)};
    };
    const RowInfo<Vec> wide_x = wide(of_x), wide_y = wide(of_y);
    Vec lanes(0.0);
    int64_t k = 0;
    for (; k + kLanes <= p_.features; k += kLanes)
      lanes = Metric::accumulate(lanes, Metric::Row::prepare(load_wide(x + k), wide_x),
                                 Metric::Row::prepare(load_wide(y + k), wide_y));
    double sum = sum_lanes(lanes);
    for (; k < p_.features; ++k)
      sum = Metric::accumulate(sum, Metric::Row::prepare(static_cast<double>(x[k]), of_x),
                               Metric::Row::prepare(static_cast<double>(y[k]), of_y));
    return Metric::distance(sum, of_x.stat, of_y.stat, static_cast<double>(p_.features));
  }

  // Calls f(row, panel, distances) once for each row and each panel in [begin, end), panels in order.
  template <class F>
  void for_distances(int64_t begin, int64_t end, F f) {
    if (layout_.products) {
      for_distances<true>(begin, end, f);
    } else {
      for_distances<false>(begin, end, f);
    }
  }

 private:
  template <bool Products, class F>
  SEMIDEEP_INLINE void for_distances(int64_t begin, int64_t end, F f) {
    for (int64_t i = begin; i < end; ++i)
      for (Slice slice(p_.features); slice.exists(); slice.next()) {
        int64_t row = 0;
        // A last group of few rows is taken row by row; else its missing rows are computed in vain.
        for (; block_.rows - row > kGroupRows / 2; row += kGroupRows)
          fold<Products, kGroupRows>(row, i, slice, f);
        for (; row < block_.rows; ++row) fold<Products, 1>(row, i, slice, f);
      }
  }

  template <bool Products, int Rows, class F>
  SEMIDEEP_INLINE void fold(int64_t row, int64_t i, const Slice& slice, F f) {
    FloatVec sums[Rows][2];
    const float* x = rows_ + slice.of_row(row, block_.rows);
    const float* y = panel(i) + slice.begin * kPanelColumns;
    if constexpr (Products) {
      FloatVec* unfinished = storage_.sums + row * 2;
      for (int r = 0; r < Rows; ++r)
        for (int c = 0; c < 2; ++c)
          sums[r][c] = slice.begin > 0 ? unfinished[r * 2 + c] : FloatVec(0.0f);
      add_products<Rows>(x, y, slice.end - slice.begin, sums);
      if (slice.end < p_.features) {
        for (int r = 0; r < Rows; ++r)
          for (int c = 0; c < 2; ++c) unfinished[r * 2 + c] = sums[r][c];
        return;
      }
    } else {
      add_squares<Rows>(x, y, sums);
    }
    const int rows = block_.rows - row < Rows ? static_cast<int>(block_.rows - row) : Rows;
    for (int r = 0; r < rows; ++r) {
      FloatPair distances[2];
      finish<Products>(row + r, i, sums[r], distances);
      f(row + r, panel(i), distances);
    }
  }

  template <int Rows>
  SEMIDEEP_INLINE void add_squares(const float* x, const float* y, FloatVec (&sums)[Rows][2]) {
    for (int r = 0; r < Rows; ++r)
      for (int c = 0; c < 2; ++c) sums[r][c] = FloatVec(0.0f);
    for (int64_t k = 0; k < p_.features; ++k) {
      const FloatVec left = FloatVec::load(y + k * kPanelColumns);
      const FloatVec right = FloatVec::load(y + k * kPanelColumns + kFloatLanes);
      for (int r = 0; r < Rows; ++r) {
        const FloatVec value(x[k * kGroupRows + r]);
        sums[r][0] = Metric::accumulate(sums[r][0], value, left);
        sums[r][1] = Metric::accumulate(sums[r][1], value, right);
      }
    }
  }

  template <int Rows>
  static SEMIDEEP_INLINE void add_products(const float* x, const float* y, int64_t features,
                                           FloatVec (&sums)[Rows][2]) {
    while (features > 0) {
      const int64_t step = features < kStepFeatures ? features : kStepFeatures;
      FloatVec part[Rows][2];
      for (int r = 0; r < Rows; ++r)
        for (int c = 0; c < 2; ++c) part[r][c] = FloatVec(0.0f);
      for (int64_t k = 0; k < step; ++k) {
        const FloatVec left = FloatVec::load(y), right = FloatVec::load(y + kFloatLanes);
        for (int r = 0; r < Rows; ++r) {
          const FloatVec value(x[r]);
          part[r][0] = fma(value, left, part[r][0]);
          part[r][1] = fma(value, right, part[r][1]);
        }
        x += kGroupRows;
        y += kPanelColumns;
      }
      for (int r = 0; r < Rows; ++r)
        for (int c = 0; c < 2; ++c) sums[r][c] = sums[r][c] + part[r][c];
      features -= step;
    }
  }

  static SEMIDEEP_INLINE FloatPair distance(FloatPair sum, int64_t features) {
    return Metric::distance(sum, FloatPair(1.0), FloatPair(1.0),
                            FloatPair(static_cast<double>(features)));
  }

  // From sums to distances, both columns' vectors at once; rare lanes are mended in double.
  template <bool Products>
  SEMIDEEP_INLINE void finish(int64_t row, int64_t panel, const FloatVec (&sums)[2],
                              FloatPair (&distances)[2]) {
    uint32_t doubtful[2];
    FloatVec error[2], sum[2];
    for (int c = 0; c < 2; ++c) {
      if constexpr (Products) {
        const float* norms = this->panel(panel) + layout_.norms + c * kFloatLanes;
        const FloatVec both = FloatVec(storage_.norms[row].hi) + FloatVec::load(norms);
        const FloatVec rest =
            FloatVec(storage_.norms[row].lo) + FloatVec::load(norms + kPanelColumns);
        sum[c] = at_most(reach_, fma(FloatVec(-2.0f), sums[c], both));
        const FloatVec lost = fma(FloatVec(-2.0f), sums[c], both - sum[c]);
        distances[c] = distance({sum[c], at_most(reach_ * 0x1p-14f, rest + lost)}, p_.features);
        // The error of the sum times d log k / d sum; d is proportional to the sum's power.
        error[c] = fma(FloatVec(by_product_), abs(sums[c]), FloatVec(by_norms_) * both);
        const FloatVec bits = FloatVec(largest_bits_) * distances[c].hi;
        doubtful[c] = lanes_above(error[c] * at_least(kLeastCareBits, bits), sum[c]);
      } else {
        distances[c] = distance({at_most(reach_, sums[c]), FloatVec(-0.0f)}, p_.features);
        doubtful[c] = lanes_above(distances[c].hi, FloatVec(care_));
      }
    }
    if (__builtin_expect((doubtful[0] | doubtful[1]) != 0, 0))
      for (int c = 0; c < 2; ++c) {
        // So far that no kernel reaches there, a relative error of the tolerance will do.
        uint32_t matters = lanes_above(FloatVec(beyond_care_), distances[c].hi);
        if constexpr (Products) matters |= lanes_above(error[c] * FloatVec(kLog2E), sum[c]);
        if ((doubtful[c] & matters) != 0)
          distances[c] = mended(row, panel, c, doubtful[c] & matters, distances[c]);
      }
  }

  __attribute__((noinline)) FloatPair mended(int64_t row, int64_t panel, int c, uint32_t doubtful,
                                             FloatPair distances) const {
    if (!layout_.products) {
      const FloatPair again = distance(squares_in_double(row, panel, c), p_.features);
      const FloatVec d = distances.hi;
      distances = select(d > FloatVec(care_), select(FloatVec(beyond_care_) > d, again, distances),
                         distances);
      doubtful &= lanes_above(distances.hi, FloatVec(INFINITY));  // NaN
    }
    float hi[kFloatLanes], lo[kFloatLanes];
    distances.hi.store(hi);
    distances.lo.store(lo);
    for (; doubtful; doubtful &= doubtful - 1) {
      const int lane = __builtin_ctz(doubtful);
      int64_t column = block_.column_begin + panel * kPanelColumns + c * kFloatLanes + lane;
      if (column >= block_.column_end) column = block_.column_end - 1;
      const double beyond = kReachBits / least_bits_;
      double exact = exact_distance(block_.row_begin + row, column);
      exact = exact > beyond ? beyond : exact;
      hi[lane] = static_cast<float>(exact);
      lo[lane] = static_cast<float>(exact - hi[lane]);
    }
    return {FloatVec::load(hi), FloatVec::load(lo)};
  }

  FloatPair squares_in_double(int64_t row, int64_t panel, int c) const {
    const float* y = this->panel(panel) + c * kFloatLanes;
    Vec first(0.0), second(0.0);
    for (int64_t k = 0; k < p_.features; ++k) {
      const Vec x(storage_.exact[row * kDirectFeatures + k]);
      Vec left = load_wide(y + k * kPanelColumns);
      Vec right = load_wide(y + k * kPanelColumns + kLanes);
      if constexpr (Metric::Row::has_info) {
        left = left + load_wide(y + layout_.rests + k * kPanelColumns);
        right = right + load_wide(y + layout_.rests + k * kPanelColumns + kLanes);
      }
      first = Metric::accumulate(first, x, left);
      second = Metric::accumulate(second, x, right);
    }
    return FloatPair(first, second);
  }

  const Problem& p_;
  const Block& block_;
  const FloatLayout layout_;
  const float* packed_;
  Storage& storage_;
  float* rows_;
  const FloatRows<Metric> left_, right_;
  float least_bits_ = 0.0f, largest_bits_ = 0.0f;
  float care_, beyond_care_;     // the distances between which differences are taken in double
  float reach_;                  // of sums: beyond it no kernel differs from 0
  float by_norms_, by_product_;  // errors per bit of exponent, in units of the tolerance
};

SEMIDEEP_MATH_END
