// What the emulator computes, and what it refuses. What the sanitizers find in it: planted_faults.cu.
#include <cmath>
#include <initializer_list>
#include <set>
#include <string>
#include <vector>

#include "check.h"
#include "cuda/device.h"

namespace kernels {

using namespace semideep::cuda;

constexpr unsigned kAll = 0xffffffffu;

// --- what kernels do ------------------------------------------------------------------------------

template <class T>
__global__ void __launch_bounds__(256) sum(const T* __restrict__ in, int count, T* out) {
  T* const partial = shared_memory<T>();
  T value = 0;
  for (int i = static_cast<int>(threadIdx.x); i < count; i += static_cast<int>(blockDim.x))
    value += in[i];
  for (int flip = 16; flip > 0; flip /= 2) value += __shfl_xor_sync(kAll, value, flip);
  if (threadIdx.x % warpSize == 0) partial[threadIdx.x / warpSize] = value;
  __syncthreads();
  if (threadIdx.x >= 32) return;
  value = threadIdx.x < blockDim.x / 32 ? partial[threadIdx.x] : T(0);
  for (int delta = 16; delta > 0; delta /= 2) value += __shfl_down_sync(kAll, value, delta);
  if (threadIdx.x == 0) *out = value;
}

__global__ void transpose(const float* in, float* out, int rows, int columns) {
  float* const tile = shared_memory<float>();  // 16 rows of 17
  const int x = static_cast<int>(threadIdx.x) % 16, y = static_cast<int>(threadIdx.x) / 16;
  const int row = static_cast<int>(blockIdx.y) * 16 + y,
            column = static_cast<int>(blockIdx.x) * 16 + x;
  if (row < rows && column < columns) tile[17 * y + x] = in[row * columns + column];
  __syncthreads();
  const int to_row = static_cast<int>(blockIdx.x) * 16 + y,
            to_column = static_cast<int>(blockIdx.y) * 16 + x;
  if (to_row < columns && to_column < rows) out[to_row * rows + to_column] = tile[17 * x + y];
}

// Sums chunks of 4 values a thread while the next chunk is under way; the last chunk may be cut short.
__global__ void pipeline(const float* in, int count, float* out) {
  float* const stages = shared_memory<float>();
  const int chunk = 4 * static_cast<int>(blockDim.x), mine = 4 * static_cast<int>(threadIdx.x);
  const int chunks = (count + chunk - 1) / chunk;
  const auto fetch = [&](int index) {
    const int from = index * chunk + mine;
    const int left = min(max(count - from, 0), 4);
    if (index < chunks)
      copy_async<16>(stages + index % 2 * chunk + mine, in + (left > 0 ? from : 0), left * 4);
    copies_commit();
  };
  float total = 0;
  fetch(0);
  for (int index = 0; index < chunks; ++index) {
    fetch(index + 1);
    copies_wait<1>();
    __syncthreads();
    // a neighbour's, so that the barrier matters
    const float* const values = stages + index % 2 * chunk + (mine + 4) % chunk;
    total += values[0] + values[1] + values[2] + values[3];
    __syncthreads();
  }
  copies_wait<0>();
  out[threadIdx.x] = total;
}

__global__ void early_read(const float* in, float* out) {
  float* const value = shared_memory<float>();
  copy_async<16>(value, in, 16);
  copies_commit();
  copy_async<4>(value + 4, in + 1, 4);
  copy_async<8>(value + 6, in + 2, 4);
  copies_commit();
  copies_wait<1>();
  out[0] = value[0];
  out[1] = value[4];
  copies_wait<0>();
  out[2] = value[4] + value[6] + value[7];
}

__global__ void multiply(const float* a, const float* b,
                         float* c) {  // 16 x 8, 8 x 8, 16 x 8; row-major
  const int g = static_cast<int>(threadIdx.x) / 4, t = static_cast<int>(threadIdx.x) % 4;
  const uint32_t left[4] = {__float_as_uint(a[g * 8 + t]), __float_as_uint(a[(g + 8) * 8 + t]),
                            __float_as_uint(a[g * 8 + t + 4]),
                            __float_as_uint(a[(g + 8) * 8 + t + 4])};
  const uint32_t right[2] = {__float_as_uint(b[t * 8 + g]), __float_as_uint(b[(t + 4) * 8 + g])};
  float sums[4] = {c[g * 8 + 2 * t], c[g * 8 + 2 * t + 1], c[(g + 8) * 8 + 2 * t],
                   c[(g + 8) * 8 + 2 * t + 1]};
  multiply_tf32(sums, left, right);
  c[g * 8 + 2 * t] = sums[0];
  c[g * 8 + 2 * t + 1] = sums[1];
  c[(g + 8) * 8 + 2 * t] = sums[2];
  c[(g + 8) * 8 + 2 * t + 1] = sums[3];
}

struct Votes {
  unsigned ballot, sum, active;
  int any, none, all, most, down, up, pick, wrapped, flipped;
  long long wide;
};
// Halves of a warp take different ways, the second half more often.
__global__ void votes(Votes* out) {
  const int lane = static_cast<int>(threadIdx.x);
  Votes& v = out[lane];
  const unsigned mask = lane < 16 ? 0x0000ffffu : 0xffff0000u;
  if (lane >= 16)
    for (int i = 0; i < 3; ++i) v.pick = __shfl_sync(mask, 100 * i + lane, 20);
  else
    v.pick = __shfl_sync(mask, -lane, 7);
  v.ballot = __ballot_sync(mask, lane % 3 == 0);
  v.sum = __reduce_add_sync(kAll, static_cast<unsigned>(lane));
  v.active = __activemask();
  v.any = __any_sync(kAll, lane == 9);
  v.none = __any_sync(kAll, lane == 99);
  v.all = __all_sync(kAll, lane < 32);
  v.most = __all_sync(kAll, lane < 31);
  v.down = __shfl_down_sync(kAll, lane, 3, 8);
  v.up = __shfl_up_sync(kAll, lane, 3, 8);
  v.wrapped = __shfl_sync(kAll, lane, 9, 8);
  v.flipped = __shfl_xor_sync(kAll, lane, 8, 8);
  v.wide = __shfl_xor_sync(kAll, 1ll << lane, 1);
}

__global__ void positions(int* seen) {
  const unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  seen[block * blockDim.x + threadIdx.x] += 1;
}

__global__ void order(std::vector<int>* blocks, std::vector<int>* threads) {
  if (threadIdx.x == 0) blocks->push_back(static_cast<int>(blockIdx.x));
  if (blockIdx.x == 0) threads->push_back(static_cast<int>(threadIdx.x));
}

__global__ void raw_shared(uint32_t* out) {
  uint32_t* const words = shared_memory<uint32_t>();
  out[blockIdx.x * blockDim.x + threadIdx.x] = words[threadIdx.x];
  words[threadIdx.x] = 1;
}

// Each thread reads what another warp writes: right in every order of threads only with the barrier.
__global__ void exchange(bool barrier, int* out) {
  int* const values = shared_memory<int>();
  values[threadIdx.x] = static_cast<int>(threadIdx.x);
  if (barrier) __syncthreads();
  out[threadIdx.x] = values[threadIdx.x ^ 32];
}

// --- what they must not ---------------------------------------------------------------------------

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
  copy_async<16>(shared_memory<float>() + 1, in, 16);
}
__global__ void copy_past_the_end(const float* in) {
  copy_async<16>(shared_memory<float>() + 4, in, 16);
}
__global__ void copy_odd_bytes(const float* in) { copy_async<16>(shared_memory<float>(), in, 6); }
__global__ void copy_forgotten(const float* in) {
  copy_async<16>(shared_memory<float>(), in, 16);
  copies_commit();
  copies_wait<1>();
}
__global__ void copy_uncommitted(const float* in) {
  copy_async<16>(shared_memory<float>(), in, 16);
  copies_wait<0>();
}

}  // namespace kernels

