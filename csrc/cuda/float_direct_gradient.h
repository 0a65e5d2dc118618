// Gradients of the weighted sum of float32 rows of few features: differences in registers (float_direct.h).
//
// A thread has 4, 2 or 1 rows, so that rows times features are 16 sums whatever the number of features.
#pragma once

#include "cuda/float_direct.h"

SEMIDEEP_MATH_BEGIN

constexpr int kMostDirectGradientFeatures = 16;
constexpr int kMostGradientSums = 4;  // L C; beyond, the kernels in double serve
// Squared distances for which floats keep the difference of two rows. Where prepared rows lie close together, their
// differences are taken in double.
constexpr float kLeastFloatSquares = 1e-30f;
constexpr float kLargestFloatSquares = 1e36f;

SEMIDEEP_INLINE float select(bool mask, float a, float b) { return mask ? a : b; }

template <class Metric, int D, int Sums>
class DirectGradient {
  static_assert(kAlongDifference<Metric>, "serves gradients along x - y alone");

 public:
  static constexpr int kRows = D <= 4 ? 4 : 16 / D;  // of a thread
  static constexpr int kRowThreads = kUnitRows / kRows;
  static constexpr int kGroups = kDirectThreads / kRowThreads;

  __device__ DirectGradient(const Problem& problem, const Pass& pass, const Place& place)
      : p_(problem), pass_(pass), place_(place), columns_(problem, pass, place, 0) {
#pragma unroll
    for (int r = 0; r < kRows; ++r)
      load_prepared<Metric>(p_, p_.left, pass.left_info, place.batch, row_at(r), x_[r]);
#pragma unroll
    for (int s = 0; s < Sums; ++s) {
      parameters_[s] = bits_parameter(p_, place.batch, lambda_of(s));
      lambdas_[s] = static_cast<float>(parameter(s));
#pragma unroll
      for (int r = 0; r < kRows; ++r)
        values_[r][s] = s < sums() ? static_cast<float>(value(p_.left, s, row_at(r))) : 0.0f;
    }
  }

  __device__ void run() {
    int tiles = 0;
    for (int64_t begin = place_.column_begin; begin < place_.column_end; begin += kDirectColumns) {
      columns_.advance(begin);
      add_tile(begin);
      if (++tiles % kFlushTiles == 0) flush();
    }
    flush();
    store();
  }

 private:
  __device__ int row_thread() const { return threadIdx.x % kRowThreads; }
  __device__ int group() const { return threadIdx.x / kRowThreads; }
  __device__ int64_t row_at(int r) const {
    const int64_t at = row_thread() + kRowThreads * r;
    return place_.row_begin + (at < place_.rows ? at : place_.rows - 1);
  }
  __device__ int64_t sums() const { return p_.parameters * p_.columns; }
  __device__ int64_t lambda_of(int s) const { return (s < sums() ? s : sums() - 1) / p_.columns; }
  __device__ double parameter(int s) const {
    return p_.parameter[place_.batch * p_.parameters + lambda_of(s)];
  }
  __device__ double value(const Side& side, int s, int64_t at) const {
    return value_at(p_, side, place_.batch, lambda_of(s), at, s % p_.columns);
  }

  static __device__ bool suits(float squares) {
    constexpr float least = Metric::Row::has_info ? kLeastPreparedSquares : kLeastFloatSquares;
    constexpr float most = Metric::Row::has_info ? kMostPreparedSquares : kLargestFloatSquares;
    return squares >= least && squares <= most;
  }

