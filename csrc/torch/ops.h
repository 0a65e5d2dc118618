// The ops, written once for every device. A Backend has
//
//   reads_halves              whether x and y may be float16 or bfloat16; all else is float32 then
//   one(Arguments&)           pointer to a 1 of the dtype of the results that the kernels can read
//   run(Arguments&, results)  answers the Problem, whose results these tensors hold, and divides by its divisor
//
// Shapes: x (B, N, D), y (B, M, D), u (B, L, N, C), v (B, L, M, C), parameter (B, L), shift_x (B, L, N),
// shift_y (B, L, M); see core/problem.h for what is computed. Broadcasting is done by the caller with
// expanded (stride-0) tensors, which are read as they are. An absent u or v is a column of 1/N or 1/M: sums
// are means.
#pragma once

#include <torch/csrc/stable/library.h>

#include <tuple>

#include "torch/arguments.h"

namespace semideep::binding {

template <class Backend>
struct Ops {
  static Tensor sum(Arguments& a, const OptionalTensor& v, const OptionalTensor& shift_x,
                    const OptionalTensor& shift_y) {
    Problem& p = a.p;
    a.columns(v);
    a.values("v", v, p.right, Backend::one);
    a.shift("shift_x", shift_x, p.left);
    a.shift("shift_y", shift_y, p.right);
    Tensor out = a.empty({p.batches, p.parameters, p.left.count, p.columns});
    p.out = out.mutable_data_ptr();
    Backend::run(a, {out});
    return out;
  }

  static std::tuple<Tensor, Tensor> gradient(Arguments& a, const OptionalTensor& u,
                                             const OptionalTensor& v, const OptionalTensor& shift_x,
                                             const OptionalTensor& shift_y, bool rows) {
    Problem& p = a.p;
    bool differentiable = false;
    visit(Metrics{}, p.metric, [&]<class Metric>() { differentiable = Metric::differentiable; });
    STD_TORCH_CHECK(!rows || differentiable,
                    "this metric has no gradient with respect to its rows: detach() them");
    a.columns(v);
    a.values("u", u, p.left, Backend::one);
    a.values("v", v, p.right, Backend::one);
    a.shift("shift_x", shift_x, p.left);
    a.shift("shift_y", shift_y, p.right);
    Tensor by_rows = a.empty({rows ? p.batches : 0, p.left.count, p.features});
    Tensor by_parameter = a.empty({p.batches, p.parameters}, ScalarType::Double);
    if (rows) p.rows_gradient = by_rows.mutable_data_ptr();
    p.parameter_gradient = static_cast<double*>(by_parameter.mutable_data_ptr());
    Backend::run(a, {by_rows, by_parameter});
    return {by_rows, by_parameter};
  }

  static Tensor kernel_matmul(const Tensor& x, const Tensor& y, OptionalTensor v,
                              const Tensor& parameter, OptionalTensor shift_x,
                              OptionalTensor shift_y, StringHandle metric, StringHandle kernel) {
    Arguments a(Backend::reads_halves, Task::sum, x, y, parameter, metric, kernel);
    return sum(a, v, shift_x, shift_y);
  }

  static Tensor kernel_matmul_tangent(const Tensor& x, const Tensor& y, OptionalTensor v,
                                      const Tensor& parameter, OptionalTensor shift_x,
                                      OptionalTensor shift_y, OptionalTensor dx, OptionalTensor dy,
                                      OptionalTensor dparameter, StringHandle metric,
                                      StringHandle kernel) {
    Arguments a(Backend::reads_halves, Task::sum, x, y, parameter, metric, kernel);
    a.tangents(dx, dy, dparameter);
    return sum(a, v, shift_x, shift_y);
  }

  static Tensor kernel_log_sum(const Tensor& x, const Tensor& y, OptionalTensor v,
                               const Tensor& parameter, StringHandle metric, StringHandle kernel) {
    Arguments a(Backend::reads_halves, Task::log_sum, x, y, parameter, metric, kernel);
    Problem& p = a.p;
    a.columns(v);
    a.values("v", v, p.right, Backend::one);
    STD_TORCH_CHECK(p.columns == 1, "v must have one column, got ", p.columns);
    Tensor out = a.empty({p.batches, p.parameters, p.left.count}, ScalarType::Double);
    p.out = out.mutable_data_ptr();
    Backend::run(a, {out});
    return out;
  }

  static std::tuple<Tensor, Tensor> kernel_matmul_gradient(
      const Tensor& x, const Tensor& y, OptionalTensor u, OptionalTensor v, const Tensor& parameter,
      OptionalTensor shift_x, OptionalTensor shift_y, StringHandle metric, StringHandle kernel,
      bool rows) {
    Arguments a(Backend::reads_halves, Task::gradient, x, y, parameter, metric, kernel);
    return gradient(a, u, v, shift_x, shift_y, rows);
  }

  static std::tuple<Tensor, Tensor> kernel_matmul_gradient_tangent(
      const Tensor& x, const Tensor& y, OptionalTensor u, OptionalTensor v, const Tensor& parameter,
      OptionalTensor shift_x, OptionalTensor shift_y, OptionalTensor dx, OptionalTensor dy,
      OptionalTensor dparameter, StringHandle metric, StringHandle kernel, bool rows) {
    Arguments a(Backend::reads_halves, Task::gradient, x, y, parameter, metric, kernel);
    a.tangents(dx, dy, dparameter);
    return gradient(a, u, v, shift_x, shift_y, rows);
  }

  static void implement(torch::stable::detail::StableLibrary& m) {
    m.impl("kernel_matmul", TORCH_BOX(&kernel_matmul));
    m.impl("kernel_matmul_tangent", TORCH_BOX(&kernel_matmul_tangent));
    m.impl("kernel_log_sum", TORCH_BOX(&kernel_log_sum));
    m.impl("kernel_matmul_gradient", TORCH_BOX(&kernel_matmul_gradient));
    m.impl("kernel_matmul_gradient_tangent", TORCH_BOX(&kernel_matmul_gradient_tangent));
  }
};

}  // namespace semideep::binding
