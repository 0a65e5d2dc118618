// Gradients of the weighted sum by rows and by the kernel parameter.
#pragma once

#include "cpu/task.h"

SEMIDEEP_MATH_BEGIN

// dF/dx_i = sum_l sum_j s_lij k_l'(d_ij) grad d_ij and dF/dparameter_l = sum_ij s_lij dk_l/dparameter,
// with s_lij = sum_c left.values[l, i, c] right.values[l, j, c]
template <class V, class Metric, class Kernel>
struct GradientTask {
  using S = Lane<V>;

  struct Workspace {
    typename Tile<V, Metric>::Storage tile;
    alignas(64) V weights[kTileRows * kTileVectors];
    alignas(64) Vec products[kTileRows * kTileVectors];
    alignas(64) Vec values[kValueColumns * kTileVectors];
    alignas(64) Vec shift[kTileVectors];
  };

  // A row's partial: the gradient by its prepared features (if wanted), then by each parameter.
  static int64_t gradient_width(const Problem& p) { return p.rows_gradient ? p.features : 0; }
  static int64_t width(const Problem& p) { return gradient_width(p) + p.parameters; }
  static int64_t block_rows(const Problem& p) { return rows_within(kTileRows, width(p)); }
  static int64_t workspace_bytes(const Problem&) { return sizeof(Workspace); }

  static void run(const Problem& p, const Block& block, Workspace& ws, S* partial) {
    const Attachments<S> at{p, block.batch};
    for (int64_t i = 0; i < block.rows * width(p); ++i) partial[i] = S(0.0);
    Tile<V, Metric> tile(p, block, ws.tile);
    for_panels(block, [&](int64_t begin, int64_t count) {
      tile.compute(begin, count);
      const int64_t vectors = tile.vectors();
      for (int64_t i = 0; i < block.rows * vectors; ++i) ws.weights[i] = V(0.0);
      for (int64_t l = 0; l < p.parameters; ++l) {
        multiply_values(p, block, at, tile, ws, l);
        pack_columns(tile, ws.shift, 0.0, [&](int64_t j) { return at.shift(p.right, l, j); });
        const V parameter = broadcast(at.parameter(l));
        for (int64_t row = 0; row < block.rows; ++row) {
          const Vec shift(at.shift(p.left, l, block.row_begin + row));
          V by_parameter(0.0);
          for (int64_t v = 0; v < vectors; ++v) {
            const V d = tile.distance(row, v);
            const V k = Kernel::value(d, parameter, lift(shift + ws.shift[v], V{}));
            const V s = lift(ws.products[row * vectors + v], V{});
            V& weight = ws.weights[row * vectors + v];
            weight = fma(s, Kernel::by_distance(k, d, parameter), weight);
            by_parameter = fma(s, Kernel::by_parameter(k, d, parameter), by_parameter);
          }
          S& total = partial[row * width(p) + gradient_width(p) + l];
          total = total + sum_lanes(by_parameter);
        }
      }
      if constexpr (Metric::differentiable) {
        if (!p.rows_gradient) return;
        for (int64_t row = 0; row < block.rows; ++row)
          for (int64_t v = 0; v < vectors; ++v) {
            V& weight = ws.weights[row * vectors + v];
            weight = weight * Metric::gradient(tile.distance(row, v), tile.row_stat(row),
                                               tile.column_stat(v));
          }
        tile.add_weighted_directions(
            ws.weights, [&](int64_t row, int64_t k) -> S& { return partial[row * width(p) + k]; });
      }
    });
  }

  static void merge(int64_t count, S* total, const S* part) { add_scalars(count, total, part); }

  // Writes the rows' gradients; the block's parameter gradients go to `by_parameter`, one per parameter.
  static void store(const Problem& p, const Block& block, const S* total, S* by_parameter) {
    for (int64_t l = 0; l < p.parameters; ++l) {
      S sum(0.0);
      for (int64_t row = 0; row < block.rows; ++row)
        sum = sum + total[row * width(p) + gradient_width(p) + l];
      by_parameter[l] = sum;
    }
    if (!p.rows_gradient) return;
    with_element_type(p.dtype, [&](auto* type) {
      using T = std::remove_cv_t<std::remove_pointer_t<decltype(type)>>;
      for (int64_t row = 0; row < block.rows; ++row) {
        const int64_t i = block.row_begin + row;
        const RowReader<S, T> read(p, p.left, block.batch, i);
        const S* gradient = total + row * width(p);
        RowInfo<S> facts{S(1.0), S(1.0), S(0.0)};
        S dot(0.0);
        if constexpr (Metric::Row::has_info) {
          facts = static_cast<const RowInfo<S>*>(block.left_info)[i];
          for (int64_t k = 0; k < p.features; ++k)
            dot = fma(gradient[k], Metric::Row::prepare(read(k), facts), dot);
        }
        for (int64_t k = 0; k < p.features; ++k) {
          const S prepared = Metric::Row::prepare(read(k), facts);
          const S raw = Metric::Row::pull_back(gradient[k], prepared, facts, dot);
          store_result(p.rows_gradient, p.dtype, (block.batch * p.left.count + i) * p.features + k,
                       result_of(raw));
        }
      }
    });
  }

 private:
  // products[row][v] = sum_c left.values[l, row, c] right.values[l, column, c]
  static void multiply_values(const Problem& p, const Block& block, const Attachments<S>& at,
                              const Tile<V, Metric>& tile, Workspace& ws, int64_t l) {
    const int64_t vectors = tile.vectors();
    for (int64_t i = 0; i < block.rows * vectors; ++i) ws.products[i] = Vec(0.0);
    for (int64_t c0 = 0; c0 < p.columns; c0 += kValueColumns) {
      const int64_t columns = p.columns - c0 < kValueColumns ? p.columns - c0 : kValueColumns;
      for (int64_t c = 0; c < columns; ++c)
        pack_columns(tile, ws.values + c * vectors, 0.0,
                     [&](int64_t j) { return at.value(p.right, l, j, c0 + c); });
      for (int64_t row = 0; row < block.rows; ++row)
        for (int64_t c = 0; c < columns; ++c) {
          const Vec value(at.value(p.left, l, block.row_begin + row, c0 + c));
          for (int64_t v = 0; v < vectors; ++v)
            ws.products[row * vectors + v] =
                fma(value, ws.values[c * vectors + v], ws.products[row * vectors + v]);
        }
    }
  }
};

SEMIDEEP_MATH_END
