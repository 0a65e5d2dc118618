// The torch ops: schemas, argument checks, torch's thread pool. No mathematics but the division of a mean.
//
// Shapes: x (B, N, D), y (B, M, D), u (B, L, N, C), v (B, L, M, C), parameter (B, L), shift_x (B, L, N),
// shift_y (B, L, M); see core/problem.h for what is computed. Broadcasting is done by the caller with
// expanded (stride-0) tensors, which are read as they are. An absent u or v is a column of 1/N or 1/M: sums
// are means.
#include <torch/csrc/stable/c/shim.h>
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>
#include <torch/headeronly/util/shim_utils.h>

#include <cmath>
#include <initializer_list>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "core/registry.h"
#include "cpu/scheduler.h"

namespace {

using semideep::Problem;
using semideep::Side;
using semideep::Task;
using torch::headeronly::ScalarType;
using torch::stable::Tensor;
using OptionalTensor = std::optional<Tensor>;

// -1 stands for a size that may be anything.
template <class Sizes>
std::string shape_text(const Sizes& sizes) {
  std::string text;
  for (const int64_t size : sizes)
    text += (text.empty() ? "" : ", ") + (size < 0 ? std::string("any") : std::to_string(size));
  return "(" + text + ")";
}
std::string shape_text(const Tensor& tensor) { return shape_text(tensor.sizes()); }

// Names cross as handles, which this consumes: up to torch 2.13, unboxing a std::string leaks a copy of it
// (https://github.com/pytorch/pytorch/issues/191340).
std::string take(StringHandle handle) {
  size_t length = 0;
  const char* data = nullptr;
  TORCH_ERROR_CODE_CHECK(torch_string_length(handle, &length));
  TORCH_ERROR_CODE_CHECK(torch_string_c_str(handle, &data));
  std::string text(data, length);
  TORCH_ERROR_CODE_CHECK(torch_delete_string(handle));
  return text;
}

template <class List>
std::string names_text(List list) {
  std::string text;
  semideep::for_each(
      list, [&]<class Item>() { text += (text.empty() ? "" : ", ") + std::string(Item::name); });
  return text;
}

template <class List>
int position(List list, const char* what, const std::string& name) {
  const int found = semideep::position_of(list, name);
  STD_TORCH_CHECK(found >= 0, what, " '", name, "' is unknown: choose one of ", names_text(list));
  return found;
}

// The arguments of one op, checked, and the Problem that points into them.
class Arguments {
 public:
  Arguments(Task task, const Tensor& x, const Tensor& y, const Tensor& parameter,
            StringHandle metric, StringHandle kernel)
      : dtype_(x.scalar_type()) {
    const std::string metric_name = take(metric), kernel_name = take(kernel);
    STD_TORCH_CHECK(dtype_ == ScalarType::Float || dtype_ == ScalarType::Double,
                    "x must be float32 or float64: convert it first");
    STD_TORCH_CHECK(x.dim() == 3 && y.dim() == 3, "x must be (B, N, D) and y (B, M, D), got ",
                    shape_text(x), " and ", shape_text(y));
    p.task = task;
    p.metric = position(semideep::Metrics{}, "metric", metric_name);
    p.kernel = position(semideep::Kernels{}, "kernel", kernel_name);
    p.dtype = dtype_ == ScalarType::Float ? semideep::DType::float32 : semideep::DType::float64;
    p.batches = x.size(0);
    p.features = x.size(2);
    p.left.count = x.size(1);
    p.right.count = y.size(1);
    check("parameter", parameter, {p.batches, parameter.dim() == 2 ? parameter.size(1) : -1},
          ScalarType::Double);
    p.parameters = parameter.size(1);
    p.parameter = doubles(parameter);
    rows("x", x, p.left);
    rows("y", y, p.right);
  }

  // The values of both sides have as many columns as those of the right.
  void columns(const OptionalTensor& v) { p.columns = !v ? 1 : v->dim() == 4 ? v->size(3) : -1; }

