// What the C++ tests need of a test framework.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>

namespace check {

inline int failures = 0;
inline int checks = 0;

inline void that(bool holds, const std::string& promise) {
  ++checks;
  if (holds) return;
  if (++failures <= 20) std::printf("FAILED: %s\n", promise.c_str());
}

// The larger of two errors. A NaN is an infinite one; std::max would drop it.
template <class T>
T worse(T worst, T error) {
  return std::isnan(error) ? static_cast<T>(INFINITY) : std::max(worst, error);
}

// Which cases of a test are due: all, or, where the program is given a number n, every n-th of each kind. The first of a
// kind always is; which others are differs from kind to kind, so that a sample meets what loops within a kind vary.
class Sample {
 public:
  Sample(int count, char** arguments) : step_(count > 1 ? std::atoi(arguments[1]) : 1) {}

  bool takes(int kind) {
    const int number = seen_[kind]++;
    return number == 0 || (number + kind) % step_ == 0;
  }

 private:
  int step_;
  std::map<int, int> seen_;
};

// The exit status of main().
inline int finish() {
  std::printf("%d checks, %d failed\n", checks, failures);
  return failures == 0 && checks > 0 ? 0 : 1;
}

}  // namespace check
