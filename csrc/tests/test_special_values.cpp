// NaN, infinities, zeros and codes: results are the reference's, and NaN exactly where it has NaN.
#include <cfloat>
#include <cmath>
#include <limits>
#include <memory>
#include <random>

#include "accuracy.h"
#include "check.h"

namespace {

using cases::Case;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

struct Data {
  const char* name;
  std::vector<double> values;  // that features take
  double special;              // put into one row of each side
  double lambda = 0;           // or, if 0, some of about 1
};

const Data kData[] = {
    {"0 and 1", {0, 1}, 1},
    {"0, -0 and 1", {0, -0.0, 1}, 0},
    {"-1 and 1", {-1, 1}, 1},
    {"two other values", {0.25, 7.5}, 0.25},
    {"categories", {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 200, 255}, 255},
    {"categories and one more", {0, 1, 2, 3}, 256},
    {"fractions", {0.5, 1.5, 2.5, -0.5, 1e-3}, 0},
    {"fractions that differ in each bit of a float", {1.0 / 3, -1.0 / 3, 2e-19, 3e19, 0.7}, 0.1},
    {"a NaN", {0, 1, 2.5}, kNan},
    {"an infinity", {0, 1, 2.5}, kInfinity},
    {"a negative infinity", {0, 1}, -kInfinity},
    {"large values", {1e30, -1e30, 1}, 1e38},
    {"small values", {1e-30, -1e-30, 0}, 1e-42},
    {"zero rows", {0}, 1},
    // lambda d is no float then.
    {"an outlier under a large lambda", {0, 1, 2.5}, 1e18, 1e6},
};

// Errors are relative to the largest result, if that is above 1. Beyond the range of the dtype, results are infinite.
void check_results(const std::string& name, const std::vector<double>& got,
                   const std::vector<long double>& wanted, cases::DType dtype) {
  const bool single = dtype == cases::DType::float32;
  const double tolerance = single ? 1e-5 : 1e-11, most = single ? FLT_MAX : DBL_MAX;
  double worst = 0, largest = 1;
  bool same_nan = true;
  for (size_t i = 0; i < got.size(); ++i) {
    same_nan = same_nan && std::isnan(got[i]) == std::isnan(wanted[i]);
    if (std::isnan(got[i]) || (std::isinf(got[i]) && std::abs(wanted[i]) > most)) continue;
    worst = std::max(worst, static_cast<double>(std::abs(got[i] - wanted[i])));
    largest = std::max(largest, static_cast<double>(std::abs(wanted[i])));
  }
  check::that(same_nan, name + ": NaN elsewhere than in the reference");
  check::that(worst <= tolerance * largest, name + ": off by " + std::to_string(worst));
}

// Where a special value stands: in one row of both sides, or of the left one alone.
void check_data(cases::Task task, int metric, cases::DType dtype, const Data& data,
                int special_sides, cases::Shape shape, unsigned seed) {
  Case c(task, metric, 0, dtype, false, false, shape, seed);
  std::mt19937_64 random(seed);
  std::vector<double> wide[2];
  std::vector<float> narrow[2];
  semideep::Side* sides[2] = {&c.p.left, &c.p.right};
  for (int side = 0; side < 2; ++side) {
    const int64_t count = sides[side]->count;
    for (int64_t i = 0; i < count; ++i)
      for (int64_t k = 0; k < shape.features; ++k)
        wide[side].push_back(side < special_sides && i == count / 2 && k == shape.features / 2
                                 ? data.special
                                 : data.values[random() % data.values.size()]);
    narrow[side].assign(wide[side].begin(), wide[side].end());
    sides[side]->rows = dtype == cases::DType::float32
                            ? static_cast<const void*>(narrow[side].data())
                            : static_cast<const void*>(wide[side].data());
    sides[side]->rows_row_stride = shape.features;
  }
  const std::vector<double> lambdas(shape.parameters, data.lambda);
  if (data.lambda > 0) c.p.parameter = lambdas.data();
  std::string name;
  semideep::visit(semideep::Metrics{}, metric, [&]<class Metric>() { name = Metric::name; });
  name += std::string(", ") + data.name + ", D=" + std::to_string(shape.features) +
          (dtype == cases::DType::float32 ? " float32" : " float64");
  const auto wanted = semideep::reference(c.p);
  if (task == cases::Task::sum) {
    backend::in_each_way(
        c.p, [&] { check_results(name + backend::way(), c.run(1).out, wanted.out, dtype); });
    return;
  }
  const auto got = c.run(1);
  // An infinite d times the kernel's 0 is NaN; kernels that stop short of infinity give the limit, 0.
  if (!std::isinf(data.special))
    check_results(name + " parameter gradient", got.parameter_gradient, wanted.parameter_gradient,
                  dtype);
  if (c.wants_rows())
    check_results(name + " row gradient", got.rows_gradient, wanted.rows_gradient, dtype);
}

// The largest error of a row's `width` results, relative to the largest of them, where that is a float.
double worst_of_rows(const std::vector<double>& got, const std::vector<long double>& wanted,
                     int64_t width) {
  double worst = 0;
  for (size_t begin = 0; begin < got.size(); begin += width) {
    double off = 0, largest = 0;
    for (size_t i = begin; i < begin + width; ++i) {
      const auto exact = static_cast<double>(wanted[i]);
      if (!(std::abs(got[i] - exact) <= off)) off = std::abs(got[i] - exact);  // a NaN, too
      largest = std::max(largest, std::abs(exact));
    }
    if (largest > 1e-36 && largest < 3e38 && !(off / largest <= worst)) worst = off / largest;
  }
  return worst;
}

// A value of 1e38 brings back kernels that are no floats.
void check_small_kernels(cases::Task task, int metric, int64_t features, double exponent,
                         unsigned seed) {
  static constexpr float one = 1, large = 1e38f;
  Case c(task, metric, 0, cases::DType::float32, false, false, {1, 67, 1, features, 1, 1}, seed);
  c.p.left.values = c.p.right.values = &one;
  c.p.left.values_row_stride = 0;
  const double lambda = accuracy::lambda_for(exponent, c.p);
  c.p.parameter = &lambda;
  c.p.right.values = &large;
  const std::string name = "metric " + std::to_string(metric) + ", 1e38 times exp(-lambda d) of " +
                           std::to_string(exponent) + ", D=" + std::to_string(features);
  const auto wanted = semideep::reference(c.p);
  const auto check = [&](const char* what, double error) {
    check::that(error <= 1e-4, name + what + ": off by " + std::to_string(error));
  };
  backend::in_each_way(c.p, [&] {
    const auto got = c.run(1);
    if (task == cases::Task::sum) return check("", worst_of_rows(got.out, wanted.out, 1));
    check(" parameter gradient",
          worst_of_rows(got.parameter_gradient, wanted.parameter_gradient, 1));
    if (c.wants_rows())
      check(" row gradient", worst_of_rows(got.rows_gradient, wanted.rows_gradient, features));
  });
}

}  // namespace

