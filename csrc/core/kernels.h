// The functions of the distance: each one is a struct here, and stands in Kernels at the end of this file.
//
//   name, formula   what users are told
//   has_log         whether log_value exists, so that sums can be taken in the log domain
//   log_value       log k(d)
//   value           k(d) exp(-shift): a shift keeps k representable where exp alone would underflow
//   by_distance     dk/dd, from k
//   by_parameter    dk/dparameter, from k
#pragma once

#include "core/metrics.h"

SEMIDEEP_MATH_BEGIN

struct Exponential {
  static constexpr const char* name = "exponential";
  static constexpr const char* formula = "exp(-lambda d)";
  static constexpr bool has_log = true;

  template <class D, class V>
  static SEMIDEEP_INLINE auto log_value(D d, V lambda) {
    return -lambda * d;
  }
  template <class V>
  static SEMIDEEP_INLINE V value(V d, V lambda, V shift) {
    // Bounded by exp(709) < 2^1024: a pair of weight 0 may lie arbitrarily far above a shift, and 0 times
    // infinity would be NaN.
    const V exponent = -fma(lambda, d, shift);
    return exp(select(exponent > V(709.0), V(709.0), exponent));
  }
  template <class V>
  static SEMIDEEP_INLINE V by_distance(V k, V, V lambda) {
    return -(lambda * k);
  }
  template <class V>
  static SEMIDEEP_INLINE V by_parameter(V k, V d, V) {
    return -(d * k);
  }
};

// Inverse distance weighting, the baseline of arXiv 2505.14345. eps bounds what a duplicate row can weigh.
struct Inverse {
  static constexpr const char* name = "inverse";
  static constexpr const char* formula = "1 / (d + eps)";
  static constexpr bool has_log = false;

  template <class V>
  static SEMIDEEP_INLINE V value(V d, V eps, V) {
    return V(1.0) / (d + eps);
  }
  template <class V>
  static SEMIDEEP_INLINE V by_distance(V k, V, V) {
    return -(k * k);
  }
  template <class V>
  static SEMIDEEP_INLINE V by_parameter(V k, V, V) {
    return -(k * k);
  }
};

using Kernels = TypeList<Exponential, Inverse>;

SEMIDEEP_MATH_END
