// The CPU backend's front door: answers a Problem with the active instruction set.
#pragma once

#include <cstdint>
#include <functional>

#include "core/problem.h"
#include "cpu/capability.h"

namespace semideep::cpu {

// Calls body(begin, end) on ranges that cover [0, count), none shorter than `grain` without need, on any
// threads, and returns when all are done.
using RangeBody = std::function<void(int64_t begin, int64_t end)>;
using ParallelFor = std::function<void(int64_t count, int64_t grain, const RangeBody& body)>;

// Fills the results of `problem`. The bits of the results depend neither on `threads` nor on how
// `parallel_for` cuts its ranges. Throws std::invalid_argument for a metric, kernel and task that do not go
// together.
void execute(const Problem& problem, Capability capability, int threads,
             const ParallelFor& parallel_for);

}  // namespace semideep::cpu
