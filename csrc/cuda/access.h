// Access by position to what a Problem points at.
#pragma once

#include "core/dual.h"
#include "core/problem.h"
#include "cuda/device.h"

SEMIDEEP_MATH_BEGIN

SEMIDEEP_INLINE double element_at(const void* data, DType dtype, int64_t at) {
  return dtype == DType::float32 ? static_cast<double>(static_cast<const float*>(data)[at])
                                 : static_cast<const double*>(data)[at];
}

SEMIDEEP_INLINE void store_element(void* data, DType dtype, int64_t at, double value) {
  if (dtype == DType::float32) {
    static_cast<float*>(data)[at] = static_cast<float>(value);
  } else {
    static_cast<double*>(data)[at] = value;
  }
}

SEMIDEEP_INLINE double result_of(double value) { return value; }
SEMIDEEP_INLINE double result_of(Dual<double> value) { return value.tangent; }

template <class S>
SEMIDEEP_INLINE S with_tangent(double value, double tangent) {
  if constexpr (kIsDual<S>) {
    return S(value, tangent);
  } else {
    return value;
  }
}

// A feature stored in 16 bits; float32 holds every such value.
SEMIDEEP_INLINE float half_value(uint16_t bits, Half half) {
  return half == Half::float16 ? cuda::float16_value(bits) : cuda::bfloat16_value(bits);
}

SEMIDEEP_INLINE int64_t feature_bytes(const Problem& p, const Side& side) {
  return side.half != Half::none ? 2 : p.dtype == DType::float32 ? 4 : 8;
}

// Reads features of one row.
template <class S>
struct RowReader {
  const void* rows;
  const void* tangents;
  DType dtype;
  Half half;
  int64_t at, tangent_at;

  SEMIDEEP_INLINE RowReader(const Problem& p, const Side& side, int64_t batch, int64_t row)
      : rows(side.rows),
        tangents(side.tangents),
        dtype(p.dtype),
        half(side.half),
        at(batch * side.rows_batch_stride + row * side.rows_row_stride),
        tangent_at((batch * side.count + row) * p.features) {}
  // Of rows in float32 or half precision.
  SEMIDEEP_INLINE float as_float(int64_t k) const {
    return half == Half::none ? static_cast<const float*>(rows)[at + k] : half_at(k);
  }
  SEMIDEEP_INLINE S operator()(int64_t k) const {
    return with_tangent<S>(value(k), tangents ? element_at(tangents, dtype, tangent_at + k) : 0.0);
  }

 private:
  SEMIDEEP_INLINE double value(int64_t k) const {
    if (half == Half::none) return element_at(rows, dtype, at + k);
    return static_cast<double>(half_at(k));
  }
  SEMIDEEP_INLINE float half_at(int64_t k) const {
    return half_value(static_cast<const uint16_t*>(rows)[at + k], half);
  }
};

SEMIDEEP_INLINE int64_t value_index(const Side& side, int64_t batch, int64_t l, int64_t row,
                                    int64_t c) {
  return batch * side.values_batch_stride + l * side.values_parameter_stride +
         row * side.values_row_stride + c;
}
SEMIDEEP_INLINE double value_at(const Problem& p, const Side& side, int64_t batch, int64_t l,
                                int64_t row, int64_t c) {
  return element_at(side.values, p.dtype, value_index(side, batch, l, row, c));
}
SEMIDEEP_INLINE double shift_at(const Problem& p, const Side& side, int64_t batch, int64_t l,
                                int64_t row) {
  return side.shift ? side.shift[(batch * p.parameters + l) * side.count + row] : 0.0;
}
template <class S>
SEMIDEEP_INLINE S parameter_at(const Problem& p, int64_t batch, int64_t l) {
  const int64_t at = batch * p.parameters + l;
  return with_tangent<S>(p.parameter[at], p.parameter_tangent ? p.parameter_tangent[at] : 0.0);
}

__device__ __forceinline__ double shuffle_xor(double value, int lanes) {
  return __shfl_xor_sync(0xffffffffu, value, lanes);
}
template <class V>
__device__ __forceinline__ Dual<V> shuffle_xor(Dual<V> value, int lanes) {
  return {shuffle_xor(value.value, lanes), shuffle_xor(value.tangent, lanes)};
}

// Sums over the 16 lanes that share a row; all of them get it.
template <class S>
__device__ __forceinline__ S sum_of_16(S value) {
  for (int step = 8; step > 0; step /= 2) value = value + shuffle_xor(value, step);
  return value;
}

// The lanes of a warp, each with every 32nd feature of a row; all of them get the same.
struct WarpTeam {
  template <class S>
  __device__ __forceinline__ S sum(S mine) const {
    for (int step = 16; step > 0; step /= 2) mine = mine + shuffle_xor(mine, step);
    return mine;
  }
  __device__ __forceinline__ double largest(double mine) const {
    for (int step = 16; step > 0; step /= 2) {
      const double other = shuffle_xor(mine, step);
      mine = other > mine ? other : mine;
    }
    return mine;
  }
};

SEMIDEEP_MATH_END
