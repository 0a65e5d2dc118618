// Sums that a block of kernels by products takes of its rows (float_product_tile.h): a lane has 8 rows of its warp's.
#pragma once

#include "cuda/access.h"
#include "cuda/pass.h"

SEMIDEEP_MATH_BEGIN

constexpr int kProductThreads = 128;

// Sums over columns in double, of rows.
template <int Sums>
struct RowTotals {
  double totals[2][Sums] = {};

  // Those of the lane's 8 rows: a row's 4 lanes fold them; lane t keeps those of the rows 16 t + g and 16 t + g + 8.
  __device__ void add(const float (&sums)[8][Sums], int t) {
#pragma unroll
    for (int r = 0; r < 8; ++r)
#pragma unroll
      for (int s = 0; s < Sums; ++s) {
        float sum = sums[r][s];
        sum += __shfl_xor_sync(0xffffffffu, sum, 1);
        sum += __shfl_xor_sync(0xffffffffu, sum, 2);
        if (t == r / 2) totals[r % 2][s] += static_cast<double>(sum);
      }
  }

  // Calls f(row, sum, total), of each row on one thread; the warps' columns are folded in order, in shared memory that
  // is otherwise done with.
  template <class F>
  __device__ void for_totals(int64_t rows, F&& f) {
    const int warp = threadIdx.x / kWarp, g = threadIdx.x % kWarp / 4, t = threadIdx.x % 4;
    double* parts = cuda::shared_memory<double>();  // [warp][row][sum]
    __syncthreads();
#pragma unroll
    for (int h = 0; h < 2; ++h)
#pragma unroll
      for (int s = 0; s < Sums; ++s)
        parts[(warp * kUnitRows + t * 16 + h * 8 + g) * Sums + s] = totals[h][s];
    __syncthreads();
    for (int row = threadIdx.x; row < rows; row += kProductThreads)
      for (int s = 0; s < Sums; ++s) {
        double total = 0.0;
        for (int w = 0; w < kProductThreads / kWarp; ++w)
          total += parts[(w * kUnitRows + row) * Sums + s];
        f(row, s, total);
      }
  }
};

// Sums in float over the columns of the lane's 8 rows, and what they come to.
template <int Sums>
struct ProductSums {
  float sums[8][Sums] = {};
  RowTotals<Sums> totals;

  __device__ void flush(int t) {
    totals.add(sums, t);
#pragma unroll
    for (int i = 0; i < 8 * Sums; ++i) sums[i / Sums][i % Sums] = 0.0f;
  }
};

SEMIDEEP_MATH_END
