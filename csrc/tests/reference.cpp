// The reference of core/reference.h for every metric and kernel function.
#include "core/reference.h"

SEMIDEEP_MATH_BEGIN

ReferenceResult reference(const Problem& problem) {
  ReferenceResult result;
  visit(Metrics{}, problem.metric, [&]<class Metric>() {
    visit(Kernels{}, problem.kernel, [&]<class Kernel>() {
      result = problem.tangent ? Reference<Dual<long double>, Metric, Kernel>(problem).compute()
                               : Reference<long double, Metric, Kernel>(problem).compute();
    });
  });
  return result;
}

SEMIDEEP_MATH_END