  void values(const char* name, const OptionalTensor& tensor, Side& side) {
    if (!tensor) {
      STD_TORCH_CHECK(p.columns == 1, name, " may be absent where the other side has one column, ",
                      "not ", p.columns);
      side.values = one();  // for every row: the strides are 0
      divisor_ *= static_cast<double>(side.count);
      return;
    }
    check(name, *tensor, {p.batches, p.parameters, side.count, p.columns});
    const Tensor& kept = keep_last_contiguous(*tensor);
    side.values = kept.const_data_ptr();
    side.values_batch_stride = kept.stride(0);
    side.values_parameter_stride = kept.stride(1);
    side.values_row_stride = kept.stride(2);
  }

  void shift(const char* name, const OptionalTensor& tensor, Side& side) {
    if (!tensor) return;
    check(name, *tensor, {p.batches, p.parameters, side.count}, ScalarType::Double);
    side.shift = doubles(*tensor);
  }

  void tangents(const OptionalTensor& x, const OptionalTensor& y, const OptionalTensor& parameter) {
    p.tangent = true;
    if (x) check("dx", *x, {p.batches, p.left.count, p.features});
    if (y) check("dy", *y, {p.batches, p.right.count, p.features});
    if (parameter) check("dparameter", *parameter, {p.batches, p.parameters}, ScalarType::Double);
    if (x) p.left.tangents = contiguous(*x);
    if (y) p.right.tangents = contiguous(*y);
    if (parameter) p.parameter_tangent = doubles(*parameter);
  }

  Tensor result(std::initializer_list<int64_t> sizes) const { return result(sizes, dtype_); }
  Tensor result(std::initializer_list<int64_t> sizes, ScalarType dtype) const {
    return torch::stable::new_empty(kept_.front(), std::vector<int64_t>(sizes), dtype);
  }

  void run() const {
    semideep::cpu::execute(p, semideep::cpu::active_capability(),
                           static_cast<int>(torch::stable::get_num_threads()),
                           [](int64_t count, int64_t grain, const semideep::cpu::RangeBody& body) {
                             torch::stable::parallel_for(0, count, grain, body);
                           });
  }

  // At the end, not in the values: a mean of ones is exactly 1.
  void average(const Tensor& sums) const {
    if (divisor_ == 1) return;
    const auto divide = [&]<class T>(T divisor) {
      T* data = static_cast<T*>(sums.mutable_data_ptr());
      const int64_t count = sums.numel();
      for (int64_t i = 0; i < count; ++i) data[i] /= divisor;
    };
    if (sums.scalar_type() == ScalarType::Float) {
      divide(static_cast<float>(divisor_));
    } else {
      divide(divisor_);
    }
  }
  void average_logs(const Tensor& logs) const {
    const double log_divisor = std::log(divisor_);
    double* data = static_cast<double*>(logs.mutable_data_ptr());
    const int64_t count = logs.numel();
    for (int64_t i = 0; i < count; ++i) data[i] -= log_divisor;
  }

  Problem p;

 private:
  const void* one() const {
    static constexpr float one32 = 1;
    static constexpr double one64 = 1;
    if (dtype_ == ScalarType::Float) return &one32;
    return &one64;
  }

  void rows(const char* name, const Tensor& tensor, Side& side) {
    check(name, tensor, {p.batches, side.count, p.features});
    const Tensor& kept = keep_last_contiguous(tensor);
    side.rows = kept.const_data_ptr();
    side.rows_batch_stride = kept.stride(0);
    side.rows_row_stride = kept.stride(1);
  }

