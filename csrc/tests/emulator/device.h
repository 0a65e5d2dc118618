// Runs the .cu sources of csrc/cuda on the CPU, for tests: csrc/cuda/device.h includes this file where
// SEMIDEEP_EMULATED is defined, and the host compiler reads the kernels as C++.
//
// The model. Blocks run one after the other, in an order drawn from a seed. The threads of a block are fibers of one
// OS thread; each runs until it waits (block barrier, warp barrier or collective) or ends, then another that can go
// on is drawn. Shared memory is a heap buffer of the size that the launch names, filled with NaN.
//   - A barrier or collective that some of its threads do not reach ends the launch with an Error that says who
//     waits where. So does a mask that lacks its caller or names a lane that has exited, a shuffle from a lane
//     outside the mask, a misaligned copy, and a thread that exits before its copies are done.
//   - copy_async fills its destination with NaN; the data come when they are waited for.
//   - Each thread is a ThreadSanitizer fiber. __syncthreads and __syncwarp order memory, a launch orders all before
//     with all after; nothing else does, neither shuffles nor the turn that blocks happen to take. Two accesses that
//     none of these orders are reported as a data race, whether or not this run was harmed.
//   - AddressSanitizer sees every access, and shared memory ends where the launch says.
//   - Approximate instructions err by what is documented; sums of the matrix instruction are truncated.
//
// What it cannot find:
//   - whatever depends on nvcc or the card: code, registers, occupancy, speed, bank conflicts, coalescing;
//   - races in code that no test runs, that ThreadSanitizer forgot (it keeps the last few accesses of each 8 bytes),
//     or between the blocks of every fourth pair in a grid of more than four (they share fibers);
//   - vector loads that are misaligned, unless UndefinedBehaviorSanitizer is on;
//   - an index past shared or global memory that lands in another live allocation;
//   - __syncthreads() in both branches of a divergent if: they count as one barrier, as in hardware.
// There are no atomics, no nested launches, no blocks of more than one dimension, and one launch at a time.
#pragma once

#include <cstdint>
#include <cstring>
#include <tuple>

#include "emulator/emulator.h"
#include "emulator/numbers.h"

#define __global__
#define __device__
#define __host__
#define __constant__ const
#define __grid_constant__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(bytes) __attribute__((aligned(bytes)))

// --- runtime --------------------------------------------------------------------------------------

enum cudaError_t { cudaSuccess = 0, cudaErrorInvalidValue = 1, cudaErrorInvalidConfiguration = 9 };
using cudaStream_t = struct CUstream_st*;

inline cudaError_t cudaGetLastError() { return cudaSuccess; }
inline const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaSuccess             ? "no error"
         : error == cudaErrorInvalidValue ? "invalid argument"
                                          : "invalid configuration argument";
}
inline cudaError_t cudaMemsetAsync(void* memory, int value, size_t bytes, cudaStream_t = nullptr) {
  std::memset(memory, value, bytes);
  return cudaSuccess;
}

inline constexpr int warpSize = 32;

// --- barriers, shuffles, votes --------------------------------------------------------------------

inline void __syncthreads() { semideep::emulator::wait_for_block(); }
inline void __syncwarp(unsigned mask = 0xffffffffu) {
  semideep::emulator::wait_for_warp(semideep::emulator::Collective::sync, mask, 0);
}

namespace semideep::emulator {

inline int lane() { return static_cast<int>(threadIdx.x % 32); }

template <class T>
inline T shuffle(Collective kind, unsigned mask, T value, int source) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8, "shuffles move 4 or 8 bytes");
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  bits = wait_for_warp(kind, mask, bits, source);
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

}  // namespace semideep::emulator

// A lane whose source would lie outside its group of `width` lanes gets its own value, except in __shfl_sync, which
// wraps, and in __shfl_xor_sync, which may read from groups before its own.
template <class T>
inline T __shfl_sync(unsigned mask, T value, int source, int width = 32) {
  const int group = semideep::emulator::lane() & -width;
  return semideep::emulator::shuffle(semideep::emulator::Collective::shuffle, mask, value,
                                     group + (source & (width - 1)));
}
template <class T>
inline T __shfl_xor_sync(unsigned mask, T value, int flip, int width = 32) {
  const int lane = semideep::emulator::lane(), source = lane ^ flip;
  return semideep::emulator::shuffle(semideep::emulator::Collective::shuffle_xor, mask, value,
                                     source < (lane & -width) + width ? source : lane);
}
template <class T>
inline T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32) {
  const int lane = semideep::emulator::lane(), source = lane + static_cast<int>(delta);
  return semideep::emulator::shuffle(semideep::emulator::Collective::shuffle_down, mask, value,
                                     source < (lane & -width) + width ? source : lane);
}
template <class T>
inline T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32) {
  const int lane = semideep::emulator::lane(), source = lane - static_cast<int>(delta);
  return semideep::emulator::shuffle(semideep::emulator::Collective::shuffle_up, mask, value,
                                     source >= (lane & -width) ? source : lane);
}

