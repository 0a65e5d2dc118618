// Rows in half precision give the bits that the same values give as float32: the CUDA kernels convert them as they
// load, and compute alike from there on. Only where rows lie about 0 they take a shorter way (float_product_tile.h).
#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>

#include "accuracy.h"
#include "check.h"
#include "cuda/device.h"

namespace {

using cases::Case;
using cases::Shape;
using cases::Task;
using semideep::Half;

// Direct differences up to 16 features, products above. What is copied at a time follows from the width of a row:
// 2, 4, 8 or 16 bytes.
const struct {
  Shape shape;
  int64_t stride;
} kCases[] = {
    {{1, 5, 7, 1, 1, 1}, 1},      {{2, 66, 9, 3, 2, 2}, 5},    {{1, 3, 130, 16, 1, 1}, 16},
    {{1, 66, 5, 17, 1, 1}, 17},   {{2, 3, 5, 33, 2, 2}, 34},   {{1, 3, 5, 40, 1, 1}, 44},
    {{1, 2, 1030, 48, 1, 1}, 48}, {{1, 3, 6, 129, 1, 1}, 136},
};

// Random values of a half type; among them 0, the smallest and, where asked for, infinities and NaN.
struct Rows {
  std::vector<uint16_t> halves;
  std::vector<float> floats;

  Rows(int64_t count, Half half, bool special, std::mt19937_64& random, float mean = 0.5f) {
    const float rare[] = {0.0f, -0.0f, 0x1p-24f, 1.0f, INFINITY, -INFINITY, NAN};
    for (int64_t i = 0; i < count; ++i) {
      const unsigned drawn = random() % 64;
      const float value = drawn < (special ? 7u : 4u)
                              ? rare[drawn]
                              : std::normal_distribution<float>(mean, 0.3f)(random);
      if (half == Half::float16) {
        halves.push_back(__float2half_rn(value).bits);
        floats.push_back(__half2float({halves.back()}));
      } else {
        halves.push_back(__float2bfloat16_rn(value).bits);
        floats.push_back(__bfloat162float({halves.back()}));
      }
    }
  }
};

bool same_bits(const std::vector<double>& a, const std::vector<double>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(double)) == 0;
}

void check_case(Task task, int metric, int kernel, bool tangent, bool special, Half half,
                Shape shape, int64_t stride, unsigned seed) {
  if (task == Task::log_sum) shape.columns = 1;
  Case c(task, metric, kernel, cases::DType::float32, tangent, false, shape, seed);
  std::mt19937_64 random(seed);
  std::vector<Rows> rows;
  const auto use = [&](bool halves) {
    int i = 0;
    for (semideep::Side* side : {&c.p.left, &c.p.right}) {
      side->rows_row_stride = stride;
      side->rows_batch_stride = side->count * stride;
      if (rows.size() < 2)
        rows.emplace_back(shape.batches * side->count * stride, half, special, random);
      side->half = halves ? half : Half::none;
      side->rows = halves ? static_cast<const void*>(rows[i].halves.data())
                          : static_cast<const void*>(rows[i].floats.data());
      ++i;
    }
    return c.run(1);
  };
  const auto wanted = use(false), got = use(true);
  std::string name = half == Half::float16 ? "float16 " : "bfloat16 ";
  semideep::visit(semideep::Metrics{}, metric, [&]<class Metric>() { name += Metric::name; });
  name += " task " + std::to_string(static_cast<int>(task)) + " kernel " + std::to_string(kernel) +
          (tangent ? " along tangents" : "") + (special ? " special values" : "") +
          " D=" + std::to_string(shape.features);
  check::that(same_bits(got.out, wanted.out), name + ": other results than of float32");
  check::that(same_bits(got.rows_gradient, wanted.rows_gradient), name + ": other row gradients");
  check::that(same_bits(got.parameter_gradient, wanted.parameter_gradient),
              name + ": other parameter gradients");
}

// Whether halves gave other bits than floats.
bool check_centred(Task task, int metric, Half half, int64_t features, unsigned seed) {
  Case c(task, metric, 0, cases::DType::float32, false, false, {1, 66, 140, features, 1, 1}, seed);
  std::mt19937_64 random(seed);
  std::vector<Rows> rows;
  for (semideep::Side* side : {&c.p.left, &c.p.right}) {
    rows.reserve(2);
    rows.emplace_back(side->count * features, half, false, random, 0.0f);
    accuracy::give(*side, rows.back().floats, features);
  }
  const double lambda = accuracy::lambda_for(3.0, c.p);
  c.p.parameter = &lambda;
  const auto wanted = semideep::reference(c.p);
  const auto of_floats = c.run(1);
  c.p.left.half = c.p.right.half = half;
  c.p.left.rows = rows[0].halves.data();
  c.p.right.rows = rows[1].halves.data();
  const auto got = c.run(1);

  const auto error = [](const std::vector<double>& a, const std::vector<long double>& b) {
    long double largest = 0, off = 0;
    for (size_t i = 0; i < b.size(); ++i) {
      largest = std::max(largest, std::abs(b[i]));
      off = std::max(off, std::abs(static_cast<long double>(a[i]) - b[i]));
    }
    return static_cast<double>(off / largest);
  };
  const bool sum = task == Task::sum;
  const double found =
      sum ? error(got.out, wanted.out) : error(got.rows_gradient, wanted.rows_gradient);
  check::that(found <= (sum ? 1e-6 : 1e-5), "rows about 0, D=" + std::to_string(features) +
                                                ": relative error " + std::to_string(found * 1e6) +
                                                "e-6");
  return !same_bits(got.out, of_floats.out) ||
         !same_bits(got.rows_gradient, of_floats.rows_gradient);
}

}  // namespace

int main(int count, char** arguments) {
  check::Sample sample(count, arguments);
  unsigned seed = 0;
  bool differs = false;
  for (const int64_t features : {17, 40, 300})
    for (const Half half : {Half::float16, Half::bfloat16})
      accuracy::for_metrics([&](int metric, const std::string&) {
        for (const Task task : {Task::sum, Task::gradient})
          differs = check_centred(task, metric, half, features, ++seed) || differs;
      });
  check::that(differs, "rows about 0 are multiplied as they are");
  const auto check_if_due = [&](Task task, int metric, int kernel, bool tangent, bool special,
                                Half half, auto... shape) {
    ++seed;
    const int kind = cases::kind_of(task, metric, cases::DType::float32);
    if (sample.takes(kind * 3 + static_cast<int>(half)))
      check_case(task, metric, kernel, tangent, special, half, shape..., seed);
  };
  for (const auto& [shape, stride] : kCases)
    for (const Half half : {Half::float16, Half::bfloat16})
      for (int metric = 0; metric < semideep::Metrics::size; ++metric)
        for (const bool special : {false, true})
          for (const Task task : {Task::sum, Task::gradient, Task::log_sum}) {
            check_if_due(task, metric, 0, false, special, half, shape, stride);
            if (special || task == Task::log_sum || shape.features > 17) continue;
            check_if_due(task, metric, 0, true, false, half, shape, stride);
            check_if_due(task, metric, 1, false, false, half, shape, stride);
          }
  return check::finish();
}
