// One fault for each tool of compute-sanitizer, to show that the tool finds faults where it runs.
//
//   planted_faults memcheck|racecheck|initcheck|synccheck

#include <cuda_runtime.h>

#include <cstdio>
#include <cstring>

namespace semideep_planted {  // like our kernels, where a tool is told names
namespace {

constexpr int kThreads = 64;

__global__ void write_past_the_end(float* data) { data[threadIdx.x + 1] = 1.0f; }

__global__ void read_before_it_is_written(float* data) {
  __shared__ float shared[kThreads];
  shared[threadIdx.x] = static_cast<float>(threadIdx.x);
  data[threadIdx.x] = shared[kThreads - 1 - threadIdx.x];  // no barrier: the other warp's
}

__global__ void read_what_nobody_wrote(float* data, const float* unwritten) {
  data[threadIdx.x] = unwritten[threadIdx.x];
}

__global__ void wait_where_others_do_not(float* data) {
  if (threadIdx.x % 2 == 0) __syncthreads();
  data[threadIdx.x] = 1.0f;
}

}  // namespace
}  // namespace semideep_planted

int main(int count, char** arguments) {
  using namespace semideep_planted;
  const char* tool = count > 1 ? arguments[1] : "";
  float *data = nullptr, *unwritten = nullptr;
  cudaMalloc(&data, kThreads * sizeof(float));
  cudaMalloc(&unwritten, kThreads * sizeof(float));
  if (!std::strcmp(tool, "memcheck")) {
    write_past_the_end<<<1, kThreads>>>(data);
  } else if (!std::strcmp(tool, "racecheck")) {
    read_before_it_is_written<<<1, kThreads>>>(data);
  } else if (!std::strcmp(tool, "initcheck")) {
    read_what_nobody_wrote<<<1, kThreads>>>(data, unwritten);
  } else if (!std::strcmp(tool, "synccheck")) {
    wait_where_others_do_not<<<1, kThreads>>>(data);
  } else {
    std::fprintf(stderr, "planted_faults: '%s'; give a tool of compute-sanitizer\n", tool);
    return 2;
  }
  cudaDeviceSynchronize();
  return 0;
}
