// The promise for float32: weights to a relative 1e-6 while lambda d <= 20, on data made to be hard.
#include <algorithm>
#include <cmath>
#include <memory>
#include <random>

#include "accuracy.h"
#include "check.h"

namespace {

using accuracy::normal;
using cases::Case;

// What rows look like: y a row's number, k a feature's.
struct Data {
  const char* name;
  double (*draw)(std::mt19937_64&, int64_t row, int64_t k);
};

const Data kData[] = {
    {"normal", [](std::mt19937_64& r, int64_t, int64_t) { return normal(r); }},
    {"far from 0", [](std::mt19937_64& r, int64_t, int64_t) { return 1e3 + normal(r); }},
    {"one feature dominates",
     [](std::mt19937_64& r, int64_t, int64_t k) { return (k == 2 ? 100.0 : 1.0) * normal(r); }},
    {"two tight clusters",
     [](std::mt19937_64& r, int64_t row, int64_t) { return row % 2 * 3.0 + 1e-3 * normal(r); }},
    {"heavy tails", [](std::mt19937_64& r, int64_t, int64_t) { return std::pow(normal(r), 3.0); }},
    {"positive", [](std::mt19937_64& r, int64_t, int64_t) { return std::abs(normal(r)); }},
};

// Sums of such squares are rounded as badly as can be, all of them at the distance that a test wants to see.
const Data kFalling = {
    "each feature half the one before", [](std::mt19937_64& r, int64_t row, int64_t k) {
      return std::ldexp((row == 0 ? -1.0 : 1.0) + 0.03 * normal(r), -static_cast<int>(k));
    }};

// The largest relative error of the weights of rows whose -log w is at most 20.
double worst_error(int metric, const Data& data, int64_t n, int64_t m, int64_t features,
                   double exponent, unsigned seed) {
  Case c(cases::Task::sum, metric, 0, cases::DType::float32, false, false,
         {1, n, m, features, 1, 1}, seed);
  std::mt19937_64 random(seed);
  std::vector<float> rows[2];
  semideep::Side* sides[2] = {&c.p.left, &c.p.right};
  for (int side = 0; side < 2; ++side) {
    for (int64_t i = 0; i < sides[side]->count; ++i)
      for (int64_t k = 0; k < features; ++k)
        rows[side].push_back(static_cast<float>(data.draw(random, i, k)));
    accuracy::give(*sides[side], rows[side], features);
  }
  const double lambda = accuracy::lambda_for(exponent, c.p);
  c.p.parameter = &lambda;
  if (!(lambda > 1e-12 && lambda < 1e6)) return 0;
  const auto wanted = semideep::reference(c.p).out;
  const auto got = c.run(1).out;
  double worst = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    const long double w = wanted[i] / static_cast<long double>(m);
    if (w >= std::exp(-20.0L))
      worst = check::worse(worst, static_cast<double>(std::abs(got[i] / wanted[i] - 1)));
  }
  return worst;
}

}  // namespace

int main(int count, char** arguments) {
  backend::skip_unless_available();
  check::Sample sample(count, arguments);
  unsigned seed = 0;
  accuracy::for_metrics([&](int metric, const std::string& name) {
    const auto hold = [&](const Data& data, int64_t n, int64_t m, int64_t features,
                          double exponent) {
      ++seed;
      if (!sample.takes(metric)) return;
      const double error = worst_error(metric, data, n, m, features, exponent, seed);
      check::that(error <= 1e-6, name + ", " + data.name + ", N=" + std::to_string(n) +
                                     " M=" + std::to_string(m) + " D=" + std::to_string(features) +
                                     " lambda d about " + std::to_string(exponent) +
                                     ": relative error " + std::to_string(error * 1e6) + "e-6");
    };
    for (const Data& data : kData)
      for (const int64_t features : {1, 3, 8, 9, 16, 17, 30, 128, 300})
        for (const int64_t m : {1, 37})
          for (const double exponent : {0.1, 3.0, 8.0, 12.0, 17.0})
            hold(data, 64, m, features, exponent);
    for (const double exponent : {5.3, 5.8}) hold(kFalling, 300000, 1, 8, exponent);
  });
  return check::finish();
}
