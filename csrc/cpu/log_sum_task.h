// The weighted sum in the log domain.
#pragma once

#include "cpu/task.h"

SEMIDEEP_MATH_BEGIN

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
  static int64_t block_rows(const Problem& p) { return rows_within(kTileRows, width(p)); }
  static int64_t workspace_bytes(const Problem&) { return sizeof(Workspace); }

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

SEMIDEEP_MATH_END
