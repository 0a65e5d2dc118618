// What benchmarks/counts.py counts the instructions of: fixed cases, on one thread, with the instruction set
// that SEMIDEEP_CPU_CAPABILITY names.
//
//   count_cases          runs every case
//   count_cases "D=30"   runs those with this in their names
//
// Prints the compiler, then a line for each case: its name, a tab, its number of pairs. The cases follow from
// the list of metrics. callgrind is told to count inside counted() alone, so that neither data nor printing
// counts, and to write its counts down after each call.
#include <cmath>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include "backend.h"
#include "check.h"
#include "core/registry.h"
#include "cpu/scheduler.h"

using semideep::DType;
using semideep::Problem;
using semideep::Task;

namespace {

// Whole tiles: a small case then tells what a pair costs in a large one.
constexpr int64_t kLeft = 192;
constexpr int64_t kRight = 512;

enum Data { reals, categories, bits };

struct Case {
  int metric;
  Task task;
  DType dtype;
  int64_t features;
  Data data;
  int64_t parameters = 1;
};

std::string name(const Case& c, const char* metric) {
  const char* tasks[] = {"forward", "log", "gradient"};
  const char* kinds[] = {"", " categories", " bits"};
  std::string text = std::string(metric) + " " + tasks[static_cast<int>(c.task)];
  text += c.dtype == DType::float32 ? " float32" : " float64";
  text += kinds[c.data];
  text += " D=" + std::to_string(c.features);
  if (c.parameters > 1) text += " L=" + std::to_string(c.parameters);
  return text;
}

// Not a distribution of the standard library, each of which gives other numbers.
template <class T>
std::vector<T> draw(int64_t count, Data data, double scale, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<T> values(count);
  for (T& value : values) {
    const unsigned drawn = random() >> 8;  // 24 bits
    value = data == bits         ? static_cast<T>(drawn % 2)
            : data == categories ? static_cast<T>(drawn % 5)
                                 : static_cast<T>(scale * (drawn * 0x1p-23 - 1.0));
  }
  return values;
}

}  // namespace

// By this name callgrind knows it.
extern "C" __attribute__((noinline)) void counted(const Problem& problem,
                                                  semideep::cpu::Capability capability) {
  const semideep::cpu::ParallelFor serial =
      [](int64_t count, int64_t, const semideep::cpu::RangeBody& body) { body(0, count); };
  semideep::cpu::execute(problem, capability, 1, serial);
}

namespace {

template <class T>
void run(const Case& c, semideep::cpu::Capability capability) {
  // Distances near 1, where kernels are neither 0 nor 1.
  const double scale = 1.0 / std::sqrt(static_cast<double>(c.features));
  const auto x = draw<T>(kLeft * c.features, c.data, scale, 1);
  const auto y = draw<T>(kRight * c.features, c.data, scale, 2);
  const auto u = draw<T>(c.parameters * kLeft, reals, 1.0, 3);
  const T v = 1;
  std::vector<double> lambda;
  for (int64_t l = 0; l < c.parameters; ++l) lambda.push_back(0.4 * static_cast<double>(l + 1));
  std::vector<double> out(c.parameters * kLeft), by_parameter(c.parameters);
  std::vector<T> by_rows(kLeft * c.features);

  Problem p;
  p.task = c.task;
  p.metric = c.metric;
  p.dtype = c.dtype;
  p.features = c.features;
  p.parameters = c.parameters;
  p.left.count = kLeft;
  p.left.rows = x.data();
  p.left.values = u.data();
  p.left.values_parameter_stride = kLeft;
  p.left.values_row_stride = 1;
  p.right.count = kRight;
  p.right.rows = y.data();
  p.right.values = &v;  // all rows share it, as in an unweighted sum
  p.left.rows_row_stride = p.right.rows_row_stride = c.features;
  p.parameter = lambda.data();
  p.out = out.data();  // holds floats, too
  p.rows_gradient = by_rows.data();
  p.parameter_gradient = by_parameter.data();
  counted(p, capability);
}

template <class Metric>
std::vector<Case> cases_of(int metric) {
  std::vector<Case> cases = {{metric, Task::sum, DType::float32, 30, reals}};
  if (semideep::kCountsFeatures<Metric>) {
    cases.push_back({metric, Task::sum, DType::float32, 64, categories});
    cases.push_back({metric, Task::sum, DType::float64, 64, categories});
    cases.push_back({metric, Task::sum, DType::float32, 1024, bits});
  } else {
    cases.push_back({metric, Task::sum, DType::float32, 3, reals});
    cases.push_back({metric, Task::sum, DType::float32, 128, reals});
    cases.push_back({metric, Task::sum, DType::float64, 30, reals});
  }
  if (Metric::differentiable) {
    cases.push_back({metric, Task::gradient, DType::float32, 30, reals});
    cases.push_back({metric, Task::gradient, DType::float32, 128, reals});
    cases.push_back({metric, Task::gradient, DType::float64, 30, reals});
  }
  if (metric == 0) {  // what these cost beside the distances is the same for every metric
    cases.push_back({metric, Task::sum, DType::float32, 30, reals, 5});
    cases.push_back({metric, Task::log_sum, DType::float32, 30, reals});
  }
  return cases;
}

}  // namespace

int main(int argc, char** argv) {
  const auto capability = backend::capability();
  std::printf("%s\n", SEMIDEEP_BUILD);
  int metric = 0;
  semideep::for_each(semideep::Metrics{}, [&]<class Metric>() {
    for (const Case& c : cases_of<Metric>(metric)) {
      const std::string text = name(c, Metric::name);
      if (argc > 1 && text.find(argv[1]) == std::string::npos) continue;
      c.dtype == DType::float32 ? run<float>(c, capability) : run<double>(c, capability);
      std::printf("%s\t%lld\n", text.c_str(), static_cast<long long>(kLeft * kRight));
    }
    ++metric;
  });
  return 0;
}
