// The gradients of the weighted sum on floats (float_launch.h).
#include "cuda/float_direct_gradient.h"
#include "cuda/float_launch.h"
#include "cuda/float_product_gradient.h"

namespace semideep::cuda {
namespace {

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

bool suits_gradient(const Problem& p) {
  return p.left.count > 0 && p.parameters * p.columns <= kMostGradientSums;
}

}  // namespace

bool run_float_gradient(const Launcher& launcher) {
  return launcher.p.task == Task::gradient && suits_gradient(launcher.p) &&
         visit_float_metric(launcher, [&]<class Metric, int Sums>(Pass& pass) {
           if (launcher.p.features <= kMostDirectGradientFeatures) {
             run_direct_gradient<Metric, Sums>(launcher, pass);
           } else {
             run_product_gradient<Metric, Sums>(launcher, pass);
           }
         });
}

}  // namespace semideep::cuda
