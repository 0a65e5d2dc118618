// Every metric x kernel function x task x dtype, against core/reference.h: values, tails, strides, and the
// same bits for any number of threads (in the emulator: any order of blocks).
//
//   test_kernels [n]   every n-th case of each metric, task and dtype, where all of them take long (as in other tests)
#include <memory>

#include "cases.h"
#include "check.h"
#include "core/reference.h"

namespace {

using cases::Case;
using cases::Shape;
using semideep::DType;
using semideep::Task;

// Sizes on both sides of every tile edge: 64 rows, 128 columns, 16 and 128 features, 8192 columns a span (CUDA: 1024).
const Shape kShapes[] = {
    {1, 1, 1, 1, 1, 1},     {1, 5, 7, 3, 1, 1},     {2, 63, 127, 2, 2, 1}, {1, 64, 128, 4, 1, 3},
    {1, 65, 129, 5, 1, 17}, {3, 4, 9, 127, 1, 2},   {1, 7, 9, 128, 3, 1},  {1, 6, 17, 257, 1, 1},
    {1, 3, 8200, 2, 1, 1},  {1, 3, 5, 0, 1, 1},     {0, 3, 5, 2, 1, 1},    {1, 0, 5, 2, 1, 1},
    {1, 65, 129, 17, 1, 1}, {2, 3, 1153, 32, 2, 2}, {2, 66, 5, 33, 3, 1},  {1, 4, 130, 20, 3, 2},
};

// Errors are measured against the largest of `scale`, or 0.01: a sum of terms of both signs can come out near 0.
double error(const std::vector<double>& got, const std::vector<long double>& wanted,
             const std::vector<long double>& scale) {
  if (got.size() != wanted.size()) return INFINITY;
  long double largest = 0.01L, worst = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    largest = std::max(largest, std::abs(scale[i]));
    worst = check::worse(worst, std::abs(got[i] - wanted[i]));
  }
  return static_cast<double>(worst / largest);
}

std::string describe(const Case& c, const char* what, double value) {
  std::string text;
  semideep::visit(semideep::Metrics{}, c.p.metric, [&]<class Metric>() { text = Metric::name; });
  semideep::visit(semideep::Kernels{}, c.p.kernel,
                  [&]<class Kernel>() { text += std::string(" ") + Kernel::name; });
  const char* tasks[] = {" sum", " log_sum", " gradient"};
  text += tasks[static_cast<int>(c.p.task)];
  text += c.p.dtype == DType::float32 ? " float32" : " float64";
  if (c.p.tangent) text += " along tangents";
  text += " B=" + std::to_string(c.p.batches) + " N=" + std::to_string(c.p.left.count) +
          " M=" + std::to_string(c.p.right.count) + " D=" + std::to_string(c.p.features) +
          " L=" + std::to_string(c.p.parameters) + " C=" + std::to_string(c.p.columns) +
          backend::way();
  return text + ": " + what + " " + std::to_string(value);
}

void check_results(Case& c, const semideep::ReferenceResult& wanted) {
  const auto got = c.run(1);
  const double tolerance = c.p.dtype == DType::float32 ? 1e-6 : 1e-12;
  if (c.p.task == Task::gradient) {
    // Rounding in float32 is one of the terms, however far those cancel. (Along tangents, all is in double.)
    auto scale = wanted.parameter_gradient;
    if (c.p.dtype == DType::float32 && !c.p.tangent)
      scale = semideep::reference(c.magnitudes()).parameter_gradient;
    const double by_parameter = error(got.parameter_gradient, wanted.parameter_gradient, scale);
    check::that(by_parameter <= tolerance, describe(c, "parameter gradient off by", by_parameter));
    if (c.wants_rows()) {
      const double rows = error(got.rows_gradient, wanted.rows_gradient, wanted.rows_gradient);
      check::that(rows <= tolerance, describe(c, "row gradient off by", rows));
    }
  } else {
    const double out = error(got.out, wanted.out, wanted.out);
    check::that(out <= (c.p.task == Task::log_sum ? 1e-12 : tolerance), describe(c, "off by", out));
  }

  const auto threaded = c.run(3);
  check::that(threaded.out == got.out && threaded.rows_gradient == got.rows_gradient &&
                  threaded.parameter_gradient == got.parameter_gradient,
              describe(c, "bits differ between threads:", 3));
}

void check_case(Task task, int metric, int kernel, DType dtype, bool tangent, bool shifted,
                Shape shape, unsigned seed) {
  if (task == Task::log_sum) shape.columns = 1;
  Case c(task, metric, kernel, dtype, tangent, shifted, shape, seed);
  const auto wanted = semideep::reference(c.p);
  backend::in_each_way(c.p, [&] { check_results(c, wanted); });
}

bool has_log(int kernel) {
  bool found = false;
  semideep::visit(semideep::Kernels{}, kernel, [&]<class Kernel>() { found = Kernel::has_log; });
  return found;
}

void check_refusal() {
  Case c(Task::log_sum, 0, semideep::position_of(semideep::Kernels{}, "inverse"), DType::float32,
         false, false, {}, 1);
  bool refused = false;
  try {
    c.run(1);
  } catch (const std::invalid_argument&) {
    refused = true;
  }
  check::that(refused, "a kernel without a logarithm refuses log_sum");
}

}  // namespace

int main(int count, char** arguments) {
  backend::skip_unless_available();
  check::Sample sample(count, arguments);
  unsigned seed = 0;
  const auto check_if_due = [&](Task task, int metric, int kernel, DType dtype, auto... parts) {
    ++seed;
    if (sample.takes(cases::kind_of(task, metric, dtype)))
      check_case(task, metric, kernel, dtype, parts..., seed);
  };
  for (const Shape& shape : kShapes)
    for (int metric = 0; metric < semideep::Metrics::size; ++metric)
      for (int kernel = 0; kernel < semideep::Kernels::size; ++kernel)
        for (const DType dtype : {DType::float32, DType::float64})
          for (const bool tangent : {false, true}) {
            // Shifts come from log sums. Without them float32 has kernels of its own.
            for (const bool shifted : {false, true}) {
              if (shifted && !has_log(kernel)) continue;
              check_if_due(Task::sum, metric, kernel, dtype, tangent, shifted, shape);
              check_if_due(Task::gradient, metric, kernel, dtype, tangent, shifted, shape);
            }
            if (has_log(kernel) && !tangent)
              check_if_due(Task::log_sum, metric, kernel, dtype, false, false, shape);
          }
  check_refusal();
  return check::finish();
}
