// The answer to a Problem in long double, by plain loops: what every backend is tested against.
//
// It shares the formulas of metrics.h and kernels.h, and nothing else, with the backends. That the formulas
// are the right ones is tested in Python, against SciPy and scikit-learn.
#pragma once

#include <cmath>
#include <vector>

#include "core/dual.h"
#include "core/problem.h"
#include "core/registry.h"

SEMIDEEP_MATH_BEGIN

struct ReferenceResult {
  std::vector<long double> out;
  std::vector<long double> rows_gradient;
  std::vector<long double> parameter_gradient;
};

// S is long double, or Dual of it for derivatives along tangents.
template <class S, class Metric, class Kernel>
class Reference {
 public:
  explicit Reference(const Problem& problem) : p_(problem) {}

  ReferenceResult compute() {
    const int64_t n = p_.left.count;
    result_.out.assign(p_.batches * p_.parameters * n * (p_.task == Task::sum ? p_.columns : 1), 0);
    result_.rows_gradient.assign(p_.batches * n * p_.features, 0);
    result_.parameter_gradient.assign(p_.batches * p_.parameters, 0);
    for (int64_t b = 0; b < p_.batches; ++b) {
      std::vector<S> by_parameter(p_.parameters, S(0.0));
      right_.clear();
      for (int64_t j = 0; j < p_.right.count; ++j) right_.push_back(load(p_.right, b, j));
      for (int64_t i = 0; i < n; ++i) row(b, i, by_parameter);
      for (int64_t l = 0; l < p_.parameters; ++l)
        result_.parameter_gradient[b * p_.parameters + l] = asked(by_parameter[l]);
    }
    return result_;
  }

 private:
  struct Row {
    std::vector<S> prepared;
    RowInfo<S> info;
  };

  static S make(long double value, long double tangent) {
    if constexpr (kIsDual<S>) {
      return S(value, tangent);
    } else {
      return value;
    }
  }
  static long double asked(S value) {
    if constexpr (kIsDual<S>) {
      return value.tangent;
    } else {
      return value;
    }
  }
  long double element(const void* data, int64_t at) const {
    return p_.dtype == DType::float32 ? static_cast<const float*>(data)[at]
                                      : static_cast<const double*>(data)[at];
  }

  Row load(const Side& side, int64_t b, int64_t i) const {
    const auto feature = [&](int64_t k) {
      const int64_t at = b * side.rows_batch_stride + i * side.rows_row_stride + k;
      const int64_t tangent_at = (b * side.count + i) * p_.features + k;
      return make(element(side.rows, at), side.tangents ? element(side.tangents, tangent_at) : 0);
    };
    Row row;
    row.info = Metric::Row::template describe<S>(feature, p_.features);
    row.prepared.reserve(p_.features);
    for (int64_t k = 0; k < p_.features; ++k)
      row.prepared.push_back(Metric::Row::prepare(feature(k), row.info));
    return row;
  }
  long double value(const Side& side, int64_t b, int64_t l, int64_t i, int64_t c) const {
    return element(side.values, b * side.values_batch_stride + l * side.values_parameter_stride +
                                    i * side.values_row_stride + c);
  }
  long double shift(const Side& side, int64_t b, int64_t l, int64_t i) const {
    return side.shift ? side.shift[(b * p_.parameters + l) * side.count + i] : 0;
  }
  S distance(const Row& x, const Row& y) const {
    if (p_.features == 0) return S(0.0);
    S sum(0.0);
    for (int64_t k = 0; k < p_.features; ++k)
      sum = Metric::accumulate(sum, x.prepared[k], y.prepared[k]);
    return Metric::distance(sum, x.info.stat, y.info.stat, S(static_cast<double>(p_.features)));
  }

  void row(int64_t b, int64_t i, std::vector<S>& by_parameter) {
    const Row x = load(p_.left, b, i);
    std::vector<S> gradient(p_.features, S(0.0));
    std::vector<S> sums(p_.parameters * p_.columns, S(0.0));
    for (int64_t j = 0; j < p_.right.count; ++j) {
      const Row& y = right_[j];
      const S d = distance(x, y);
      S weight(0.0);
      for (int64_t l = 0; l < p_.parameters; ++l) {
        const int64_t at = b * p_.parameters + l;
        const S parameter =
            make(p_.parameter[at], p_.parameter_tangent ? p_.parameter_tangent[at] : 0);
        const S k = Kernel::value(d, parameter,
                                  make(shift(p_.left, b, l, i) + shift(p_.right, b, l, j), 0));
        S product(0.0);
        for (int64_t c = 0; c < p_.columns; ++c) {
          const long double right = value(p_.right, b, l, j, c);
          sums[l * p_.columns + c] = sums[l * p_.columns + c] + k * make(right, 0);
          if (p_.task == Task::gradient)
            product = product + make(value(p_.left, b, l, i, c) * right, 0);
        }
        weight = weight + product * Kernel::by_distance(k, d, parameter);
        by_parameter[l] = by_parameter[l] + product * Kernel::by_parameter(k, d, parameter);
      }
      if constexpr (Metric::differentiable)
        for (int64_t k = 0; k < p_.features; ++k)
          gradient[k] = gradient[k] + weight * Metric::gradient(d, x.info.stat, y.info.stat) *
                                          Metric::Direction::of(x.prepared[k], y.prepared[k]);
    }
    store(b, i, x, gradient, sums);
  }

  void store(int64_t b, int64_t i, const Row& x, const std::vector<S>& gradient,
             const std::vector<S>& sums) {
    const int64_t columns = p_.task == Task::sum ? p_.columns : 1;
    for (int64_t l = 0; l < p_.parameters; ++l)
      for (int64_t c = 0; c < columns; ++c) {
        const long double sum = asked(sums[l * p_.columns + c]);
        result_.out[((b * p_.parameters + l) * p_.left.count + i) * columns + c] =
            p_.task == Task::log_sum ? std::log(sum) : sum;
      }
    S dot(0.0);
    for (int64_t k = 0; k < p_.features; ++k) dot = dot + gradient[k] * x.prepared[k];
    for (int64_t k = 0; k < p_.features; ++k)
      result_.rows_gradient[(b * p_.left.count + i) * p_.features + k] =
          asked(Metric::Row::pull_back(gradient[k], x.prepared[k], x.info, dot));
  }

  const Problem& p_;
  std::vector<Row> right_;  // of a batch
  ReferenceResult result_;
};

// Is compiled once for all tests, by csrc/tests/reference.cpp: that takes longer than any of them.
ReferenceResult reference(const Problem& problem);

SEMIDEEP_MATH_END