int main(int count, char** arguments) {
  backend::skip_unless_available();
  check::Sample sample(count, arguments);
  unsigned seed = 0;
  const auto check_if_due = [&](cases::Task task, int metric, cases::DType dtype, auto... parts) {
    ++seed;
    if (sample.takes(cases::kind_of(task, metric, dtype)))
      check_data(task, metric, dtype, parts..., seed);
  };
  for (int metric = 0; metric < semideep::Metrics::size; ++metric)
    for (const cases::DType dtype : {cases::DType::float32, cases::DType::float64})
      for (const Data& data : kData)
        for (const int64_t features : {1, 5, 16, 17, 40, 129}) {
          const cases::Shape shape{1, 67, 135, features, 2, 1};
          check_if_due(cases::Task::sum, metric, dtype, data, 2, shape);
          // With one feature, cosine's gradient is 0, and what rounding leaves is divided by the row's length.
          if (features == 1 || features > 40) continue;
          for (const int special_sides : {1, 2})
            check_if_due(cases::Task::gradient, metric, dtype, data, special_sides, shape);
        }
  for (int metric = 0; metric < semideep::Metrics::size; ++metric)
    for (const cases::Task task : {cases::Task::sum, cases::Task::gradient})
      for (const int64_t features : {3, 12, 40})
        for (const double exponent : {110.0, 160.0})
          check_small_kernels(task, metric, features, exponent, ++seed);
  return check::finish();
}
