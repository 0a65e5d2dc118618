// The kernels on floats: float32 rows, the exponential kernel, metrics that are functions of a sum of squares.
#include "cuda/float_direct.h"
#include "cuda/float_direct_gradient.h"
#include "cuda/float_product_gradient.h"
#include "cuda/float_product_sum.h"
#include "cuda/launcher.h"

namespace semideep::cuda {
namespace {

template <class Metric, int D, int Sums>
void run_direct_sum(const Launcher& launcher, Pass& pass) {
  const Problem& p = launcher.p;
  pass.width = p.parameters * p.columns;
  launcher.for_passes(pass, sizeof(double), kMostSpans, [&] {
    launcher.launch(float_direct_sum<Metric, D, Sums>,
                    pass.units * pass.spans * ceil_divide(pass.width, Sums), kDirectThreads,
                    direct_shared_bytes<D, Sums>(), p, pass);
    launcher.store_sums<double>(pass);
  });
}

template <class Metric, int Sums>
void run_direct_sum(const Launcher& launcher, Pass& pass) {
  switch (launcher.p.features) {
    case 1:
    case 2:
      return run_direct_sum<Metric, 2, Sums>(launcher, pass);
    case 3:
      return run_direct_sum<Metric, 3, Sums>(launcher, pass);
    case 4:
      return run_direct_sum<Metric, 4, Sums>(launcher, pass);
    default:
      break;
  }
  if (launcher.p.features <= 8) return run_direct_sum<Metric, 8, Sums>(launcher, pass);
  run_direct_sum<Metric, 16, Sums>(launcher, pass);
}

template <class Metric>
FloatFacts find_facts(const Launcher& launcher, const Pass& pass) {
  const Problem& p = launcher.p;
  FloatFacts facts{};
  facts.features_padded = ceil_divide(p.features, kStepFeatures) * kStepFeatures;
  facts.center_stride = facts.features_padded + 4;
  auto* center = launcher.allocate<float>(p.batches * facts.center_stride);
  facts.center = center;
  launcher.launch(find_center<Metric>, p.batches, kMergeThreads,
                  2 * kMergeThreads * static_cast<int64_t>(sizeof(double)), p, pass, facts, center);
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

template <class Metric, int Sums>
void run_product_sum(const Launcher& launcher, Pass& pass) {
  const Problem& p = launcher.p;
  const FloatFacts facts = find_facts<Metric>(launcher, pass);
  pass.width = p.parameters * p.columns;
  launcher.for_passes(pass, sizeof(double), kMostSpans, [&] {
    launcher.launch(float_product_sum<Metric, Sums>,
                    pass.units * pass.spans * ceil_divide(pass.width, Sums), kProductThreads,
                    sizeof(ProductSumShared), p, pass, facts);
    launcher.store_sums<double>(pass);
  });
}

template <class Metric, int Sums>
void run_sum(const Launcher& launcher, Pass& pass) {
  if (launcher.p.features <= kMostDirectFeatures) {
    run_direct_sum<Metric, Sums>(launcher, pass);
  } else {
    run_product_sum<Metric, Sums>(launcher, pass);
  }
}

template <class Metric, int D, int Sums>
void run_direct_gradient(const Launcher& launcher, Pass& pass) {
  const Problem& p = launcher.p;
  pass.width = (p.rows_gradient ? p.features : 0) + p.parameters;
  launcher.for_passes(pass, sizeof(double), kMostGradientSpans, [&] {
    launcher.launch(float_direct_gradient<Metric, D, Sums>, pass.units * pass.spans, kDirectThreads,
                    direct_shared_bytes<D, Sums>(), p, pass);
    launcher.store_gradient<double, Metric>(pass);
  });
}

template <class Metric, int Sums>
void run_direct_gradient(const Launcher& launcher, Pass& pass) {
  if (launcher.p.features <= 4) return run_direct_gradient<Metric, 4, Sums>(launcher, pass);
  if (launcher.p.features <= 8) return run_direct_gradient<Metric, 8, Sums>(launcher, pass);
  run_direct_gradient<Metric, 16, Sums>(launcher, pass);
}

template <class Metric, int Sums>
void run_product_gradient(const Launcher& launcher, Pass& pass) {
  const Problem& p = launcher.p;
  const FloatFacts facts = find_facts<Metric>(launcher, pass);
  pass.width = (p.rows_gradient ? p.features : 0) + p.parameters;
  launcher.for_passes(pass, sizeof(double), kMostGradientSpans, [&] {
    launcher.launch(float_product_gradient<Metric, Sums>, pass.units * pass.spans * pass.groups,
                    kProductThreads, sizeof(ProductGradientShared), p, pass, facts);
    launcher.store_gradient<double, Metric>(pass);
  });
}

template <class Metric, int Sums>
void run_gradient(const Launcher& launcher, Pass& pass) {
  if (launcher.p.features <= kMostDirectFeatures) {
    run_direct_gradient<Metric, Sums>(launcher, pass);
  } else {
    run_product_gradient<Metric, Sums>(launcher, pass);
  }
}

bool suits_gradient(const Problem& p) {
  return p.left.count > 0 && p.parameters * p.columns <= kMostGradientSums;
}

template <class Metric>
void run(const Launcher& launcher) {
  const Problem& p = launcher.p;
  Pass pass;
  pass.left_info = launcher.describe<double, Metric>(p.left);
  pass.right_info = launcher.describe<double, Metric>(p.right);
  const bool one = p.parameters * p.columns == 1;
  if (p.task == Task::gradient) {
    one ? run_gradient<Metric, 1>(launcher, pass) : run_gradient<Metric, 4>(launcher, pass);
  } else {
    one ? run_sum<Metric, 1>(launcher, pass) : run_sum<Metric, 4>(launcher, pass);
  }
}

}  // namespace

bool run_float(const Launcher& launcher) {
  const Problem& p = launcher.p;
  const bool suits = p.task == Task::sum || (p.task == Task::gradient && suits_gradient(p));
  if (!launcher.suits_floats() || !suits) return false;
  bool ran = false;
  visit(Metrics{}, p.metric, [&]<class Metric>() {
    if constexpr (Metric::power > 0.0) {
      run<Metric>(launcher);
      ran = true;
    }
  });
  return ran;
}

}  // namespace semideep::cuda
