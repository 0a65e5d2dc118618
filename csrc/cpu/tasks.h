// What is done with a tile of distances: a weighted sum, a sum in the log domain, or a gradient.
//
// A task turns one block of left rows and one span of right rows into a partial result per row:
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

  static void run(const Problem& p, const Block& block, Workspace& ws, S* partial) {
    const Attachments<S> at{p, block.batch};
    for (int64_t i = 0; i < block.rows * width(p); ++i) partial[i] = S(0.0);
    Tile<V, Metric> tile(p, block, ws.tile);
    for_panels(block, [&](int64_t begin, int64_t count) {
      tile.compute(begin, count);
      const int64_t vectors = tile.vectors();
      for (int64_t l = 0; l < p.parameters; ++l) {
        const V parameter = broadcast(at.parameter(l));
        pack_columns(tile, ws.shift, 0.0, [&](int64_t j) { return at.shift(p.right, l, j); });
        for (int64_t row = 0; row < block.rows; ++row) {
          const Vec shift(at.shift(p.left, l, block.row_begin + row));
          for (int64_t v = 0; v < vectors; ++v)
            ws.kernel[row * vectors + v] =
                Kernel::value(tile.distance(row, v), parameter, lift(shift + ws.shift[v], V{}));
        }
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
    for (int64_t row = 0; row < block.rows; ++row)
      for (int64_t l = 0; l < p.parameters; ++l)
        for (int64_t c = 0; c < p.columns; ++c) {
          const int64_t i = (block.batch * p.parameters + l) * p.left.count + block.row_begin + row;
          store_result(p.out, p.dtype, i * p.columns + c,
                       result_of(total[row * width(p) + l * p.columns + c]));
        }
  }

 private:
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

// out[l, i] = log sum_j k_l(d_ij) values[l, j], from a running maximum and a sum relative to it
template <class V, class Metric, class Kernel>
struct LogSumTask {
  using S = double;

  struct Workspace {
    typename Tile<V, Metric>::Storage tile;
    alignas(64) Vec log_values[kTileVectors];
    alignas(64) Vec exponents[kTileVectors];
  };

  static int64_t width(const Problem& p) { return 2 * p.parameters; }

  static void run(const Problem& p, const Block& block, Workspace& ws, S* partial) {
    const Attachments<S> at{p, block.batch};
    for (int64_t i = 0; i < block.rows * p.parameters; ++i) {
      partial[2 * i] = -INFINITY;
      partial[2 * i + 1] = 0.0;
    }
    Tile<V, Metric> tile(p, block, ws.tile);
    for_panels(block, [&](int64_t begin, int64_t count) {
      tile.compute(begin, count);
      for (int64_t l = 0; l < p.parameters; ++l) {
        const Vec parameter(at.parameter(l));
        pack_columns(tile, ws.log_values, -INFINITY,
                     [&](int64_t j) { return ::log(at.value(p.right, l, j, 0)); });
        for (int64_t row = 0; row < block.rows; ++row) {
          Vec largest(-INFINITY);
          for (int64_t v = 0; v < tile.vectors(); ++v) {
            ws.exponents[v] =
                Kernel::log_value(tile.distance(row, v), parameter) + ws.log_values[v];
            largest = max(ws.exponents[v], largest);
          }
          double part[2] = {max_lanes(largest), 0.0};
          const Vec origin(reference_point(part[0]));
          Vec sum(0.0);
          for (int64_t v = 0; v < tile.vectors(); ++v) sum = sum + exp(ws.exponents[v] - origin);
          part[1] = sum_lanes(sum);
          merge(2, partial + row * width(p) + 2 * l, part);
        }
      }
    });
  }

  static void merge(int64_t count, S* total, const S* part) {
    for (int64_t i = 0; i < count; i += 2) {
      const double largest = total[i] > part[i] ? total[i] : part[i];
      const double origin = reference_point(largest);
      total[i + 1] =
          total[i + 1] * ::exp(total[i] - origin) + part[i + 1] * ::exp(part[i] - origin);
      total[i] = largest;
    }
  }

  static void store(const Problem& p, const Block& block, const S* total, S*) {
    for (int64_t row = 0; row < block.rows; ++row)
      for (int64_t l = 0; l < p.parameters; ++l) {
        const double* pair = total + row * width(p) + 2 * l;
        const int64_t i = (block.batch * p.parameters + l) * p.left.count + block.row_begin + row;
        static_cast<double*>(p.out)[i] = reference_point(pair[0]) + ::log(pair[1]);
      }
  }

 private:
  // Where nothing has been added yet the maximum is -inf, and -inf - (-inf) would be NaN.
  static SEMIDEEP_INLINE double reference_point(double largest) {
    return largest == -INFINITY ? 0.0 : largest;
  }
};

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
        tile.add_weighted_differences(
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
