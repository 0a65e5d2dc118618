// The weighted sum of float32 rows of few features under the exponential kernel: differences in registers.
//
// A block is 16 x 16 threads. Thread (row, group) has the rows row + 16 r, whose features stay in its registers,
// and every 16th column of a tile, whose features it reads from shared memory once for its four rows.
#pragma once

#include "cuda/float_care.h"

SEMIDEEP_MATH_BEGIN

constexpr int kDirectThreads = 256;
constexpr int kDirectColumns = 128;
constexpr int kDirectRows = kUnitRows / 16;  // of a thread
// Of sums. More cost less by products (float_product_sum.h), and leave fewer pairs in doubt.
constexpr int kMostDirectFeatures = 8;
constexpr int kFlushTiles = 8;  // sums are taken in float for so many tiles

// A sum of squares of differences, a float, and what metrics make of it: hi + twice_lo / 2, since the root's Newton step
// comes without that factor, which the parameter of the kernel can take instead.
struct DirectDistance {
  float hi, twice_lo;

  __device__ __forceinline__ DirectDistance(float h, float l) : hi(h), twice_lo(l) {}
  __device__ __forceinline__ DirectDistance(double constant)  // NOLINT: implicit
      : DirectDistance(static_cast<float>(constant), 0.0f) {}
};
constexpr float kLeastRootedSquares = 1e-36f;
// Of at least that much.
__device__ __forceinline__ DirectDistance sqrt(DirectDistance a) {
  const float r = cuda::rsqrt_approximate(a.hi), root = a.hi * r;
  return {root, ::fmaf(-root, root, a.hi) * r};
}
// Of powers of two.
__device__ __forceinline__ DirectDistance operator*(DirectDistance constant, DirectDistance a) {
  return {constant.hi * a.hi, constant.hi * a.twice_lo};
}
__device__ __forceinline__ bool operator>(DirectDistance a, DirectDistance b) {
  return a.hi > b.hi;
}
__device__ __forceinline__ bool operator==(DirectDistance a, DirectDistance b) {
  return a.hi == b.hi;
}
__device__ __forceinline__ DirectDistance select(bool mask, DirectDistance a, DirectDistance b) {
  return {mask ? a.hi : b.hi, mask ? a.twice_lo : b.twice_lo};
}
__device__ __forceinline__ FloatPair operator*(FloatPair a, DirectDistance b) {
  const float product = a.hi * b.hi;
  const float error = ::fmaf(a.hi, b.hi, -product);
  return {product, ::fmaf(0.5f * a.hi, b.twice_lo, ::fmaf(a.lo, b.hi, error))};
}

template <class Metric, int D>
__device__ __forceinline__ DirectDistance direct_distance(const float (&x)[D], const float* y) {
  // Two chains of additions of many features: less rounding than in one.
  constexpr int kChains = D > 4 ? 2 : 1;
  float sums[2] = {Metric::power < 1.0 ? kLeastRootedSquares : 0.0f, 0.0f};
#pragma unroll
  for (int k = 0; k < D; ++k) sums[k % kChains] = Metric::accumulate(sums[k % kChains], x[k], y[k]);
  if (kChains > 1) sums[0] += sums[1];
  return Metric::distance(DirectDistance(sums[0], 0.0f), DirectDistance(1.0), DirectDistance(1.0),
                          DirectDistance(1.0));
}

// Features and the values of the sums of one column, in vectors of four.
template <int D, int Sums>
struct DirectColumn {
  alignas(16) float features[(D + 3) / 4 * 4];
  float values[Sums];
};
template <int D, int Sums>
struct DirectShared {
  DirectColumn<D, Sums> columns[kDirectColumns];
};

