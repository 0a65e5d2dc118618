// The kernels on bit planes: float32 rows, the exponential kernel, metrics that count features.
#include <cstdlib>

#include "cuda/count_sum.h"
#include "cuda/launcher.h"

namespace semideep::cuda {
namespace {

// From so many features on, products: by the rates in count_tile.h, up to here population counts hide behind the
// epilogue, beyond they bind.
constexpr int64_t kLeastProductFeatures = 129;

// Whether rows of one plane are counted by products. SEMIDEEP_CUDA_BITS=popcount or products, for benchmarks and
// tests, decides it instead.
bool by_products(int64_t features) {
  const char* asked = std::getenv("SEMIDEEP_CUDA_BITS");
  if (!asked || !*asked) return features >= kLeastProductFeatures;
  const std::string way = asked;
  if (way != "popcount" && way != "products")
    throw std::runtime_error("SEMIDEEP_CUDA_BITS='" + way +
                             "' is unknown: set it to popcount or products, or unset it");
  return way == "products";
}

const Planes* find_planes(const Launcher& launcher) {
  const Problem& p = launcher.p;
  constexpr int64_t kWarps = kMergeThreads / kWarp, kSharedBytes = kWarps * sizeof(Planes);
  const int64_t rows = p.batches * std::max(p.left.count, p.right.count);
  const int64_t blocks = std::min<int64_t>(kSurveyBlocks, ceil_divide(rows, kWarps));
  auto* parts = launcher.allocate<Planes>(blocks);
  launcher.launch(survey_values, blocks, kMergeThreads, kSharedBytes, p, parts);
  launcher.launch(merge_survey, 1, kMergeThreads, kSharedBytes, parts, static_cast<int>(blocks));
  return parts;
}

template <class Metric>
Packed pack(const Launcher& launcher) {
  const Problem& p = launcher.p;
  const bool one_plane = Metric::sum_of == SumOf::common;
  Packed packed{};
  packed.planes = one_plane ? nullptr : find_planes(launcher);
  packed.words = ceil_divide(p.features, 32);
  const auto pack_side = [&](const Side& side, const uint32_t*& words, const PackedRow*& facts) {
    const int64_t rows = p.batches * side.count;
    if (rows == 0) return;
    auto* to = launcher.allocate<uint32_t>(rows * packed.words * (one_plane ? 1 : kMostPlanes));
    auto* to_facts = launcher.allocate<PackedRow>(rows);
    launcher.launch(pack_rows<Metric>, ceil_divide(rows, kMergeThreads / kWarp), kMergeThreads, 0,
                    p, side, packed.planes, packed.words, to, to_facts);
    words = to;
    facts = to_facts;
  };
  pack_side(p.left, packed.left, packed.left_rows);
  pack_side(p.right, packed.right, packed.right_rows);
  return packed;
}

template <class Metric, int Sums, bool Products>
void run_sum(const Launcher& launcher, const Packed& packed) {
  const Problem& p = launcher.p;
  Pass pass;
  pass.width = p.parameters * p.columns;
  launcher.for_passes(pass, sizeof(double), kMostSpans, [&] {
    launcher.launch(count_sum<Metric, Sums, Products>,
                    pass.units * pass.spans * ceil_divide(pass.width, Sums), kCountThreads,
                    count_shared_bytes<Metric, Products>(), p, pass, packed);
    launcher.store_sums<double>(pass);
  });
}

template <class Metric, bool Products>
void run_sum(const Launcher& launcher, const Packed& packed) {
  if (launcher.p.parameters * launcher.p.columns == 1) {
    run_sum<Metric, 1, Products>(launcher, packed);
  } else {
    run_sum<Metric, 4, Products>(launcher, packed);
  }
}

}  // namespace

bool run_count(const Launcher& launcher) {
  const Problem& p = launcher.p;
  // Counts are whole floats, and 128 times them are integers.
  if (!launcher.suits_floats() || p.task != Task::sum || p.features >= 1 << 24) return false;
  bool ran = false;
  visit(Metrics{}, p.metric, [&]<class Metric>() {
    if constexpr (kCountsFeatures<Metric>) {
      const Packed packed = pack<Metric>(launcher);
      if (by_products(p.features)) {
        run_sum<Metric, true>(launcher, packed);
      } else {
        run_sum<Metric, false>(launcher, packed);
      }
      ran = true;
    }
  });
  return ran;
}

}  // namespace semideep::cuda