namespace {

using kernels::launch;
using semideep::emulator::Error;

void computes_sums() {
  for (int threads : {32, 64, 256})
    for (int count : {1, 31, 32, 33, 255, 256, 257, 1000}) {
      std::vector<int> in(count);
      for (int i = 0; i < count; ++i) in[i] = i * i % 17;
      int wanted = 0, got = -1;
      for (int value : in) wanted += value;
      const cudaError_t error =
          launch(kernels::sum<int>, 1, threads, threads / 32 * 4, nullptr, in.data(), count, &got);
      check::that(error == cudaSuccess && got == wanted, "a sum over shuffles is right");
      double in_double = 2.5, got_double = 0;
      launch(kernels::sum<double>, 1, threads, threads / 32 * 8, nullptr, &in_double, 1,
             &got_double);
      check::that(got_double == 2.5, "shuffles move doubles");
    }
}

void transposes() {
  for (int rows : {1, 15, 16, 17, 40})
    for (int columns : {1, 16, 33}) {
      std::vector<float> in(rows * columns), out(rows * columns, -1);
      for (size_t i = 0; i < in.size(); ++i) in[i] = static_cast<float>(i);
      launch(kernels::transpose, dim3((columns + 15) / 16, (rows + 15) / 16), 256, 16 * 17 * 4,
             nullptr, in.data(), out.data(), rows, columns);
      bool right = true;
      for (int i = 0; i < rows; ++i)
        for (int j = 0; j < columns; ++j) right = right && out[j * rows + i] == in[i * columns + j];
      check::that(right, "a transpose through shared memory is right");
    }
}

void copies_in_the_background() {
  for (int count : {1, 4, 5, 127, 128, 129, 640}) {
    std::vector<float> in(count + 16), out(32, -1);  // + 16: room to align
    auto* const aligned =
        reinterpret_cast<float*>((reinterpret_cast<uintptr_t>(in.data()) + 15) / 16 * 16);
    float wanted = 0, got = 0;
    for (int i = 0; i < count; ++i) wanted += aligned[i] = static_cast<float>(i % 13);
    aligned[count] = 1e9f;
    launch(kernels::pipeline, 1, 32, 2 * 32 * 16, nullptr, aligned, count, out.data());
    for (float value : out) got += value;
    check::that(got == wanted, "a pipeline of copies is right, and zero past its end");
  }
  alignas(16) const float in[4] = {5, 6, 7, 8};
  float out[3];
  launch(kernels::early_read, 1, 1, 32, nullptr, +in, +out);
  check::that(out[0] == 5 && std::isnan(out[1]), "a copy that is not waited for has not come");
  check::that(out[2] == 6 + 7 + 0, "copies of 4 and 8 bytes, and of less than they write");
}

void multiplies() {
  float a[128], b[64], c[128], got[128];
  const auto fraction = [](int i) { return static_cast<float>(i * 7919 % 2048 - 1024) / 1024; };
  for (int i = 0; i < 128; ++i) a[i] = fraction(i), c[i] = got[i] = fraction(3 * i + 1);
  for (int i = 0; i < 64; ++i) b[i] = fraction(5 * i + 2);
  launch(kernels::multiply, 1, 32, 0, nullptr, +a, +b, +got);
  for (int i = 0; i < 16; ++i)
    for (int j = 0; j < 8; ++j) {
      double exact = c[i * 8 + j];
      for (int k = 0; k < 8; ++k) exact += static_cast<double>(a[i * 8 + k]) * b[k * 8 + j];
      check::that(std::abs(got[i * 8 + j] - exact) <= 10 * 0x1p-21,
                  "multiply_tf32 is a matrix product");
    }

  for (float& value : a) value = 1 + 0x1p-11f;  // 12 bits: the last is not tf32's
  for (float& value : b) value = 1;
  for (float& value : got) value = 0;
  launch(kernels::multiply, 1, 32, 0, nullptr, +a, +b, +got);
  check::that(got[0] == 8 && got[127] == 8, "multiply_tf32 ignores the low 13 bits");
  for (float& value : a) value = 0x1p-3f;
  for (float& value : got) value = -0x1p20f - 0.125f;
  launch(kernels::multiply, 1, 32, 0, nullptr, +a, +b, +got);
  check::that(got[0] == -0x1p20f + 0.875f, "multiply_tf32 adds what fits in 24 bits");
  for (float& value : got) value = 0x1p22f;
  launch(kernels::multiply, 1, 32, 0, nullptr, +a, +b, +got);
  check::that(got[0] == 0x1p22f, "multiply_tf32 drops what does not");
}

void votes() {
  std::vector<kernels::Votes> out(32);
  launch(kernels::votes, 1, 32, 0, nullptr, out.data());
  for (int lane = 0; lane < 32; ++lane) {
    const kernels::Votes& v = out[lane];
    check::that(v.ballot == (0x49249249u & (lane < 16 ? 0xffffu : 0xffff0000u)), "ballot");
    check::that(v.pick == (lane < 16 ? -7 : 220), "halves of a warp shuffle apart");
    check::that(v.sum == 496 && v.active == 1u << lane, "sum, active mask");
    check::that(v.any == 1 && v.none == 0 && v.all == 1 && v.most == 0, "any, all");
    check::that(v.down == (lane % 8 < 5 ? lane + 3 : lane), "shuffle down, groups of 8");
    check::that(v.up == (lane % 8 >= 3 ? lane - 3 : lane), "shuffle up, groups of 8");
    check::that(v.wrapped == lane / 8 * 8 + 1, "shuffle wraps in a group of 8");
    check::that(v.flipped == ((lane & 8) != 0 ? lane ^ 8 : lane), "xor reads earlier groups only");
    check::that(v.wide == 1ll << (lane ^ 1), "shuffles move 64 bits");
  }
}

void visits_the_grid() {
  std::vector<int> seen(3 * 4 * 5 * 48, 0);
  launch(kernels::positions, dim3(3, 4, 5), 48, 0, nullptr, seen.data());
  check::that(std::set<int>(seen.begin(), seen.end()) == std::set<int>{1},
              "each thread of a grid runs once");
  check::that(
      launch(kernels::positions, 1, 1025, 0, nullptr, seen.data()) == cudaErrorInvalidConfiguration,
      "1025 threads are refused");
  check::that(launch(kernels::positions, dim3(1, 0), 32, 0, nullptr, seen.data()) ==
                  cudaErrorInvalidConfiguration,
              "an empty grid is refused");
  check::that(
      launch(kernels::positions, 1, 32, 1 << 20, nullptr, seen.data()) == cudaErrorInvalidValue,
      "1 MiB of shared memory is refused");
}

#if !defined(SEMIDEEP_EMULATOR_THREAD)  // which would report these races
void shuffles_the_order() {
  std::set<std::vector<int>> all_blocks, all_threads;
  for (int repeat = 0; repeat < 6; ++repeat) {
    semideep::emulator::seed(static_cast<uint64_t>(repeat / 2));
    std::vector<int> blocks, threads;
    launch(kernels::order, 20, 20, 0, nullptr, &blocks, &threads);
    all_blocks.insert(blocks);
    all_threads.insert(threads);
  }
  check::that(all_blocks.size() == 3 && all_threads.size() == 3, "orders follow from the seed");

  int right = 0;
  for (int repeat = 0; repeat < 20; ++repeat) {
    int out[64];
    launch(kernels::exchange, 1, 64, 64 * 4, nullptr, false, +out);
    for (int i = 0; i < 64; ++i) right += out[i] == (i ^ 32);
  }
  check::that(right > 400 && right < 900, "without a barrier, half of the reads come too early");
}
#endif

void shares_memory() {
  for (int repeat = 0; repeat < 20; ++repeat) {
    int out[64], wrong = 0;
    launch(kernels::exchange, 1, 64, 64 * 4, nullptr, true, +out);
    for (int i = 0; i < 64; ++i) wrong += out[i] != (i ^ 32);
    check::that(wrong == 0, "a barrier makes every order right");
  }
  std::vector<uint32_t> words(64);
  launch(kernels::raw_shared, 2, 32, 128, nullptr, words.data());
  for (uint32_t word : words) {
    const auto low = static_cast<uint16_t>(word);
    check::that(
        std::isnan(__uint_as_float(word)) && std::isnan(__half2float({low})) &&
            std::isnan(__bfloat162float({low})) &&
            std::isnan(__longlong_as_double(static_cast<long long>(uint64_t{word} << 32 | word))),
        "shared memory starts as NaN of any width, in every block");
  }
}

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
  says(refused(kernels::copy_odd_bytes, 1, in), {"6 bytes"});
  says(refused(kernels::copy_forgotten, 1, in), {"exits before its copies are done"});
  says(refused(kernels::copy_uncommitted, 1, in), {"exits before its copies are done"});
  computes_sums();  // and goes on after a refusal
}

