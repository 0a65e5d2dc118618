// What this card can do at most, for the benchmark to hold the kernels against.
//
//   ceilings
//
// prints JSON, in billions a second over the whole card, named as in ceilings.cpp: floating-point
// operations of fused multiply-adds, pairs of rows through exp or sqrt and exp (float32: the special
// function units alone; float64: CUDA's functions), 64-bit words through xor and population count,
// bytes compared, bytes read or copied in memory, and operations of tensor cores on bytes and bits.
// Floating-point tensor cores are measured by ceilings.py, through cuBLAS. All but the last two work
// on registers. Of several repetitions the fastest counts, since a ceiling is what is possible.

#include <cuda_runtime.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace {

constexpr int kThreads = 256, kBlocksPerSm = 8;
constexpr int kChains = 8;  // independent sums of a thread hide the latency of an operation
constexpr int64_t kMemoryBytes = int64_t{1} << 30;  // beyond the last cache

void check(cudaError_t error) {
  if (error == cudaSuccess) return;
  std::fprintf(stderr, "ceilings: %s\n", cudaGetErrorString(error));
  std::exit(1);
}

// Each step changes the state of one chain, so that nothing can be left out. `volatile` keeps what
// the compiler could compute once for all rounds.

struct Fma32 {
  using State = float;
  static constexpr double work = 2;
  static __device__ void step(State& s, int) {
    asm volatile("fma.rn.f32 %0, %0, 0f3F000000, 0f3F800000;" : "+f"(s));
  }
};

struct Fma64 {
  using State = double;
  static constexpr double work = 2;
  static __device__ void step(State& s, int) {
    asm volatile("fma.rn.f64 %0, %0, 0d3FE0000000000000, 0d3FF0000000000000;" : "+d"(s));
  }
};

struct Exp32 {  // s = 2^-s
  using State = float;
  static constexpr double work = 1;
  static __device__ void step(State& s, int) {
    asm volatile("{.reg .f32 t; neg.f32 t, %0; ex2.approx.ftz.f32 %0, t;}" : "+f"(s));
  }
};

struct SqrtExp32 {  // s = 2^-sqrt(s)
  using State = float;
  static constexpr double work = 1;
  static __device__ void step(State& s, int) {
    asm volatile("{.reg .f32 t; sqrt.approx.ftz.f32 t, %0; neg.f32 t, t; ex2.approx.ftz.f32 %0, t;}"
                 : "+f"(s));
  }
};

struct Exp64 {
  using State = double;
  static constexpr double work = 1;
  static __device__ void step(State& s, int) { s = exp(-s); }
};

struct SqrtExp64 {
  using State = double;
  static constexpr double work = 1;
  static __device__ void step(State& s, int) { s = exp(-sqrt(s)); }
};

struct Word {
  unsigned long long word;
  int sum;
};

struct Popcount {
  using State = Word;
  static constexpr double work = 1;
  static __device__ void step(State& s, int round) {
    s.sum += __popcll(s.word ^ static_cast<unsigned long long>(round));
    asm volatile("" : "+l"(s.word));
  }
};

struct Compare {  // four bytes at a time
  using State = Word;
  static constexpr double work = 4;
  static __device__ void step(State& s, int round) {
    const unsigned equal = __vcmpeq4(static_cast<unsigned>(s.word), static_cast<unsigned>(round));
    s.sum = __dp4a(static_cast<int>(equal), 0x01010101, s.sum);
    asm volatile("" : "+l"(s.word));
  }
};

struct Tile {
  int c[4];
};

struct TensorInt8 {  // of a warp: 16 x 8 sums over 32 bytes
  using State = Tile;
  static constexpr double work = 2.0 * 16 * 8 * 32 / 32;
  static __device__ void step(State& s, int round) {
    asm volatile(
        "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%4,%4,%4}, {%4,%4}, "
        "{%0,%1,%2,%3};"
        : "+r"(s.c[0]), "+r"(s.c[1]), "+r"(s.c[2]), "+r"(s.c[3])
        : "r"(round));
  }
};

struct TensorBits {  // of a warp: 16 x 8 sums over 256 bits
  using State = Tile;
  static constexpr double work = 2.0 * 16 * 8 * 256 / 32;
  static __device__ void step(State& s, int round) {
    asm volatile(
        "mma.sync.aligned.m16n8k256.row.col.s32.b1.b1.s32.and.popc {%0,%1,%2,%3}, {%4,%4,%4,%4}, "
        "{%4,%4}, {%0,%1,%2,%3};"
        : "+r"(s.c[0]), "+r"(s.c[1]), "+r"(s.c[2]), "+r"(s.c[3])
        : "r"(round));
  }
};

