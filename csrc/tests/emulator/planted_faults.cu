// Run with a fault's name: a kernel that has it, for the sanitizers to catch. The same kernels without it, run as
// `none`, are clean.
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "cuda/device.h"

namespace planted {

using semideep::cuda::launch;
using semideep::cuda::shared_memory;

constexpr int kThreads = 64, kBlocks = 4;

// Each thread publishes a value; each then reads another warp's.
__global__ void barrier(bool fault, int* out) {
  int* const values = shared_memory<int>();
  values[threadIdx.x] = static_cast<int>(threadIdx.x);
  if (!fault) __syncthreads();
  out[blockIdx.x * blockDim.x + threadIdx.x] = values[threadIdx.x ^ 32];
}

// The values are there, but the buffer is used again while others may still read.
__global__ void second_barrier(bool fault, int* out) {
  int* const values = shared_memory<int>();
  int sum = 0;
  for (int round = 0; round < 3; ++round) {
    values[threadIdx.x] = static_cast<int>(threadIdx.x) + round;
    __syncthreads();
    sum += values[threadIdx.x ^ 33];
    if (!fault) __syncthreads();
  }
  out[blockIdx.x * blockDim.x + threadIdx.x] = sum;
}

// A shuffle moves its values; shared memory it does not order.
__global__ void warp_barrier(bool fault, int* out) {
  int* const values = shared_memory<int>();
  values[threadIdx.x] = static_cast<int>(threadIdx.x);
  const int lane = __shfl_sync(0xffffffffu, static_cast<int>(threadIdx.x), 5);
  if (!fault) __syncwarp();
  out[blockIdx.x * blockDim.x + threadIdx.x] = values[threadIdx.x ^ 1] + lane;
}

// What arrived for one thread has not for another.
__global__ void copies(bool fault, const int* in, int* out) {
  int* const values = shared_memory<int>();
  semideep::cuda::copy_async<16>(values + 4 * threadIdx.x, in + 4 * threadIdx.x, true);
  semideep::cuda::copies_commit();
  semideep::cuda::copies_wait<0>();
  if (!fault) __syncthreads();
  out[blockIdx.x * blockDim.x + threadIdx.x] = values[4 * (threadIdx.x ^ 32)];
}

// Blocks that write to the same place.
__global__ void blocks(bool fault, int* out) {
  if (threadIdx.x == 0) out[fault ? 0 : blockIdx.x] += 1;
}

__global__ void shared_end(bool fault, int* out) {
  int* const values = shared_memory<int>();
  values[threadIdx.x + (fault ? 1 : 0)] = 1;
  out[threadIdx.x] = values[threadIdx.x];
}

__global__ void global_end(bool fault, int* out) {
  out[blockIdx.x * blockDim.x + threadIdx.x + (fault ? 1 : 0)] = 1;
}

__global__ void copy_end(bool fault, const int* in) {
  semideep::cuda::copy_async<16>(shared_memory<int>() + 4 * threadIdx.x,
                                 in + 4 * threadIdx.x + (fault ? 4 : 0), true);
  semideep::cuda::copies_commit();
  semideep::cuda::copies_wait<0>();
}

}  // namespace planted

int main(int count, char** arguments) {
  using namespace planted;
  const std::string fault = count == 2 ? arguments[1] : "";
  bool known = fault == "none";
  const auto has = [&](const char* name) {
    known = known || fault == name;
    return fault == name;
  };
  std::vector<int> in(4 * kThreads, 7), out(kBlocks * kThreads, 0);
  int* const to = out.data();
  const int bytes = kThreads * 4;
  launch(barrier, kBlocks, kThreads, bytes, nullptr, has("barrier"), to);
  launch(second_barrier, kBlocks, kThreads, bytes, nullptr, has("second_barrier"), to);
  launch(warp_barrier, kBlocks, kThreads, bytes, nullptr, has("warp_barrier"), to);
  launch(copies, kBlocks, kThreads, 4 * bytes, nullptr, has("copies"), in.data(), to);
  launch(blocks, kBlocks, kThreads, 0, nullptr, has("blocks"), to);
  launch(shared_end, 1, kThreads, bytes, nullptr, has("shared_end"), to);
  launch(global_end, kBlocks, kThreads, 0, nullptr, has("global_end"), to);
  launch(copy_end, 1, kThreads, 4 * bytes, nullptr, has("copy_end"), in.data());
  if (!known) std::printf("there is no fault '%s'\n", fault.c_str());
  return known ? 0 : 2;
}
