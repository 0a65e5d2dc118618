// The three tasks on a tile of distances in double. Each kernel's block folds one span of columns into the
// partial results of one unit of rows.
#pragma once

#include "cuda/wide_tile.h"

SEMIDEEP_MATH_BEGIN

// Sums that a thread keeps for each of its rows; where there are more, so many more blocks share the work.
constexpr int kWideSums = 4;

SEMIDEEP_INLINE int64_t sum_groups(int64_t width) { return (width + kWideSums - 1) / kWideSums; }

// k_l of all pairs of a thread.
template <class S, class Kernel, class Tile, class Pairs>
__device__ __forceinline__ void fill_kernel(const Problem& p, const Place& place, const Tile& tile,
                                            int64_t begin, int64_t l, const Pairs& distances,
                                            Pairs& kernel) {
  const S parameter = parameter_at<S>(p, place.batch, l);
  for_pairs([&](int r, int c) {
    const double shift = shift_at(p, p.left, place.batch, l, tile.row(r)) +
                         shift_at(p, p.right, place.batch, l, tile.column(begin, c));
    kernel[r][c] = Kernel::value(distances[r][c], parameter, S(shift));
  });
}

// partial[row][s] = sum_j k_l(d_ij) values[l, j, c] with s = l C + c
template <class S, class Metric>
__global__ void __launch_bounds__(kWideThreads) wide_sum(const Problem p, const Pass pass) {
  using Tile = WideTile<S, Metric>;
  auto& shared = *cuda::shared_memory<typename Tile::Shared>();
  const int64_t groups = sum_groups(pass.width);
  const Place place(p, pass, blockIdx.x / groups);
  const int64_t first = blockIdx.x % groups * kWideSums;
  Tile tile(p, pass, place, shared);

  S sums[kThreadRows][kWideSums] = {};
  for_tiles(place, [&](int64_t begin) {
    typename Tile::Pairs distances, kernel;
    tile.compute(begin, distances);
    int64_t filled = -1;
#pragma unroll
    for (int i = 0; i < kWideSums; ++i) {
      const int64_t s = first + i;
      if (s >= pass.width) continue;
      const int64_t l = s / p.columns;
      if (l != filled) {
        visit(Kernels{}, p.kernel, [&]<class Kernel>() {
          fill_kernel<S, Kernel>(p, place, tile, begin, l, distances, kernel);
        });
        filled = l;
      }
      for_pairs([&](int r, int c) {
        const double value =
            tile.is_column(begin, c)
                ? value_at(p, p.right, place.batch, l, tile.column(begin, c), s % p.columns)
                : 0.0;
        sums[r][i] = fma(kernel[r][c], S(value), sums[r][i]);
      });
    }
  });

  S* partial = static_cast<S*>(pass.partial) + place.partial * pass.width;
#pragma unroll
  for (int r = 0; r < kThreadRows; ++r)
#pragma unroll
    for (int i = 0; i < kWideSums; ++i) {
      const S total = sum_of_16(sums[r][i]);
      if (tile.tx() == 0 && tile.is_row(r) && first + i < pass.width)
        partial[(tile.ty() + 16 * r) * pass.width + first + i] = total;
    }
}

// A sum of exponentials as (largest exponent, sum relative to it). It has no member initialisers, because it is put in
// arrays: nvcc 13.0 applies them to the first row of a local array of two dimensions, and zeroes the others.
struct LogSum {
  double largest, sum;

  // Where nothing has been added yet the largest is -inf, and -inf - (-inf) would be NaN.
  static SEMIDEEP_INLINE double origin(double largest) {
    return largest == -INFINITY ? 0.0 : largest;
  }
  SEMIDEEP_INLINE void add(double exponent) {
    if (exponent > largest) {
      sum = sum * ::exp(largest - exponent) + 1.0;
      largest = exponent;
    } else if (exponent != -INFINITY) {
      sum += ::exp(exponent - largest);
    }
  }
  SEMIDEEP_INLINE void add(LogSum other) {
    const double most = largest > other.largest ? largest : other.largest;
    sum = sum * ::exp(largest - origin(most)) + other.sum * ::exp(other.largest - origin(most));
    largest = most;
  }
  SEMIDEEP_INLINE double log() const { return origin(largest) + ::log(sum); }
};

using LogSums = LogSum[kThreadRows][kWideSums];
__device__ __forceinline__ void clear(LogSums& sums) {
#pragma unroll
  for (int i = 0; i < kThreadRows * kWideSums; ++i)
    sums[i / kWideSums][i % kWideSums] = {-INFINITY, 0.0};
}

