// The CUDA backend's front door: answers a Problem whose pointers are to device memory.
#pragma once

#include <cstdint>
#include <functional>

#include "core/problem.h"

struct CUstream_st;  // what a cudaStream_t points to: a binding needs no CUDA header

namespace semideep::cuda {

// Device memory that lives until the work queued on the stream is done, as torch's allocator gives it.
using Allocate = std::function<void*(int64_t bytes)>;

// Queues the work on the stream; waits for nothing, reads nothing back, so it can be captured in a graph.
// The bits of the results depend on nothing but the problem. Throws std::invalid_argument for a metric,
// kernel and task that do not go together and std::runtime_error where CUDA refuses a launch.
void execute(const Problem& problem, CUstream_st* stream, const Allocate& allocate);

}  // namespace semideep::cuda
