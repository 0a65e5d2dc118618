// The promise for gradients, a relative 1e-5 for float32 rows while lambda d <= 20, on data made to be hard; and
// what float64 rows keep of their digits there.
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

// How rows look, how far a left row is from the right row of its number (0: unrelated), and how far rows lie to
// either side of the offset.
struct Data {
  const char* name;
  double offset, spread, beside, aside = 0;
};
const Data kData[] = {
    {"normal", 0, 1, 0},
    {"far from 0", 1e3, 1, 0},
    {"tight", 3, 1e-3, 0},
    {"near duplicates", 0, 1, 1e-5},
    {"near duplicates far from 0", 1e3, 1, 1e-3},
    {"duplicates", 0, 1, -1},
    {"two clusters", 3, 1, 0, 30},
};

template <class T>
struct Rows {
  std::vector<T> left, right;

  Rows(const Data& data, int64_t m, int64_t features, std::mt19937_64& random)
      : left(kLeft * features), right(m * features) {
    const auto draw = [&](int64_t row) {
      const double aside = row % 2 == 0 ? data.aside : -data.aside;
      return static_cast<T>(data.offset + aside + data.spread * normal(random));
    };
    for (int64_t j = 0; j < m; ++j)
      for (int64_t k = 0; k < features; ++k) right[j * features + k] = draw(j);
    for (int64_t i = 0; i < kLeft; ++i)
      for (int64_t k = 0; k < features; ++k) {
        const T beside = right[i % m * features + k];
        left[i * features + k] = data.beside == 0 ? draw(i)
                                 : data.beside < 0
                                     ? beside
                                     : static_cast<T>(beside + data.beside * normal(random));
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

template <class T>
Errors worst_errors(int metric, const Data& data, int64_t features, int64_t m, double exponent,
                    unsigned seed) {
  constexpr auto kDType = sizeof(T) == 4 ? cases::DType::float32 : cases::DType::float64;
  Case c(cases::Task::gradient, metric, 0, kDType, false, false,
         {1, kLeft, m, features, kParameters, 1}, seed);
  std::mt19937_64 random(seed);
  const Rows<T> rows(data, m, features, random);
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

template <class T>
void check_all(double promised, check::Sample sample) {
  unsigned seed = 0;
  accuracy::for_metrics([&](int metric, const std::string& name) {
    for (const Data& data : kData)
      for (const int64_t features : {3, 16, 17, 40, 130})
        for (const int64_t m : {1, 140})
          for (const double exponent : {0.1, 3.0, 10.0}) {
            // What doubles of unit rows keep of an angle of 1e-6.
            const bool rounded = sizeof(T) == 8 && name == "cosine" && data.beside > 0;
            const double tolerance = rounded ? 1e-9 : promised;
            ++seed;
            if (!sample.takes(metric)) continue;
            const Errors errors = worst_errors<T>(metric, data, features, m, exponent, seed);
            const std::string of = name + ", " + data.name + ", D=" + std::to_string(features) +
                                   " M=" + std::to_string(m) + " lambda d about " +
                                   std::to_string(exponent) + (sizeof(T) == 4 ? "" : " float64");
            const auto within = [&](double error, const char* what) {
              check::that(error <= tolerance, of + ": " + what + ", relative error " +
                                                  std::to_string(error / tolerance) + " of " +
                                                  std::to_string(tolerance * 1e12) + "e-12");
            };
            within(errors.rows, "row gradient");
            within(errors.parameter, "parameter gradient");
          }
  });
}

}  // namespace

int main(int count, char** arguments) {
  backend::skip_unless_available();
  const check::Sample sample(count, arguments);
  check_all<float>(1e-5, sample);
  check_all<double>(1e-11, sample);
  return check::finish();
}