void errs_as_the_hardware_may() {
  double worst_exp2 = 0, worst_rsqrt = 0;
  for (float x = -125.9f; x < 128; x += 0.0137f) {
    const double exact = std::exp2(static_cast<double>(x));
    const float y = kernels::exp2_approximate(x), size = static_cast<float>(exact);
    worst_exp2 =
        std::fmax(worst_exp2, std::abs(y - exact) / std::ldexp(1.0, std::ilogb(size) - 23));
    const auto z = static_cast<float>(exact);
    if (z > 0) {
      const double root = 1 / std::sqrt(static_cast<double>(z));
      worst_rsqrt = std::fmax(worst_rsqrt, std::abs(kernels::rsqrt_approximate(z) - root) / root);
    }
  }
  check::that(worst_exp2 > 1.7 && worst_exp2 <= 2, "exp2_approximate errs by up to 2 units");
  check::that(worst_rsqrt > 1.1e-7 && worst_rsqrt <= 1.2799e-7,
              "rsqrt_approximate errs by up to 2^-22.9");
  check::that(kernels::exp2_approximate(0) == 1 && kernels::exp2_approximate(-INFINITY) == 0 &&
                  kernels::exp2_approximate(-126.1f) == 0 &&
                  kernels::exp2_approximate(200) == INFINITY &&
                  std::isnan(kernels::exp2_approximate(NAN)),
              "exp2_approximate is exact where the manual says so");
  check::that(kernels::rsqrt_approximate(0) == INFINITY &&
                  kernels::rsqrt_approximate(0x1p-127f) == INFINITY &&
                  kernels::rsqrt_approximate(INFINITY) == 0 &&
                  std::isnan(kernels::rsqrt_approximate(-1)),
              "rsqrt_approximate is exact where the manual says so");
}

