// Compiled, never run: proof that csrc/core serves nvcc as it is.
#include "core/dual.h"
#include "core/kernels.h"

namespace semideep {

template <class V, class Metric, class Kernel>
__device__ V pair(const double* x, const double* y, int features, V parameter) {
  const auto load_x = [x](int64_t k) { return V(x[k]); };
  const auto load_y = [y](int64_t k) { return V(y[k]); };
  const auto info_x = Metric::Row::template describe<V>(load_x, features);
  const auto info_y = Metric::Row::template describe<V>(load_y, features);
  V sum(0.0);
  for (int k = 0; k < features; ++k)
    sum = Metric::accumulate(sum, Metric::Row::prepare(load_x(k), info_x),
                             Metric::Row::prepare(load_y(k), info_y));
  const V d = Metric::distance(sum, info_x.stat, info_y.stat, V(double(features)));
  const V k = Kernel::value(d, parameter, V(0.0));
  V result = k + Kernel::by_distance(k, d, parameter) + Kernel::by_parameter(k, d, parameter);
  if constexpr (Metric::differentiable)
    result = result + Metric::gradient(d, info_x.stat, info_y.stat);
  return result;
}

template <class V, class Metric, class... Ks>
__device__ V all_kernels(TypeList<Ks...>, const double* x, const double* y, int features) {
  return (pair<V, Metric, Ks>(x, y, features, V(0.5)) + ...);
}

template <class V, class... Ms>
__device__ V all_metrics(TypeList<Ms...>, const double* x, const double* y, int features) {
  return (all_kernels<V, Ms>(Kernels{}, x, y, features) + ...);
}

__global__ void check(const double* x, const double* y, int features, double* out) {
  out[0] = all_metrics<double>(Metrics{}, x, y, features);
  out[1] = all_metrics<Dual<double>>(Metrics{}, x, y, features).tangent;
}

}  // namespace semideep
