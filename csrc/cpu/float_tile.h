// Distances of float32 rows at the speed of float32 (panel_tile.h says how).
//
// Norms, distances and exponents are pairs of floats, and pairs of rows whose distance is in doubt are mended in
// double.
#pragma once

#include "cpu/float_limits.h"

SEMIDEEP_MATH_BEGIN

// Of differences of at most 8 features, their squares, the sum and the root: of millions of simulated pairs,
// features of falling size the worst, none was off by more than 1.7e-7, which makes 9.5e-7 of exp(-5.5).
constexpr float kDirectCareBits = 5.5f * kLog2E;

// A kernel's parameter for logarithms to base 2: log_value is linear in it.
template <class Kernel>
FloatPair bits_parameter(const Problem& p, const Block& block, int64_t l) {
  const Vec bits(p.parameter[block.batch * p.parameters + l] * 1.4426950408889634);
  return FloatPair(bits, bits);
}

constexpr float kReachBits = 1e4f;  // exp(-lambda d) is 0 from here on
constexpr double kUnscale = 1.0 / static_cast<double>(uint64_t{1} << (kKernelExponent / 2)) /
                            static_cast<double>(uint64_t{1} << (kKernelExponent / 2));

// kGradients: whether distances are wanted for gradients.
template <class Metric, bool kGradients = false>
class FloatTile : public PanelTile<FloatTile<Metric, kGradients>, Metric, float> {
  using Base = PanelTile<FloatTile<Metric, kGradients>, Metric, float>;
  friend Base;
  using Base::block_;
  using Base::layout_;
  using Base::p_;
  using Base::storage_;

 public:
  using typename Base::Storage;
  using Distances = FloatPair;

  // Kernels come multiplied by 2^kKernelExponent.
  using Parameter = FloatPair;
  template <class Kernel>
  static Parameter parameter(const Problem& p, const Block& block, int64_t l) {
    return bits_parameter<Kernel>(p, block, l);
  }
  template <class Kernel>
  static SEMIDEEP_INLINE FloatVec kernel(FloatPair d, FloatPair parameter) {
    return scaled_exp2(Kernel::log_value(d, parameter));
  }
  static constexpr double kSumScale = kUnscale;
  template <class Kernel>
  static SEMIDEEP_INLINE FloatVec unscaled_kernel(FloatPair d, FloatPair parameter) {
    return unscaled(kernel<Kernel>(d, parameter));
  }
  static SEMIDEEP_INLINE FloatVec rounded(FloatPair d) { return d.hi + d.lo; }

  FloatTile(const Problem& p, const Block& block, Storage& storage, float* rows)
      : Base(p, block, storage, rows),
        doubt_(p, block.batch,
               layout_.products ? static_cast<const float*>(block.plan)[p.features] : 0.0) {
    reach_ = kReachBits / doubt_.least_bits;
    if (Metric::power < 1.0) reach_ = reach_ > 1e18f ? 1e36f : reach_ * reach_;
    // Prepared rows are not floats; rounding them matters where they nearly coincide and lambda is large.
    const float rounded = 66.0f / doubt_.largest_bits;
    const float bits = kDirectCareBits * 0.5f / static_cast<float>(Metric::power);
    care_ = (Metric::Row::has_info && rounded < bits ? rounded : bits) / doubt_.largest_bits;
  }

 private:
  // Below this distance, gradients want more digits of it than prepared rows have as floats.
  static constexpr bool kMendsNear = kGradients && Metric::Row::has_info;
  static constexpr float kNear = 5e-4f;

  static SEMIDEEP_INLINE FloatPair distance(FloatPair sum, int64_t features) {
    return Metric::distance(sum, FloatPair(1.0), FloatPair(1.0),
                            FloatPair(static_cast<double>(features)));
  }

  template <bool Products>
  SEMIDEEP_INLINE uint32_t finish(int64_t row, int64_t panel, int c, FloatVec given,
                                  FloatPair& distances) const {
    FloatVec error, sum;
    return finish<Products>(row, panel, c, given, distances, error, sum);
  }
  template <bool Products>
  SEMIDEEP_INLINE uint32_t finish(int64_t row, int64_t panel, int c, FloatVec given,
                                  FloatPair& distances, FloatVec& error, FloatVec& sum) const {
    if constexpr (Products) {
      const float* norms = this->panel(panel) + layout_.norms + c * kFloatLanes;
      const FloatVec both = FloatVec(storage_.norms[row].hi) + FloatVec::load(norms);
      const FloatVec rest =
          FloatVec(storage_.norms[row].lo) + FloatVec::load(norms + kPanelColumns);
      sum = at_most(reach_, fma(FloatVec(-2.0f), given, both));
      const FloatVec lost = fma(FloatVec(-2.0f), given, both - sum);
      distances = distance({sum, at_most(reach_ * 0x1p-14f, rest + lost)}, p_.features);
      // The error of the sum times d log k / d sum; d is proportional to the sum's power.
      error = fma(FloatVec(doubt_.by_product), abs(given), FloatVec(doubt_.by_norms) * both);
      return lanes_above(error * at_least(doubt_.least_care, distances.hi), sum);
    } else {
      distances = distance({at_most(reach_, given), FloatVec(-0.0f)}, p_.features);
      uint32_t doubtful = lanes_above(distances.hi, FloatVec(care_));
      if constexpr (kMendsNear) doubtful |= lanes_above(FloatVec(kNear), distances.hi);
      return doubtful;
    }
  }

  // In double, where it matters.
  template <bool Products>
  __attribute__((noinline)) void mend(int64_t row, int64_t panel, int c, FloatVec given,
                                      FloatPair& distances) const {
    FloatVec error, sum;
    const uint32_t doubtful = finish<Products>(row, panel, c, given, distances, error, sum);
    // So far that no kernel reaches there, a relative error of the tolerance will do.
    uint32_t matters = lanes_above(FloatVec(doubt_.beyond_care), distances.hi);
    if constexpr (Products)
      matters |= lanes_above(error * FloatVec(kLog2E / doubt_.largest_bits), sum);
    if ((doubtful & matters) != 0) distances = mended(row, panel, c, doubtful & matters, distances);
  }

  FloatPair mended(int64_t row, int64_t panel, int c, uint32_t doubtful,
                   FloatPair distances) const {
    if (!layout_.products) {
      const FloatPair again = distance(squares_in_double(row, panel, c), p_.features);
      const FloatVec d = distances.hi;
      const FloatPair close =
          kMendsNear ? select(FloatVec(kNear) > d, again, distances) : distances;
      distances = select(d > FloatVec(care_),
                         select(FloatVec(doubt_.beyond_care) > d, again, distances), close);
      doubtful &= lanes_above(distances.hi, FloatVec(INFINITY));  // NaN
    }
    float hi[kFloatLanes], lo[kFloatLanes];
    distances.hi.store(hi);
    distances.lo.store(lo);
    for (; doubtful; doubtful &= doubtful - 1) {
      const int lane = __builtin_ctz(doubtful);
      const double beyond = kReachBits / doubt_.least_bits;
      double exact =
          this->exact_distance(block_.row_begin + row, this->column(panel, c * kFloatLanes + lane));
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

  const FloatDoubt<Metric> doubt_;
  // Of differences: beyond this distance, and up to the doubt's, they are taken in double.
  float care_;
  float reach_;  // of sums: beyond it no kernel differs from 0
};

SEMIDEEP_MATH_END
