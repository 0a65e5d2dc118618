// What matrix instructions compute, for emulator.cpp: of a warp's lanes, each of which names its operands.
#pragma once

#include <cmath>
#include <cstdint>

#include "emulator/emulator.h"
#include "emulator/numbers.h"

namespace semideep::emulator {

using Lanes = uint64_t[32];  // where each lane's operands are

// The sum's terms lose what lies below the last bit of the largest, as in the least precise hardware.
inline float truncated_sum(const double (&terms)[17]) {
  double largest = 0, exact = 0;
  for (double term : terms) {
    largest = std::fmax(largest, std::fabs(term));
    exact += term;
  }
  if (largest == 0 || !std::isfinite(exact)) return static_cast<float>(exact);
  const double unit = std::ldexp(1.0, std::ilogb(largest) - 23), units = 1 / unit;
  int64_t count = 0;
  for (double term : terms) count += static_cast<int64_t>(term * units);
  const double sum = static_cast<double>(count) * unit;
  const auto rounded = static_cast<float>(sum);
  return std::fabs(rounded) > std::fabs(sum) ? std::nextafter(rounded, 0.0f) : rounded;
}

inline double half(uint32_t word, int which) {
  return static_cast<double>(__half2float({static_cast<uint16_t>(word >> 16 * which)}));
}

template <class Operands>
const Operands& operands(uint64_t lane) {
  return *reinterpret_cast<const Operands*>(static_cast<uintptr_t>(lane));
}

inline void load_matrices(const Lanes& lanes) {
  for (int lane = 0; lane < 32; ++lane) {
    const int g = lane / 4, t = lane % 4;
    const auto& mine = operands<MatrixRow>(lanes[lane]);
    for (int block = 0; block < 4; ++block) {
      const auto half_at = [&](int row, int column) {
        const uint32_t word = operands<MatrixRow>(lanes[block * 8 + row]).words[column / 2];
        return word >> 16 * (column % 2) & 0xffffu;
      };
      mine.to[block] = mine.transposed ? half_at(2 * t, g) | half_at(2 * t + 1, g) << 16
                                       : half_at(g, 2 * t) | half_at(g, 2 * t + 1) << 16;
    }
  }
}

inline void multiply_halves(const Lanes& lanes) {
  double a[16][16], b[8][16];
  for (int k = 0; k < 16; ++k) {
    const int t = k % 8 / 2;
    for (int row = 0; row < 16; ++row)
      a[row][k] = half(operands<Product>(lanes[row % 8 * 4 + t]).a[row / 8 + k / 8 * 2], k % 2);
    for (int column = 0; column < 8; ++column)
      b[column][k] = half(operands<Product>(lanes[column * 4 + t]).b[k / 8], k % 2);
  }
  for (int row = 0; row < 16; ++row)
    for (int column = 0; column < 8; ++column) {
      float& c = operands<Product>(lanes[row % 8 * 4 + column / 2]).c[row / 8 * 2 + column % 2];
      double terms[17] = {c};
      for (int k = 0; k < 16; ++k) terms[k + 1] = a[row][k] * b[column][k];
      c = truncated_sum(terms);
    }
}

inline void multiply_bytes(const Lanes& lanes) {
  for (int row = 0; row < 16; ++row)
    for (int column = 0; column < 8; ++column) {
      unsigned sum = 0;  // wraps, as the instruction does
      for (int word = 0; word < 8; ++word) {
        const uint32_t a =
            operands<ByteProduct>(lanes[row % 8 * 4 + word % 4]).a[row / 8 + word / 4 * 2];
        const uint32_t b = operands<ByteProduct>(lanes[column * 4 + word % 4]).b[word / 4];
        for (int bit = 0; bit < 32; bit += 8) sum += (a >> bit & 255) * (b >> bit & 255);
      }
      int& c = operands<ByteProduct>(lanes[row % 8 * 4 + column / 2]).c[row / 8 * 2 + column % 2];
      c = static_cast<int>(static_cast<unsigned>(c) + sum);
    }
}

}  // namespace semideep::emulator
