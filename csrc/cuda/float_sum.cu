// The weighted sum on floats (float_launch.h).
#include "cuda/float_direct.h"
#include "cuda/float_launch.h"
#include "cuda/float_product_sum.h"

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
  run_direct_sum<Metric, kMostDirectFeatures, Sums>(launcher, pass);
}

template <class Metric, int Sums>
void run_product_sum(const Launcher& launcher, Pass& pass) {
  const Problem& p = launcher.p;
  const FloatFacts facts = find_facts<Metric>(launcher, pass);
  pass.width = p.parameters * p.columns;
  launcher.for_passes(pass, sizeof(double), kMostSpans, [&] {
    launcher.launch(float_product_sum<Metric, Sums>,
                    pass.units * pass.spans * ceil_divide(pass.width, Sums), kProductThreads,
                    sizeof(ProductSumShared<Sums>), p, pass, facts);
    launcher.store_sums<double>(pass);
  });
}

}  // namespace

bool run_float_sum(const Launcher& launcher) {
  return launcher.p.task == Task::sum &&
         visit_float_metric(launcher, [&]<class Metric, int Sums>(Pass& pass) {
           if (launcher.p.features <= kMostDirectFeatures) {
             run_direct_sum<Metric, Sums>(launcher, pass);
           } else {
             run_product_sum<Metric, Sums>(launcher, pass);
           }
         });
}

}  // namespace semideep::cuda
