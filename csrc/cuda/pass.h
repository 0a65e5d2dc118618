// How a problem is cut into blocks of threads.
//
// Left rows are cut into units of kUnitRows, right rows into spans whose number depends on their count alone, so
// that the bits of a row's result do not depend on which other rows are asked for. A block folds one span into
// the partial results of one unit; merging spans in order gives the result (merge.h). What scratch memory
// cannot hold at once is done in several passes, each a launch.
#pragma once

#include "core/kernels.h"
#include "core/problem.h"

SEMIDEEP_MATH_BEGIN

constexpr int kUnitRows = 64;
constexpr int kWarp = 32;
constexpr int kMergeThreads = 256;  // of blocks whose threads or warps take rows one by one

struct Pass {
  int64_t unit_begin = 0;   // units are numbered through all batches
  int64_t units = 0;        // of this pass
  int64_t batch_units = 0;  // of one batch
  int64_t spans = 1;
  int64_t span_columns = 0;
  int64_t width = 0;  // scalars of a row's partial result
  // Of row gradients: as many blocks share a place, each with some of its features. They all find its distances.
  int64_t groups = 1, group_features = 0;
  const void* left_info = nullptr;  // RowInfo of all rows, or absent
  const void* right_info = nullptr;
  void* partial = nullptr;  // [unit of this pass][span][row][width]
};

// What one block of threads is to do.
struct Place {
  int64_t batch, row_begin, rows, column_begin, column_end;
  int64_t partial;  // where its partial results begin, in rows

  SEMIDEEP_INLINE Place(const Problem& p, const Pass& pass, int64_t block) {
    const int64_t unit = block / pass.spans, span = block % pass.spans;
    const int64_t at = pass.unit_begin + unit;
    batch = at / pass.batch_units;
    row_begin = at % pass.batch_units * kUnitRows;
    rows = p.left.count - row_begin < kUnitRows ? p.left.count - row_begin : kUnitRows;
    column_begin = span * pass.span_columns;
    column_end = column_begin + pass.span_columns < p.right.count ? column_begin + pass.span_columns
                                                                  : p.right.count;
    partial = (unit * pass.spans + span) * kUnitRows;
  }
};

// Rows that all batches share are described once.
SEMIDEEP_INLINE int64_t described_batches(const Problem& p, const Side& side) {
  return side.rows_batch_stride == 0 && !side.tangents ? 1 : p.batches;
}

// What describe() found of a row, of all rows' in `infos`.
template <class S, class Metric>
SEMIDEEP_INLINE RowInfo<S> info_of(const Problem& p, const Side& side, const void* infos,
                                   int64_t batch, int64_t row) {
  if constexpr (Metric::Row::has_info) {
    const int64_t described = described_batches(p, side) == 1 ? 0 : batch;
    return static_cast<const RowInfo<S>*>(infos)[described * side.count + row];
  } else {
    return {S(1.0), S(1.0), S(0.0)};
  }
}

SEMIDEEP_MATH_END
