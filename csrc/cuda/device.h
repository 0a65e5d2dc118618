// What the kernels ask of the device beyond C++: one header for nvcc and for the emulator, which compiles the
// same .cu files for the host (csrc/tests/emulator).
//
// Kernels use CUDA's own names (threadIdx, __syncthreads, __shfl_xor_sync, ...). What has no name in CUDA C++,
// or none that a host compiler could read, has one here:
//   launch              kernel<<<...>>>(...)
//   shared_memory       the block's dynamic shared memory; there is no other kind
//   copy_async, ...     up to 16 bytes from global to shared memory, in the background
//   load_matrices       8 x 8 blocks of halves from shared memory, as matrix instructions take them
//   multiply_halves     the matrix instruction: a warp's 16 x 8 block += 16 x 16 times 16 x 8
//   multiply_bytes      the same of bytes, in integers: 16 x 8 += 16 x 32 times 32 x 8
//   float16_value, ...  the float that 16 bits stand for
#pragma once

#if defined(SEMIDEEP_EMULATED)
#include "emulator/device.h"
#else

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>

namespace semideep::cuda {

// What the compiler must know of a launch that uses more than 48 KiB of shared memory is set each time: the
// call is cheap and keeps no state that devices could disagree about.
template <class... Parameters, class... Arguments>
inline cudaError_t launch(void (*kernel)(Parameters...), dim3 grid, int threads, int shared_bytes,
                          cudaStream_t stream, const Arguments&... arguments) {
  if (shared_bytes > 48 * 1024) {
    const cudaError_t error =
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared_bytes);
    if (error != cudaSuccess) return error;
  }
  // clang-format off: in a header it takes >>> apart, which nvcc refuses
  kernel<<<grid, threads, shared_bytes, stream>>>(arguments...);
  // clang-format on
  return cudaGetLastError();
}

template <class T>
__device__ __forceinline__ T* shared_memory() {
  extern __shared__ __align__(16) unsigned char dynamic_shared_memory[];
  return reinterpret_cast<T*>(dynamic_shared_memory);
}

__host__ __device__ __forceinline__ float float16_value(uint16_t bits) {
  return __half2float(__half(__half_raw{bits}));
}
__host__ __device__ __forceinline__ float bfloat16_value(uint16_t bits) {
  return __bfloat162float(__nv_bfloat16(__nv_bfloat16_raw{bits}));
}
// Two floats rounded to float16, the first in the low half.
__device__ __forceinline__ uint32_t float16_bits(float low, float high) {
  const __half2_raw both = __floats2half2_rn(low, high);
  return static_cast<uint32_t>(both.y) << 16 | both.x;
}

// Copies Size (2, 4, 8 or 16) bytes, or writes zeros where it is not to read; both addresses are multiples of Size.
// The instruction takes no fewer than 4 bytes.
template <int Size>
__device__ __forceinline__ void copy_async(void* shared, const void* global, bool reads) {
  if constexpr (Size == 2) {
    *static_cast<uint16_t*>(shared) = reads ? *static_cast<const uint16_t*>(global) : 0;
  } else {
#if __CUDA_ARCH__ >= 800
    const unsigned to = static_cast<unsigned>(__cvta_generic_to_shared(shared));
    asm volatile(
        "{ .reg .pred skips; setp.eq.s32 skips, %3, 0;"
        " cp.async.ca.shared.global [%0], [%1], %2, skips; }" ::"r"(to),
        "l"(global), "n"(Size), "r"(static_cast<int>(reads))
        : "memory");
#else
    struct alignas(Size) Piece {
      uint32_t words[Size / 4];
    };
    *static_cast<Piece*>(shared) = reads ? *static_cast<const Piece*>(global) : Piece{};
#endif
  }
}
// Closes a group of copies; copies_wait<n> returns when all but the last n groups of this thread are done.
__device__ __forceinline__ void copies_commit() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}
template <int Pending>
__device__ __forceinline__ void copies_wait() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_group %0;" ::"n"(Pending) : "memory");
#endif
}

// Four 8 x 8 blocks of halves: lane 8 i + r names the 16 bytes of row r of block i. With g = lane / 4, t = lane % 4, the
// lane gets of each block what stands in row g at 2t, and above it at 2t + 1; transposed, what stands at g in the rows
// 2t and 2t + 1.
template <bool kTransposed = false>
__device__ __forceinline__ void load_matrices(uint32_t (&to)[4], const void* shared_row) {
  const unsigned from = static_cast<unsigned>(__cvta_generic_to_shared(shared_row));
  if constexpr (kTransposed) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(from)
                 : "memory");
  } else {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(from)
                 : "memory");
  }
}

// c += a b for a warp and float16, summed in float. With g = lane / 4, t = lane % 4, and two neighbours of k in each
// word from its low half on, so that blocks of load_matrices are operands,
//   a = A[g][2t], A[g + 8][2t], A[g][2t + 8], A[g + 8][2t + 8]     b = B[2t][g], B[2t + 8][g]
//   c = C[g][2t], C[g][2t + 1], C[g + 8][2t], C[g + 8][2t + 1]
__device__ __forceinline__ void multiply_halves(float (&c)[4], const uint32_t (&a)[4],
                                                const uint32_t (&b)[2]) {
#if __CUDA_ARCH__ >= 800
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, "
      "%9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
#pragma unroll
  for (int half = 0; half < 2; ++half)
    asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, "
        "%1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[half * 2]), "r"(a[half * 2 + 1]), "r"(b[half]));
#endif
}

// c += a b for a warp and bytes from 0 to 255, exactly while c is an int. With g = lane / 4, t = lane % 4, and four
// neighbours of k in each word from its lowest byte on,
//   a = A[g][4t], A[g + 8][4t], A[g][4t + 16], A[g + 8][4t + 16]     b = B[4t][g], B[4t + 16][g]
//   c = C[g][2t], C[g][2t + 1], C[g + 8][2t], C[g + 8][2t + 1]
__device__ __forceinline__ void multiply_bytes(int (&c)[4], const uint32_t (&a)[4],
                                               const uint32_t (&b)[2]) {
#if __CUDA_ARCH__ >= 800
  asm volatile(
      "mma.sync.aligned.m16n8k32.row.col.s32.u8.u8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, "
      "%9}, {%0, %1, %2, %3};"
      : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
#pragma unroll
  for (int part = 0; part < 4; ++part) {  // 8 rows by 16 k's
    const int half = part % 2 * 2;
    asm volatile("mma.sync.aligned.m8n8k16.row.col.s32.u8.u8.s32 {%0, %1}, {%2}, {%3}, {%0, %1};"
                 : "+r"(c[half]), "+r"(c[half + 1])
                 : "r"(a[part]), "r"(b[part / 2]));
  }
#endif
}

// The larger one, or NaN if one is NaN.
__device__ __forceinline__ float maximum(float a, float b) {
#if __CUDA_ARCH__ >= 800
  float result;
  asm("max.NaN.f32 %0, %1, %2;" : "=f"(result) : "f"(a), "f"(b));
  return result;
#else
  return a < b || b != b ? b : a;
#endif
}

// 2^x, 1 / sqrt(x) and 1 / x by the special-function unit, to about 2^-22; results and arguments below 2^-126 are 0.
__device__ __forceinline__ float exp2_approximate(float x) {
  float result;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
}
__device__ __forceinline__ float rsqrt_approximate(float x) {
  float result;
  asm("rsqrt.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
}
__device__ __forceinline__ float reciprocal_approximate(float x) {
  float result;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
}

}  // namespace semideep::cuda

#endif
