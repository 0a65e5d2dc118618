// Dual numbers: a value and its derivative along one direction.
//
// Second derivatives need no formulas of their own: the backward pass, evaluated on dual numbers, yields
// the Hessian-vector product that double backward asks for (forward-over-reverse differentiation,
// Griewank & Walther, Evaluating Derivatives, 2nd ed., chapter 5).
#pragma once

#include "core/math.h"

SEMIDEEP_MATH_BEGIN

template <class V>
struct Dual {
  V value;
  V tangent;

  Dual() = default;
  SEMIDEEP_INLINE Dual(double constant) : value(constant), tangent(0.0) {}  // NOLINT: implicit
  SEMIDEEP_INLINE Dual(V v, V t) : value(v), tangent(t) {}
};

template <class V>
constexpr bool kIsDual = false;
template <class V>
constexpr bool kIsDual<Dual<V>> = true;

template <class V>
SEMIDEEP_INLINE Dual<V> operator+(Dual<V> a, Dual<V> b) {
  return {a.value + b.value, a.tangent + b.tangent};
}
template <class V>
SEMIDEEP_INLINE Dual<V> operator-(Dual<V> a, Dual<V> b) {
  return {a.value - b.value, a.tangent - b.tangent};
}
template <class V>
SEMIDEEP_INLINE Dual<V> operator-(Dual<V> a) {
  return {-a.value, -a.tangent};
}
template <class V>
SEMIDEEP_INLINE Dual<V> operator*(Dual<V> a, Dual<V> b) {
  return {a.value * b.value, fma(a.value, b.tangent, a.tangent * b.value)};
}
template <class V>
SEMIDEEP_INLINE Dual<V> operator/(Dual<V> a, Dual<V> b) {
  const V quotient = a.value / b.value;
  return {quotient, (a.tangent - quotient * b.tangent) / b.value};
}
template <class V>
SEMIDEEP_INLINE auto operator>(Dual<V> a, Dual<V> b) {
  return a.value > b.value;
}
template <class V>
SEMIDEEP_INLINE auto operator==(Dual<V> a, Dual<V> b) {
  return a.value == b.value;
}
template <class V>
SEMIDEEP_INLINE auto operator!=(Dual<V> a, Dual<V> b) {
  return a.value != b.value;
}

template <class V>
SEMIDEEP_INLINE Dual<V> fma(Dual<V> a, Dual<V> b, Dual<V> c) {
  return {fma(a.value, b.value, c.value),
          fma(a.value, b.tangent, fma(a.tangent, b.value, c.tangent))};
}
template <class V>
SEMIDEEP_INLINE Dual<V> sqrt(Dual<V> a) {
  const V root = sqrt(a.value);
  // The subgradient 0 where the square root has none.
  return {root, select(root > V(0.0), a.tangent / (V(2.0) * root), V(0.0))};
}
template <class V>
SEMIDEEP_INLINE Dual<V> exp(Dual<V> a) {
  const V e = exp(a.value);
  return {e, e * a.tangent};
}
template <class Mask, class V>
SEMIDEEP_INLINE Dual<V> select(Mask mask, Dual<V> a, Dual<V> b) {
  return {select(mask, a.value, b.value), select(mask, a.tangent, b.tangent)};
}
template <class V>
SEMIDEEP_INLINE auto primal(Dual<V> a) {
  return primal(a.value);
}

SEMIDEEP_MATH_END
