// The kernels in double: every problem has one.
#include "cuda/launcher.h"
#include "cuda/wide_tasks.h"

namespace semideep::cuda {
namespace {

// One thread for each row and parameter.
__global__ void __launch_bounds__(kMergeThreads) store_logs(const Problem p, const Pass pass) {
  const int64_t at = int64_t{blockIdx.x} * kMergeThreads + threadIdx.x;
  if (at >= pass.units * kUnitRows * p.parameters) return;
  const PassRow row(pass, at / p.parameters);
  if (row.row >= p.left.count) return;
  const int64_t l = at % p.parameters;
  const LogSum* partial = static_cast<const LogSum*>(pass.partial);
  LogSum total = partial[row.first * p.parameters + l];
  for (int64_t span = 1; span < pass.spans; ++span)
    total.add(partial[(row.first + span * kUnitRows) * p.parameters + l]);
  const int64_t to = (row.batch * p.parameters + l) * p.left.count + row.row;
  static_cast<double*>(p.out)[to] = total.log() - ::log(p.divisor);
}

template <class S, class Metric>
void run_sum(const Launcher& launcher, Pass& pass) {
  const Problem& p = launcher.p;
  pass.width = p.parameters * p.columns;
  launcher.for_passes(pass, sizeof(S), kMostSpans, [&] {
    launcher.launch(wide_sum<S, Metric>, pass.units * pass.spans * sum_groups(pass.width),
                    kWideThreads, sizeof(typename WideTile<S, Metric>::Shared), p, pass);
    launcher.store_sums<S>(pass);
  });
}

template <class Metric>
void run_log_sum(const Launcher& launcher, Pass& pass) {
  const Problem& p = launcher.p;
  bool exists = false;
  visit(Kernels{}, p.kernel, [&]<class Kernel>() { exists = Kernel::has_log; });
  if (!exists)
    throw std::invalid_argument("no CUDA kernel for this task, metric and kernel function");
  pass.width = p.parameters;
  launcher.for_passes(pass, sizeof(LogSum), kMostSpans, [&] {
    launcher.launch(wide_log_sum<Metric>, pass.units * pass.spans * sum_groups(pass.width),
                    kWideThreads, sizeof(typename WideTile<double, Metric>::Shared), p, pass);
    launcher.launch(store_logs, ceil_divide(pass.units * kUnitRows * pass.width, kMergeThreads),
                    kMergeThreads, 0, p, pass);
  });
}

template <class S, class Metric>
void run_gradient(const Launcher& launcher, Pass& pass) {
  const Problem& p = launcher.p;
  pass.width = (p.rows_gradient ? p.features : 0) + p.parameters;
  if (p.left.count == 0)
    launcher.zero(p.parameter_gradient,
                  p.batches * p.parameters * static_cast<int64_t>(sizeof(double)));
  launcher.for_passes(pass, sizeof(S), kMostGradientSpans, [&] {
    launcher.launch(wide_gradient<S, Metric>, pass.units * pass.spans * pass.groups, kWideThreads,
                    sizeof(WideGradientShared<S, Metric>), p, pass);
    launcher.store_gradient<S, Metric>(pass);
  });
}

template <class S, class Metric>
void run(const Launcher& launcher) {
  Pass pass;
  pass.left_info = launcher.describe<S, Metric>(launcher.p.left);
  pass.right_info = launcher.describe<S, Metric>(launcher.p.right);
  if (launcher.p.task == Task::sum) {
    run_sum<S, Metric>(launcher, pass);
  } else if (launcher.p.task == Task::gradient) {
    run_gradient<S, Metric>(launcher, pass);
  } else {
    run_log_sum<Metric>(launcher, pass);
  }
}

}  // namespace

void run_wide(const Launcher& launcher) {
  visit(Metrics{}, launcher.p.metric, [&]<class Metric>() {
    launcher.p.tangent ? run<Dual<double>, Metric>(launcher) : run<double, Metric>(launcher);
  });
}

}  // namespace semideep::cuda