template <class Metric, int D>
__device__ __forceinline__ void load_prepared(const Problem& p, const Side& side, const void* infos,
                                              int64_t batch, int64_t at, float (&to)[D]) {
  const RowReader<double> read(p, side, batch, at);
  if constexpr (Metric::Row::has_info) {
    auto info = info_of<double, Metric>(p, side, infos, batch, at);
    if (info.stat != 1.0) info.scale = NAN;  // a zero row: no sum of squares gives its distances
#pragma unroll
    for (int k = 0; k < D; ++k)
      to[k] = k < p.features ? static_cast<float>(Metric::Row::prepare(read(k), info)) : 0.0f;
  } else {
#pragma unroll
    for (int k = 0; k < D; ++k) to[k] = k < p.features ? read.as_float(k) : 0.0f;
  }
}

// The columns of one tile after the other in shared memory, each read by one thread while the tile before is in use.
template <class Metric, int D, int Sums>
class DirectTiles {
 public:
  using Column = DirectColumn<D, Sums>;

  // With the values of the sums from `first` on.
  __device__ DirectTiles(const Problem& problem, const Pass& pass, const Place& place,
                         int64_t first)
      : p_(problem),
        pass_(pass),
        place_(place),
        first_(first),
        columns_(cuda::shared_memory<DirectShared<D, Sums>>()->columns) {
    fetch(place.column_begin);
  }

  __device__ const Column& operator[](int column) const { return columns_[column]; }
  // Makes the tile that begins there the block's; those before it must have been.
  __device__ void advance(int64_t begin) {
    __syncthreads();  // until all are done with the last tile
    if (threadIdx.x < kDirectColumns) columns_[threadIdx.x] = next_;
    __syncthreads();
    fetch(begin + kDirectColumns);
  }

 private:
  // Columns past the end repeat the last one, with the value 0.
  __device__ void fetch(int64_t begin) {
    if (threadIdx.x >= kDirectColumns || begin >= place_.column_end) return;
    const bool exists = begin + threadIdx.x < place_.column_end;
    const int64_t at = exists ? begin + threadIdx.x : place_.column_end - 1;
    float y[D];
    load_prepared<Metric>(p_, p_.right, pass_.right_info, place_.batch, at, y);
#pragma unroll
    for (int k = 0; k < D; ++k) next_.features[k] = y[k];
#pragma unroll
    for (int i = 0; i < Sums; ++i) {
      const int64_t s = first_ + i;
      next_.values[i] = exists && s < p_.parameters * p_.columns
                            ? static_cast<float>(value_at(p_, p_.right, place_.batch,
                                                          s / p_.columns, at, s % p_.columns))
                            : 0.0f;
    }
  }

  const Problem& p_;
  const Pass& pass_;
  const Place& place_;
  const int64_t first_;
  Column (&columns_)[kDirectColumns];
  Column next_;
};

