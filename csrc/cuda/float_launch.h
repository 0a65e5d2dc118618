// What the launches of kernels on floats share: float32 rows, the exponential kernel, metrics that are functions of a
// sum of squares.
#pragma once

#include "cuda/float_product_facts.h"
#include "cuda/launcher.h"

namespace semideep::cuda {

template <class Metric>
FloatFacts find_facts(const Launcher& launcher, const Pass& pass) {
  const Problem& p = launcher.p;
  FloatFacts facts{};
  facts.features_padded = ceil_divide(p.features, kStepFeatures) * kStepFeatures;
  facts.center_stride = facts.features_padded + kCenterFacts;
  auto* center = launcher.allocate<float>(p.batches * facts.center_stride);
  facts.center = center;
  launcher.launch(find_center<Metric>, p.batches, kCenterThreads, sizeof(CenterShared), p, pass,
                  facts, center);
  const auto of_side = [&](const Side& side, const void* infos) {
    const int64_t rows = p.batches * side.count;
    auto* to = launcher.allocate<RowFacts>(std::max<int64_t>(rows, 1));
    if (rows > 0)
      launcher.launch(semideep::find_facts<Metric>, ceil_divide(rows, kMergeThreads / kWarp),
                      kMergeThreads, 0, p, side, infos, facts, to);
    return to;
  };
  facts.left = of_side(p.left, pass.left_info);
  facts.right = of_side(p.right, pass.right_info);
  return facts;
}

// Calls run<Metric, Sums>(pass), Sums being how many sums a kernel takes at a time; false if no such kernels serve.
template <class F>
bool visit_float_metric(const Launcher& launcher, F&& run) {
  const Problem& p = launcher.p;
  if (!launcher.suits_floats()) return false;
  bool ran = false;
  visit(Metrics{}, p.metric, [&]<class Metric>() {
    if constexpr (Metric::sum_of == SumOf::squares) {
      Pass pass;
      pass.left_info = launcher.describe<double, Metric>(p.left);
      pass.right_info = launcher.describe<double, Metric>(p.right);
      if (p.parameters * p.columns == 1) {
        run.template operator()<Metric, 1>(pass);
      } else {
        run.template operator()<Metric, 4>(pass);
      }
      ran = true;
    }
  });
  return ran;
}

}  // namespace semideep::cuda
