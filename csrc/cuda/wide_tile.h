// Distances between the rows of a unit and a tile of columns, in double: for every metric, dtype and task.
//
// A block is 16 x 16 threads. Thread (tx, ty) has the pairs of rows ty + 16 r and columns tx + 16 c, so that a
// row's 16 threads are half a warp. Features pass through shared memory, a few at a time, transposed.
#pragma once

#include "core/rescale.h"
#include "cuda/access.h"
#include "cuda/pass.h"

SEMIDEEP_MATH_BEGIN

constexpr int kWideThreads = 256;
constexpr int kThreadRows = kUnitRows / 16;
constexpr int kWideColumns = 32;
constexpr int kThreadColumns = kWideColumns / 16;
constexpr int kWideFeatures = 16;

// Calls f(r, c) for each pair of a thread.
template <class F>
__device__ __forceinline__ void for_pairs(F&& f) {
#pragma unroll
  for (int r = 0; r < kThreadRows; ++r)
#pragma unroll
    for (int c = 0; c < kThreadColumns; ++c) f(r, c);
}

template <class S, class Metric>
class WideTile {
 public:
  using Pairs = S[kThreadRows][kThreadColumns];

  // One more than the size: neighbours in a column then stand in different banks.
  struct Shared {
    S x[kWideFeatures][kUnitRows + 1];
    S y[kWideFeatures][kWideColumns + 1];
  };

  __device__ WideTile(const Problem& problem, const Pass& pass, const Place& place, Shared& shared)
      : p_(problem), pass_(pass), place_(place), shared_(shared) {}

  __device__ int tx() const { return threadIdx.x % 16; }
  __device__ int ty() const { return threadIdx.x / 16; }

  // Rows and columns past the end repeat the last one, so that whatever is computed from them is as tame as
  // real data.
  __device__ int64_t row(int r) const {
    const int64_t at = ty() + 16 * r;
    return place_.row_begin + (at < place_.rows ? at : place_.rows - 1);
  }
  __device__ bool is_row(int r) const { return ty() + 16 * r < place_.rows; }
  __device__ int64_t column(int64_t begin, int c) const {
    const int64_t at = begin + tx() + 16 * c;
    return at < place_.column_end ? at : place_.column_end - 1;
  }
  __device__ bool is_column(int64_t begin, int c) const {
    return begin + tx() + 16 * c < place_.column_end;
  }

  __device__ S left_stat(int r) const { return info(p_.left, pass_.left_info, row(r)).stat; }
  __device__ S right_stat(int64_t begin, int c) const {
    return info(p_.right, pass_.right_info, column(begin, c)).stat;
  }

  // Fills the distances of the thread's pairs to the columns from `begin` on.
  __device__ void compute(int64_t begin, Pairs& distances) {
    for_pairs([&](int r, int c) { distances[r][c] = S(0.0); });
    for_features(begin, 0, p_.features, [&](int64_t, int features) {
      // Sums start at 0 in each step: the rounding error does not grow with the number of features.
      Pairs sums;
      for_pairs([&](int r, int c) { sums[r][c] = S(0.0); });
#pragma unroll 4
      for (int k = 0; k < features; ++k)
        for_pairs([&](int r, int c) {
          sums[r][c] = Metric::accumulate(sums[r][c], shared_.x[k][ty() + 16 * r],
                                          shared_.y[k][tx() + 16 * c]);
        });
      for_pairs([&](int r, int c) { distances[r][c] = distances[r][c] + sums[r][c]; });
    });
    if (p_.features == 0) return;
    const S features(static_cast<double>(p_.features));
    for_pairs([&](int r, int c) {
      const S sum = distances[r][c];
      distances[r][c] = Metric::distance(sum, left_stat(r), right_stat(begin, c), features);
      if constexpr (Metric::rescale)
        if (p_.dtype == DType::float64) rescale(row(r), column(begin, c), sum, distances[r][c]);
    });
  }

  // Calls f(first, count) for each step of the features [from, to), with both operands in shared memory.
  template <class F>
  __device__ void for_features(int64_t begin, int64_t from, int64_t to, F&& f) {
    for (int64_t first = from; first < to; first += kWideFeatures) {
      const int64_t left = to - first;
      const int count = left < kWideFeatures ? static_cast<int>(left) : kWideFeatures;
      __syncthreads();  // until all are done with what stands there
      stage<kUnitRows>(p_.left, pass_.left_info, place_.row_begin, place_.row_begin + place_.rows,
                       first, count, shared_.x);
      stage<kWideColumns>(p_.right, pass_.right_info, begin, place_.column_end, first, count,
                          shared_.y);
      __syncthreads();
      f(first, count);
    }
  }

 private:
  __device__ RowInfo<S> info(const Side& side, const void* infos, int64_t at) const {
    return info_of<S, Metric>(p_, side, infos, place_.batch, at);
  }

  template <int Rows>
  __device__ void stage(const Side& side, const void* infos, int64_t begin, int64_t end,
                        int64_t first, int count, S (&to)[kWideFeatures][Rows + 1]) const {
    for (int i = threadIdx.x; i < Rows * kWideFeatures; i += kWideThreads) {
      const int row = i / kWideFeatures, k = i % kWideFeatures;
      if (k >= count) continue;
      const int64_t at = begin + row < end ? begin + row : end - 1;
      const RowReader<S> read(p_, side, place_.batch, at);
      to[k][row] = Metric::Row::prepare(read(first + k), info(side, infos, at));
    }
  }

  __device__ void rescale(int64_t row, int64_t column, S sum, S& distance) const {
    static_assert(Metric::sum_of == SumOf::squares && Metric::power == 0.5,
                  "rescale.h is for roots of sums of squares");
    const double squared = primal(sum);
    if (squared >= kLeastSquares && squared <= kLargestSquares) return;
    distance = rescaled_euclidean<S>(RowReader<S>(p_, p_.left, place_.batch, row),
                                     RowReader<S>(p_, p_.right, place_.batch, column), p_.features);
  }

  const Problem& p_;
  const Pass& pass_;
  const Place& place_;
  Shared& shared_;
};

// Calls f(begin) for each tile of columns of a place.
template <class F>
__device__ __forceinline__ void for_tiles(const Place& place, F&& f) {
  for (int64_t begin = place.column_begin; begin < place.column_end; begin += kWideColumns)
    f(begin);
}

SEMIDEEP_MATH_END
