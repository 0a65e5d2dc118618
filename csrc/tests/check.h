// What the C++ tests need of a test framework.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdio>
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

// The exit status of main().
inline int finish() {
  std::printf("%d checks, %d failed\n", checks, failures);
  return failures == 0 && checks > 0 ? 0 : 1;
}

}  // namespace check