void converts() {
  bool half = true, bfloat = true;
  for (unsigned bits = 0; bits < 65536; ++bits) {
    const __half h{static_cast<uint16_t>(bits)};
    const __nv_bfloat16 b{static_cast<uint16_t>(bits)};
    const float x = __half2float(h), y = __bfloat162float(b);
    half = half && (std::isnan(x) ? std::isnan(__half2float(__float2half_rn(x)))
                                  : __float2half_rn(x).bits == bits);
    bfloat = bfloat && (std::isnan(y) ? std::isnan(__bfloat162float(__float2bfloat16_rn(y)))
                                      : __float2bfloat16_rn(y).bits == bits);
  }
  check::that(half && bfloat, "every 16-bit float survives float");
  check::that(__half2float({0x3555}) == 0x1.554p-2f && __half2float({0x8001}) == -0x1p-24f &&
                  __half2float({0x7bff}) == 65504 && __half2float({0xfc00}) == -INFINITY,
              "halves have their values");
  check::that(__float2half_rn(1 + 0x1p-11f).bits == 0x3c00 &&
                  __float2half_rn(1 + 0x1.8p-10f).bits == 0x3c02 &&
                  __float2half_rn(2047.5f * 0x1p-11f).bits == 0x3c00 &&
                  __float2half_rn(65519.9f).bits == 0x7bff &&
                  __float2half_rn(65520).bits == 0x7c00 && __float2half_rn(0x1p-25f).bits == 0 &&
                  __float2half_rn(0x1.8p-24f).bits == 2,
              "halves round to nearest, ties to even");
  check::that(__float2bfloat16_rn(1 + 0x1p-8f).bits == 0x3f80 &&
                  __float2bfloat16_rn(1 + 0x1.8p-7f).bits == 0x3f82 &&
                  __float2bfloat16_rn(3.4e38f).bits == 0x7f80,
              "bfloat16 rounds to nearest, ties to even");
  check::that(__brev(1) == 0x80000000u && __brev(0x12345678u) == 0x1e6a2c48u && __clz(0) == 32 &&
                  __clz(1) == 31 && __ffs(0) == 0 && __ffs(8) == 4 && __popc(0xf0f0u) == 8 &&
                  __popcll(~0ull) == 64,
              "bit functions");
}

}  // namespace

int main() {
  computes_sums();
  transposes();
  copies_in_the_background();
  multiplies();
  votes();
  visits_the_grid();
#if !defined(SEMIDEEP_EMULATOR_THREAD)
  shuffles_the_order();
#endif
  shares_memory();
  refuses();
  errs_as_the_hardware_may();
  converts();
  return check::finish();
}
