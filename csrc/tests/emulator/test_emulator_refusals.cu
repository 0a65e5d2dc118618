// What the emulator refuses: what CUDA leaves undefined ends a launch with a message that says who waits where.
#include <initializer_list>
#include <string>
#include <vector>

#include "check.h"
#include "cuda/device.h"

namespace kernels {

using namespace semideep::cuda;

constexpr unsigned kAll = 0xffffffffu;

__global__ void count_threads(int* out) {
  const int all = __reduce_add_sync(kAll, 1);
  if (threadIdx.x == 0) *out = all;
}

__global__ void exit_before_barrier() {
  if (threadIdx.x >= 40) return;
  __syncthreads();
}
__global__ void different_waits() {
  if (threadIdx.x < 32)
    __syncthreads();
  else
    __syncwarp();
  if (threadIdx.x >= 32) __shfl_sync(threadIdx.x < 48 ? kAll : 0xffff8000u, 1, 31);
}
__global__ void half_a_warp() {
  if (threadIdx.x < 16) __ballot_sync(kAll, 1);
}
__global__ void two_collectives() {
  if (threadIdx.x < 16)
    __any_sync(kAll, 1);
  else
    __all_sync(kAll, 1);
}
__global__ void foreign_mask() { __syncwarp(0x0000000fu); }
__global__ void foreign_source() {
  if (threadIdx.x < 16) __shfl_sync(0x0000ffffu, 1, 16);
}
__global__ void copy_misaligned(const float* in) {
  copy_async<16>(shared_memory<float>() + 1, in, true);
}
__global__ void copy_past_the_end(const float* in) {
  copy_async<16>(shared_memory<float>() + 4, in, true);
}
__global__ void copy_from_misaligned(const float* in) {
  copy_async<16>(shared_memory<float>(), in + 1, true);
}
__global__ void load_misaligned() {
  uint32_t blocks[4];
  load_matrices(blocks, shared_memory<char>() + 2);
}
__global__ void load_past_the_end() {
  uint32_t blocks[4];
  load_matrices(blocks, shared_memory<char>() + 16 * (threadIdx.x / 31));
}
__global__ void copy_forgotten(const float* in) {
  copy_async<16>(shared_memory<float>(), in, true);
  copies_commit();
  copies_wait<1>();
}
__global__ void copy_uncommitted(const float* in) {
  copy_async<16>(shared_memory<float>(), in, true);
  copies_wait<0>();
}

}  // namespace kernels

namespace {

using kernels::launch;
using semideep::emulator::Error;

// The text of the Error.
template <class... Parameters, class... Arguments>
std::string refused(void (*kernel)(Parameters...), int threads, const Arguments&... arguments) {
  try {
    launch(kernel, dim3(1, 2), threads, 16, nullptr, arguments...);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

#if defined(__x86_64__)
constexpr const char* kName = "kernel kernels::exit_before_barrier()";
#else
constexpr const char* kName = "kernel ";  // for QEMU it is linked statically, which loses names
#endif

void refuses() {
  const auto says = [](const std::string& text, std::initializer_list<const char*> parts) {
    for (const char* part : parts)
      check::that(text.find(part) != std::string::npos,
                  std::string("'") + part + "' is in the message: " + text);
  };
  std::vector<float> memory(16);
  const float* const in =
      reinterpret_cast<float*>((reinterpret_cast<uintptr_t>(memory.data()) + 15) / 16 * 16);
  says(refused(kernels::exit_before_barrier, 64),
       {kName, "block (0, ", "of (1, 2, 1)", "threads 0 to 39: waiting in __syncthreads",
        "threads 40 to 63: exited"});
  says(refused(kernels::different_waits, 64),
       {"threads 0 to 31: waiting in __syncthreads",
        "threads 32 to 47: waiting in __shfl_sync, mask 0xffffffff",
        "threads 48 to 63: waiting in __shfl_sync, mask 0xffff8000"});
  says(refused(kernels::half_a_warp, 32),
       {"threads 0 to 15: waiting in __ballot_sync", "16 to 31: exited"});
  says(refused(kernels::half_a_warp, 16),
       {"these 16 threads", "threads 0 to 15: waiting in __ballot_sync"});
  says(refused(kernels::two_collectives, 32),
       {"0 to 15: waiting in __any_sync", "16 to 31: waiting in __all_sync"});
  says(refused(kernels::foreign_mask, 32), {"__syncwarp", "0x0000000f", "lacks the caller"});
  says(refused(kernels::foreign_source, 32), {"__shfl_sync reads lane 16", "0x0000ffff"});
  says(refused(kernels::copy_misaligned, 1, in), {"thread 0", "no multiple of 16"});
  says(refused(kernels::copy_past_the_end, 1, in), {"byte 16 of a shared memory of 16"});
  says(refused(kernels::copy_from_misaligned, 1, in), {"thread 0", "no multiple of 16"});
  says(refused(kernels::load_misaligned, 32), {"load_matrices", "no multiple of 16"});
  says(refused(kernels::load_past_the_end, 32),
       {"load_matrices: byte 16 of a shared memory of 16"});
  says(refused(kernels::copy_forgotten, 1, in), {"exits before its copies are done"});
  says(refused(kernels::copy_uncommitted, 1, in), {"exits before its copies are done"});
  int threads = 0;
  launch(kernels::count_threads, 1, 32, 0, nullptr, &threads);
  check::that(threads == 32, "after a refusal, launches go on");
}

}  // namespace

int main() {
  refuses();
  return check::finish();
}
