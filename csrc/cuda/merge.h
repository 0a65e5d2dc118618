// From the partial results of spans to results.
#pragma once

#include "cuda/access.h"
#include "cuda/pass.h"

SEMIDEEP_MATH_BEGIN

// The row of a pass that stands at `index`, and where it belongs; false if there is none.
struct PassRow {
  int64_t batch, row;  // in the problem
  int64_t
      first;  // its row in the first span's partial results; the next span's is kUnitRows further

  SEMIDEEP_INLINE PassRow(const Pass& pass, int64_t index) {
    const int64_t unit = index / kUnitRows, at = pass.unit_begin + unit;
    batch = at / pass.batch_units;
    row = at % pass.batch_units * kUnitRows + index % kUnitRows;
    first = unit * pass.spans * kUnitRows + index % kUnitRows;
  }
};

// One thread for each row and sum.
template <class S>
__global__ void __launch_bounds__(kMergeThreads) store_sums(const Problem p, const Pass pass) {
  const int64_t at = int64_t{blockIdx.x} * kMergeThreads + threadIdx.x;
  if (at >= pass.units * kUnitRows * pass.width) return;
  const PassRow row(pass, at / pass.width);
  if (row.row >= p.left.count) return;
  const int64_t s = at % pass.width;
  const S* partial = static_cast<const S*>(pass.partial);
  S total = partial[row.first * pass.width + s];
  for (int64_t span = 1; span < pass.spans; ++span)
    total = total + partial[(row.first + span * kUnitRows) * pass.width + s];
  const int64_t l = s / p.columns, c = s % p.columns;
  const int64_t to = ((row.batch * p.parameters + l) * p.left.count + row.row) * p.columns + c;
  store_element(p.out, p.dtype, to, result_of(total) / p.divisor);
}

// One warp for each row. Leaves the merged parameter gradients in the first span's partial results.
template <class S, class Metric>
__global__ void __launch_bounds__(kMergeThreads)
    store_rows_gradient(const Problem p, const Pass pass) {
  const int64_t index = int64_t{blockIdx.x} * (kMergeThreads / kWarp) + threadIdx.x / kWarp;
  const int lane = threadIdx.x % kWarp;
  if (index >= pass.units * kUnitRows) return;
  const PassRow row(pass, index);
  if (row.row >= p.left.count) return;
  S* partial = static_cast<S*>(pass.partial);
  S* total = partial + row.first * pass.width;
  for (int64_t k = lane; k < pass.width; k += kWarp)
    for (int64_t span = 1; span < pass.spans; ++span)
      total[k] = total[k] + partial[(row.first + span * kUnitRows) * pass.width + k];
  if (!p.rows_gradient) return;

  const auto info = info_of<S, Metric>(p, p.left, pass.left_info, row.batch, row.row);
  const RowReader<S> read(p, p.left, row.batch, row.row);
  S dot(0.0);
  if constexpr (Metric::Row::has_info) {
    for (int64_t k = lane; k < p.features; k += kWarp)
      dot = fma(total[k], Metric::Row::prepare(read(k), info), dot);
    dot = sum_of_16(dot);
    dot = dot + shuffle_xor(dot, 16);
  }
  for (int64_t k = lane; k < p.features; k += kWarp) {
    const S raw = Metric::Row::pull_back(total[k], Metric::Row::prepare(read(k), info), info, dot);
    store_element(p.rows_gradient, p.dtype, (row.batch * p.left.count + row.row) * p.features + k,
                  result_of(raw) / p.divisor);
  }
}

// One block for each batch that the pass touches and each parameter: sums over rows, in an order that depends
// on their number alone, and adds to what earlier passes left.
template <class S>
__global__ void __launch_bounds__(kMergeThreads)
    store_parameter_gradient(const Problem p, const Pass pass) {
  S* sums = cuda::shared_memory<S>();
  const int64_t l = blockIdx.x % p.parameters;
  const int64_t batch = pass.unit_begin / pass.batch_units + blockIdx.x / p.parameters;
  const int64_t first = batch * pass.batch_units;  // the batch's units
  const int64_t begin = first > pass.unit_begin ? first : pass.unit_begin;
  const int64_t last = first + pass.batch_units, pass_end = pass.unit_begin + pass.units;
  const int64_t end = last < pass_end ? last : pass_end;

  const S* partial = static_cast<const S*>(pass.partial);
  S sum(0.0);
  for (int64_t i = threadIdx.x; i < (end - begin) * kUnitRows; i += kMergeThreads) {
    const PassRow row(pass, (begin - pass.unit_begin) * kUnitRows + i);
    if (row.row < p.left.count)
      sum = sum + partial[(row.first + 1) * pass.width - p.parameters + l];
  }
  sums[threadIdx.x] = sum;
  for (int half = kMergeThreads / 2; half > 0; half /= 2) {
    __syncthreads();
    if (static_cast<int>(threadIdx.x) < half)
      sums[threadIdx.x] = sums[threadIdx.x] + sums[threadIdx.x + half];
  }
  if (threadIdx.x > 0) return;
  double& total = p.parameter_gradient[batch * p.parameters + l];
  const double part = result_of(sums[0]) / p.divisor;
  total = begin == first ? part : total + part;
}

// One warp for each row.
template <class S, class Metric>
__global__ void __launch_bounds__(kMergeThreads)
    describe_rows(const Problem p, const Side side, void* infos) {
  const int lane = threadIdx.x % kWarp;
  const int64_t at = int64_t{blockIdx.x} * (kMergeThreads / kWarp) + threadIdx.x / kWarp;
  if (at >= described_batches(p, side) * side.count) return;
  const RowReader<S> read(p, side, at / side.count, at % side.count);
  const auto read_mine = [&](int64_t k) { return read(k * kWarp + lane); };
  const int64_t mine = (p.features - lane + kWarp - 1) / kWarp;
  const RowInfo<S> info = Metric::Row::template describe<S>(read_mine, mine, WarpTeam{});
  // The first lane's: it lacks features only where the row has none.
  if (lane == 0) static_cast<RowInfo<S>*>(infos)[at] = info;
}

SEMIDEEP_MATH_END
