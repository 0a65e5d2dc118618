// How kernels are launched: passes that fit scratch memory, and CUDA's errors as exceptions.
#pragma once

#include <algorithm>
#include <stdexcept>
#include <string>

#include "cuda/backend.h"
#include "cuda/merge.h"

namespace semideep::cuda {

// Partial results at any one time, of the 16 MiB that a call may take besides what it is given and returns. Only
// where not even one place fits (64 doubles for each of more than 24000 features) it takes more.
constexpr int64_t kPartialBytes = int64_t{12} << 20;
// So many blocks keep the device busy. With many features fewer places fit, and up to kMostGroups blocks share one:
// each finds the distances anew, on tensor cores for less than what the gradients take, so that more do not pay.
constexpr int64_t kLeastBlocks = 128, kMostGroups = 4, kGroupMultiple = 16;
// A span is long enough to be worth its merging, and a multiple of every kernel's tile.
constexpr int64_t kLeastSpanColumns = 1024, kSpanMultiple = 128;
constexpr int64_t kMostSpans = 256, kMostGradientSpans = 8;
constexpr int64_t kMostBlocks = int64_t{1} << 30;  // of a launch

inline int64_t ceil_divide(int64_t a, int64_t b) { return (a + b - 1) / b; }

class Launcher {
 public:
  Launcher(const Problem& problem, cudaStream_t stream, const Allocate& allocate)
      : p(problem), stream_(stream), allocate_(allocate) {}

  const Problem& p;

  template <class... Parameters, class... Arguments>
  void launch(void (*kernel)(Parameters...), int64_t blocks, int threads, int64_t shared_bytes,
              const Arguments&... arguments) const {
    check(cuda::launch(kernel, dim3(static_cast<unsigned>(blocks)), threads,
                       static_cast<int>(shared_bytes), stream_, arguments...));
  }
  void zero(void* memory, int64_t bytes) const {
    check(cudaMemsetAsync(memory, 0, static_cast<size_t>(bytes), stream_));
  }
  template <class T>
  T* allocate(int64_t count) const {
    return static_cast<T*>(allocate_(count * static_cast<int64_t>(sizeof(T))));
  }

  template <class S, class Metric>
  const void* describe(const Side& side) const {
    if constexpr (Metric::Row::has_info) {
      const int64_t rows = described_batches(p, side) * side.count;
      if (rows == 0) return nullptr;
      auto* infos = allocate<RowInfo<S>>(rows);
      launch(describe_rows<S, Metric>, ceil_divide(rows, kMergeThreads / kWarp), kMergeThreads, 0,
             p, side, infos);
      return infos;
    } else {
      return nullptr;
    }
  }

  // Whether kernels on float32 may serve: those know the exponential kernel without shifts or tangents.
  bool suits_floats() const {
    bool exponential = false;
    visit(Kernels{}, p.kernel, [&]<class Kernel>() { exponential = Kernel::exponential; });
    return p.dtype == DType::float32 && exponential && !p.tangent && !p.left.shift &&
           !p.right.shift && p.features > 0 && p.right.count > 0;
  }

  // Calls f for one pass after the other; all use the same scratch memory.
  template <class F>
  void for_passes(Pass& pass, int64_t scalar_bytes, int64_t most_spans, F&& f) const {
    pass.batch_units = ceil_divide(p.left.count, kUnitRows);
    const int64_t units = p.batches * pass.batch_units;
    if (units == 0 || pass.width == 0) return;

    const int64_t columns = p.right.count, place_bytes = kUnitRows * pass.width * scalar_bytes;
    most_spans = std::clamp<int64_t>(kPartialBytes / place_bytes, 1, most_spans);
    const int64_t even = ceil_divide(ceil_divide(columns, most_spans), kSpanMultiple);
    pass.span_columns = std::max(kLeastSpanColumns, even * kSpanMultiple);
    pass.spans = std::max<int64_t>(1, ceil_divide(columns, pass.span_columns));

    const int64_t unit_bytes = pass.spans * place_bytes;
    const int64_t fitting = std::max<int64_t>(1, kPartialBytes / unit_bytes);
    const int64_t launchable = std::max<int64_t>(1, kMostBlocks / (pass.spans * pass.width));
    const int64_t most = std::min({fitting, launchable, units});
    if (p.rows_gradient) group_features(pass, ceil_divide(kLeastBlocks, most * pass.spans));
    pass.partial = allocate<char>(most * unit_bytes);
    for (pass.unit_begin = 0; pass.unit_begin < units; pass.unit_begin += most) {
      pass.units = std::min(most, units - pass.unit_begin);
      f();
    }
  }

  // From a pass's partial sums to results.
  template <class S>
  void store_sums(const Pass& pass) const {
    launch(semideep::store_sums<S>, ceil_divide(pass.units * kUnitRows * pass.width, kMergeThreads),
           kMergeThreads, 0, p, pass);
  }
  template <class S, class Metric>
  void store_gradient(const Pass& pass) const {
    launch(store_rows_gradient<S, Metric>, pass.units * kUnitRows / (kMergeThreads / kWarp),
           kMergeThreads, 0, p, pass);
    const int64_t first = pass.unit_begin / pass.batch_units;
    const int64_t last = (pass.unit_begin + pass.units - 1) / pass.batch_units;
    launch(store_parameter_gradient<S>, (last - first + 1) * p.parameters, kMergeThreads,
           kMergeThreads * static_cast<int64_t>(sizeof(S)), p, pass);
  }

 private:
  void group_features(Pass& pass, int64_t groups) const {
    const int64_t steps = ceil_divide(p.features, kGroupMultiple);
    groups = std::min({groups, kMostGroups, steps});
    if (groups == 0) return;  // no features
    pass.group_features = ceil_divide(steps, groups) * kGroupMultiple;
    pass.groups = ceil_divide(p.features, pass.group_features);
  }

  static void check(cudaError_t error) {
    if (error != cudaSuccess)
      throw std::runtime_error(std::string("CUDA refused a launch: ") + cudaGetErrorString(error));
  }

  const cudaStream_t stream_;
  const Allocate& allocate_;
};

// One family of kernels each. A family that may not suit a problem says so by returning false.
void run_wide(const Launcher&);
bool run_float_sum(const Launcher&);
bool run_float_gradient(const Launcher&);
bool run_count(const Launcher&);

}  // namespace semideep::cuda
