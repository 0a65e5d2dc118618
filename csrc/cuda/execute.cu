// The fastest family of kernels that serves a problem.
#include "cuda/launcher.h"

namespace semideep::cuda {

void execute(const Problem& problem, cudaStream_t stream, const Allocate& allocate) {
  if (problem.batches == 0) return;
  const Launcher launcher(problem, stream, allocate);
  if (run_float_sum(launcher) || run_float_gradient(launcher) || run_count(launcher)) return;
  run_wide(launcher);
}

}  // namespace semideep::cuda
