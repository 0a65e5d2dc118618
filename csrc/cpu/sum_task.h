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

  static void run(const Problem& p, const Block& block, Workspace& ws, S* partial) {
    const Attachments<S> at{p, block.batch};
    for (int64_t i = 0; i < block.rows * width(p); ++i) partial[i] = S(0.0);
    Tile<V, Metric> tile(p, block, ws.tile);
    const bool pairs = pairs_suffice(p, at);
    for_panels(block, [&](int64_t begin, int64_t count) {
      if (!pairs) {
        tile.compute(begin, count);
      } else if constexpr (kHasPairs) {
        tile.compute_pairs(begin, count);
      }
      const int64_t vectors = tile.vectors();
      for (int64_t l = 0; l < p.parameters; ++l) {
        if (!pairs) {
          fill_kernel(p, block, at, tile, ws, l);
        } else if constexpr (kHasPairs) {
          fill_kernel_from_pairs(block, at, tile, ws, l);
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
  static constexpr bool kHasPairs = kPairsPay && sizeof(V) == sizeof(Vec) && Kernel::has_log;

  // float32 results need no more than pairs of floats. Sums beyond the range of float need no care while
  // lambda stays within these bounds: above 1e38 exp(-lambda d) is 0, below 1e-38 it is 1.
  static bool pairs_suffice(const Problem& p, const Attachments<S>& at) {
    bool suffice = kHasPairs && p.dtype == DType::float32 && !p.left.shift && !p.right.shift;
    for (int64_t l = 0; l < p.parameters; ++l)
      suffice = suffice && primal(at.parameter(l)) > 1e-12 && primal(at.parameter(l)) < 1e12;
    return suffice;
  }

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

  static void fill_kernel_from_pairs(const Block& block, const Attachments<S>& at,
                                     Tile<V, Metric>& tile, Workspace& ws, int64_t l) {
    const Vec value(at.parameter(l));
    const FloatPair parameter(value, value);
    for (int64_t row = 0; row < block.rows; ++row)
      for (int64_t v = 0; v < tile.vectors(); v += 2) {
        Vec* kernel = ws.kernel + row * tile.vectors() + v;
        exp(Kernel::log_value(tile.distance_pair(row, v), parameter), kernel, kernel + 1);
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
