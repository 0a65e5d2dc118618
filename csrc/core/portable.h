// What lets one line of mathematics serve a plain C++ build, every SIMD build and nvcc.
#pragma once

#if defined(__CUDACC__)
#define SEMIDEEP_INLINE __host__ __device__ __forceinline__
#else
#define SEMIDEEP_INLINE inline __attribute__((always_inline))
#endif

// Every translation unit that is compiled with its own instruction set defines SEMIDEEP_ISA. The
// mathematics then lives in a namespace of that name, so the linker can never merge a function that
// was compiled for AVX-512 with its namesake that must run on a machine without it.
#if !defined(SEMIDEEP_ISA)
#define SEMIDEEP_ISA portable
#endif

#define SEMIDEEP_MATH_BEGIN \
  namespace semideep {      \
  inline namespace SEMIDEEP_ISA {
#define SEMIDEEP_MATH_END \
  }                       \
  }
