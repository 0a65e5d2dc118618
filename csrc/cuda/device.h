// What the kernels ask of the device beyond C++: one header for nvcc and for the emulator, which compiles the
// same .cu files for the host (csrc/tests/emulator).
//
// Kernels use CUDA's own names (threadIdx, __syncthreads, __shfl_xor_sync, ...). What has no name in CUDA C++,
// or none that a host compiler could read, has one here:
//   launch              kernel<<<...>>>(...)
//   shared_memory       the block's dynamic shared memory; there is no other kind
//   copy_async, ...     up to 16 bytes from global to shared memory, in the background
//   multiply_tf32       the matrix instruction: a warp's 16 x 8 block += 16 x 8 times 8 x 8
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

// Copies Size (2, 4, 8 or 16) bytes, of which the first `bytes` (even) are read and the rest are 0; both addresses
// are multiples of Size. The instruction takes no fewer than 4.
template <int Size>
__device__ __forceinline__ void copy_async(void* shared, const void* global, int bytes) {
  if constexpr (Size == 2) {
    *static_cast<uint16_t*>(shared) = bytes > 0 ? *static_cast<const uint16_t*>(global) : 0;
  } else {
#if __CUDA_ARCH__ >= 800
    const unsigned to = static_cast<unsigned>(__cvta_generic_to_shared(shared));
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(to), "l"(global), "n"(Size),
                 "r"(bytes)
                 : "memory");
#else
    struct alignas(Size) Piece {
      uint32_t words[Size / 4];
    };
    if (bytes == Size) {
      *static_cast<Piece*>(shared) = *static_cast<const Piece*>(global);
    } else {
#pragma unroll 1
      for (int i = 0; i < Size / 2; ++i)
        static_cast<uint16_t*>(shared)[i] =
            2 * i < bytes ? static_cast<const uint16_t*>(global)[i] : 0;
    }
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

// c += a b for a warp, as mma.sync.m16n8k8 lays operands out: with g = lane / 4, t = lane % 4,
//   a = A[g][t], A[g + 8][t], A[g][t + 4], A[g + 8][t + 4]     b = B[t][g], B[t + 4][g]
//   c = C[g][2t], C[g][2t + 1], C[g + 8][2t], C[g + 8][2t + 1]
// The low 13 bits of a and b are ignored. Before compute capability 8.0, in float by shuffles.
__device__ __forceinline__ void multiply_tf32(float (&c)[4], const uint32_t (&a)[4],
                                              const uint32_t (&b)[2]) {
#if __CUDA_ARCH__ >= 800
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, "
      "%9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  const int lane = threadIdx.x % 32, first = lane & ~3, column = lane % 4 * 8;
  const auto from = [](uint32_t word, int source) {
    return __uint_as_float(__shfl_sync(0xffffffffu, word, source) & 0xffffe000u);
  };
  // Not unrolled: a kernel has many of these, and compiling it would take minutes.
#pragma unroll
  for (int half = 0; half < 2; ++half)
#pragma unroll 1
    for (int k = 0; k < 4; ++k) {
      const float upper = from(a[half * 2], first + k), lower = from(a[half * 2 + 1], first + k);
      const float even = from(b[half], column + k), odd = from(b[half], column + 4 + k);
      c[0] = fmaf(upper, even, c[0]);
      c[1] = fmaf(upper, odd, c[1]);
      c[2] = fmaf(lower, even, c[2]);
      c[3] = fmaf(lower, odd, c[3]);
    }
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
