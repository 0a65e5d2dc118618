// Where floats keep the promised accuracy.
#pragma once

#include "cpu/panel_tile.h"

SEMIDEEP_MATH_BEGIN

// Beyond these the arithmetic of float could leave its range where exp(-lambda d) still matters.
constexpr double kLeastLambda = 1e-12, kLargestLambda = 1e6, kLargestRatio = 1e3;

// In exp(-lambda d), what rounding may leave: a relative error of 8e-7 while lambda d <= 20; beyond, where
// 1e-6 (1 + lambda d) is promised, nothing needs a second look. Gradients are promised to 1e-5.
constexpr float kTolerance = 8e-7f, kGradientTolerance = 5e-6f;
constexpr float kLog2E = 1.44269504f;
constexpr float kCareBits = 21.0f * kLog2E;
// A gradient is in proportion to 1 / d, too. Under any lambda, equal rows are to be recognised.
constexpr float kLeastCareBits = 0.01f, kLeastGradientCareBits = 1.0f;
// Below this cosine distance the rounding of unit rows exceeds a relative error of the tolerance.
constexpr float kRoundedDistance = 0.05f;

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

constexpr float kLargestFloatValue = 1 << 20;  // whose sums stay in the range of float

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

// When products of floats leave the distance of two rows in doubt.
template <class Metric>
struct FloatDoubt {
  float least_bits = 0.0f,
        largest_bits = 0.0f;      // of the lambdas of a batch, for logarithms to base 2
  float least_care, beyond_care;  // distances
  float by_norms, by_product;     // errors per distance, in units of the tolerance

  FloatDoubt(const Problem& p, int64_t batch, double share) {
    for (int64_t l = 0; l < p.parameters; ++l) {
      const float bits = static_cast<float>(p.parameter[batch * p.parameters + l]) * kLog2E;
      least_bits = l == 0 || bits < least_bits ? bits : least_bits;
      largest_bits = bits > largest_bits ? bits : largest_bits;
    }
    const bool gradient = p.task == Task::gradient;
    least_care = (gradient ? kLeastGradientCareBits : kLeastCareBits) / largest_bits;
    beyond_care = kCareBits / least_bits;
    if (Metric::Row::has_info && beyond_care < kRoundedDistance) beyond_care = kRoundedDistance;
    // d is proportional to the sum's power.
    const double unit = (gradient ? kGradientTolerance : kTolerance) * kLog2E / Metric::power;
    const ExpectedError expected(p.features, 0x1p-24, share);
    by_norms = static_cast<float>(expected.by_norms * largest_bits / unit);
    by_product = static_cast<float>(expected.by_product * largest_bits / unit);
  }
};

// Sums of squared differences between some of the first batch's right rows, by which to judge all pairs: a left
// row's result then does not depend on the others. Empty where rows are subtracted anyway.
template <class Metric>
struct SampledPairs {
  static constexpr int64_t kMost = 64;
  int64_t count = 0;
  double sums[kMost];
  double mean = 0.0;  // and what the squared norms of two rows add up to, seen from the center of y

  explicit SampledPairs(const Problem& p) {
    const int64_t m = p.right.count;
    if (p.features <= kDirectFeatures || m < 4) return;
    count = m / 4 < kMost ? m / 4 : kMost;
    with_element_type(p.dtype, [&](auto* type) {
      using T = std::remove_cv_t<std::remove_pointer_t<decltype(type)>>;
      for (int64_t i = 0; i < count; ++i) {
        const int64_t at = i * m / count;
        const int64_t other = (at + 1 + i * 40503 % (m - 1)) % m;  // any other, as good as random
        const RowReader<double, T> x(p, p.right, 0, at), y(p, p.right, 0, other);
        const auto of_x = Metric::Row::template describe<double>(x, p.features);
        const auto of_y = Metric::Row::template describe<double>(y, p.features);
        sums[i] = sum_between<Metric>(x.row, of_x, y.row, of_y, p.features);
        mean += sums[i] / static_cast<double>(count);
      }
    });
  }

  // Whether so many sums are such that taking each such pair alone would be slow.
  template <class Test>
  bool many(Test test) const {
    int64_t such = 0;
    for (int64_t i = 0; i < count; ++i) such += test(sums[i]);
    return such * 16 > count;
  }
};

// Whether so many distances are in doubt that doubles are faster.
template <class Metric>
bool doubles_are_faster(const Problem& p) {
  const SampledPairs<Metric> pairs(p);
  const FloatDoubt<Metric> doubt(p, 0, 1.0 / static_cast<double>(p.features));
  return pairs.many([&](double sum) {
    const double d = Metric::distance(sum, 1.0, 1.0, 1.0);
    const double error =
        doubt.by_norms * pairs.mean + doubt.by_product * 0.5 * ::fabs(pairs.mean - sum);
    return d < doubt.beyond_care && error * (d > doubt.least_care ? d : doubt.least_care) > sum;
  });
}

SEMIDEEP_MATH_END
