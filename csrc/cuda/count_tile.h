// Two ways to count the features in which pairs of rows agree or differ, for a tile of 64 rows by some columns.
//
// A tile offers
//   kRows, kColumns   pairs of a thread: so many rows by so many columns
//   row(r), column(c) where they stand in the tile
//   kLanes, kWarps    a row's pairs are spread over kLanes neighbouring lanes of kWarps warps; this warp is warp()
//   Shared            a chunk of words of all rows, in shared memory
//   clear(), add(), count(r, c)
//
// What a pair is expected to cost, in clocks of a multiprocessor: in the unit that counts, and to issue all
// instructions at 128 lanes a clock (SASS of 9.0, jaccard, one sum; 22 to 27 a pair are the epilogue's). Not measured.
// Rates are of the CUDA C++ Programming Guide (throughput of instructions) and of data sheets; without wgmma, 60 % of
// the latter are expected on 9.0.
//                                                                    D = 64       256          1024
//   PopcountTile  16 population counts of 32 bits  everywhere        0.12, 0.26   0.50, 0.43   2.0, 1.1
//   ProductTile   1024 products of bytes           7.5, 8.6-9, 12.0  0.06, 0.26   0.25, 0.29   1.0, 0.5
//                 2048                             8.0               0.03         0.12         0.5
//                 4096 x 60 %                      9.0               0.03         0.10         0.4
#pragma once

#include "cuda/count_pack.h"

SEMIDEEP_MATH_BEGIN

constexpr int kCountThreads = 256;
constexpr int kChunkWords = 32;  // of each row in shared memory

__device__ __forceinline__ int log2_above(int count) {  // of the power of two from `count` on
  return count == 1 ? 0 : 32 - __clz(count - 1);
}

// Begins to copy `count` words of each row, and zeros up to the next power of two, `Words` at a time. Rows are
// `stride` words apart; those past the last repeat it.
template <int Words, int Rows, int Pitch>
__device__ __forceinline__ void copy_pieces(uint32_t (&to)[Rows][Pitch], const uint32_t* from,
                                            int last, int stride, int count) {
  const int shift = log2_above(count / Words);
  const int word = (threadIdx.x & ((1 << shift) - 1)) * Words;
#pragma unroll 4
  for (int row = threadIdx.x >> shift; row < Rows; row += kCountThreads >> shift) {
    const uint32_t* piece = from + int64_t{row < last ? row : last} * stride;
    cuda::copy_async<Words * 4>(&to[row][word], piece + word, word < count);
  }
}
template <int Rows, int Pitch>
__device__ __forceinline__ void copy_words(uint32_t (&to)[Rows][Pitch], const uint32_t* from,
                                           int last, int stride, int count) {
  if (Pitch % 4 == 0 && stride % 4 == 0 && count % 4 == 0) {
    copy_pieces<Pitch % 4 == 0 ? 4 : 1>(to, from, last, stride, count);
  } else {
    copy_pieces<1>(to, from, last, stride, count);
  }
}

// By population count; thread (tx, ty) of 16 x 16 has the rows ty + 16 r and the columns tx + 16 c.
template <class Metric>
class PopcountTile {
 public:
  static constexpr int kRows = 4, kColumns = 4, kTileColumns = 64, kLanes = 16, kWarps = 1;
  static constexpr bool counts_common = Metric::sum_of == SumOf::common;
  struct alignas(16) Shared {
    static constexpr int kPitch = kChunkWords + 1;  // neighbouring rows: other banks
    uint32_t x[kUnitRows][kPitch], y[kTileColumns][kPitch];
  };

  static __device__ int row(int r) { return threadIdx.x / 16 + 16 * r; }
  static __device__ int column(int c) { return threadIdx.x % 16 + 16 * c; }
  static __device__ int warp() { return 0; }

  __device__ void clear() {
#pragma unroll
    for (int i = 0; i < kRows * kColumns; ++i) counts_[i / kColumns][i % kColumns] = 0;
  }
  __device__ int count(int r, int c) const { return counts_[r][c]; }

  // `words` words of each row: groups of `planes`.
  __device__ void add(const Shared& shared, int words, int planes) {
    for (int w = 0; w < words; w += planes) {
      uint32_t found[kRows][kColumns] = {};
      for (int plane = 0; plane < planes; ++plane) {
        uint32_t x[kRows], y[kColumns];
#pragma unroll
        for (int r = 0; r < kRows; ++r) x[r] = shared.x[row(r)][w + plane];
#pragma unroll
        for (int c = 0; c < kColumns; ++c) y[c] = shared.y[column(c)][w + plane];
#pragma unroll
        for (int r = 0; r < kRows; ++r)
#pragma unroll
          for (int c = 0; c < kColumns; ++c)
            found[r][c] |= counts_common ? x[r] & y[c] : x[r] ^ y[c];
      }
#pragma unroll
      for (int r = 0; r < kRows; ++r)
#pragma unroll
        for (int c = 0; c < kColumns; ++c) counts_[r][c] += __popc(found[r][c]);
    }
  }

