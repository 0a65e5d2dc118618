// The vector exponential of the instruction set under test, over its whole range.
//
// It is reached through the op: rows that coincide have distance 0, so out = exp(-shift), which the kernel
// function bounds at exp(709).
#include <cmath>
#include <memory>

#include "cases.h"
#include "check.h"

namespace {

std::vector<double> exponentials(const std::vector<double>& arguments) {
  cases::Case c(cases::Task::sum, 0, 0, cases::DType::float64, false, false,
                {1, static_cast<int64_t>(arguments.size()), 1, 0, 1, 1}, 1);
  std::vector<double> shift(arguments.size());
  for (size_t i = 0; i < shift.size(); ++i) shift[i] = -arguments[i];
  const double one = 1.0;
  c.p.left.shift = shift.data();
  c.p.right.values = &one;
  return c.run(1).out;
}

std::string at(double argument) { return "exp(" + std::to_string(argument) + ")"; }

}  // namespace

int main() {
  backend::skip_unless_available();
  std::vector<double> arguments;
  for (double x = -760; x < 709; x += 0.0037) arguments.push_back(x);
  for (double x = -1e-3; x < 1e-3; x += 1.37e-8) arguments.push_back(x);
  const std::vector<double> results = exponentials(arguments);
  for (size_t i = 0; i < arguments.size(); ++i) {
    const long double wanted = std::exp(static_cast<long double>(arguments[i]));
    // 2 units in the last place; below 2^-1022 the unit is 2^-1074.
    const long double allowed = 4.5e-16L * wanted + 4.95e-324L;
    check::that(std::abs(results[i] - wanted) <= allowed, at(arguments[i]) + " is accurate");
  }

  const std::vector<double> special =
      exponentials({0.0, -0.0, -INFINITY, INFINITY, NAN, -1e300, 1e300, -745.2, -708.4});
  check::that(special[0] == 1 && special[1] == 1, "exp(0) is exactly 1");
  check::that(special[2] == 0 && special[5] == 0 && special[7] == 0, "exp underflows to 0");
  check::that(special[3] == std::exp(709.0) && special[6] == special[3],
              "exp saturates at exp(709)");
  check::that(std::isnan(special[4]), "exp(NaN) is NaN");
  check::that(special[8] > 0 && special[8] < 2.3e-308, "exp reaches subnormal numbers");
  return check::finish();
}
