// The weighted sum: kernel_matmul.
#pragma once

#include "cpu/task.h"

SEMIDEEP_MATH_BEGIN

// out[l, i, c] = sum_j k_l(d_ij) values[l, j, c]
template <class V, class Metric, class Kernel>
struct SumTask {
  using S = Lane<V>;

  struct Workspace {
    typename Tile<V, Metric>::Storage tile;
    alignas(64) V kernel[kTileRows * kTileVectors];
    alignas(64) Vec values[kValueColumns * kTileVectors];
    alignas(64) Vec shift[kTileVectors];
  };

  static int64_t width(const Problem& p) { return p.parameters * p.columns; }
  static int64_t block_rows(const Problem& p) { return rows_within(kTileRows, width(p)); }
  static int64_t workspace_bytes(const Problem&) { return sizeof(Workspace); }

  static void run(const Problem& p, const Block& block, Workspace& ws, S* partial) {
    const Attachments<S> at{p, block.batch};
    for (int64_t i = 0; i < block.rows * width(p); ++i) partial[i] = S(0.0);
    Tile<V, Metric> tile(p, block, ws.tile);
    for_panels(block, [&](int64_t begin, int64_t count) {
      tile.compute(begin, count);
      const int64_t vectors = tile.vectors();
      for (int64_t l = 0; l < p.parameters; ++l) {
        fill_kernel(p, block, at, tile, ws, l);
        for (int64_t c0 = 0; c0 < p.columns; c0 += kValueColumns) {
          const int64_t columns = p.columns - c0 < kValueColumns ? p.columns - c0 : kValueColumns;
          for (int64_t c = 0; c < columns; ++c)
            pack_columns(tile, ws.values + c * vectors, 0.0,
                         [&](int64_t j) { return at.value(p.right, l, j, c0 + c); });
          for (int64_t row = 0; row < block.rows; ++row)
            for (int64_t c = 0; c < columns; ++c) {
              S& total = partial[row * width(p) + l * p.columns + c0 + c];
              total = total + dot(ws.kernel + row * vectors, ws.values + c * vectors, vectors);
            }
        }
      }
    });
  }

  static void merge(int64_t count, S* total, const S* part) { add_scalars(count, total, part); }

  static void store(const Problem& p, const Block& block, const S* total, S*) {
    store_sums(p, block, total);
  }

 private:
  static void fill_kernel(const Problem& p, const Block& block, const Attachments<S>& at,
                          Tile<V, Metric>& tile, Workspace& ws, int64_t l) {
    const V parameter = broadcast(at.parameter(l));
    pack_columns(tile, ws.shift, 0.0, [&](int64_t j) { return at.shift(p.right, l, j); });
    for (int64_t row = 0; row < block.rows; ++row) {
      const Vec shift(at.shift(p.left, l, block.row_begin + row));
      for (int64_t v = 0; v < tile.vectors(); ++v)
        ws.kernel[row * tile.vectors() + v] =
            Kernel::value(tile.distance(row, v), parameter, lift(shift + ws.shift[v], V{}));
    }
  }

  // Two chains, so that the additions do not wait for each other.
  static SEMIDEEP_INLINE S dot(const V* kernel, const Vec* values, int64_t vectors) {
    V even(0.0), odd(0.0);
    int64_t v = 0;
    for (; v + 2 <= vectors; v += 2) {
      even = fma(kernel[v], lift(values[v], V{}), even);
      odd = fma(kernel[v + 1], lift(values[v + 1], V{}), odd);
    }
    if (v < vectors) even = fma(kernel[v], lift(values[v], V{}), even);
    return sum_lanes(even + odd);
  }
};

SEMIDEEP_MATH_END
