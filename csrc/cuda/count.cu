// The kernels on bit planes: float32 rows, the exponential kernel, metrics that count features.
#include "cuda/count_sum.h"
#include "cuda/launcher.h"

namespace semideep::cuda {
namespace {

// Surveys the values of both sides; each block leaves its part.
__global__ void __launch_bounds__(kMergeThreads) survey(const Problem p, Planes* parts) {
  Planes found{0, 0};
  uint32_t any = 0;
  const uint32_t origin = p.left.count > 0 ? float_bits(float_at(p.left, 0, 0, 0)) : 0u;
  const auto see = [&](const Side& side) {
    const int64_t values = p.batches * side.count * p.features;
    for (int64_t i = int64_t{blockIdx.x} * kMergeThreads + threadIdx.x; i < values;
         i += int64_t{gridDim.x} * kMergeThreads) {
      const int64_t row = i / p.features;
      const float value = float_at(side, row / side.count, row % side.count, i % p.features);
      any |= float_bits(value) ^ origin;
      found.whole |= whole_code(value);
    }
  };
  see(p.left);
  see(p.right);
  found.varying = any;
  for (int step = kWarp / 2; step > 0; step /= 2) {
    found.whole |= __shfl_xor_sync(0xffffffffu, found.whole, step);
    found.varying |= __shfl_xor_sync(0xffffffffu, found.varying, step);
  }
  Planes* warps = shared_memory<Planes>();
  warps[threadIdx.x / kWarp] = found;
  __syncthreads();
  if (threadIdx.x > 0) return;
  for (int w = 1; w < kMergeThreads / kWarp; ++w) {
    found.whole |= warps[w].whole;
    found.varying |= warps[w].varying;
  }
  parts[blockIdx.x] = found;
}

// Folds all parts into the first.
__global__ void merge_survey(Planes* parts, int count) {
  Planes found = parts[0];
  for (int i = 1; i < count; ++i) {
    found.whole |= parts[i].whole;
    found.varying |= parts[i].varying;
  }
  parts[0] = found;
}

const Planes* find_planes(const Launcher& launcher) {
  const Problem& p = launcher.p;
  const int64_t values = p.batches * (p.left.count + p.right.count) * p.features;
  const int64_t blocks = std::min<int64_t>(kSurveyBlocks, ceil_divide(values, 16 * kMergeThreads));
  auto* parts = launcher.allocate<Planes>(blocks);
  launcher.launch(survey, blocks, kMergeThreads,
                  kMergeThreads / kWarp * static_cast<int64_t>(sizeof(Planes)), p, parts);
  launcher.launch(merge_survey, 1, 1, 0, parts, static_cast<int>(blocks));
  return parts;
}

template <class Metric>
Packed pack(const Launcher& launcher) {
  const Problem& p = launcher.p;
  const bool one_plane = Metric::counts == Counts::both;
  Packed packed{};
  packed.planes = one_plane ? nullptr : find_planes(launcher);
  packed.words = ceil_divide(p.features, 32);
  const auto pack_side = [&](const Side& side, const uint32_t*& words, const float*& stats) {
    const int64_t rows = p.batches * side.count;
    if (rows == 0) return;
    auto* to = launcher.allocate<uint32_t>(rows * packed.words * (one_plane ? 1 : kMostPlanes));
    auto* to_stats = launcher.allocate<float>(rows);
    launcher.launch(pack_rows<Metric>, ceil_divide(rows, kMergeThreads / kWarp), kMergeThreads, 0,
                    p, side, packed.planes, packed.words, to, to_stats);
    words = to;
    stats = to_stats;
  };
  pack_side(p.left, packed.left, packed.left_stats);
  pack_side(p.right, packed.right, packed.right_stats);
  return packed;
}

template <class Metric, int Sums>
void run_sum(const Launcher& launcher, const Packed& packed) {
  const Problem& p = launcher.p;
  Pass pass;
  pass.width = p.parameters * p.columns;
  launcher.for_passes(pass, sizeof(double), kMostSpans, [&] {
    launcher.launch(count_sum<Metric, Sums>,
                    pass.units * pass.spans * ceil_divide(pass.width, Sums), kCountThreads,
                    sizeof(CountShared), p, pass, packed);
    launcher.store_sums<double>(pass);
  });
}

}  // namespace

bool run_count(const Launcher& launcher) {
  const Problem& p = launcher.p;
  // Counts are whole floats.
  if (!launcher.suits_floats() || p.task != Task::sum || p.features >= 1 << 24) return false;
  bool ran = false;
  visit(Metrics{}, p.metric, [&]<class Metric>() {
    if constexpr (Metric::counts != Counts::none) {
      const Packed packed = pack<Metric>(launcher);
      if (p.parameters * p.columns == 1) {
        run_sum<Metric, 1>(launcher, packed);
      } else {
        run_sum<Metric, 4>(launcher, packed);
      }
      ran = true;
    }
  });
  return ran;
}

}  // namespace semideep::cuda
