// Compiled once per instruction set, with SEMIDEEP_ISA naming the namespace (see core/portable.h). No
// standard-library template may be used here or in what this file includes: the linker could pick the copy
// compiled for a newer instruction set for code that must run on an older machine.
#include "cpu/gradient_task.h"
#include "cpu/log_sum_task.h"
#include "cpu/sum_task.h"

SEMIDEEP_MATH_BEGIN
namespace {

template <class V, class Metric>
void describe(const Problem& p, const Side& side, int64_t batch, int64_t begin, int64_t end,
              void* infos) {
  using S = Lane<V>;
  with_element_type(p.dtype, [&](auto* type) {
    using T = std::remove_cv_t<std::remove_pointer_t<decltype(type)>>;
    for (int64_t at = begin; at < end; ++at)
      static_cast<RowInfo<S>*>(infos)[at] =
          Metric::Row::template describe<S>(RowReader<S, T>(p, side, batch, at), p.features);
  });
}

template <class S>
void add_parameters(const Problem& p, int64_t batch, int64_t blocks, const void* by_parameter) {
  for (int64_t l = 0; l < p.parameters; ++l) {
    S sum(0.0);
    for (int64_t block = 0; block < blocks; ++block)
      sum = sum + static_cast<const S*>(by_parameter)[block * p.parameters + l];
    p.parameter_gradient[batch * p.parameters + l] = result_of(sum);
  }
}

template <class T, class V, class Metric>
BlockKernel block_kernel() {
  using S = typename T::S;
  using Workspace = typename T::Workspace;
  BlockKernel kernel;
  kernel.scalar_bytes = sizeof(S);
  kernel.info_bytes = Metric::Row::has_info ? sizeof(RowInfo<Lane<V>>) : 0;
  kernel.workspace_bytes = sizeof(Workspace);
  kernel.width = &T::width;
  kernel.describe = &describe<V, Metric>;
  kernel.run = [](const Problem& p, const Block& block, void* workspace, void* partial) {
    T::run(p, block, *static_cast<Workspace*>(workspace), static_cast<S*>(partial));
  };
  kernel.merge = [](int64_t scalars, void* total, const void* part) {
    T::merge(scalars, static_cast<S*>(total), static_cast<const S*>(part));
  };
  kernel.store = [](const Problem& p, const Block& block, const void* total, void* by_parameter) {
    T::store(p, block, static_cast<const S*>(total), static_cast<S*>(by_parameter));
  };
  kernel.add_parameters = &add_parameters<S>;
  return kernel;
}

template <class V, class Metric, class Kernel>
bool find_task(const Problem& p, BlockKernel* found) {
  if (p.task == Task::sum) {
    *found = block_kernel<SumTask<V, Metric, Kernel>, V, Metric>();
  } else if (p.task == Task::gradient) {
    *found = block_kernel<GradientTask<V, Metric, Kernel>, V, Metric>();
  } else {
    // The gradient of log_sum is a gradient with shift; along tangents nobody asks for log_sum itself.
    constexpr bool exists = Kernel::has_log && sizeof(V) == sizeof(Vec);
    if constexpr (exists) *found = block_kernel<LogSumTask<V, Metric, Kernel>, V, Metric>();
    return exists;
  }
  return true;
}

}  // namespace

// False if the lists have no such metric or kernel, or the kernel has no such task.
bool find_block_kernel(const Problem& p, BlockKernel* found) {
  bool exists = false;
  visit(Metrics{}, p.metric, [&]<class Metric>() {
    visit(Kernels{}, p.kernel, [&]<class Kernel>() {
      exists = p.tangent ? find_task<Dual<Vec>, Metric, Kernel>(p, found)
                         : find_task<Vec, Metric, Kernel>(p, found);
    });
  });
  return exists;
}
SEMIDEEP_MATH_END