__device__ void start(float& s, int i) { s = 0.01f * static_cast<float>(i); }
__device__ void start(double& s, int i) { s = 0.01 * i; }
__device__ void start(Word& s, int i) { s = {0x9E3779B97F4A7C15ull * i, 0}; }
__device__ void start(Tile& s, int) { s = {}; }
__device__ double value(float s) { return s; }
__device__ double value(double s) { return s; }
__device__ double value(const Word& s) { return s.sum; }
__device__ double value(const Tile& s) { return s.c[0] + s.c[1] + s.c[2] + s.c[3]; }

template <class Step>
__global__ void __launch_bounds__(kThreads) spin(int rounds, double* out) {
  typename Step::State states[kChains];
#pragma unroll
  for (int i = 0; i < kChains; ++i) start(states[i], static_cast<int>(threadIdx.x) + i);
#pragma unroll 4
  for (int round = 0; round < rounds; ++round)
#pragma unroll
    for (int i = 0; i < kChains; ++i) Step::step(states[i], round);
  double sum = 0;
  for (int i = 0; i < kChains; ++i) sum += value(states[i]);
  if (sum == -1.25) *out = sum;  // never, which the compiler cannot know
}

__global__ void read(const float4* from, int64_t count, double* out) {
  float sum = 0;
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = blockIdx.x * static_cast<int64_t>(blockDim.x) + threadIdx.x; i < count;
       i += step) {
    const float4 v = from[i];
    sum += v.x + v.y + v.z + v.w;
  }
  if (sum == -1.25f) *out = sum;
}

__global__ void copy(const float4* from, float4* to, int64_t count) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = blockIdx.x * static_cast<int64_t>(blockDim.x) + threadIdx.x; i < count;
       i += step)
    to[i] = from[i];
}

int sm_count = 0;
double* out = nullptr;
float4* memory = nullptr;

template <class Launch>
double seconds(Launch launch) {
  cudaEvent_t begin, end;
  check(cudaEventCreate(&begin));
  check(cudaEventCreate(&end));
  check(cudaEventRecord(begin));
  launch();
  check(cudaGetLastError());
  check(cudaEventRecord(end));
  check(cudaEventSynchronize(end));
  float milliseconds = 0;
  check(cudaEventElapsedTime(&milliseconds, begin, end));
  check(cudaEventDestroy(begin));
  check(cudaEventDestroy(end));
  return milliseconds / 1e3;
}

// launch(rounds) does work * rounds.
template <class Launch>
void print_rate(const char* name, double work, Launch launch) {
  int rounds = 1;
  while (seconds([&] { launch(rounds); }) < 0.004 && rounds < (1 << 28)) rounds *= 2;
  double fastest = INFINITY;
  for (int repetition = 0; repetition < 5; ++repetition)
    fastest = std::min(fastest, seconds([&] { launch(rounds); }));
  std::printf(",\n \"%s\": %.4g", name, work * rounds / fastest / 1e9);
}

template <class Step>
void print_spin(const char* name) {
  const int blocks = sm_count * kBlocksPerSm;
  print_rate(name, Step::work * kChains * kThreads * blocks,
             [&](int rounds) { spin<Step><<<blocks, kThreads>>>(rounds, out); });
}

}  // namespace

int main() {
  cudaDeviceProp properties;
  check(cudaGetDeviceProperties(&properties, 0));
  sm_count = properties.multiProcessorCount;
  check(cudaMalloc(&out, sizeof(double)));
  check(cudaMalloc(&memory, kMemoryBytes));
  check(cudaMemset(memory, 1, kMemoryBytes));
  std::printf("{\"multiprocessors\": %d", sm_count);
  print_spin<Fma32>("fma_float32");
  print_spin<Fma64>("fma_float64");
  print_spin<Exp32>("exp_float32");
  print_spin<SqrtExp32>("sqrt_exp_float32");
  print_spin<Exp64>("exp_float64");
  print_spin<SqrtExp64>("sqrt_exp_float64");
  print_spin<Popcount>("popcount");
  print_spin<Compare>("compare");
  print_spin<TensorInt8>("tensor_int8");
  print_spin<TensorBits>("tensor_b1");
  const int blocks = sm_count * kBlocksPerSm;
  const int64_t count = kMemoryBytes / static_cast<int64_t>(sizeof(float4));
  print_rate("read", kMemoryBytes, [&](int rounds) {
    for (int i = 0; i < rounds; ++i) read<<<blocks, kThreads>>>(memory, count, out);
  });
  print_rate("copy", kMemoryBytes, [&](int rounds) {  // half is read, half is written
    for (int i = 0; i < rounds; ++i)
      copy<<<blocks, kThreads>>>(memory, memory + count / 2, count / 2);
  });
  std::printf("}\n");
  return 0;
}
