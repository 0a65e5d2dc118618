// What the recipes of CONTRIBUTING.md promise to a new metric and a new kernel function, on two that no list has: terms
// that are not squares, a gradient that is not along x - y, a logarithm that is not -lambda d.
//
// The reference is compared with derivatives that are written out here, and the kernels in double with the reference.
// Those of the CPU are instantiated for the default instruction set; on CUDA the kernel function is one of the list.
#include <cmath>
#include <memory>
#include <new>

#include "cases.h"
#include "check.h"
#include "core/reference.h"

#if defined(SEMIDEEP_EMULATED)
#include "cuda/wide.cu"
#else
#include "cpu/gradient_task.h"
#include "cpu/log_sum_task.h"
#include "cpu/sum_task.h"
#endif

SEMIDEEP_MATH_BEGIN
namespace recipes {

struct Sign {
  template <class V>
  static SEMIDEEP_INLINE V of(V x, V y) {
    return select(x > y, V(1.0), select(y > x, V(-1.0), V(0.0)));
  }
};

// sum_k |x_k - y_k|
struct Manhattan : AnyMetric {
  static constexpr bool differentiable = true;
  using Row = RawRow;
  using Direction = Sign;

  template <class V>
  static SEMIDEEP_INLINE V accumulate(V sum, V x, V y) {
    return fma(Sign::of(x, y), x - y, sum);
  }
  template <class V>
  static SEMIDEEP_INLINE V distance(V sum, V, V, V) {
    return sum;
  }
  template <class V>
  static SEMIDEEP_INLINE V gradient(V, V, V) {
    return V(1.0);
  }
};

// exp(-lambda d^2)
struct Gaussian {
  static constexpr bool has_log = true;
  static constexpr bool exponential = false;

  template <class D, class V>
  static SEMIDEEP_INLINE auto log_value(D d, V lambda) {
    return -lambda * d * d;
  }
  template <class V>
  static SEMIDEEP_INLINE V value(V d, V lambda, V shift) {
    return bounded_exp(-fma(lambda * d, d, shift));
  }
  template <class V>
  static SEMIDEEP_INLINE V by_distance(V k, V d, V lambda) {
    return V(-2.0) * lambda * d * k;
  }
  template <class V>
  static SEMIDEEP_INLINE V by_parameter(V k, V d, V) {
    return -(d * (d * k));
  }
};

}  // namespace recipes
SEMIDEEP_MATH_END

namespace {

using cases::Case;
using cases::DType;
using cases::Task;
using semideep::Problem;
using semideep::ReferenceResult;
using semideep::recipes::Gaussian;
using semideep::recipes::Manhattan;

template <class Kernel>
ReferenceResult reference(const Problem& p) {
  using Wide = long double;
  return p.tangent ? semideep::Reference<semideep::Dual<Wide>, Manhattan, Kernel>(p).compute()
                   : semideep::Reference<Wide, Manhattan, Kernel>(p).compute();
}

// --- the reference, against derivatives written out ----------------------------------------------

long double at(const Problem& p, const void* data, int64_t i) {
  return p.dtype == DType::float32 ? static_cast<const float*>(data)[i]
                                   : static_cast<const double*>(data)[i];
}

// The task's results for one batch, one parameter and one column, without shifts.
ReferenceResult written_out(const Problem& p) {
  const int64_t n = p.left.count, m = p.right.count, features = p.features;
  const long double lambda = p.parameter[0], dlambda = p.tangent ? p.parameter_tangent[0] : 0;
  ReferenceResult result;
  result.out.assign(n, 0);
  result.rows_gradient.assign(n * features, 0);
  result.parameter_gradient.assign(1, 0);
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < m; ++j) {
      std::vector<long double> sign(features);
      long double d = 0, dd = 0;  // the distance and its derivative along the tangents
      for (int64_t k = 0; k < features; ++k) {
        const long double apart = at(p, p.left.rows, i * p.left.rows_row_stride + k) -
                                  at(p, p.right.rows, j * p.right.rows_row_stride + k);
        sign[k] = apart > 0 ? 1 : apart < 0 ? -1 : 0;
        d += std::abs(apart);
        if (p.tangent)
          dd += sign[k] * (at(p, p.left.tangents, i * features + k) -
                           at(p, p.right.tangents, j * features + k));
      }
      const long double k = std::exp(-lambda * d * d);
      const long double by_d = -2 * lambda * d * k, by_lambda = -d * d * k;
      const long double dk = by_d * dd + by_lambda * dlambda;
      const long double dby_d =
          -2 * (dlambda * d * k + lambda * dd * k + lambda * d * dk);  // signs do not change
      const long double dby_lambda = -2 * d * dd * k - d * d * dk;
      const long double v = at(p, p.right.values, j * p.right.values_row_stride);
      const long double uv = v * at(p, p.left.values, i * p.left.values_row_stride);
      result.out[i] += v * (p.tangent ? dk : k);
      for (int64_t f = 0; f < features; ++f)
        result.rows_gradient[i * features + f] += uv * (p.tangent ? dby_d : by_d) * sign[f];
      result.parameter_gradient[0] += uv * (p.tangent ? dby_lambda : by_lambda);
    }
  if (p.task == Task::log_sum)
    for (long double& sum : result.out) sum = std::log(sum);
  return result;
}

