// The arguments of an op, checked, and the Problem that points into them: the same on every device.
#pragma once

#include <torch/csrc/stable/c/shim.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>
#include <torch/headeronly/util/shim_utils.h>

#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

#include "core/problem.h"
#include "core/registry.h"

namespace semideep::binding {

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
inline std::string shape_text(const Tensor& tensor) { return shape_text(tensor.sizes()); }

inline std::string device_text(const Tensor& tensor) {
  if (tensor.is_cpu()) return "cpu";
  if (tensor.is_cuda()) return "cuda:" + std::to_string(tensor.get_device_index());
  return "another kind of device";
}

// Names cross as handles, which this consumes: up to torch 2.13, unboxing a std::string leaks a copy of it
// (https://github.com/pytorch/pytorch/issues/191340).
inline std::string take(StringHandle handle) {
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
  for_each(list,
           [&]<class Item>() { text += (text.empty() ? "" : ", ") + std::string(Item::name); });
  return text;
}

template <class List>
int position(List list, const char* what, const std::string& name) {
  const int found = position_of(list, name);
  STD_TORCH_CHECK(found >= 0, what, " '", name, "' is unknown: choose one of ", names_text(list));
  return found;
}

class Arguments {
 public:
  Arguments(bool reads_halves, Task task, const Tensor& x, const Tensor& y, const Tensor& parameter,
            StringHandle metric, StringHandle kernel)
      : x(x), rows_dtype_(x.scalar_type()), half_(half_of(rows_dtype_)) {
    const std::string metric_name = take(metric), kernel_name = take(kernel);
    dtype_ = half_ == Half::none ? rows_dtype_ : ScalarType::Float;
    STD_TORCH_CHECK(dtype_ == ScalarType::Double ||
                        (dtype_ == ScalarType::Float && (half_ == Half::none || reads_halves)),
                    "x must be float32 or float64", reads_halves ? ", float16 or bfloat16" : "",
                    ", got ", torch::headeronly::toString(rows_dtype_), ": convert it first");
    STD_TORCH_CHECK(x.dim() == 3 && y.dim() == 3, "x must be (B, N, D) and y (B, M, D), got ",
                    shape_text(x), " and ", shape_text(y));
    p.task = task;
    p.metric = position(Metrics{}, "metric", metric_name);
    p.kernel = position(Kernels{}, "kernel", kernel_name);
    p.dtype = dtype_ == ScalarType::Float ? DType::float32 : DType::float64;
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

  // Absent values are 1 / count. `one` makes a 1 that the kernels can read.
  template <class One>
  void values(const char* name, const OptionalTensor& tensor, Side& side, const One& one) {
    if (!tensor) {
      STD_TORCH_CHECK(p.columns == 1, name, " may be absent where the other side has one column, ",
                      "not ", p.columns);
      if (!one_) one_ = one(*this);
      side.values = one_;  // for every row: the strides are 0
      p.divisor *= static_cast<double>(side.count);
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

  void tangents(const OptionalTensor& dx, const OptionalTensor& dy,
                const OptionalTensor& dparameter) {
    p.tangent = true;
    if (dx) check("dx", *dx, {p.batches, p.left.count, p.features});
    if (dy) check("dy", *dy, {p.batches, p.right.count, p.features});
    if (dparameter) check("dparameter", *dparameter, {p.batches, p.parameters}, ScalarType::Double);
    if (dx) p.left.tangents = contiguous(*dx);
    if (dy) p.right.tangents = contiguous(*dy);
    if (dparameter) p.parameter_tangent = doubles(*dparameter);
  }

  // An uninitialised tensor on the device of x.
  Tensor empty(std::initializer_list<int64_t> sizes) const { return empty(sizes, dtype_); }
  Tensor empty(std::initializer_list<int64_t> sizes, ScalarType dtype) const {
    return torch::stable::new_empty(x, std::vector<int64_t>(sizes), dtype);
  }

  // What is kept stays where it is, as long as the arguments: `kept_` is reserved for as many as an op has.
  const Tensor& keep(Tensor tensor) {
    kept_.push_back(std::move(tensor));
    return kept_.back();
  }

  const Tensor& x;
  Problem p;

 private:
  static Half half_of(ScalarType dtype) {
    return dtype == ScalarType::Half       ? Half::float16
           : dtype == ScalarType::BFloat16 ? Half::bfloat16
                                           : Half::none;
  }

  void rows(const char* name, const Tensor& tensor, Side& side) {
    check(name, tensor, {p.batches, side.count, p.features}, rows_dtype_);
    side.half = half_;
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
    STD_TORCH_CHECK(tensor.device() == x.device(), name, " must be on the device of x, ",
                    device_text(x), ", got ", device_text(tensor), ": move it first");
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

  const ScalarType rows_dtype_;
  const Half half_;
  ScalarType dtype_;  // of all else
  const void* one_ = nullptr;
  std::vector<Tensor> kept_ = [] {
    std::vector<Tensor> kept;
    kept.reserve(11);
    return kept;
  }();
};

}  // namespace semideep::binding
