// The promise of memory: besides what it is given and returns, a call takes at most 16 MiB, and 64 bytes a row. Only
// bit planes (count_pack.h) are a copy of the rows: how many are needed is not known before the device has seen them.
#include <functional>

#include "cases.h"
#include "check.h"
#include "core/reference.h"

namespace {

using cases::Case;
using cases::DType;
using cases::Task;

// What a call asks for. Nothing is computed: no launch depends on another's results.
int64_t scratch_of(Case& c) {
  static std::vector<char> memory(1);  // that nobody touches
  int64_t total = 0;
  semideep::emulator::skip_launches(true);
  c.p.rows_gradient = c.wants_rows() ? memory.data() : nullptr;
  semideep::cuda::execute(c.p, nullptr, [&](int64_t bytes) {
    total += bytes;
    return static_cast<void*>(memory.data());
  });
  semideep::emulator::skip_launches(false);
  return total;
}

void check_scratch(Task task, int metric, DType dtype, bool tangent, cases::Shape shape) {
  if (task == Task::log_sum) shape.columns = 1;
  // The rows themselves are not read.
  Case c(task, metric, 0, dtype, tangent, false, {1, 1, 1, 1, shape.parameters, shape.columns}, 1);
  c.p.batches = shape.batches;
  c.p.left.count = shape.n;
  c.p.right.count = shape.m;
  c.p.features = shape.features;
  const int64_t rows = shape.batches * (shape.n + shape.m);
  int64_t plane_bytes = 0;
  semideep::visit(semideep::Metrics{}, metric, [&]<class Metric>() {
    if (!semideep::kCountsFeatures<Metric> || dtype != DType::float32) return;
    plane_bytes = rows * ((shape.features + 31) / 32) * 4;
    if (Metric::sum_of == semideep::SumOf::unequal) plane_bytes *= 32;
  });
  const int64_t beyond = scratch_of(c) - (int64_t{16} << 20) - 64 * rows - plane_bytes;
  check::that(
      beyond <= 0,
      "metric " + std::to_string(metric) + " task " + std::to_string(static_cast<int>(task)) +
          " N=" + std::to_string(shape.n) + " M=" + std::to_string(shape.m) +
          " D=" + std::to_string(shape.features) + " B=" + std::to_string(shape.batches) +
          " L C=" + std::to_string(shape.parameters * shape.columns) +
          (dtype == DType::float32 ? " float32" : " float64") + (tangent ? " along tangents" : "") +
          ": " + std::to_string(beyond) + " bytes more than promised");
}

// Where memory allows one unit of 64 rows at a time, each is a pass of its own.
void check_one_unit_a_pass(int metric) {
  Case c(Task::gradient, metric, 0, DType::float64, false, false, {3, 1, 1, 13000, 1, 1}, 7);
  const auto wanted = semideep::reference(c.p);
  const auto got = c.run(1);
  double worst = 0, largest = 0;
  for (size_t i = 0; i < got.rows_gradient.size(); ++i) {
    const auto value = static_cast<double>(wanted.rows_gradient[i]);
    largest = std::max(largest, std::abs(value));
    worst = check::worse(worst, std::abs(got.rows_gradient[i] - value));
  }
  check::that(worst <= 1e-12 * largest, "gradients of units in passes of their own, metric " +
                                            std::to_string(metric) + ": off by " +
                                            std::to_string(worst / largest));
}

}  // namespace

int main() {
  for (int metric = 0; metric < semideep::Metrics::size; ++metric)
    for (const Task task : {Task::sum, Task::log_sum, Task::gradient})
      for (const DType dtype : {DType::float32, DType::float64})
        for (const bool tangent : {false, true}) {
          if (tangent && task == Task::log_sum) continue;
          for (const int64_t n : {1, 1000, 20000})
            for (const int64_t m : {100, 5000, 300000})
              for (const int64_t features : {3, 128, 784, 3000, 12000})
                check_scratch(task, metric, dtype, tangent, {1, n, m, features, 1, 1});
          check_scratch(task, metric, dtype, tangent, {50, 300, 3000, 1024, 5, 3});
          check_scratch(task, metric, dtype, tangent, {1, 5000, 300000, 8, 7, 100});
        }
  // Of the metrics that have a kernel of their own for this: euclidean, and cosine, whose rows are prepared.
  check_one_unit_a_pass(semideep::position_of(semideep::Metrics{}, "euclidean"));
  check_one_unit_a_pass(semideep::position_of(semideep::Metrics{}, "cosine"));
  return check::finish();
}