// --- the kernels in double -----------------------------------------------------------------------

#if defined(SEMIDEEP_EMULATED)

using Listed = semideep::Exponential;

void answer(const Problem& p) {
  std::vector<std::unique_ptr<char[]>> scratch;
  const semideep::cuda::Allocate allocate = [&](int64_t bytes) {
    scratch.emplace_back(new char[static_cast<size_t>(bytes)]);
    return static_cast<void*>(scratch.back().get());
  };
  const semideep::cuda::Launcher launcher(p, nullptr, allocate);
  p.tangent ? semideep::cuda::run<semideep::Dual<double>, Manhattan>(launcher)
            : semideep::cuda::run<double, Manhattan>(launcher);
}

#else

using Listed = Gaussian;

// All rows as one block, all columns as one span.
template <class T>
void run_block(const Problem& p) {
  using S = typename T::S;
  semideep::Block block;
  block.rows = p.left.count;
  block.column_end = p.right.count;
  std::vector<S> partial(block.rows * T::width(p), S(0.0)), by_parameter(p.parameters, S(0.0));
  void* workspace = ::operator new(T::workspace_bytes(p), std::align_val_t{64});
  T::run(p, block, *static_cast<typename T::Workspace*>(workspace), partial.data());
  ::operator delete(workspace, std::align_val_t{64});
  T::store(p, block, partial.data(), by_parameter.data());
  for (int64_t l = 0; l < p.parameters; ++l)
    p.parameter_gradient[l] = semideep::result_of(by_parameter[l]);
}

template <class V>
void answer_as(const Problem& p) {
  if (p.task == Task::sum) run_block<semideep::SumTask<V, Manhattan, Gaussian>>(p);
  if (p.task == Task::gradient) run_block<semideep::GradientTask<V, Manhattan, Gaussian>>(p);
}

void answer(const Problem& p) {
  if (p.task == Task::log_sum)
    return run_block<semideep::LogSumTask<semideep::Vec, Manhattan, Gaussian>>(p);
  p.tangent ? answer_as<semideep::Dual<semideep::Vec>>(p) : answer_as<semideep::Vec>(p);
}

#endif

// -------------------------------------------------------------------------------------------------

template <class Got>
void compare(const std::string& name, const Got* got, const std::vector<long double>& wanted,
             long double tolerance) {
  long double worst = 0, largest = 0;
  for (size_t i = 0; i < wanted.size(); ++i) {
    worst = check::worse(worst, std::abs(got[i] - wanted[i]));
    largest = std::max(largest, std::abs(wanted[i]));
  }
  check::that(largest > 0, name + ": nothing to compare");
  check::that(worst <= tolerance * largest,
              name + ": off by " + std::to_string(static_cast<double>(worst / largest)));
}

template <class T>
void check_task(Task task, bool tangent, unsigned seed) {
  constexpr DType kDType = std::is_same_v<T, float> ? DType::float32 : DType::float64;
  const cases::Shape shape{1, 13, 150, 131, 1, 1};  // more than a tile of columns, and of features
  Case c(task, 0, 0, kDType, tangent, false, shape, seed);
  Problem& p = c.p;
  const double lambda = 0.02;  // distances are near 10
  p.parameter = &lambda;
  const char* tasks[] = {"sum", "log_sum", "gradient"};
  const std::string name = std::string(tasks[static_cast<int>(task)]) +
                           (std::is_same_v<T, float> ? " float32" : " float64") +
                           (tangent ? " along tangents" : "");

  const ReferenceResult exact = written_out(p), squared = reference<Gaussian>(p);
  const ReferenceResult wanted = reference<Listed>(p);
  std::vector<T> out(shape.n), by_rows(shape.n * shape.features);
  std::vector<double> logs(shape.n), by_parameter(1);
  p.out = task == Task::log_sum ? static_cast<void*>(logs.data()) : out.data();
  p.rows_gradient = by_rows.data();
  p.parameter_gradient = by_parameter.data();
  answer(p);

  const long double tolerance = std::is_same_v<T, float> ? 1e-6L : 1e-12L;
  if (task == Task::gradient) {
    compare(name + ", reference by rows", squared.rows_gradient.data(), exact.rows_gradient, 1e-15);
    compare(name + ", reference by parameter", squared.parameter_gradient.data(),
            exact.parameter_gradient, 1e-15);
    compare(name + " by rows", by_rows.data(), wanted.rows_gradient, tolerance);
    compare(name + " by parameter", by_parameter.data(), wanted.parameter_gradient, 1e-12L);
  } else {
    compare(name + ", reference", squared.out.data(), exact.out, 1e-15);
    if (task == Task::sum) compare(name, out.data(), wanted.out, tolerance);
    if (task == Task::log_sum) compare(name, logs.data(), wanted.out, 1e-12L);
  }
}

}  // namespace

int main() {
  unsigned seed = 0;
  for (const Task task : {Task::sum, Task::log_sum, Task::gradient})
    for (const bool tangent : {false, true}) {
      if (tangent && task == Task::log_sum) continue;
      check_task<float>(task, tangent, ++seed);
      check_task<double>(task, tangent, ++seed);
    }
  return check::finish();
}
