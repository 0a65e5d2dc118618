// Every kernel of csrc/cuda, for ThreadSanitizer: each metric, dtype and task, with few features and with many (float32
// takes differences of the first and products of the second), with one sum and with several. What they compute,
// test_kernels checks; here one turn of the threads is enough, since no race depends on the turns that they happen to take.
#include <algorithm>
#include <cmath>
#include <memory>

#include "cases.h"
#include "check.h"

namespace {

using cases::Case;
using cases::DType;
using cases::Shape;
using cases::Task;

void run(Task task, int metric, DType dtype, bool tangent, Shape shape) {
  if (task == Task::log_sum) shape.columns = 1;
  Case c(task, metric, 0, dtype, tangent, false, shape, 1);
  backend::in_each_way(c.p, [&] {
    const auto got = c.run(1);
    const auto& results = task == Task::gradient ? got.parameter_gradient : got.out;
    check::that(std::all_of(results.begin(), results.end(), [](double x) { return x - x == 0; }),
                "metric " + std::to_string(metric) + ": finite results");
  });
}

}  // namespace

int main() {
  for (int metric = 0; metric < semideep::Metrics::size; ++metric)
    for (const DType dtype : {DType::float32, DType::float64})
      for (const Task task : {Task::sum, Task::log_sum, Task::gradient})
        for (const bool many : {false, true}) {
          const int64_t sums = (metric % 2 == 0) == many ? 1 : 2;
          const bool tangent = dtype == DType::float64 && many && task != Task::log_sum;
          run(task, metric, dtype, tangent, {1, 5, 130, many ? 20 : 4, sums, sums});
        }
  // Several batches and units of rows, then several spans of columns, are merged.
  for (const Task task : {Task::sum, Task::log_sum, Task::gradient})
    for (const Shape& shape : {Shape{2, 66, 5, 4, 1, 1}, Shape{1, 3, 1100, 4, 1, 1}})
      run(task, 0, DType::float32, false, shape);
  return check::finish();
}