  void check(const char* name, const Tensor& tensor, std::initializer_list<int64_t> sizes) const {
    check(name, tensor, sizes, dtype_);
  }
  void check(const char* name, const Tensor& tensor, std::initializer_list<int64_t> sizes,
             ScalarType dtype) const {
    bool fits = tensor.dim() == static_cast<int64_t>(sizes.size());
    int64_t i = 0;
    for (const int64_t size : sizes) fits = fits && tensor.size(i++) == size;
    STD_TORCH_CHECK(fits, name, " must have shape ", shape_text(sizes), ", got ",
                    shape_text(tensor));
    STD_TORCH_CHECK(tensor.scalar_type() == dtype, name, " must be ",
                    torch::headeronly::toString(dtype), ", got ",
                    torch::headeronly::toString(tensor.scalar_type()), ": convert it first");
    STD_TORCH_CHECK(tensor.is_cpu(), name, " must be on the device of x: move it first");
  }

  // Kept tensors never move again: `kept_` is reserved for as many as an op has.
  const Tensor& keep(Tensor tensor) {
    kept_.push_back(std::move(tensor));
    return kept_.back();
  }
  const Tensor& keep_last_contiguous(const Tensor& tensor) {
    const int64_t last = tensor.dim() - 1;
    const bool as_is = tensor.size(last) <= 1 || tensor.stride(last) == 1;
    return keep(as_is ? tensor : torch::stable::contiguous(tensor));
  }
  const void* contiguous(const Tensor& tensor) {
    return keep(tensor.is_contiguous() ? tensor : torch::stable::contiguous(tensor))
        .const_data_ptr();
  }

  const double* doubles(const Tensor& tensor) {
    return static_cast<const double*>(contiguous(tensor));
  }

  ScalarType dtype_;
  double divisor_ = 1;
  std::vector<Tensor> kept_ = [] {
    std::vector<Tensor> kept;
    kept.reserve(10);
    return kept;
  }();
};

Tensor sum(Arguments& a, const OptionalTensor& v, const OptionalTensor& shift_x,
           const OptionalTensor& shift_y) {
  Problem& p = a.p;
  a.columns(v);
  a.values("v", v, p.right);
  a.shift("shift_x", shift_x, p.left);
  a.shift("shift_y", shift_y, p.right);
  Tensor out = a.result({p.batches, p.parameters, p.left.count, p.columns});
  p.out = out.mutable_data_ptr();
  a.run();
  a.average(out);
  return out;
}

std::tuple<Tensor, Tensor> gradient(Arguments& a, const OptionalTensor& u, const OptionalTensor& v,
                                    const OptionalTensor& shift_x, const OptionalTensor& shift_y,
                                    bool rows) {
  Problem& p = a.p;
  bool differentiable = false;
  semideep::visit(semideep::Metrics{}, p.metric,
                  [&]<class Metric>() { differentiable = Metric::differentiable; });
  STD_TORCH_CHECK(!rows || differentiable,
                  "this metric has no gradient with respect to its rows: detach() them");
  a.columns(v);
  a.values("u", u, p.left);
  a.values("v", v, p.right);
  a.shift("shift_x", shift_x, p.left);
  a.shift("shift_y", shift_y, p.right);
  Tensor by_rows = a.result({rows ? p.batches : 0, p.left.count, p.features});
  Tensor by_parameter = a.result({p.batches, p.parameters}, ScalarType::Double);
  if (rows) p.rows_gradient = by_rows.mutable_data_ptr();
  p.parameter_gradient = static_cast<double*>(by_parameter.mutable_data_ptr());
  a.run();
  a.average(by_rows);
  a.average(by_parameter);
  return {by_rows, by_parameter};
}

Tensor kernel_matmul(const Tensor& x, const Tensor& y, OptionalTensor v, const Tensor& parameter,
                     OptionalTensor shift_x, OptionalTensor shift_y, StringHandle metric,
                     StringHandle kernel) {
  Arguments a(Task::sum, x, y, parameter, metric, kernel);
  return sum(a, v, shift_x, shift_y);
}

Tensor kernel_matmul_tangent(const Tensor& x, const Tensor& y, OptionalTensor v,
                             const Tensor& parameter, OptionalTensor shift_x,
                             OptionalTensor shift_y, OptionalTensor dx, OptionalTensor dy,
                             OptionalTensor dparameter, StringHandle metric, StringHandle kernel) {
  Arguments a(Task::sum, x, y, parameter, metric, kernel);
  a.tangents(dx, dy, dparameter);
  return sum(a, v, shift_x, shift_y);
}

Tensor kernel_log_sum(const Tensor& x, const Tensor& y, OptionalTensor v, const Tensor& parameter,
                      StringHandle metric, StringHandle kernel) {
  Arguments a(Task::log_sum, x, y, parameter, metric, kernel);
  Problem& p = a.p;
  a.columns(v);
  a.values("v", v, p.right);
  STD_TORCH_CHECK(p.columns == 1, "v must have one column, got ", p.columns);
  Tensor out = a.result({p.batches, p.parameters, p.left.count}, ScalarType::Double);
  p.out = out.mutable_data_ptr();
  a.run();
  a.average_logs(out);
  return out;
}

std::tuple<Tensor, Tensor> kernel_matmul_gradient(const Tensor& x, const Tensor& y,
                                                  OptionalTensor u, OptionalTensor v,
                                                  const Tensor& parameter, OptionalTensor shift_x,
                                                  OptionalTensor shift_y, StringHandle metric,
                                                  StringHandle kernel, bool rows) {
  Arguments a(Task::gradient, x, y, parameter, metric, kernel);
  return gradient(a, u, v, shift_x, shift_y, rows);
}

std::tuple<Tensor, Tensor> kernel_matmul_gradient_tangent(
    const Tensor& x, const Tensor& y, OptionalTensor u, OptionalTensor v, const Tensor& parameter,
    OptionalTensor shift_x, OptionalTensor shift_y, OptionalTensor dx, OptionalTensor dy,
    OptionalTensor dparameter, StringHandle metric, StringHandle kernel, bool rows) {
  Arguments a(Task::gradient, x, y, parameter, metric, kernel);
  a.tangents(dx, dy, dparameter);
  return gradient(a, u, v, shift_x, shift_y, rows);
}

}  // namespace

