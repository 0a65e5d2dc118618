// The metrics: each one is a struct here, and stands in Metrics at the end of this file. Nothing else
// in the project lists them; kernels, the Python registry, tests and documentation enumerate that list.
//
// A metric is
//   name, formula, domain, differentiable   what users are told
//   Row          what happens to each row once (core/rows.h)
//   accumulate   folds one feature of one pair of prepared rows into the pair's sum
//   distance     the distance from that sum, the two rows' stats and the number of features
//   gradient     the factor c in  dd/dx_k = c Direction::of(x_k, y_k)  on prepared rows (differentiable metrics)
// and, where the defaults of AnyMetric do not say it,
//   Direction    what the gradient is made of, feature by feature: x_k - y_k unless said otherwise
//   sum_of       what accumulate adds up; kernels that do it faster are chosen by this
//   power        of a sum of squares: the p in d = constant * sum^p
//   rescale      whether a sum that left the range of double is taken again on rescaled differences
//
// It is symmetric: what is computed for x serves for y with the sides exchanged.
#pragma once

#include <type_traits>

#include "core/rows.h"

SEMIDEEP_MATH_BEGIN

enum class SumOf {
  squares,  // (x_k - y_k)^2; the distance is constant * sum^power, and its gradient has the direction x - y
  unequal,  // features with x_k != y_k; the distance depends on nothing but their number and that of all
  common,  // features with x_k != 0 and y_k != 0; the distance is one quotient of whole numbers of at most
           // 1, and depends on the rows' stats by their sum alone
  other  // any other terms: kernels in double serve it, for every dtype
};

struct Difference {
  template <class V>
  static SEMIDEEP_INLINE V of(V x, V y) {
    return x - y;
  }
};

// What a metric need not say.
struct AnyMetric {
  using Direction = Difference;
  static constexpr SumOf sum_of = SumOf::other;
  static constexpr bool rescale = false;
};

template <class Metric>
constexpr bool kAlongDifference = std::is_same_v<typename Metric::Direction, Difference>;
template <class Metric>
constexpr bool kCountsFeatures =
    Metric::sum_of == SumOf::unequal || Metric::sum_of == SumOf::common;

struct Euclidean : AnyMetric {
  static constexpr const char* name = "euclidean";
  static constexpr const char* formula = "sqrt(sum_k (x_k - y_k)^2)";
  static constexpr const char* domain = "real values";
  static constexpr bool differentiable = true;
  static constexpr SumOf sum_of = SumOf::squares;
  static constexpr double power = 0.5;
  static constexpr bool rescale = true;
  using Row = RawRow;

  template <class V>
  static SEMIDEEP_INLINE V accumulate(V sum, V x, V y) {
    const V difference = x - y;
    return fma(difference, difference, sum);
  }
  template <class V>
  static SEMIDEEP_INLINE V distance(V sum, V, V, V) {
    return sqrt(sum);
  }
  // (x_k - y_k) / d, and the subgradient 0 where the rows coincide: nearer than 1e-308, 1 / d overflows.
  template <class V>
  static SEMIDEEP_INLINE V gradient(V d, V, V) {
    return select(d > V(1e-308), V(1.0) / d, V(0.0));
  }
};

struct SqEuclidean : AnyMetric {
  static constexpr const char* name = "sqeuclidean";
  static constexpr const char* formula = "sum_k (x_k - y_k)^2";
  static constexpr const char* domain = "real values";
  static constexpr bool differentiable = true;
  static constexpr SumOf sum_of = SumOf::squares;
  static constexpr double power = 1.0;
  using Row = RawRow;

  template <class V>
  static SEMIDEEP_INLINE V accumulate(V sum, V x, V y) {
    return Euclidean::accumulate(sum, x, y);
  }
  template <class V>
  static SEMIDEEP_INLINE V distance(V sum, V, V, V) {
    return sum;
  }
  template <class V>
  static SEMIDEEP_INLINE V gradient(V, V, V) {
    return V(2.0);
  }
};

// On rows of length one, 1 - <u, v> = |u - v|^2 / 2: the right-hand side is never negative, exactly 0 for
// equal rows, and keeps full relative accuracy where the left-hand side cancels.
struct Cosine : AnyMetric {
  static constexpr const char* name = "cosine";
  static constexpr const char* formula = "1 - <x, y> / (|x| |y|); 1 if x or y is zero";
  static constexpr const char* domain = "real values, compared by direction";
  static constexpr bool differentiable = true;
  static constexpr SumOf sum_of = SumOf::squares;
  static constexpr double power = 1.0;
  using Row = UnitRow;

  template <class V>
  static SEMIDEEP_INLINE V accumulate(V sum, V x, V y) {
    return Euclidean::accumulate(sum, x, y);
  }
  template <class V>
  static SEMIDEEP_INLINE V distance(V sum, V stat_x, V stat_y, V) {
    const V half = V(0.5) * sum;
    const V clamped = select(half > V(2.0), V(2.0), half);
    return select(stat_x * stat_y == V(0.0), V(1.0), clamped);
  }
  template <class V>
  static SEMIDEEP_INLINE V gradient(V, V stat_x, V stat_y) {
    return select(stat_x * stat_y == V(0.0), V(0.0), V(1.0));
  }
};

struct Hamming : AnyMetric {
  static constexpr const char* name = "hamming";
  static constexpr const char* formula = "(1/D) sum_k [x_k != y_k]";
  static constexpr const char* domain = "categories: values are equal or not";
  static constexpr bool differentiable = false;
  static constexpr SumOf sum_of = SumOf::unequal;
  using Row = CategoryRow;

  template <class V>
  static SEMIDEEP_INLINE V accumulate(V sum, V x, V y) {
    return sum + select(x != y, V(1.0), V(0.0));
  }
  template <class V>
  static SEMIDEEP_INLINE V distance(V sum, V stat_x, V stat_y, V features) {
    return select(features == V(0.0), V(0.0), sum / features) + (stat_x + stat_y);
  }
};

struct Jaccard : AnyMetric {
  static constexpr const char* name = "jaccard";
  static constexpr const char* formula =
      "1 - sum_k [x_k != 0 and y_k != 0] / sum_k [x_k != 0 or y_k != 0]; 0 if both are zero";
  static constexpr const char* domain = "sets: a value is zero or not";
  static constexpr bool differentiable = false;
  static constexpr SumOf sum_of = SumOf::common;
  using Row = SupportRow;

  template <class V>
  static SEMIDEEP_INLINE V accumulate(V sum, V x, V y) {
    return fma(x, y, sum);
  }
  template <class V>
  static SEMIDEEP_INLINE V distance(V sum, V count_x, V count_y, V) {
    const V in_either = count_x + count_y - sum;
    return select(in_either == V(0.0), V(0.0), (in_either - sum) / in_either);
  }
};

template <class... Items>
struct TypeList {
  static constexpr int size = sizeof...(Items);
};

#if defined(__CUDACC__)
#pragma nv_exec_check_disable  // the visitor may be for the device alone
#endif
// Calls visitor.template operator()<T>() for the T at `position`; false if there is none.
template <class Visitor, class... Items>
SEMIDEEP_INLINE bool visit(TypeList<Items...>, int position, Visitor&& visitor) {
  int at = 0;
  return ((at++ == position && (visitor.template operator()<Items>(), true)) || ...);
}

using Metrics = TypeList<Euclidean, SqEuclidean, Cosine, Hamming, Jaccard>;

SEMIDEEP_MATH_END
