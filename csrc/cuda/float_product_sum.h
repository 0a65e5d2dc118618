// The weighted sum of float32 rows of many features under the exponential kernel (float_product_tile.h).
#pragma once

#include "cuda/float_product_tile.h"

SEMIDEEP_MATH_BEGIN

constexpr int kSumStages = 3, kSumSlots = 4;  // a tile may have one step

template <int Sums>
struct ProductSumShared {
  ProductShared<kSumStages, kSumSlots> tile;
  float values[kSumSlots][Sums][kProductColumns];
};

template <class Metric, int Sums>
class ProductSum {
 public:
  __device__ ProductSum(const Problem& problem, const Pass& pass, const FloatFacts& facts,
                        const Place& place, int64_t first)
      : p_(problem),
        pass_(pass),
        place_(place),
        first_(first),
        care_(problem, place.batch),
        shared_(*cuda::shared_memory<ProductSumShared<Sums>>()),
        tile_(problem, facts, place, shared_.tile) {}

  __device__ void run() {
    int tiles = 0;
    tile_.run(
        {0, 0}, [&](const StepPlace& at, int column) { copy_values(at, column); },
        [&](const ProductStage& stage, const StepPlace& at) {
          tile_.multiply(stage);
          if (at.step + 1 < tile_.steps()) return;
          finish(at);
          tile_.clear();
          if (++tiles % kProductFlushTiles == 0) sums_.flush(Tile::t());
        });
    sums_.flush(Tile::t());
    double* partial = static_cast<double*>(pass_.partial) + place_.partial * pass_.width;
    sums_.totals.for_totals(place_.rows, [&](int row, int s, double total) {
      if (first_ + s < pass_.width) partial[row * pass_.width + first_ + s] = total;
    });
  }

 private:
  using Tile = ProductTile<Metric, kSumStages, kSumSlots>;

  __device__ int64_t lambda_of(int s) const {
    return (first_ + s < pass_.width ? first_ + s : pass_.width - 1) / p_.columns;
  }

  // Columns past the end, and sums, have the value 0.
  __device__ bool has_value(int column, int s) const {
    return tile_.has_column(column) && first_ + s < pass_.width;
  }
  __device__ const float* value_of(int column, int s) const {
    return static_cast<const float*>(p_.right.values) +
           value_index(p_.right, place_.batch, lambda_of(s), tile_.column_at(column),
                       (first_ + s) % p_.columns);
  }
  __device__ void copy_values(const StepPlace& at, int column) {
#pragma unroll
    for (int s = 0; s < Sums; ++s)
      cuda::copy_async<4>(&shared_.values[at.slot][s][threadIdx.x], value_of(column, s),
                          has_value(column, s));
  }

  __device__ void finish(const StepPlace& tile) {
    // Read again for each tile: while products are taken, registers are scarce.
    FloatPair parameters[Sums];
#pragma unroll
    for (int s = 0; s < Sums; ++s) parameters[s] = bits_parameter(p_, place_.batch, lambda_of(s));
    uint32_t doubtful[2] = {0, 0};  // one bit for each of the thread's 64 pairs
    tile_.for_distances(tile, [&](int c, auto&& pairs) {
      float values[Sums];
#pragma unroll
      for (int s = 0; s < Sums; ++s) values[s] = shared_.values[tile.slot][s][Tile::column(c)];
      pairs([&](int r, FloatPair d, const PairSquares& of) {
        const bool doubt = care_.doubts_products(d.hi, of.squares, of.error);
        const int pair = c * 8 + r;
        if (doubt) doubtful[pair / 32] |= 1u << pair % 32;
#pragma unroll
        for (int s = 0; s < Sums; ++s) {
          const ScaledPower kernel = exp2(Exponential::log_value(d, parameters[s]));
          const float sum = fma(kernel, values[s], sums_.sums[r][s]);
          sums_.sums[r][s] = doubt ? sums_.sums[r][s] : sum;
        }
      });
    });
    if (__any_sync(0xffffffffu, (doubtful[0] | doubtful[1]) != 0)) mend(tile.begin, doubtful);
  }

  // Takes what was left out, a warp for each pair.
  __device__ void mend(int begin, const uint32_t (&doubtful)[2]) {
#pragma unroll 1
    for (int pair = 0; pair < 64; ++pair) {
      const uint32_t word = pair < 32 ? doubtful[0] : doubtful[1];
      unsigned lanes = __ballot_sync(0xffffffffu, (word >> pair % 32 & 1u) != 0);
      for (; lanes != 0; lanes &= lanes - 1) {
        const int owner = __ffs(static_cast<int>(lanes)) - 1, r = pair % 8;
        const int column =
            begin + Tile::warp() * 32 + pair / 16 * 8 + 2 * (owner % 4) + pair / 8 % 2;
        if (!tile_.has_column(column)) continue;
        const double d = exact_distance<Metric, kWarp>(
            p_, pass_, place_.batch, tile_.row_at(r / 2 * 16 + r % 2 * 8 + owner / 4),
            tile_.column_at(column));
        if (Tile::lane() != owner) continue;
#pragma unroll
        for (int s = 0; s < Sums; ++s) {
          if (!has_value(column, s)) continue;
          const double lambda = p_.parameter[place_.batch * p_.parameters + lambda_of(s)];
          const float part = static_cast<float>(Exponential::value(d, lambda, 0.0) *
                                                static_cast<double>(*value_of(column, s)));
#pragma unroll
          for (int to = 0; to < 8; ++to)  // registers have no addresses
            if (to == r) sums_.sums[to][s] += part;
        }
      }
    }
  }

  const Problem& p_;
  const Pass& pass_;
  const Place& place_;
  const int64_t first_;  // of the sums that this block takes
  const FloatCare<Metric> care_;
  ProductSumShared<Sums>& shared_;
  Tile tile_;
  ProductSums<Sums> sums_;
};

// partial[row][s] = sum_j k_l(d_ij) values[l, j, c] with s = l C + c
template <class Metric, int Sums>
__global__ void __launch_bounds__(kProductThreads, 2)
    float_product_sum(const Problem p, const Pass pass, const FloatFacts facts) {
  const int64_t groups = (pass.width + Sums - 1) / Sums;
  const Place place(p, pass, blockIdx.x / groups);
  ProductSum<Metric, Sums>(p, pass, facts, place, blockIdx.x % groups * Sums).run();
}

SEMIDEEP_MATH_END
