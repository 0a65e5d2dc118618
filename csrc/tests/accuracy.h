// What the tests of the promised accuracy share: rows, lambdas that put distances where the promise is made, metrics.
#pragma once

#include <random>

#include "cases.h"
#include "core/reference.h"

namespace accuracy {

inline double normal(std::mt19937_64& random) { return std::normal_distribution<double>()(random); }

// Gives a side rows without padding, and the value 1 to all of them.
template <class T>
void give(semideep::Side& side, const std::vector<T>& rows, int64_t features) {
  static constexpr T one = 1;
  side.rows = rows.data();
  side.rows_row_stride = features;
  side.values = &one;
  side.values_batch_stride = side.values_parameter_stride = side.values_row_stride = 0;
}

// The lambda under which lambda d is `exponent` for the mean distance; that follows from the weights under a lambda
// so small that they are 1 - lambda d.
inline double lambda_for(double exponent, semideep::Problem problem) {
  const std::vector<double> small(problem.batches * problem.parameters, 1e-9);
  problem.parameter = small.data();
  const auto sums = semideep::reference(problem).out;
  long double mean = 0;
  for (const long double sum : sums)
    mean +=
        sum / static_cast<long double>(problem.right.count) / static_cast<long double>(sums.size());
  return exponent / (static_cast<double>(1 - mean) / small[0]);
}

// Calls f(metric, name) for each metric that has kernels on floats.
template <class F>
void for_metrics(F&& f) {
  for (int metric = 0; metric < semideep::Metrics::size; ++metric)
    semideep::visit(semideep::Metrics{}, metric, [&]<class Metric>() {
      if (Metric::sum_of == semideep::SumOf::squares) f(metric, std::string(Metric::name));
    });
}

}  // namespace accuracy
