// What the emulator computes: barriers, shuffles, votes, copies, grids. Its arithmetic: test_emulator_numbers.cu; what
// it refuses: test_emulator_refusals.cu; what the sanitizers find in it: planted_faults.cu.
#include <algorithm>
#include <cmath>
#include <set>
#include <vector>

#include "check.h"
#include "cuda/device.h"

namespace kernels {

using namespace semideep::cuda;

constexpr unsigned kAll = 0xffffffffu;

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

// Sums chunks of 4 values a thread while the next chunk is under way; of the last, some threads' may be missing.
__global__ void pipeline(const float* in, int count, float* out) {
  float* const stages = shared_memory<float>();
  const int chunk = 4 * static_cast<int>(blockDim.x), mine = 4 * static_cast<int>(threadIdx.x);
  const int chunks = (count + chunk - 1) / chunk;
  const auto fetch = [&](int index) {
    const int from = index * chunk + mine;
    if (index < chunks) copy_async<16>(stages + index % 2 * chunk + mine, in + from, from < count);
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
  copy_async<16>(value, in, true);
  copies_commit();
  copy_async<4>(value + 4, in + 1, true);
  copy_async<8>(value + 6, in + 2, false);
  copies_commit();
  copies_wait<1>();
  out[0] = value[0];
  out[1] = value[4];
  copies_wait<0>();
  out[2] = value[4] + value[6] + value[7];
}

// Halves of words: at once by 2 bytes, and in the background by more.
__global__ void copy_halves(const uint16_t* in, uint16_t* out) {
  auto* const halves = shared_memory<uint16_t>();
  copy_async<2>(halves, in + 1, true);
  copy_async<2>(halves + 1, in, false);
  copy_async<4>(halves + 2, in + 2, true);
  copy_async<8>(halves + 4, in + 4, false);
  copies_commit();
  copies_wait<0>();
  for (int i = 0; i < 8; ++i) out[i] = halves[i];
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

}  // namespace kernels

namespace {

using kernels::launch;

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
  for (int count : {4, 8, 124, 128, 132, 640}) {
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
  check::that(out[2] == 6, "copies of 4 and 8 bytes, the latter of zeros");
  alignas(8) const uint16_t halves[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  uint16_t copied[8];
  launch(kernels::copy_halves, 1, 1, 16, nullptr, +halves, +copied);
  const uint16_t wanted[8] = {2, 0, 3, 4, 0, 0, 0, 0};
  check::that(std::equal(copied, copied + 8, wanted), "copies of halves of words");
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

}  // namespace

int main() {
  computes_sums();
  transposes();
  copies_in_the_background();
  votes();
  visits_the_grid();
#if !defined(SEMIDEEP_EMULATOR_THREAD)
  shuffles_the_order();
#endif
  shares_memory();
  return check::finish();
}
