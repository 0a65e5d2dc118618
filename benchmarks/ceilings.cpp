// What this machine can do at most, for the benchmark to hold the kernels against.
//
//   ceilings [threads]
//
// prints JSON, in billions a second over all threads: floating-point operations of fused
// multiply-adds, pairs of rows through exp or sqrt and exp, 64-bit words through xor and population
// count, bytes compared, and bytes read or copied in memory. All but the last two work on registers
// and the first-level cache, in the widest vectors of the target: compile with -march=native. Of
// several repetitions the fastest counts, since a ceiling is what is possible.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
// GCC bug 105593: its own AVX-512 header trips its own warning.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

namespace {

#if defined(__AVX512F__)
constexpr int kBytes = 64;
#elif defined(__AVX__)
constexpr int kBytes = 32;
#else
constexpr int kBytes = 16;
#endif
typedef float Floats __attribute__((vector_size(kBytes)));
typedef double Doubles __attribute__((vector_size(kBytes)));
typedef int32_t Ints __attribute__((vector_size(kBytes)));
typedef int64_t Longs __attribute__((vector_size(kBytes)));
typedef int8_t Chars __attribute__((vector_size(kBytes)));

template <class Vector>
constexpr int kLanes = kBytes / sizeof(Vector{}[0]);
// Independent sums hide the latency of an operation; products leave registers for more of them.
constexpr int kSums = 8, kProducts = 12;
constexpr int kVectors = 48;  // the data of a round: a part of the first-level cache

// The compiler must assume that the value changes here, and so can neither precompute nor merge.
template <class Vector>
inline void opaque(Vector& value) {
  asm volatile("" : "+m"(value));
}

#if defined(__AVX512F__)
inline Floats square_root(Floats a) { return _mm512_sqrt_ps(a); }
inline Doubles square_root(Doubles a) { return _mm512_sqrt_pd(a); }
#elif defined(__AVX__)
inline Floats square_root(Floats a) { return _mm256_sqrt_ps(a); }
inline Doubles square_root(Doubles a) { return _mm256_sqrt_pd(a); }
#else
template <class Vector>
inline Vector square_root(Vector a) {
  for (int lane = 0; lane < kLanes<Vector>; ++lane) a[lane] = std::sqrt(a[lane]);
  return a;
}
#endif

// n = round(t), and 2^n times p near 1. Adding kMagic* leaves n in the low bits, which go to the
// exponent.
#if defined(__AVX512F__)
inline Floats round(Floats t) { return _mm512_roundscale_ps(t, 8); }
inline Doubles round(Doubles t) { return _mm512_roundscale_pd(t, 8); }
inline Floats scale(Floats p, Floats n) { return _mm512_scalef_ps(p, n); }
inline Doubles scale(Doubles p, Doubles n) { return _mm512_scalef_pd(p, n); }
#else
constexpr float kMagicFloat = 12582912.0f;         // 1.5 * 2^23
constexpr double kMagicDouble = 6755399441055744;  // 1.5 * 2^52
inline Floats round(Floats t) { return (t + kMagicFloat) - kMagicFloat; }
inline Doubles round(Doubles t) { return (t + kMagicDouble) - kMagicDouble; }
inline Floats scale(Floats p, Floats n) {
  return (Floats)((Ints)p + ((Ints)(n + kMagicFloat) << 23));
}
inline Doubles scale(Doubles p, Doubles n) {
  return (Doubles)((Longs)p + ((Longs)(n + kMagicDouble) << 52));
}
#endif

// 2^t, by Chebyshev interpolation of 2^f on [-1/2, 1/2]: off by 1e-7 and 3e-16.
inline Floats exp2(Floats t) {
  const Floats n = round(t), f = t - n;
  Floats p = f * 0.00133908634f + 0.00967603192f;
  p = p * f + 0.0555035711f;
  p = p * f + 0.240221075f;
  p = p * f + 0.693147188f;
  return scale(p * f + 1.00000008f, n);
}
inline Doubles exp2(Doubles t) {
  const Doubles n = round(t), f = t - n;
  Doubles p = f * 7.0725859492692237e-9 + 1.020869029995830583e-7;
  p = p * f + 1.321544258792168965e-6;
  p = p * f + 1.525265726020083706e-5;
  p = p * f + 1.540353044173605015e-4;
  p = p * f + 0.00133335582301649739;
  p = p * f + 0.009618129107606888527;
  p = p * f + 0.05550410866444771917;
  p = p * f + 0.2402265069591009822;
  p = p * f + 0.6931471805599499829;
  return scale(p * f + 1.0, n);
}

inline Longs popcount(Longs a) {
#if defined(__AVX512VPOPCNTDQ__)
  return (Longs)_mm512_popcnt_epi64((__m512i)a);
#elif defined(__AVX2__) && !defined(__AVX512F__)
  const __m256i nibble = _mm256_set1_epi8(15), bytes = (__m256i)a;
  const __m256i counts = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4,  //
                                          0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
  const __m256i low = _mm256_shuffle_epi8(counts, _mm256_and_si256(bytes, nibble));
  const __m256i high =
      _mm256_shuffle_epi8(counts, _mm256_and_si256(_mm256_srli_epi16(bytes, 4), nibble));
  return (Longs)_mm256_sad_epu8(_mm256_add_epi8(low, high), _mm256_setzero_si256());
#else
  for (int lane = 0; lane < kLanes<Longs>; ++lane) a[lane] = __builtin_popcountll(a[lane]);
  return a;
#endif
}

inline Chars count_equal(Chars counts, Chars a, Chars b) {
#if defined(__AVX512BW__)
  const __mmask64 equal = _mm512_cmpeq_epi8_mask((__m512i)a, (__m512i)b);
  return (Chars)_mm512_mask_sub_epi8((__m512i)counts, equal, (__m512i)counts, _mm512_set1_epi8(-1));
#else
  return counts - (Chars)(a == b);
#endif
}

// Each run_* does its work `rounds` times on one thread.

template <class Vector>
void run_fma(int64_t rounds, int) {
  Vector sums[kProducts] = {}, factor = Vector{} + 0.5f, term = Vector{} + 1.0f;
  opaque(sums);
  opaque(factor);
  opaque(term);
  for (int64_t round = 0; round < rounds; ++round)
    for (Vector& sum : sums) sum = sum * factor + term;
  opaque(sums);
}

// Adds f(value, operand) to sums, for every value of a small array.
template <class Vector, class Add>
void run_on_cache(int64_t rounds, Vector operand, Add add) {
  Vector values[kVectors], sums[kSums] = {};
  for (int i = 0; i < kVectors; ++i) values[i] = Vector{} + static_cast<int8_t>(i + 1);
  opaque(operand);
  for (int64_t round = 0; round < rounds; ++round) {
    opaque(values);
    for (int i = 0; i < kVectors; i += kSums)
      for (int j = 0; j < kSums; ++j) add(sums[j], values[i + j], operand);
  }
  opaque(sums);
}

template <class Vector>
void run_exp(int64_t rounds, int) {
  run_on_cache(rounds, Vector{} - 1.1541560327111708f,
               [](Vector& sum, Vector a, Vector factor) { sum += exp2(a * factor); });
}

template <class Vector>
void run_sqrt_exp(int64_t rounds, int) {
  run_on_cache(rounds, Vector{} - 1.1541560327111708f,
               [](Vector& sum, Vector a, Vector factor) { sum += exp2(square_root(a) * factor); });
}

void run_popcount(int64_t rounds, int) {
  run_on_cache(rounds, Longs{} + 0x5555,
               [](Longs& sum, Longs a, Longs b) { sum += popcount(a ^ b); });
}

void run_compare(int64_t rounds, int) {
  run_on_cache(rounds, Chars{} + 2,
               [](Chars& sum, Chars a, Chars b) { sum = count_equal(sum, a, b); });
}

constexpr int64_t kMemoryBytes = 64 << 20;  // a thread: together beyond the last cache
std::vector<std::vector<float>> memory;

void run_read(int64_t rounds, int thread) {
  const char* from = reinterpret_cast<const char*>(memory[thread].data());
  Floats sums[kSums] = {};
  constexpr int64_t step = kSums * kBytes;
  for (int64_t round = 0; round < rounds; ++round)
    for (int64_t at = 0; at + step <= kMemoryBytes; at += step)
      for (int i = 0; i < kSums; ++i) {
        Floats value;
        std::memcpy(&value, from + at + i * kBytes, kBytes);
        sums[i] += value;
      }
  opaque(sums);
}

void run_copy(int64_t rounds, int thread) {
  char* data = reinterpret_cast<char*>(memory[thread].data());
  for (int64_t round = 0; round < rounds; ++round) {
    std::memcpy(data, data + kMemoryBytes / 2, kMemoryBytes / 2);
    asm volatile("" : : "r"(data) : "memory");
  }
}

using Run = void (*)(int64_t rounds, int thread);

double seconds(Run run, int64_t rounds, int threads) {
  const auto now = [] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
  };
  std::atomic<int> waiting{threads};
  std::vector<double> starts(threads), ends(threads);
  const auto work = [&](int thread) {
    --waiting;
    while (waiting > 0) std::this_thread::yield();
    starts[thread] = now();
    run(rounds, thread);
    ends[thread] = now();
  };
  std::vector<std::thread> others;
  for (int thread = 1; thread < threads; ++thread) others.emplace_back(work, thread);
  work(0);
  for (std::thread& other : others) other.join();
  return *std::max_element(ends.begin(), ends.end()) -
         *std::min_element(starts.begin(), starts.end());
}

