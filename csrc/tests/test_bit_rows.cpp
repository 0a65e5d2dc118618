// Rows of two values, of which backends keep one bit a feature: every tail of words, of rows and of columns.
#include <cmath>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "cases.h"
#include "check.h"
#include "core/reference.h"

namespace {

using cases::Case;
using cases::Shape;

bool ways_differ = false;  // their sums are rounded in other orders, here and there

// With rows that are all zero, all one, and equal to one of the other side.
std::vector<float> draw(int64_t rows, int64_t features, float low, float high, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<float> values(rows * features);
  for (int64_t i = 0; i < rows * features; ++i) {
    const int64_t row = i / features;
    const bool bit = row == 0 ? false : row == 1 ? true : (random() >> row % 3 & 7) < 3;
    values[i] = bit ? high : low;
  }
  return values;
}

void check_rows(int metric, Shape shape, const std::vector<float>& x, const std::vector<float>& y,
                const std::string& what, unsigned seed) {
  Case c(cases::Task::sum, metric, 0, cases::DType::float32, false, false, shape, seed);
  c.p.left.rows = x.data();
  c.p.right.rows = y.data();
  for (semideep::Side* side : {&c.p.left, &c.p.right}) {
    side->rows_row_stride = shape.features;
    side->rows_batch_stride = side->count * shape.features;
  }
  std::string name;
  semideep::visit(semideep::Metrics{}, metric, [&]<class Metric>() { name = Metric::name; });
  name += " of " + what + " B=" + std::to_string(shape.batches) + " N=" + std::to_string(shape.n) +
          " M=" + std::to_string(shape.m) + " D=" + std::to_string(shape.features) +
          " sums=" + std::to_string(shape.parameters * shape.columns);
  const auto wanted = semideep::reference(c.p);
  // Of terms of both signs: errors are relative to the largest sum of magnitudes.
  long double largest = 0;
  for (const long double out : semideep::reference(c.magnitudes()).out)
    largest = std::max(largest, out);
  std::vector<double> first;
  backend::in_each_way(c.p, [&] {
    const auto got = c.run(1);
    if (first.empty()) first = got.out;
    ways_differ = ways_differ || got.out != first;
    long double worst = 0;
    for (size_t i = 0; i < got.out.size(); ++i)
      worst = check::worse(worst, std::abs(got.out[i] - wanted.out[i]));
    check::that(worst <= 1e-6L * largest,
                name + backend::way() + ": off by " + std::to_string(static_cast<double>(worst)));
    check::that(c.run(2).out == got.out, name + backend::way() + ": other bits in another order");
  });
}

void check_shape(int metric, Shape shape, float low, float high, unsigned seed) {
  const auto x = draw(shape.batches * shape.n, shape.features, low, high, seed);
  auto y = draw(shape.batches * shape.m, shape.features, low, high, seed + 1);
  for (int64_t k = 0; k < shape.features; ++k)
    y[(shape.m - 1) * shape.features + k] = x[(shape.n - 1) * shape.features + k];
  check_rows(metric, shape, x, y, std::to_string(low) + " and " + std::to_string(high), seed);
}

// Whoever surveys the values must have seen them all: but for the last row, they have no bits.
void check_rare(int metric, unsigned seed) {
  const Shape shape{1, 3, 700, 40, 1, 1};
  const std::vector<float> x(shape.n * shape.features);
  std::vector<float> y(shape.m * shape.features);
  for (int64_t k = 0; k < shape.features; ++k) y[(shape.m - 1) * shape.features + k] = 2;
  check_rows(metric, shape, x, y, "0 and, in one row, 2", seed);
}

#if defined(SEMIDEEP_EMULATED)
void check_refusal() {
  Case c(cases::Task::sum, semideep::position_of(semideep::Metrics{}, "jaccard"), 0,
         cases::DType::float32, false, false, {}, 1);
  std::string said;
  setenv("SEMIDEEP_CUDA_BITS", "fast", 1);
  try {
    c.run(1);
  } catch (const std::runtime_error& error) {
    said = error.what();
  }
  unsetenv("SEMIDEEP_CUDA_BITS");
  check::that(said.find("'fast'") != said.npos && said.find("popcount or products") != said.npos,
              "an unknown way to count bits is refused, with the known ones");
}
#endif

}  // namespace

int main(int count, char** arguments) {
  backend::skip_unless_available();
  check::Sample sample(count, arguments);
  unsigned seed = 0;
  semideep::for_each(semideep::Metrics{}, [&, metric = 0]<class Metric>() mutable {
    const int at = metric++;
    if (!semideep::kCountsFeatures<Metric>) return;
    const auto check = [&](Shape shape) {
      for (const float low : {0.0f, -1.0f}) {
        ++seed;
        if (sample.takes(at)) check_shape(at, shape, low, 1.0f, seed);
      }
    };
    // Words of 32 bits: up to 8 at a time, 32 in shared memory.
    for (const int64_t features :
         {1,   2,   31,  32,  33,  64,  65,  95,  96,   97,   127,  128,  129,  161,
          224, 255, 256, 257, 300, 511, 512, 513, 1023, 1024, 1025, 1056, 1300, 2049})
      check({1, 3, 5, features, 1, 1});
    for (const int64_t n : {1, 31, 33, 63, 64, 65, 129}) check({1, n, 40, 70, 1, 1});
    for (const int64_t m : {1, 7, 31, 33, 63, 65, 127, 128, 129, 257, 1025, 2100})
      check({1, 34, m, 70, 1, 1});
    check({3, 65, 129, 40, 1, 1});
    check({2, 66, 130, 1100, 2, 3});
    check({1, 2, 9, 300, 3, 1});
    check_rare(at, ++seed);
  });
#if defined(SEMIDEEP_EMULATED)
  check::that(ways_differ, "each way has sums of its own");
  check_refusal();
#endif
  return check::finish();
}