STABLE_TORCH_LIBRARY(semideep_ext, m) {
  m.def(
      "kernel_matmul(Tensor x, Tensor y, Tensor? v, Tensor parameter, Tensor? shift_x, Tensor? "
      "shift_y, "
      "str metric, str kernel) -> Tensor");
  m.def(
      "kernel_matmul_tangent(Tensor x, Tensor y, Tensor? v, Tensor parameter, Tensor? shift_x, "
      "Tensor? shift_y, Tensor? dx, Tensor? dy, Tensor? dparameter, str metric, str kernel) -> "
      "Tensor");
  m.def(
      "kernel_log_sum(Tensor x, Tensor y, Tensor? v, Tensor parameter, str metric, str kernel) -> "
      "Tensor");
  m.def(
      "kernel_matmul_gradient(Tensor x, Tensor y, Tensor? u, Tensor? v, Tensor parameter, "
      "Tensor? shift_x, Tensor? shift_y, str metric, str kernel, bool rows) -> (Tensor, Tensor)");
  m.def(
      "kernel_matmul_gradient_tangent(Tensor x, Tensor y, Tensor? u, Tensor? v, Tensor parameter, "
      "Tensor? shift_x, Tensor? shift_y, Tensor? dx, Tensor? dy, Tensor? dparameter, str metric, "
      "str kernel, bool rows) -> (Tensor, Tensor)");
}

STABLE_TORCH_LIBRARY_IMPL(semideep_ext, CPU, m) {
  m.impl("kernel_matmul", TORCH_BOX(&kernel_matmul));
  m.impl("kernel_matmul_tangent", TORCH_BOX(&kernel_matmul_tangent));
  m.impl("kernel_log_sum", TORCH_BOX(&kernel_log_sum));
  m.impl("kernel_matmul_gradient", TORCH_BOX(&kernel_matmul_gradient));
  m.impl("kernel_matmul_gradient_tangent", TORCH_BOX(&kernel_matmul_gradient_tangent));
}
