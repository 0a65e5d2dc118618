// The emulator's arithmetic: the matrix instruction, approximate functions, halves, bits.
#include <algorithm>
#include <cmath>
#include <cstdint>

#include "check.h"
#include "cuda/device.h"

namespace kernels {

using namespace semideep::cuda;

// 16 x 16; 8 x 16, or transposed 16 x 8; 16 x 8; row-major
__global__ void multiply(const uint16_t* a, const uint16_t* b, bool transposed, float* c) {
  auto* const left = shared_memory<uint16_t>();
  auto* const right = left + 256;
  for (int i = static_cast<int>(threadIdx.x); i < 256; i += 32) left[i] = a[i];
  for (int i = static_cast<int>(threadIdx.x); i < 128; i += 32) right[i] = b[i];
  __syncwarp();
  const int lane = static_cast<int>(threadIdx.x), g = lane / 4, t = lane % 4;
  uint32_t of_a[4], of_b[4];
  load_matrices(of_a, left + (lane % 16) * 16 + lane / 16 * 8);
  if (transposed)
    load_matrices<true>(of_b, right + lane % 16 * 8);
  else
    load_matrices(of_b, right + lane % 8 * 16 + lane / 8 % 2 * 8);
  float sums[4];
  for (int i = 0; i < 4; ++i) sums[i] = c[(g + i / 2 * 8) * 8 + 2 * t + i % 2];
  multiply_halves(sums, of_a, {of_b[0], of_b[1]});
  for (int i = 0; i < 4; ++i) c[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = sums[i];
}

__global__ void multiply_whole(const unsigned char* a, const unsigned char* b,
                               int* c) {  // 16 x 32, 32 x 8, 16 x 8; row-major
  const int g = static_cast<int>(threadIdx.x) / 4, t = static_cast<int>(threadIdx.x) % 4;
  uint32_t left[4] = {}, right[2] = {};
  for (int i = 0; i < 4; ++i) {
    for (int word = 0; word < 4; ++word)
      left[word] |= uint32_t{a[(g + word % 2 * 8) * 32 + word / 2 * 16 + 4 * t + i]} << 8 * i;
    for (int word = 0; word < 2; ++word)
      right[word] |= uint32_t{b[(word * 16 + 4 * t + i) * 8 + g]} << 8 * i;
  }
  int sums[4];
  for (int i = 0; i < 4; ++i) sums[i] = c[(g + i / 2 * 8) * 8 + 2 * t + i % 2];
  multiply_bytes(sums, left, right);
  for (int i = 0; i < 4; ++i) c[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = sums[i];
}

}  // namespace kernels

namespace {

using kernels::launch;

void multiplies() {
  uint16_t a[256], b[128];
  float c[128], got[128];
  const auto half = [](float value) { return __float2half_rn(value).bits; };
  const auto multiply = [&](bool transposed = false) {
    launch(kernels::multiply, 1, 32, 768, nullptr, +a, +b, transposed, +got);
  };
  const auto fraction = [](int i) { return static_cast<float>(i * 7919 % 2048 - 1024) / 1024; };
  for (int i = 0; i < 256; ++i) a[i] = half(fraction(i));
  for (int i = 0; i < 128; ++i)
    b[i] = half(fraction(5 * i + 2)), c[i] = got[i] = fraction(3 * i + 1);
  multiply();
  for (int i = 0; i < 16; ++i)
    for (int j = 0; j < 8; ++j) {
      double exact = c[i * 8 + j];
      for (int k = 0; k < 16; ++k)
        exact += static_cast<double>(__half2float({a[i * 16 + k]})) * __half2float({b[j * 16 + k]});
      check::that(std::abs(got[i * 8 + j] - exact) <= 18 * 0x1p-21,
                  "multiply_halves is a matrix product");
    }
  uint16_t rows[128];
  float before[128];
  std::copy(b, b + 128, rows);
  std::copy(got, got + 128, before);
  for (int k = 0; k < 16; ++k)
    for (int j = 0; j < 8; ++j) b[k * 8 + j] = rows[j * 16 + k];
  std::copy(c, c + 128, got);
  multiply(true);
  check::that(std::equal(got, got + 128, before), "load_matrices transposes");

  for (uint16_t& value : a) value = half(1 + 0x1p-10f);
  for (uint16_t& value : b) value = half(0x1p-24f);  // subnormal
  for (float& value : got) value = 0;
  multiply();
  check::that(got[0] == 16 * (1 + 0x1p-10f) * 0x1p-24f, "multiply_halves keeps what halves hold");
  for (uint16_t& value : b) value = half(1);
  for (uint16_t& value : a) value = half(0x1p-3f);
  for (float& value : got) value = -0x1p20f - 0.125f;
  multiply();
  check::that(got[0] == -0x1p20f + 1.875f, "multiply_halves adds what fits in 24 bits");
  for (float& value : got) value = 0x1p22f;
  multiply();
  check::that(got[0] == 0x1p22f, "multiply_halves drops what does not");
}

void multiplies_bytes() {
  unsigned char a[512], b[256];
  int c[128], got[128];
  for (int i = 0; i < 512; ++i) a[i] = static_cast<unsigned char>(i * 7919 % 257);
  for (int i = 0; i < 256; ++i) b[i] = static_cast<unsigned char>(255 - i * 104729 % 251);
  for (int i = 0; i < 128; ++i) c[i] = got[i] = (i - 64) * (1 << 20);
  launch(kernels::multiply_whole, 1, 32, 0, nullptr, +a, +b, +got);
  bool same = true;
  for (int i = 0; i < 16; ++i)
    for (int j = 0; j < 8; ++j) {
      int exact = c[i * 8 + j];
      for (int k = 0; k < 32; ++k) exact += a[i * 32 + k] * b[k * 8 + j];
      same = same && got[i * 8 + j] == exact;
    }
  check::that(same, "multiply_bytes is a matrix product of unsigned bytes, exact");
}

void errs_as_the_hardware_may() {
  double worst_exp2 = 0, worst_rsqrt = 0, worst_reciprocal = 0;
  for (float x = -125.9f; x < 128; x += 0.0137f) {
    const double exact = std::exp2(static_cast<double>(x));
    const float y = kernels::exp2_approximate(x), size = static_cast<float>(exact);
    worst_exp2 =
        std::fmax(worst_exp2, std::abs(y - exact) / std::ldexp(1.0, std::ilogb(size) - 23));
    const auto z = static_cast<float>(exact);
    if (z > 0) {
      const double root = 1 / std::sqrt(static_cast<double>(z));
      worst_rsqrt = std::fmax(worst_rsqrt, std::abs(kernels::rsqrt_approximate(z) - root) / root);
      const double inverse = 1 / static_cast<double>(z);
      if (inverse >= 0x1p-126)
        worst_reciprocal =
            std::fmax(worst_reciprocal, std::abs(kernels::reciprocal_approximate(z) - inverse) /
                                            std::ldexp(1.0, std::ilogb(inverse) - 23));
    }
  }
  check::that(worst_exp2 > 1.7 && worst_exp2 <= 2, "exp2_approximate errs by up to 2 units");
  check::that(worst_rsqrt > 1.1e-7 && worst_rsqrt <= 1.2799e-7,
              "rsqrt_approximate errs by up to 2^-22.9");
  check::that(worst_reciprocal > 0.9 && worst_reciprocal <= 1,
              "reciprocal_approximate errs by up to 1 unit");
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
  check::that(kernels::reciprocal_approximate(0) == INFINITY &&
                  kernels::reciprocal_approximate(-0x1p-127f) == -INFINITY &&
                  kernels::reciprocal_approximate(0x1.8p126f) == 0 &&
                  kernels::reciprocal_approximate(INFINITY) == 0 &&
                  std::isnan(kernels::reciprocal_approximate(NAN)),
              "reciprocal_approximate is exact where the manual says so");
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
  check::that(kernels::float16_bits(1, -2) == 0xc0003c00u, "the first half is the low one");
  check::that(__float2bfloat16_rn(1 + 0x1p-8f).bits == 0x3f80 &&
                  __float2bfloat16_rn(1 + 0x1.8p-7f).bits == 0x3f82 &&
                  __float2bfloat16_rn(3.4e38f).bits == 0x7f80,
              "bfloat16 rounds to nearest, ties to even");
  check::that(__brev(1) == 0x80000000u && __brev(0x12345678u) == 0x1e6a2c48u && __clz(0) == 32 &&
                  __clz(1) == 31 && __ffs(0) == 0 && __ffs(8) == 4 && __popc(0xf0f0u) == 8 &&
                  __popcll(~0ull) == 64 &&
                  __byte_perm(0x33221100u, 0x77665544u, 0x0163) == 0x00116633u,
              "bit functions");
}

}  // namespace

int main() {
  multiplies();
  multiplies_bytes();
  errs_as_the_hardware_may();
  converts();
  return check::finish();
}
