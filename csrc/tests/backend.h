// The backend under test: the CPU's kernels under one instruction set, or the CUDA kernels in the emulator.
//
// execute(problem, order) answers a problem; with another `order`, threads or blocks take other turns.
// in_each_way(problem, f) calls f() with the backend set to each of the ways that it has to answer the problem, of
// which it would choose one by itself; way() names it for messages.
// skip_unless_available() ends the test as skipped (77) where the machine lacks the instruction set.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "core/problem.h"
#include "core/registry.h"

#if defined(SEMIDEEP_EMULATED)

#include <cstring>

#include "cuda/backend.h"
#include "emulator/emulator.h"

namespace backend {

inline void skip_unless_available() {}

inline void execute(const semideep::Problem& problem, int order) {
  semideep::emulator::seed(static_cast<uint64_t>(order));
  std::vector<std::unique_ptr<char[]>> scratch;
  semideep::cuda::execute(problem, nullptr, [&](int64_t bytes) {
    scratch.emplace_back(new char[static_cast<size_t>(bytes)]);
    std::memset(scratch.back().get(), 0x7f, static_cast<size_t>(bytes));  // NaN, mostly
    return static_cast<void*>(scratch.back().get());
  });
}

template <class F>
void in_each_way(const semideep::Problem& problem, F&& f) {
  bool counts = false;
  semideep::visit(semideep::Metrics{}, problem.metric,
                  [&]<class Metric>() { counts = semideep::kCountsFeatures<Metric>; });
  if (!counts || problem.task != semideep::Task::sum || problem.dtype != semideep::DType::float32)
    return f();
  for (const char* way : {"popcount", "products"}) {
    setenv("SEMIDEEP_CUDA_BITS", way, 1);
    f();
  }
  unsetenv("SEMIDEEP_CUDA_BITS");
}
inline std::string way() {
  const char* set = std::getenv("SEMIDEEP_CUDA_BITS");
  return set ? std::string(" by ") + set : "";
}

}  // namespace backend

#else

#include <cstdio>
#include <stdexcept>

#include "cpu/scheduler.h"

namespace backend {

inline semideep::cpu::Capability capability() {
  try {
    return semideep::cpu::active_capability();
  } catch (const std::runtime_error& error) {
    std::printf("skipped: %s\n", error.what());
    std::exit(77);
  }
}
inline void skip_unless_available() { capability(); }

// On as many threads as `order`, each with several ranges.
inline void execute(const semideep::Problem& problem, int order) {
  const auto parallel = [order](int64_t count, int64_t, const semideep::cpu::RangeBody& body) {
    if (order == 1) return body(0, count);
    std::vector<std::thread> pool;
    const int64_t step = count / order + 1;
    for (int64_t begin = 0; begin < count; begin += step)
      pool.emplace_back([=, &body] { body(begin, begin + step < count ? begin + step : count); });
    for (std::thread& thread : pool) thread.join();
  };
  semideep::cpu::execute(problem, capability(), order, parallel);
}

template <class F>
void in_each_way(const semideep::Problem&, F&& f) {
  f();
}
inline std::string way() { return ""; }

}  // namespace backend

#endif