// partial[row][s] = sum_j k_l(d_ij) values[l, j, c] with s = l C + c
template <class Metric, int D, int Sums>
__global__ void __launch_bounds__(kDirectThreads, Sums == 1 ? 2 : 1)
    float_direct_sum(const Problem p, const Pass pass) {
  const int64_t groups = (pass.width + Sums - 1) / Sums;
  const Place place(p, pass, blockIdx.x / groups);
  const int64_t first = blockIdx.x % groups * Sums;
  DirectTiles<Metric, D, Sums> columns(p, pass, place, first);
  const int row = threadIdx.x % 16, group = threadIdx.x / 16;
  const auto row_at = [&](int r) {
    return place.row_begin + (row + 16 * r < place.rows ? row + 16 * r : place.rows - 1);
  };
  const FloatCare<Metric> care(p, place.batch);
  FloatPair parameters[Sums];
#pragma unroll
  for (int i = 0; i < Sums; ++i)
    parameters[i] = bits_parameter(
        p, place.batch, (first + i < pass.width ? first + i : pass.width - 1) / p.columns);

  float x[kDirectRows][D];
#pragma unroll
  for (int r = 0; r < kDirectRows; ++r)
    load_prepared<Metric>(p, p.left, pass.left_info, place.batch, row_at(r), x[r]);

  FloatPair totals[kDirectRows][Sums] = {};
  float sums[kDirectRows][Sums] = {};
  int tiles = 0;
  for (int64_t begin = place.column_begin; begin < place.column_end; begin += kDirectColumns) {
    const int64_t left = place.column_end - begin;
    const int count = left < kDirectColumns ? static_cast<int>(left) : kDirectColumns;
    columns.advance(begin);
    uint32_t doubtful = 0;  // one bit for each pair: those are left out here and taken below
#pragma unroll
    for (int i = 0; i < kDirectColumns / 16; ++i) {
      const DirectColumn<D, Sums>& column = columns[group + 16 * i];
#pragma unroll
      for (int r = 0; r < kDirectRows; ++r) {
        const DirectDistance d = direct_distance<Metric>(x[r], column.features);
        const bool doubt = care.doubts_differences(d.hi);
        if (doubt) doubtful |= 1u << (i * kDirectRows + r);
#pragma unroll
        for (int s = 0; s < Sums; ++s) {
          const ScaledPower kernel = exp2(Exponential::log_value(d, parameters[s]));
          const float sum = fma(kernel, column.values[s], sums[r][s]);
          sums[r][s] = doubt ? sums[r][s] : sum;
        }
      }
    }
#pragma unroll 1
    for (; doubtful != 0; doubtful &= doubtful - 1) {
      const int pair = __ffs(static_cast<int>(doubtful)) - 1, r = pair % kDirectRows;
      const int j = group + pair / kDirectRows * 16;
      if (j >= count) continue;
      const double d = exact_distance<Metric, 1>(p, pass, place.batch, row_at(r), begin + j);
#pragma unroll
      for (int s = 0; s < Sums; ++s) {
        if (first + s >= pass.width) continue;
        const double lambda = p.parameter[place.batch * p.parameters + (first + s) / p.columns];
        const double kernel = Exponential::value(d, lambda, 0.0);
        const float part = static_cast<float>(kernel * static_cast<double>(columns[j].values[s]));
#pragma unroll
        for (int to = 0; to < kDirectRows; ++to)  // registers have no addresses
          if (to == r) sums[to][s] += part;
      }
    }
    if (++tiles % kFlushTiles == 0)
#pragma unroll
      for (int r = 0; r < kDirectRows; ++r)
#pragma unroll
        for (int i = 0; i < Sums; ++i) {
          totals[r][i] = totals[r][i] + FloatPair(sums[r][i], 0.0f);
          sums[r][i] = 0.0f;
        }
  }

  // The 16 groups of a row's columns are folded in order.
  __syncthreads();
  double* parts = cuda::shared_memory<double>();  // [group][row]
  double* partial = static_cast<double*>(pass.partial) + place.partial * pass.width;
#pragma unroll
  for (int i = 0; i < Sums; ++i) {
#pragma unroll
    for (int r = 0; r < kDirectRows; ++r) {
      const FloatPair total = totals[r][i] + FloatPair(sums[r][i], 0.0f);
      parts[group * kUnitRows + row + 16 * r] =
          static_cast<double>(total.hi) + static_cast<double>(total.lo);
    }
    __syncthreads();
    if (threadIdx.x < place.rows && first + i < pass.width) {
      double total = 0.0;
      for (int g = 0; g < 16; ++g) total += parts[g * kUnitRows + threadIdx.x];
      partial[threadIdx.x * pass.width + first + i] = total;
    }
    __syncthreads();
  }
}

// What the final fold needs, too, is in the size.
template <int D, int Sums>
constexpr int direct_shared_bytes() {
  constexpr int parts = 16 * kUnitRows * static_cast<int>(sizeof(double));
  constexpr int columns = static_cast<int>(sizeof(DirectShared<D, Sums>));
  return columns > parts ? columns : parts;
}

SEMIDEEP_MATH_END
