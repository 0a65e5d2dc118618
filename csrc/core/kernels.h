// The functions of the distance: each one is a struct here, and stands in Kernels at the end of this file.
//
//   name, formula   what users are told
//   parameter       what users call its parameter: "lambda" or "eps"
//   has_log         whether log_value exists, so that sums can be taken in the log domain
//   exponential     whether it is exp(-lambda d): families of kernels that compute that themselves are chosen by this
//   log_value       log k(d), constexpr where the kernel is exponential
//   value           k(d) exp(-shift), where has_log: a shift keeps k representable where exp alone would underflow
//   by_distance     dk/dd, from k, the value with its shift
//   by_parameter    dk/dparameter, from k
#pragma once

#include "core/metrics.h"

SEMIDEEP_MATH_BEGIN

// exp, bounded by exp(709) < 2^1024: a pair of weight 0 may lie arbitrarily far above a shift, and 0 times infinity
// would be NaN.
template <class V>
SEMIDEEP_INLINE V bounded_exp(V exponent) {
  return exp(select(exponent > V(709.0), V(709.0), exponent));
}

struct Exponential {
  static constexpr const char* name = "exponential";
  static constexpr const char* formula = "exp(-lambda d)";
  static constexpr const char* parameter = "lambda";
  static constexpr bool has_log = true;
  static constexpr bool exponential = true;

  template <class D, class V>
  static constexpr SEMIDEEP_INLINE auto log_value(D d, V lambda) {
    return -lambda * d;
  }
  template <class V>
  static SEMIDEEP_INLINE V value(V d, V lambda, V shift) {
    return bounded_exp(-fma(lambda, d, shift));
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
  static constexpr const char* parameter = "eps";
  static constexpr bool has_log = false;
  static constexpr bool exponential = false;

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

// What computes exp(-lambda d) by itself would be wrong in silence for a kernel that claims to be that and is not.
template <class Kernel>
constexpr bool claims_hold() {
  if constexpr (Kernel::exponential) {
    static_assert(Kernel::has_log, "a kernel that is exponential has a logarithm");
    static_assert(Kernel::log_value(3.0, 2.0) == -6.0,
                  "the logarithm of exp(-lambda d) is -lambda d");
  }
  return true;
}
template <class... Items>
constexpr bool claims_hold(TypeList<Items...>) {
  return (claims_hold<Items>() && ...);
}
static_assert(claims_hold(Kernels{}));

SEMIDEEP_MATH_END
