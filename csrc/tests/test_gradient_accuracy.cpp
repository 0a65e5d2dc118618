// The promise for the gradients of float32 rows: a relative 1e-5 while lambda d <= 20, on data made to be hard.
//
// Relative to what: a row's gradient is a sum of terms along x_i - y_j of all directions, so its error is measured
// against the sum of the terms' largest elements. With one right row that is the gradient itself.
#include <algorithm>
#include <cmath>
#include <memory>
#include <random>

#include "accuracy.h"
#include "check.h"

namespace {

using accuracy::normal;
using cases::Case;

constexpr int64_t kLeft = 67, kParameters = 2;

// How rows look, and how far a left row is from the right row of its number; 0: unrelated.
struct Data {
  const char* name;
  double offset, spread, beside;
};
const Data kData[] = {
    {"normal", 0, 1, 0},
    {"far from 0", 1e3, 1, 0},
    {"tight", 3, 1e-3, 0},
    {"near duplicates", 0, 1, 1e-5},
    {"near duplicates far from 0", 1e3, 1, 1e-3},
    {"duplicates", 0, 1, -1},
};

struct Rows {
  std::vector<float> left, right;

  Rows(const Data& data, int64_t m, int64_t features, std::mt19937_64& random)
      : left(kLeft * features), right(m * features) {
    const auto draw = [&] {
      return static_cast<float>(data.offset + data.spread * normal(random));
    };
    for (float& value : right) value = draw();
    for (int64_t i = 0; i < kLeft; ++i)
      for (int64_t k = 0; k < features; ++k) {
        const float beside = right[i % m * features + k];
        left[i * features + k] = data.beside == 0 ? draw()
                                 : data.beside < 0
                                     ? beside
                                     : static_cast<float>(beside + data.beside * normal(random));
      }
  }
};

double largest(const long double* begin, int64_t count) {
  double result = 0;
  for (int64_t k = 0; k < count; ++k)
    result = std::max(result, static_cast<double>(std::abs(begin[k])));
  return result;
}

struct Errors {
  double rows = 0, parameter = 0;
};

Errors worst_errors(int metric, const Data& data, int64_t features, int64_t m, double exponent,
                    unsigned seed) {
  Case c(cases::Task::gradient, metric, 0, cases::DType::float32, false, false,
         {1, kLeft, m, features, kParameters, 1}, seed);
  std::mt19937_64 random(seed);
  const Rows rows(data, m, features, random);
  accuracy::give(c.p.left, rows.left, features);
  accuracy::give(c.p.right, rows.right, features);
  double lambda[kParameters] = {accuracy::lambda_for(exponent, c.p)};
  if (!(lambda[0] > 1e-10 && lambda[0] < 1e5)) lambda[0] = exponent;
  lambda[1] = 0.5 * lambda[0];
  c.p.parameter = lambda;
  const auto wanted = semideep::reference(c.p);
  const auto got = c.run(1);

  Errors errors;
  std::vector<double> terms(kLeft, 0.0);
  semideep::Problem one_column = c.p;
  one_column.right.count = 1;
  for (int64_t j = 0; j < m; ++j) {
    one_column.right.rows = rows.right.data() + j * features;
    const auto of_column = semideep::reference(one_column).rows_gradient;
    for (int64_t i = 0; i < kLeft; ++i) terms[i] += largest(&of_column[i * features], features);
  }
  for (int64_t i = 0; i < kLeft; ++i)
    for (int64_t k = 0; k < features; ++k) {
      if (wanted.out[i] / static_cast<long double>(m) < std::exp(-20.0L)) continue;
      const double off = std::abs(static_cast<double>(got.rows_gradient[i * features + k] -
                                                      wanted.rows_gradient[i * features + k]));
      // A gradient of 0 is met exactly; one below the range of float32 cannot be.
      if (!(off <= 1e-37)) errors.rows = std::max(errors.rows, off / terms[i]);
      if (off != off) errors.rows = INFINITY;
    }
  for (int64_t l = 0; l < kParameters; ++l) {
    const double off =
        std::abs(static_cast<double>(got.parameter_gradient[l] - wanted.parameter_gradient[l]));
    // Equal rows may be taken to lie 1e-18 apart.
    if (!(off <= 1e-16))
      errors.parameter = std::max(
          errors.parameter, off / std::abs(static_cast<double>(wanted.parameter_gradient[l])));
    if (off != off) errors.parameter = INFINITY;
  }
  return errors;
}

}  // namespace

int main() {
  backend::skip_unless_available();
  unsigned seed = 0;
  accuracy::for_metrics([&](int metric, const std::string& name) {
    for (const Data& data : kData)
      for (const int64_t features : {3, 16, 17, 40, 130})
        for (const int64_t m : {1, 140})
          for (const double exponent : {0.1, 3.0, 10.0}) {
            const Errors errors = worst_errors(metric, data, features, m, exponent, ++seed);
            const std::string of = name + ", " + data.name + ", D=" + std::to_string(features) +
                                   " M=" + std::to_string(m) + " lambda d about " +
                                   std::to_string(exponent);
            check::that(errors.rows <= 1e-5, of + ": row gradient, relative error " +
                                                 std::to_string(errors.rows * 1e6) + "e-6");
            check::that(errors.parameter <= 1e-5, of + ": parameter gradient, relative error " +
                                                      std::to_string(errors.parameter * 1e6) +
                                                      "e-6");
          }
  });
  return check::finish();
}
