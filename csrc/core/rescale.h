// The euclidean distance where a sum of squares would leave the range of double.
#pragma once

#include <cstdint>

#include "core/math.h"

SEMIDEEP_MATH_BEGIN

// Inside this range the sum of squares lost nothing that matters to a relative 1e-15.
constexpr double kLeastSquares = 1e-280, kLargestSquares = 1e300;

// sqrt(sum (x - y)^2) with differences scaled by the largest; x(k) and y(k) return feature k.
template <class S, class Reader>
SEMIDEEP_INLINE S rescaled_euclidean(const Reader& x, const Reader& y, int64_t features) {
  double largest = 0.0;
  for (int64_t k = 0; k < features; ++k) {
    const double magnitude = ::fabs(primal(x(k) - y(k)));
    if (magnitude != magnitude) return S(magnitude);
    largest = magnitude > largest ? magnitude : largest;
  }
  if (largest == 0.0 || largest > 1.7976931348623157e308) return S(largest);
  S sum(0.0);
  for (int64_t k = 0; k < features; ++k) {
    const S ratio = (x(k) - y(k)) / S(largest);
    sum = fma(ratio, ratio, sum);
  }
  return S(largest) * sqrt(sum);
}

SEMIDEEP_MATH_END
