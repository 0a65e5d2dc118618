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
  if constexpr (sizeof(S) == sizeof(double)) {
    return value;
  } else {
    return S(value, tangent);
  }
}

// Reads features of one row.
template <class S>
struct RowReader {
  const void* rows;
  const void* tangents;
  DType dtype;
  int64_t at, tangent_at;

  SEMIDEEP_INLINE RowReader(const Problem& p, const Side& side, int64_t batch, int64_t row)
      : rows(side.rows),
        tangents(side.tangents),
        dtype(p.dtype),
        at(batch * side.rows_batch_stride + row * side.rows_row_stride),
        tangent_at((batch * side.count + row) * p.features) {}
  SEMIDEEP_INLINE S operator()(int64_t k) const {
    return with_tangent<S>(element_at(rows, dtype, at + k),
                           tangents ? element_at(tangents, dtype, tangent_at + k) : 0.0);
  }
};

SEMIDEEP_INLINE double value_at(const Problem& p, const Side& side, int64_t batch, int64_t l,
                                int64_t row, int64_t c) {
  return element_at(side.values, p.dtype,
                    batch * side.values_batch_stride + l * side.values_parameter_stride +
                        row * side.values_row_stride + c);
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

SEMIDEEP_MATH_END
