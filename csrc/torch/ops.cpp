// The schemas of the ops, and the ops on the CPU: torch's thread pool. No mathematics but the division of a mean.
#include "torch/ops.h"

#include <torch/csrc/stable/library.h>

#include <cmath>
#include <initializer_list>

#include "cpu/scheduler.h"

namespace semideep::binding {
namespace {

thread_local bool values_merged = false;

// At the end, not in the values: a mean of ones is exactly 1.
template <class T>
void divide(const Tensor& sums, T divisor) {
  T* data = static_cast<T*>(sums.mutable_data_ptr());
  const int64_t count = sums.numel();
  for (int64_t i = 0; i < count; ++i) data[i] /= divisor;
}

void divide_logs(const Tensor& logs, double divisor) {
  const double log_divisor = std::log(divisor);
  double* data = static_cast<double*>(logs.mutable_data_ptr());
  const int64_t count = logs.numel();
  for (int64_t i = 0; i < count; ++i) data[i] -= log_divisor;
}

struct Cpu {
  static constexpr bool reads_halves = false;

  static const void* one(Arguments& a) {
    static constexpr float one32 = 1;
    static constexpr double one64 = 1;
    if (a.p.dtype == DType::float32) return &one32;
    return &one64;
  }

  static void run(Arguments& a, std::initializer_list<Tensor> results) {
    values_merged = false;
    a.p.merged = &values_merged;
    cpu::execute(a.p, cpu::active_capability(), static_cast<int>(torch::stable::get_num_threads()),
                 [](int64_t count, int64_t grain, const cpu::RangeBody& body) {
                   torch::stable::parallel_for(0, count, grain, body);
                 });
    if (a.p.divisor == 1) return;
    for (const Tensor& result : results) {
      if (a.p.task == Task::log_sum) {
        divide_logs(result, a.p.divisor);
      } else if (result.scalar_type() == ScalarType::Float) {
        divide(result, static_cast<float>(a.p.divisor));
      } else {
        divide(result, a.p.divisor);
      }
    }
  }
};

}  // namespace
}  // namespace semideep::binding

// Whether the last op of this thread met values that its metric, one of sets, takes for 1. Not an op: it has no
// tensor for a mode or a transform to see, and costs less.
extern "C" __attribute__((visibility("default"))) bool semideep_values_merged() {
  return semideep::binding::values_merged;
}

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
  semideep::binding::Ops<semideep::binding::Cpu>::implement(m);
}