inline unsigned __ballot_sync(unsigned mask, int predicate) {
  return static_cast<unsigned>(semideep::emulator::wait_for_warp(
      semideep::emulator::Collective::ballot, mask, predicate != 0));
}
inline int __any_sync(unsigned mask, int predicate) {
  return static_cast<int>(
      semideep::emulator::wait_for_warp(semideep::emulator::Collective::any, mask, predicate != 0));
}
inline int __all_sync(unsigned mask, int predicate) {
  return static_cast<int>(
      semideep::emulator::wait_for_warp(semideep::emulator::Collective::all, mask, predicate != 0));
}
inline unsigned __reduce_add_sync(unsigned mask, unsigned value) {
  return static_cast<unsigned>(
      semideep::emulator::wait_for_warp(semideep::emulator::Collective::sum, mask, value));
}
inline int __reduce_add_sync(unsigned mask, int value) {
  return static_cast<int>(__reduce_add_sync(mask, static_cast<unsigned>(value)));
}
// CUDA promises no more than the caller.
inline unsigned __activemask() { return 1u << semideep::emulator::lane(); }

namespace semideep::cuda {

// --- csrc/cuda/device.h ---------------------------------------------------------------------------

template <class... Parameters, class... Arguments>
inline cudaError_t launch(void (*kernel)(Parameters...), dim3 grid, int threads, int shared_bytes,
                          cudaStream_t, const Arguments&... arguments) {
  // Limits of every card since compute capability 7.0, but for shared memory: 227 KiB is Hopper's.
  if (grid.x == 0 || grid.x > 0x7fffffff || grid.y == 0 || grid.y > 65535 || grid.z == 0 ||
      grid.z > 65535 || threads <= 0 || threads > 1024)
    return cudaErrorInvalidConfiguration;
  if (shared_bytes < 0 || shared_bytes > 227 * 1024) return cudaErrorInvalidValue;
  const auto call = std::make_tuple(kernel, static_cast<Parameters>(arguments)...);
  const auto body = [](const void* data) {
    std::apply([](auto* function, const auto&... values) { function(values...); },
               *static_cast<decltype(call)*>(data));
  };
  emulator::run_grid(reinterpret_cast<const void*>(kernel), __PRETTY_FUNCTION__, body, &call, grid,
                     threads, shared_bytes);
  return cudaSuccess;
}

template <class T>
inline T* shared_memory() {
  return static_cast<T*>(emulator::block_shared_memory());
}

inline float maximum(float a, float b) { return a < b || b != b ? b : a; }

// The hardware reads and writes at any moment until the wait: so the source is read, and the destination written,
// now and then. volatile: these accesses are for the sanitizers to see.
template <int Size>
inline void copy_async(void* shared, const void* global, bool reads) {
  static_assert(Size == 2 || Size == 4 || Size == 8 || Size == 16);
  auto* const to = static_cast<volatile uint16_t*>(shared);
  const auto* const from = static_cast<const volatile uint16_t*>(global);
  if constexpr (Size == 2) {
    *to = reads ? *from : 0;
    return;
  }
  emulator::begin_copy(shared, global, Size, reads);
  for (int i = 0; reads && i < Size / 2; ++i) (void)from[i];
  for (int i = 0; i < Size / 2; ++i) to[i] = static_cast<uint16_t>(emulator::kPoison);
}
inline void copies_commit() { emulator::close_copies(); }
template <int Pending>
inline void copies_wait() {
  while (const emulator::Copy* copy = emulator::due_copy(Pending))
    for (int i = 0; i < copy->size / 2; ++i)
      static_cast<volatile uint16_t*>(copy->to)[i] = copy->reads ? copy->from[i] : 0;
}

// Each lane reads the row that it names, and the warp shares out what was read.
template <bool kTransposed = false>
inline void load_matrices(uint32_t (&to)[4], const void* shared_row) {
  emulator::check_row(shared_row);
  uint32_t words[4];
  for (int i = 0; i < 4; ++i) words[i] = static_cast<const uint32_t*>(shared_row)[i];
  const emulator::MatrixRow row{to, words, kTransposed};
  emulator::wait_for_warp(emulator::Collective::load_matrices, 0xffffffffu,
                          reinterpret_cast<uintptr_t>(&row));
}
inline void multiply_halves(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  const emulator::Product operands{c, a, b};
  emulator::wait_for_warp(emulator::Collective::multiply_halves, 0xffffffffu,
                          reinterpret_cast<uintptr_t>(&operands));
}
inline void multiply_bytes(int (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  const emulator::ByteProduct operands{c, a, b};
  emulator::wait_for_warp(emulator::Collective::multiply_bytes, 0xffffffffu,
                          reinterpret_cast<uintptr_t>(&operands));
}

}  // namespace semideep::cuda
