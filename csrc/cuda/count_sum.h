// The weighted sum of float32 rows under the exponential kernel, for metrics that count features.
#pragma once

#include "cuda/access.h"
#include "cuda/count_tile.h"

SEMIDEEP_MATH_BEGIN

constexpr int kCountFlushPairs = 64;  // of a thread's pairs of a row, so many are added in float

template <class Metric, class Tile, int Sums>
class CountSum {
  static_assert(kCountsFeatures<Metric>, "serves counts of features alone");

 public:
  using Shared = typename Tile::Shared;
  // Where totals are folded, in the end.
  static_assert(sizeof(Shared) >= kUnitRows * Tile::kWarps * Sums * sizeof(double));

  __device__ CountSum(const Problem& problem, const Pass& pass, const Packed& packed,
                      const Place& place, int64_t first, int planes)
      : p_(problem),
        pass_(pass),
        packed_(packed),
        place_(place),
        first_(first),
        planes_(planes),
        words_(static_cast<int>(packed.words) * planes) {
#pragma unroll
    for (int s = 0; s < Sums; ++s) {
      const int64_t at = first_ + s < pass_.width ? first_ + s : pass_.width - 1;
      const int64_t l = at / p_.columns, c = at % p_.columns;
      values_at_[s] =
          place_.batch * p_.right.values_batch_stride + l * p_.right.values_parameter_stride + c;
      const double lambda = p_.parameter[place_.batch * p_.parameters + l];
      parameters_[s] = FloatPair((lambda > 1e30 ? 1e30 : lambda) * 1.4426950408889634);
    }
#pragma unroll
    for (int r = 0; r < Tile::kRows; ++r) {
      const int row = Tile::row(r) < place_.rows ? Tile::row(r) : static_cast<int>(place_.rows) - 1;
      x_rows_[r] = packed_.left_rows[place_.batch * p_.left.count + place_.row_begin + row];
    }
  }

  __device__ void run() {
    int tiles = 0;
    for (int64_t begin = place_.column_begin; begin < place_.column_end;
         begin += Tile::kTileColumns) {
      const int64_t left = place_.column_end - begin;
      const int last = static_cast<int>(left < Tile::kTileColumns ? left : Tile::kTileColumns) - 1;
      count(begin, last);
      finish(begin, last);
      if (++tiles % (kCountFlushPairs / Tile::kColumns) == 0) flush();
    }
    flush();
    store();
  }

 private:
  // Counts over the tile whose columns are `begin` and on; `last` is the last of them that exists. Rows, columns and
  // sums past the end repeat the last one.
  __device__ void count(int64_t begin, int last) {
    auto& shared = *cuda::shared_memory<Shared>();
    const int chunk = kChunkWords / planes_ * planes_;
    tile_.clear();
    for (int word = 0; word < words_; word += chunk) {
      const int here = words_ - word < chunk ? words_ - word : chunk;
      __syncthreads();  // until all are done with what stands there
      if (begin == place_.column_begin || words_ > chunk)
        copy_words(shared.x,
                   packed_.left + (place_.batch * p_.left.count + place_.row_begin) * words_ + word,
                   static_cast<int>(place_.rows) - 1, words_, here);
      copy_words(shared.y, packed_.right + (place_.batch * p_.right.count + begin) * words_ + word,
                 last, words_, here);
      cuda::copies_commit();
      cuda::copies_wait<0>();
      __syncthreads();
      tile_.add(shared, here, planes_);
    }
  }

  // From counts to the tile's part of the sums. Columns past the end have the value 0.
  __device__ void finish(int64_t begin, int last) {
    const PackedRow* y_rows = packed_.right_rows + place_.batch * p_.right.count + begin;
    const float* y_values =
        static_cast<const float*>(p_.right.values) + begin * p_.right.values_row_stride;
#pragma unroll
    for (int c = 0; c < Tile::kColumns; ++c) {
      const bool exists = Tile::column(c) <= last;
      const int column = exists ? Tile::column(c) : last;
      const PackedRow y = y_rows[column];
      float values[Sums];
#pragma unroll
      for (int s = 0; s < Sums; ++s)
        values[s] = exists ? y_values[column * p_.right.values_row_stride + values_at_[s]] : 0.0f;
#pragma unroll
      for (int r = 0; r < Tile::kRows; ++r) {
        const FloatPair d =
            Metric::distance(Whole(static_cast<float>(pair_count(r, c, y))), Whole(x_rows_[r].stat),
                             Whole(y.stat), Whole(static_cast<float>(p_.features)));
#pragma unroll
        for (int s = 0; s < Sums; ++s)
          sums_[r][s] =
              fma(exp2(Exponential::log_value(d, parameters_[s])), values[s], sums_[r][s]);
      }
    }
  }

