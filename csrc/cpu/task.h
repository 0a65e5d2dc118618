// What the tasks share. A task says what is done with a tile of distances: a weighted sum (sum_task.h), a
// sum in the log domain (log_sum_task.h) or a gradient (gradient_task.h).
//
// It turns one block of left rows and one span of right rows into a partial result per row:
//   width(p)           scalars per row
//   block_rows(p)      rows per block
//   workspace_bytes(p) scratch memory of a thread
//   run(...)           fills the partial
//   merge(total, part) folds spans together, in their order
//   store(...)         writes a block's results from its total
#pragma once

#include "cpu/tile.h"

SEMIDEEP_MATH_BEGIN

constexpr int64_t kMostSpanColumns = 8192;
constexpr int64_t kBlockScalars = int64_t{1} << 17;  // of a block's partial results
constexpr int64_t kValueColumns = 16;                // columns of values packed at a time

// Columns of a span of about so many bytes of packed panels.
inline int64_t span_columns(int64_t bytes, int64_t panel_bytes, int64_t panel_columns) {
  const int64_t panels = bytes / panel_bytes;
  const int64_t columns = (panels < 1 ? 1 : panels) * panel_columns;
  return columns < kMostSpanColumns ? columns : kMostSpanColumns;
}

// Rows of a block, at most `most`, given the scalars of a row's partial result.
inline int64_t rows_within(int64_t most, int64_t width) {
  const int64_t rows = kBlockScalars / (width > 0 ? width : 1);
  return rows < 1 ? 1 : rows < most ? rows : most;
}

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
    if constexpr (kIsDual<S>) {
      return S(p.parameter[i], p.parameter_tangent ? p.parameter_tangent[i] : 0.0);
    } else {
      return p.parameter[i];
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

// Writes the weighted sums of a block from its total, [row][l][c].
template <class S>
inline void store_sums(const Problem& p, const Block& block, const S* total) {
  for (int64_t row = 0; row < block.rows; ++row)
    for (int64_t l = 0; l < p.parameters; ++l)
      for (int64_t c = 0; c < p.columns; ++c) {
        const int64_t i = (block.batch * p.parameters + l) * p.left.count + block.row_begin + row;
        store_result(p.out, p.dtype, i * p.columns + c, result_of(*total++));
      }
}

SEMIDEEP_MATH_END