  __device__ void add_tile(int64_t begin) {
    uint32_t left_out = 0;  // one bit for each pair
    constexpr int kSteps = kDirectColumns / kGroups;
    static_assert(kSteps * kRows <= 32);
#pragma unroll 4
    for (int i = 0; i < kSteps; ++i) {
      const DirectColumn<D, Sums>& column = columns_[group() + kGroups * i];
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        float differences[D], squares = 0.0f;
#pragma unroll
        for (int k = 0; k < D; ++k) {
          differences[k] = x_[r][k] - column.features[k];
          squares = ::fmaf(differences[k], differences[k], squares);
        }
        bool suitable = suits(squares);
        float products[Sums];
#pragma unroll
        for (int s = 0; s < Sums; ++s) {
          products[s] = values_[r][s] * column.values[s];
          suitable = suitable && ::fabsf(products[s]) <= kMostProduct;
        }
        if (!suitable) left_out |= 1u << (i * kRows + r);
        const FloatPair d = float_distance<Metric>({suitable ? squares : 1.0f, -0.0f}, p_.features);
        float weight = 0.0f;
#pragma unroll
        for (int s = 0; s < Sums; ++s) {
          const ScaledPower kernel = exp2(Exponential::log_value(d, parameters_[s]));
          const float product = suitable ? kernel.unit * products[s] : 0.0f;
          weight =
              ::fmaf(product, Exponential::by_distance(kernel.power, d.hi, lambdas_[s]), weight);
          by_parameter_[r][s] =
              ::fmaf(product, Exponential::by_parameter(kernel.power, d.hi, lambdas_[s]),
                     by_parameter_[r][s]);
        }
        weight = suitable ? weight * Metric::gradient(d.hi, 1.0f, 1.0f) : 0.0f;
#pragma unroll
        for (int k = 0; k < D; ++k)
          by_rows_[r][k] = ::fmaf(weight, suitable ? differences[k] : 0.0f, by_rows_[r][k]);
      }
    }
#pragma unroll 1
    for (; left_out != 0; left_out &= left_out - 1) {
      const int pair = __ffs(static_cast<int>(left_out)) - 1, r = pair % kRows;
      const int64_t at = begin + group() + pair / kRows * kGroups;
      if (at < place_.column_end) add_in_double(r, at);
    }
  }

  __device__ void add_in_double(int r, int64_t column) {
    const int64_t row = row_at(r);
    const RowReader<double> x(p_, p_.left, place_.batch, row);
    const RowReader<double> y(p_, p_.right, place_.batch, column);
    const auto of_x = info_of<double, Metric>(p_, p_.left, pass_.left_info, place_.batch, row);
    const auto of_y = info_of<double, Metric>(p_, p_.right, pass_.right_info, place_.batch, column);
    const auto difference = [&](int64_t k) {
      return Metric::Row::prepare(x(k), of_x) - Metric::Row::prepare(y(k), of_y);
    };
    const double d = exact_distance<Metric, 1>(p_, pass_, place_.batch, row, column);
    double weight = 0.0;
#pragma unroll
    for (int s = 0; s < Sums; ++s) {
      if (s >= sums()) continue;
      const double lambda = parameter(s), kernel = Exponential::value(d, lambda, 0.0);
      const double product = value(p_.left, s, row) * value(p_.right, s, column);
      weight = fma(product, Exponential::by_distance(kernel, d, lambda), weight);
      const auto part = static_cast<float>(product * Exponential::by_parameter(kernel, d, lambda));
#pragma unroll
      for (int to = 0; to < kRows; ++to)  // registers have no addresses
        if (to == r) by_parameter_[to][s] += part;
    }
    weight *= Metric::gradient(d, of_x.stat, of_y.stat);
#pragma unroll
    for (int k = 0; k < D; ++k) {
      if (k >= p_.features) continue;
#pragma unroll
      for (int to = 0; to < kRows; ++to)
        if (to == r) rows_totals_[to][k] += weight * difference(k);
    }
  }

  __device__ void flush() {
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
#pragma unroll
      for (int k = 0; k < D; ++k) {
        rows_totals_[r][k] += static_cast<double>(by_rows_[r][k]);
        by_rows_[r][k] = 0.0f;
      }
#pragma unroll
      for (int s = 0; s < Sums; ++s) {
        parameter_totals_[r][s] += static_cast<double>(by_parameter_[r][s]);
        by_parameter_[r][s] = 0.0f;
      }
    }
  }

  // The groups of a row's columns are folded in order, one scalar after the other.
  __device__ void store() {
    const int64_t rows_width = pass_.width - p_.parameters;
    double* partial = static_cast<double*>(pass_.partial) + place_.partial * pass_.width +
                      threadIdx.x * pass_.width;
    const bool is_row = static_cast<int64_t>(threadIdx.x) < place_.rows;
#pragma unroll
    for (int k = 0; k < D; ++k) {
      if (k >= rows_width) continue;
      const double total = fold([&](int r) { return rows_totals_[r][k]; });
      if (is_row) partial[k] = total;
    }
    if (is_row)
      for (int64_t l = 0; l < p_.parameters; ++l) partial[rows_width + l] = 0.0;
#pragma unroll
    for (int s = 0; s < Sums; ++s) {
      const double total = fold([&](int r) { return parameter_totals_[r][s]; });
      if (is_row && s < sums()) partial[rows_width + lambda_of(s)] += total;
    }
  }
  template <class Of>
  __device__ double fold(Of&& of) {
    double* parts = cuda::shared_memory<double>();  // [group][row]
    __syncthreads();
#pragma unroll
    for (int r = 0; r < kRows; ++r)
      parts[group() * kUnitRows + row_thread() + kRowThreads * r] = of(r);
    __syncthreads();
    double total = 0.0;
    if (threadIdx.x < kUnitRows)
      for (int i = 0; i < kGroups; ++i) total += parts[i * kUnitRows + threadIdx.x];
    return total;
  }

  const Problem& p_;
  const Pass& pass_;
  const Place& place_;
  DirectTiles<Metric, D, Sums> columns_;
  FloatPair parameters_[Sums];
  float lambdas_[Sums];
  float x_[kRows][D], values_[kRows][Sums];
  float by_rows_[kRows][D] = {}, by_parameter_[kRows][Sums] = {};
  double rows_totals_[kRows][D] = {}, parameter_totals_[kRows][Sums] = {};
};

// partial[row] = (dF/dx in D scalars, if wanted; then dF/dparameter_l for each l)
template <class Metric, int D, int Sums>
__global__ void __launch_bounds__(kDirectThreads, 1)
    float_direct_gradient(const Problem p, const Pass pass) {
  const Place place(p, pass, blockIdx.x);
  DirectGradient<Metric, D, Sums>(p, pass, place).run();
}

SEMIDEEP_MATH_END
