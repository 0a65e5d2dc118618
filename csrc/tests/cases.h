// Random problems that own their data.
#pragma once

#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "backend.h"
#include "core/problem.h"
#include "core/registry.h"

namespace cases {

using semideep::DType;
using semideep::Problem;
using semideep::Side;
using semideep::Task;

// What a sample of cases has of each.
inline int kind_of(Task task, int metric, DType dtype) {
  return (metric * 2 + static_cast<int>(dtype)) * 3 + static_cast<int>(task);
}

struct Shape {
  int64_t batches = 1, n = 1, m = 1, features = 1, parameters = 1, columns = 1;
};

// A problem with random data; rows are padded, so that strides differ from widths.
class Case {
 public:
  Case(Task task, int metric, int kernel, DType dtype, bool tangent, bool shifted, Shape s,
       unsigned seed)
      : random_(seed) {
    p.task = task;
    p.metric = metric;
    p.kernel = kernel;
    p.dtype = dtype;
    p.tangent = tangent;
    p.batches = s.batches;
    p.features = s.features;
    p.parameters = s.parameters;
    p.columns = s.columns;
    fill_side(p.left, s.n, shifted);
    fill_side(p.right, s.m, shifted);
    p.parameter = doubles(s.batches * s.parameters, 0.2, 1.5);
    if (tangent) p.parameter_tangent = doubles(s.batches * s.parameters, -1, 1);
  }

  struct Result {
    std::vector<double> out, rows_gradient, parameter_gradient;
  };
  Result run(int order) {
    const int64_t out_size =
        p.batches * p.parameters * p.left.count * (p.task == Task::sum ? p.columns : 1);
    const bool out_double = p.dtype == DType::float64 || p.task == Task::log_sum;
    std::vector<unsigned char> out(out_size * (out_double ? 8 : 4));
    std::vector<unsigned char> rows(p.batches * p.left.count * p.features * element_bytes());
    Result result;
    result.parameter_gradient.resize(p.batches * p.parameters);
    p.out = out.data();
    p.rows_gradient = wants_rows() ? rows.data() : nullptr;
    p.parameter_gradient = result.parameter_gradient.data();
    backend::execute(p, order);
    if (p.task == Task::gradient) {
      if (wants_rows()) result.rows_gradient = widen(rows, p.dtype);
    } else {
      result.out = widen(out, out_double ? DType::float64 : DType::float32);
    }
    return result;
  }

  bool wants_rows() const {
    bool differentiable = false;
    semideep::visit(semideep::Metrics{}, p.metric,
                    [&]<class Metric>() { differentiable = Metric::differentiable; });
    return p.task == Task::gradient && differentiable;
  }

  // The same problem with the magnitudes of all values: its parameter gradient is the sum of the magnitudes that
  // the problem's own gradient sums, with their signs.
  Problem magnitudes() {
    Problem result = p;
    for (Side* side : {&result.left, &result.right}) {
      int64_t at = 0;
      const void* given = side->values;
      side->values = elements(p.batches * side->values_batch_stride, [&] {
        const int64_t i = at++;
        return std::abs(p.dtype == DType::float32 ? static_cast<const float*>(given)[i]
                                                  : static_cast<const double*>(given)[i]);
      });
    }
    return result;
  }

  Problem p;

 private:
  int64_t element_bytes() const { return p.dtype == DType::float32 ? 4 : 8; }

  std::vector<double> widen(const std::vector<unsigned char>& raw, DType dtype) const {
    std::vector<double> wide(raw.size() / (dtype == DType::float32 ? 4 : 8));
    for (size_t i = 0; i < wide.size(); ++i)
      wide[i] = dtype == DType::float32 ? reinterpret_cast<const float*>(raw.data())[i]
                                        : reinterpret_cast<const double*>(raw.data())[i];
    return wide;
  }

  double uniform(double low, double high) {
    return std::uniform_real_distribution<double>(low, high)(random_);
  }
  const double* doubles(int64_t count, double low, double high) {
    auto& kept = owned_doubles_.emplace_back(new std::vector<double>(count));
    for (double& value : *kept) value = uniform(low, high);
    return kept->data();
  }
  template <class Draw>
  const void* elements(int64_t count, Draw&& draw) {
    auto& kept = owned_elements_.emplace_back(
        new std::vector<unsigned char>((count > 0 ? count : 1) * element_bytes()));
    for (int64_t i = 0; i < count; ++i) {
      const double value = draw();
      if (p.dtype == DType::float32) {
        reinterpret_cast<float*>(kept->data())[i] = static_cast<float>(value);
      } else {
        reinterpret_cast<double*>(kept->data())[i] = value;
      }
    }
    return kept->data();
  }

  void fill_side(Side& side, int64_t count, bool shifted) {
    side.count = count;
    side.rows_row_stride = p.features + 3;
    side.rows_batch_stride = count * side.rows_row_stride + 5;
    // Half of the values repeat few levels, zero among them, so that every metric finds agreement; the
    // scale keeps distances near 1, where the kernels are neither 0 nor 1.
    const double scale = 1.0 / std::sqrt(static_cast<double>(p.features > 0 ? p.features : 1));
    side.rows = elements(p.batches * side.rows_batch_stride, [&] {
      const double value = uniform(-2, 2);
      return scale * (uniform(0, 1) < 0.5 ? std::round(value) : value);
    });
    if (p.tangent)
      side.tangents = elements(p.batches * count * p.features, [&] { return uniform(-1, 1); });
    side.values_row_stride = p.columns + 1;
    side.values_parameter_stride = count * side.values_row_stride;
    side.values_batch_stride = p.parameters * side.values_parameter_stride;
    side.values = elements(p.batches * side.values_batch_stride, [&] {
      return p.task == Task::log_sum ? uniform(0, 1) : uniform(-1, 1);
    });
    if (shifted) side.shift = doubles(p.batches * p.parameters * count, -1, 1);
  }

  std::mt19937_64 random_;
  std::vector<std::unique_ptr<std::vector<double>>> owned_doubles_;
  std::vector<std::unique_ptr<std::vector<unsigned char>>> owned_elements_;
};

}  // namespace cases
