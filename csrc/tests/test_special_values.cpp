// NaN, infinities, zeros and codes: results are the reference's, and NaN exactly where it has NaN.
#include <cmath>
#include <limits>
#include <memory>
#include <random>

#include "cases.h"
#include "check.h"
#include "core/reference.h"

namespace {

using cases::Case;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

struct Data {
  const char* name;
  std::vector<double> values;  // that features take
  double special;              // put into one row of each side
};

const Data kData[] = {
    {"0 and 1", {0, 1}, 1},
    {"0, -0 and 1", {0, -0.0, 1}, 0},
    {"-1 and 1", {-1, 1}, 1},
    {"two other values", {0.25, 7.5}, 0.25},
    {"categories", {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 200, 255}, 255},
    {"categories and one more", {0, 1, 2, 3}, 256},
    {"fractions", {0.5, 1.5, 2.5, -0.5, 1e-3}, 0},
    {"a NaN", {0, 1, 2.5}, kNan},
    {"an infinity", {0, 1, 2.5}, kInfinity},
    {"a negative infinity", {0, 1}, -kInfinity},
    {"large values", {1e30, -1e30, 1}, 1e38},
    {"small values", {1e-30, -1e-30, 0}, 1e-42},
    {"zero rows", {0}, 1},
};

void check_data(int metric, cases::DType dtype, const Data& data, cases::Shape shape,
                unsigned seed) {
  Case c(cases::Task::sum, metric, 0, dtype, false, false, shape, seed);
  std::mt19937_64 random(seed);
  std::vector<double> wide[2];
  std::vector<float> narrow[2];
  semideep::Side* sides[2] = {&c.p.left, &c.p.right};
  for (int side = 0; side < 2; ++side) {
    const int64_t count = sides[side]->count;
    for (int64_t i = 0; i < count; ++i)
      for (int64_t k = 0; k < shape.features; ++k)
        wide[side].push_back(i == count / 2 && k == shape.features / 2
                                 ? data.special
                                 : data.values[random() % data.values.size()]);
    narrow[side].assign(wide[side].begin(), wide[side].end());
    sides[side]->rows = dtype == cases::DType::float32
                            ? static_cast<const void*>(narrow[side].data())
                            : static_cast<const void*>(wide[side].data());
    sides[side]->rows_row_stride = shape.features;
  }
  const auto wanted = semideep::reference(c.p).out;
  const auto got = c.run(1).out;
  double worst = 0;
  bool same_nan = true;
  for (size_t i = 0; i < got.size(); ++i) {
    same_nan = same_nan && std::isnan(got[i]) == std::isnan(wanted[i]);
    if (!std::isnan(got[i]))
      worst = std::max(worst, static_cast<double>(std::abs(got[i] - wanted[i])));
  }
  std::string name;
  semideep::visit(semideep::Metrics{}, metric, [&]<class Metric>() { name = Metric::name; });
  name += std::string(", ") + data.name + ", D=" + std::to_string(shape.features) +
          (dtype == cases::DType::float32 ? " float32" : " float64");
  check::that(same_nan, name + ": NaN elsewhere than in the reference");
  const double tolerance = dtype == cases::DType::float32 ? 1e-5 : 1e-11;
  check::that(worst <= tolerance, name + ": off by " + std::to_string(worst));
}

}  // namespace

int main() {
  backend::skip_unless_available();
  unsigned seed = 0;
  for (int metric = 0; metric < semideep::Metrics::size; ++metric)
    for (const cases::DType dtype : {cases::DType::float32, cases::DType::float64})
      for (const Data& data : kData)
        for (const int64_t features : {1, 5, 16, 17, 40, 129})
          check_data(metric, dtype, data, {1, 67, 135, features, 2, 1}, ++seed);
  return check::finish();
}