// partial[row][l] = log sum_j k_l(d_ij) values[l, j] as a LogSum
template <class Metric>
__global__ void __launch_bounds__(kWideThreads) wide_log_sum(const Problem p, const Pass pass) {
  using Tile = WideTile<double, Metric>;
  auto& shared = *cuda::shared_memory<typename Tile::Shared>();
  const int64_t groups = sum_groups(p.parameters);
  const Place place(p, pass, blockIdx.x / groups);
  const int64_t first = blockIdx.x % groups * kWideSums;
  Tile tile(p, pass, place, shared);

  LogSums sums;
  clear(sums);
  for_tiles(place, [&](int64_t begin) {
    typename Tile::Pairs distances;
    tile.compute(begin, distances);
#pragma unroll
    for (int i = 0; i < kWideSums; ++i) {
      const int64_t l = first + i;
      if (l >= p.parameters) continue;
      const double parameter = p.parameter[place.batch * p.parameters + l];
#pragma unroll
      for (int c = 0; c < kThreadColumns; ++c) {
        if (!tile.is_column(begin, c)) continue;
        const double log_value =
            ::log(value_at(p, p.right, place.batch, l, tile.column(begin, c), 0));
        visit(Kernels{}, p.kernel, [&]<class Kernel>() {
          if constexpr (Kernel::has_log)
#pragma unroll
            for (int r = 0; r < kThreadRows; ++r)
              sums[r][i].add(Kernel::log_value(distances[r][c], parameter) + log_value);
        });
      }
    }
  });

  LogSum* partial = static_cast<LogSum*>(pass.partial) + place.partial * p.parameters;
#pragma unroll
  for (int r = 0; r < kThreadRows; ++r)
#pragma unroll
    for (int i = 0; i < kWideSums; ++i) {
      for (int step = 8; step > 0; step /= 2)
        sums[r][i].add(
            LogSum{shuffle_xor(sums[r][i].largest, step), shuffle_xor(sums[r][i].sum, step)});
      if (tile.tx() == 0 && tile.is_row(r) && first + i < p.parameters)
        partial[(tile.ty() + 16 * r) * p.parameters + first + i] = sums[r][i];
    }
}

template <class S, class Metric>
struct WideGradientShared {
  typename WideTile<S, Metric>::Shared tile;
  S weights[kUnitRows][kWideColumns + 1];
};

// partial[row] = (sum_j w_ij Direction::of(x_i, y_j), sum_j s_lij dk_l/dparameter for each l), where
// w_ij = sum_l s_lij k_l'(d_ij) c_ij with the metric's gradient c Direction::of(x, y), and
// s_lij = sum_c left.values[l, i, c] right.values[l, j, c]
template <class S, class Metric>
__global__ void __launch_bounds__(kWideThreads) wide_gradient(const Problem p, const Pass pass) {
  using Tile = WideTile<S, Metric>;
  auto& shared = *cuda::shared_memory<WideGradientShared<S, Metric>>();
  const Place place(p, pass, blockIdx.x / pass.groups);
  Tile tile(p, pass, place, shared.tile);
  S* partial = static_cast<S*>(pass.partial) + place.partial * pass.width;
  const int64_t rows_width = pass.width - p.parameters;
  const int64_t group = blockIdx.x % pass.groups, from = group * pass.group_features;
  const int64_t to =
      from + pass.group_features < rows_width ? from + pass.group_features : rows_width;

  if (place.column_begin >= place.column_end && group == 0)
    for (int64_t i = threadIdx.x; i < kUnitRows * pass.width; i += kWideThreads)
      partial[i] = S(0.0);
  for_tiles(place, [&](int64_t begin) {
    const bool fresh = begin == place.column_begin;
    typename Tile::Pairs distances, kernel, weights;
    tile.compute(begin, distances);
    for_pairs([&](int r, int c) { weights[r][c] = S(0.0); });
    for (int64_t l = 0; l < p.parameters; ++l) {
      const S parameter = parameter_at<S>(p, place.batch, l);
      double products[kThreadRows][kThreadColumns] = {};
      for (int64_t i = 0; i < p.columns; ++i)
        for_pairs([&](int r, int c) {
          if (tile.is_column(begin, c))
            products[r][c] =
                fma(value_at(p, p.left, place.batch, l, tile.row(r), i),
                    value_at(p, p.right, place.batch, l, tile.column(begin, c), i), products[r][c]);
        });
      S by_parameter[kThreadRows] = {};
      visit(Kernels{}, p.kernel, [&]<class Kernel>() {
        fill_kernel<S, Kernel>(p, place, tile, begin, l, distances, kernel);
        for_pairs([&](int r, int c) {
          const S s(products[r][c]), k = kernel[r][c], d = distances[r][c];
          weights[r][c] = fma(s, Kernel::by_distance(k, d, parameter), weights[r][c]);
          by_parameter[r] = fma(s, Kernel::by_parameter(k, d, parameter), by_parameter[r]);
        });
      });
#pragma unroll
      for (int r = 0; r < kThreadRows; ++r) {
        const S sum = sum_of_16(by_parameter[r]);
        if (tile.tx() != 0 || !tile.is_row(r) || group > 0) continue;
        S& total = partial[(tile.ty() + 16 * r) * pass.width + rows_width + l];
        total = fresh ? sum : total + sum;
      }
    }
    if constexpr (Metric::differentiable) {
      if (rows_width == 0) return;
      for_pairs([&](int r, int c) {
        shared.weights[tile.ty() + 16 * r][tile.tx() + 16 * c] =
            weights[r][c] *
            Metric::gradient(distances[r][c], tile.left_stat(r), tile.right_stat(begin, c));
      });
      // From here on a thread has the rows ty + 16 r and the feature tx of a step.
      tile.for_features(begin, from, to, [&](int64_t first, int features) {
        const int k = tile.tx();
        if (k >= features) return;
#pragma unroll
        for (int r = 0; r < kThreadRows; ++r) {
          if (!tile.is_row(r)) continue;
          const int row = tile.ty() + 16 * r;
          const S x = shared.tile.x[k][row];
          S sum(0.0);
          for (int j = 0; j < kWideColumns; ++j)
            sum = fma(shared.weights[row][j], Metric::Direction::of(x, shared.tile.y[k][j]), sum);
          S& total = partial[row * pass.width + first + k];
          total = fresh ? sum : total + sum;
        }
      });
      __syncthreads();  // the weights are read until here
    }
  });
}

SEMIDEEP_MATH_END
