// What the tasks share. A task says what is done with a tile of distances: a weighted sum (sum_task.h), a
// sum in the log domain (log_sum_task.h) or a gradient (gradient_task.h).
//
// It turns one block of left rows and one span of right rows into a partial result per row:
//   width(p)           scalars per row
//   run(...)           fills the partial
//   merge(total, part) folds spans together, in their order
//   store(...)         writes a block's results from its total
#pragma once

#include "cpu/tile.h"

SEMIDEEP_MATH_BEGIN

constexpr int64_t kValueColumns = 16;  // columns of values packed at a time

SEMIDEEP_INLINE Vec lift(Vec v, const Vec&) { return v; }
SEMIDEEP_INLINE Dual<Vec> lift(Vec v, const Dual<Vec>&) { return {v, Vec(0.0)}; }

SEMIDEEP_INLINE double result_of(double value) { return value; }
SEMIDEEP_INLINE double result_of(Dual<double> value) { return value.tangent; }

// Access by position to what a problem attaches to rows and to the kernel parameter.
template <class S>
struct Attachments {
  const Problem& p;
  int64_t batch;

  double value(const Side& side, int64_t l, int64_t at, int64_t c) const {
    return load_element(side.values, p.dtype,
                        batch * side.values_batch_stride + l * side.values_parameter_stride +
                            at * side.values_row_stride + c);
  }
  double shift(const Side& side, int64_t l, int64_t at) const {
    if (!side.shift) return 0.0;
    return side.shift[(batch * p.parameters + l) * side.count + at];
  }
  S parameter(int64_t l) const {
    const int64_t i = batch * p.parameters + l;
    if constexpr (sizeof(S) == sizeof(double)) {
      return p.parameter[i];
    } else {
      return S(p.parameter[i], p.parameter_tangent ? p.parameter_tangent[i] : 0.0);
    }
  }
};

inline void store_result(void* out, DType dtype, int64_t at, double value) {
  if (dtype == DType::float32) {
    static_cast<float*>(out)[at] = static_cast<float>(value);
  } else {
    static_cast<double*>(out)[at] = value;
  }
}

// Right-hand quantities of a panel, one vector lane per column; lanes past the end get `padding`.
template <class TileType, class Get>
inline void pack_columns(const TileType& tile, Vec* to, double padding, Get&& get) {
  for (int64_t v = 0; v < tile.vectors(); ++v)
    for (int lane = 0; lane < kLanes; ++lane)
      set_lane(to[v], lane, tile.is_column(v, lane) ? get(tile.column(v, lane)) : padding);
}

// Calls f(begin, count) for each panel of the block's span.
template <class F>
inline void for_panels(const Block& block, F&& f) {
  for (int64_t begin = block.column_begin; begin < block.column_end; begin += kTileColumns) {
    const int64_t left = block.column_end - begin;
    f(begin, left < kTileColumns ? left : kTileColumns);
  }
}

template <class S>
inline void add_scalars(int64_t count, S* total, const S* part) {
  for (int64_t i = 0; i < count; ++i) total[i] = total[i] + part[i];
}

SEMIDEEP_MATH_END
