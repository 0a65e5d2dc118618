// The elementary operations that metric and kernel formulas are written in, for scalar values.
//
// A value type V (double, long double, Vec, Dual<V>) offers + - * /, the comparisons > and == and !=,
// and the functions below, found by argument-dependent lookup. Nothing else may appear in a formula.
#pragma once

#include <cmath>
#include <cstdint>

#include "core/portable.h"

SEMIDEEP_MATH_BEGIN

SEMIDEEP_INLINE double fma(double a, double b, double c) {
#if defined(__FMA__) || defined(__CUDACC__) || defined(__ARM_FEATURE_FMA)
  return ::fma(a, b, c);
#else
  return a * b + c;  // without the instruction ::fma is a library call, 50 times slower
#endif
}
SEMIDEEP_INLINE double sqrt(double a) { return ::sqrt(a); }
SEMIDEEP_INLINE double exp(double a) { return ::exp(a); }
SEMIDEEP_INLINE double select(bool mask, double a, double b) { return mask ? a : b; }

#if !defined(__CUDACC__)
// long double serves core/reference.h only.
SEMIDEEP_INLINE long double fma(long double a, long double b, long double c) { return a * b + c; }
SEMIDEEP_INLINE long double sqrt(long double a) { return ::sqrtl(a); }
SEMIDEEP_INLINE long double exp(long double a) { return ::expl(a); }
SEMIDEEP_INLINE long double select(bool mask, long double a, long double b) { return mask ? a : b; }
#endif

// The part of a value that decisions are made on; Dual overloads it.
SEMIDEEP_INLINE double primal(double a) { return a; }
#if !defined(__CUDACC__)
SEMIDEEP_INLINE long double primal(long double a) { return a; }
#endif

SEMIDEEP_MATH_END