  // What the metric counts; of two rows' bits, those that only one has are all but twice the common ones.
  __device__ int pair_count(int r, int c, const PackedRow& y) const {
    const int count = tile_.count(r, c);
    if constexpr (Tile::counts_common && Metric::sum_of == SumOf::unequal)
      return x_rows_[r].bits + y.bits - 2 * count;
    return count;
  }

  __device__ void flush() {
#pragma unroll
    for (int r = 0; r < Tile::kRows; ++r)
#pragma unroll
      for (int s = 0; s < Sums; ++s) {
        totals_[r][s] += static_cast<double>(sums_[r][s]);
        sums_[r][s] = 0.0f;
      }
  }

  // Folds a row's lanes, then its warps, in order.
  __device__ void store() {
    double* totals = cuda::shared_memory<double>();  // [warp][row][sum]
    __syncthreads();
#pragma unroll
    for (int r = 0; r < Tile::kRows; ++r)
#pragma unroll
      for (int s = 0; s < Sums; ++s) {
        double total = totals_[r][s];
        for (int step = Tile::kLanes / 2; step > 0; step /= 2) total += shuffle_xor(total, step);
        if (threadIdx.x % Tile::kLanes == 0)
          totals[(Tile::warp() * kUnitRows + Tile::row(r)) * Sums + s] = total;
      }
    __syncthreads();
    double* partial = static_cast<double*>(pass_.partial) + place_.partial * pass_.width;
    for (int i = threadIdx.x; i < place_.rows * Sums; i += kCountThreads) {
      if (first_ + i % Sums >= pass_.width) continue;
      double total = totals[i];
      for (int warp = 1; warp < Tile::kWarps; ++warp) total += totals[warp * kUnitRows * Sums + i];
      partial[i / Sums * pass_.width + first_ + i % Sums] = total;
    }
  }

  const Problem& p_;
  const Pass& pass_;
  const Packed& packed_;
  const Place& place_;
  const int64_t first_;  // of the sums that this block takes
  const int planes_;
  const int words_;  // of a row
  Tile tile_;
  PackedRow x_rows_[Tile::kRows];
  int64_t values_at_[Sums];  // of the first column
  FloatPair parameters_[Sums];
  float sums_[Tile::kRows][Sums] = {};
  double totals_[Tile::kRows][Sums] = {};
};

// partial[row][s] = sum_j k_l(d_ij) values[l, j, c] with s = l C + c. Products serve where rows are one plane.
template <class Metric, int Sums, bool Products>
__global__ void __launch_bounds__(kCountThreads, Sums == 1 ? 2 : 1)
    count_sum(const Problem p, const Pass pass, const Packed packed) {
  const int64_t groups = (pass.width + Sums - 1) / Sums;
  const Place place(p, pass, blockIdx.x / groups);
  const int64_t first = blockIdx.x % groups * Sums;
  int planes = 1;
  if constexpr (Metric::sum_of == SumOf::unequal) planes = Coding(*packed.planes).planes();
  if (Products && planes == 1) {
    CountSum<Metric, ProductTile, Sums>(p, pass, packed, place, first, planes).run();
  } else {
    CountSum<Metric, PopcountTile<Metric>, Sums>(p, pass, packed, place, first, planes).run();
  }
}

template <class Metric, bool Products>
constexpr int64_t count_shared_bytes() {
  using Popcount = typename PopcountTile<Metric>::Shared;
  static_assert(sizeof(ProductTile::Shared) >= sizeof(Popcount));
  return Products ? sizeof(ProductTile::Shared) : sizeof(Popcount);
}

SEMIDEEP_MATH_END