void print_rate(const char* name, Run run, double work_per_round, int threads) {
  int64_t rounds = 1;
  while (seconds(run, rounds, threads) < 0.01) rounds *= 2;
  double fastest = seconds(run, rounds, threads);
  for (int repetition = 0; repetition < 4; ++repetition)
    fastest = std::min(fastest, seconds(run, rounds, threads));
  const double work = work_per_round * static_cast<double>(rounds) * threads;
  std::printf(",\n \"%s\": %.4g", name, work / fastest / 1e9);
}

}  // namespace

int main(int count, char** arguments) {
  const int threads = count > 1 ? std::atoi(arguments[1]) : 1;
  if (threads < 1) {
    std::fprintf(stderr, "ceilings: %s threads; give an integer of at least 1\n", arguments[1]);
    return 2;
  }
  memory.assign(threads, std::vector<float>(kMemoryBytes / sizeof(float), 1.0f));
  std::printf("{\"threads\": %d,\n \"vector_bytes\": %d", threads, kBytes);
  const double floats = kVectors * kLanes<Floats>, doubles = kVectors * kLanes<Doubles>;
  print_rate("fma_float32", run_fma<Floats>, 2 * kProducts * kLanes<Floats>, threads);
  print_rate("fma_float64", run_fma<Doubles>, 2 * kProducts * kLanes<Doubles>, threads);
  print_rate("exp_float32", run_exp<Floats>, floats, threads);
  print_rate("exp_float64", run_exp<Doubles>, doubles, threads);
  print_rate("sqrt_exp_float32", run_sqrt_exp<Floats>, floats, threads);
  print_rate("sqrt_exp_float64", run_sqrt_exp<Doubles>, doubles, threads);
  print_rate("popcount", run_popcount, kVectors * kLanes<Longs>, threads);
  print_rate("compare", run_compare, kVectors * kBytes, threads);
  print_rate("read", run_read, kMemoryBytes, threads);
  print_rate("copy", run_copy, kMemoryBytes, threads);
  std::printf("}\n");
  return 0;
}