 private:
  int counts_[kRows][kColumns];
};

// The bits that rows of one plane have in common, by tensor cores: products of bytes, exact in integers.
//
// Bit b of all four bytes of a word is one operation away from being an operand: x & 0x01010101 << b has 2^b or 0
// in each byte. Where the bits of y's bytes stand in reverse, y & 0x01010101 << (7 - b) has 2^(7 - b) or 0 of the
// same feature, and every product is 2^7 or 0, for every b. So bits are all that memory holds, and the sum of the
// products is 128 times the count, below 2^31.
//
// Why bytes, not bits: mma of .b1 takes the words as they are, but nvcc 13 emulates it from 10.0 on, by eight
// products of bytes and twice the masking.
//
// A warp has 32 rows by 32 columns; the lane's places follow from multiply_bytes (device.h).
class ProductTile {
 public:
  static constexpr int kRows = 4, kColumns = 8, kTileColumns = 128, kLanes = 4, kWarps = 4;
  static constexpr bool counts_common = true;
  struct alignas(16) Shared {
    static constexpr int kPitch = kChunkWords + 4;  // 8 rows by 4 words: 32 banks
    uint32_t x[kUnitRows][kPitch], y[kTileColumns][kPitch];
  };

  static __device__ int warp() { return threadIdx.x / kWarp % kWarps; }
  static __device__ int row(int r) { return first_row() + r / 2 * 16 + r % 2 * 8 + lane() / 4; }
  static __device__ int column(int c) { return warp() * 32 + c / 2 * 8 + lane() % 4 * 2 + c % 2; }

  __device__ void clear() {
#pragma unroll
    for (int i = 0; i < 32; ++i) sums_[i / 16][i / 4 % 4][i % 4] = 0;
  }
  __device__ int count(int r, int c) const { return sums_[r / 2][c / 2][r % 2 * 2 + c % 2] >> 7; }

  // An instruction takes 8 words a row, two of each lane, and one bit of each byte. Of fewer words, P of them, lanes
  // share each and take other bits of it, so that P instructions suffice.
  __device__ void add(const Shared& shared, int words, int) {
    const int period = words < 8 ? 1 << log2_above(words) : 8;
    const int slot[2] = {lane() % 4, lane() % 4 + 4};
    for (int word = 0; word < words; word += 8) {
      Words bits;
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        const int at = word + (slot[h] & (period - 1));
#pragma unroll
        for (int r = 0; r < kRows; ++r) bits.x[r][h] = shared.x[row(r)][at];
#pragma unroll
        for (int n = 0; n < 4; ++n)
          bits.y[n][h] = reversed_bytes(shared.y[warp() * 32 + n * 8 + lane() / 4][at]);
      }
      if (period == 8) {
#pragma unroll
        for (int bit = 0; bit < 8; ++bit) multiply(bits, bit, bit);
      } else {
#pragma unroll 1
        for (int i = 0; i < period; ++i)
          multiply(bits, (slot[0] & -period) + i, (slot[1] & -period) + i);
      }
    }
  }

 private:
  struct Words {
    uint32_t x[kRows][2], y[4][2];
  };

  static __device__ int lane() { return threadIdx.x % kWarp; }
  static __device__ int first_row() { return threadIdx.x / kWarp / kWarps * 32; }
  static __device__ __forceinline__ uint32_t reversed_bytes(uint32_t word) {
    return __byte_perm(__brev(word), 0, 0x0123);
  }

  // Adds the products of one bit of each byte: of bit0 of the lane's first word, bit1 of its second.
  __device__ __forceinline__ void multiply(const Words& bits, int bit0, int bit1) {
    const uint32_t of_x[2] = {0x01010101u << bit0, 0x01010101u << bit1};
    const uint32_t of_y[2] = {0x01010101u << (7 - bit0), 0x01010101u << (7 - bit1)};
    uint32_t y[4][2];
#pragma unroll
    for (int n = 0; n < 4; ++n)
#pragma unroll
      for (int h = 0; h < 2; ++h) y[n][h] = bits.y[n][h] & of_y[h];
#pragma unroll
    for (int m = 0; m < 2; ++m) {
      const uint32_t (*rows)[2] = bits.x + 2 * m;
      const uint32_t x[4] = {rows[0][0] & of_x[0], rows[1][0] & of_x[0], rows[0][1] & of_x[1],
                             rows[1][1] & of_x[1]};
#pragma unroll
      for (int n = 0; n < 4; ++n) cuda::multiply_bytes(sums_[m][n], x, y[n]);
    }
  }

  int sums_[2][4][4];
};

SEMIDEEP_MATH_END
