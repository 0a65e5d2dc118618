// Distances in double (panel_tile.h says how): of float64 rows, and of float32 rows where floats would leave too
// many distances in doubt.
#pragma once

#include "cpu/panel_tile.h"

SEMIDEEP_MATH_BEGIN

// Whether this tile answers a problem; others are for Tile.
inline bool suits_doubles(const Problem& p) {
  return kHasFma && !p.left.shift && !p.right.shift && p.features > 0 && p.right.count > 0;
}

// kGradients: whether distances are wanted for gradients.
template <class Metric, bool kGradients = false>
class DoubleTile : public PanelTile<DoubleTile<Metric, kGradients>, Metric, double> {
  using Base = PanelTile<DoubleTile<Metric, kGradients>, Metric, double>;
  friend Base;
  using Base::block_;
  using Base::layout_;
  using Base::p_;
  using Base::storage_;

 public:
  using typename Base::Storage;
  using Distances = Vec;

  using Parameter = Vec;
  template <class Kernel>
  static Parameter parameter(const Problem& p, const Block& block, int64_t l) {
    return Vec(p.parameter[block.batch * p.parameters + l]);
  }
  template <class Kernel>
  static SEMIDEEP_INLINE Vec kernel(Vec d, Vec parameter) {
    return exp(Kernel::log_value(d, parameter));
  }
  static constexpr double kSumScale = 1.0;
  template <class Kernel>
  static SEMIDEEP_INLINE Vec unscaled_kernel(Vec d, Vec parameter) {
    return kernel<Kernel>(d, parameter);
  }
  static SEMIDEEP_INLINE Vec rounded(Vec d) { return d; }

  DoubleTile(const Problem& p, const Block& block, Storage& storage, double* rows)
      : Base(p, block, storage, rows) {
    if (!layout_.products) return;
    for (int64_t l = 0; l < p.parameters; ++l) {
      const double lambda = p.parameter[block.batch * p.parameters + l];
      lambda_ = lambda > lambda_ ? lambda : lambda_;
    }
    const double share = static_cast<const double*>(block.plan)[p.features];
    const ExpectedError expected(p.features, 0x1p-53, share);
    const double tolerance = p.dtype == DType::float32 ? 8e-7 : 8e-13;
    // The norms, too, are rounded here.
    by_norms_ = (expected.by_norms + 0x1p-53) * Metric::power / tolerance;
    by_product_ = expected.by_product * Metric::power / tolerance;
  }

 private:
  // Where the promise is a relative error of the kernel; beyond, it grows with lambda d.
  static constexpr double kCare = 21.0;
  // So that equal rows are recognised under any lambda. A gradient is in proportion to 1 / d, too.
  static constexpr double kLeastCare = kGradients ? 1.0 : 0.01;

  template <bool Products>
  SEMIDEEP_INLINE uint32_t finish(int64_t row, int64_t panel, int c, Vec given,
                                  Vec& distances) const {
    if constexpr (Products) {
      const Vec both =
          Vec(storage_.norms[row].all) + Vec::load(this->panel(panel) + layout_.norms + c * kLanes);
      const Vec sum = fma(Vec(-2.0), given, both);
      distances = distance(sum);
      // The error of the sum times d log k / d sum; d is proportional to the sum's power.
      const Vec error = fma(Vec(by_product_), abs(given), Vec(by_norms_) * both);
      const Vec care = at_most(kCare, at_least(kLeastCare, Vec(lambda_) * distances));
      return lanes_above(error * care, sum);
    } else {
      distances = distance(given);
      uint32_t doubtful = lanes_above(given, Vec(kLargestSquares));
      if constexpr (Metric::rescale) doubtful |= lanes_above(Vec(kLeastSquares), given);
      return doubtful;
    }
  }

  SEMIDEEP_INLINE Vec distance(Vec sum) const {
    return Metric::distance(sum, Vec(1.0), Vec(1.0), Vec(static_cast<double>(p_.features)));
  }

  // From the rows as they were given.
  template <bool Products>
  __attribute__((noinline)) void mend(int64_t row, int64_t panel, int c, Vec given,
                                      Vec& distances) const {
    uint32_t doubtful = finish<Products>(row, panel, c, given, distances);
    if constexpr (!Products) doubtful &= ~equal(row, panel, c);
    for (; doubtful; doubtful &= doubtful - 1) {
      const int lane = __builtin_ctz(doubtful);
      distances.v[lane] =
          this->exact_distance(block_.row_begin + row, this->column(panel, c * kLanes + lane));
    }
  }

  // The lanes of columns that equal the row in every feature.
  uint32_t equal(int64_t row, int64_t panel, int c) const {
    const double* x = this->left_packed(row);
    const double* y = this->panel(panel) + c * kLanes;
    Vec differences(0.0);
    for (int64_t k = 0; k < p_.features; ++k)
      differences = differences + abs(Vec(x[k * kGroupRows]) - Vec::load(y + k * Base::kColumns));
    return ~lanes_above(differences, Vec(0.0));
  }

  double lambda_ = 0.0;                       // the largest
  double by_norms_ = 0.0, by_product_ = 0.0;  // errors per lambda d, in units of the tolerance
};

SEMIDEEP_MATH_END
