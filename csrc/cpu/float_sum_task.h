// The weighted sum of float32 rows under the exponential kernel, on floats (float_tile.h).
#pragma once

#include "cpu/float_tile.h"

SEMIDEEP_MATH_BEGIN

// out[l, i, c] = sum_j k_l(d_ij) values[l, j, c]
template <class Metric, class Kernel>
struct FloatSumTask {
  using S = double;

  // Kernels are added up in float for this many panels, then in double.
  static constexpr int64_t kFlushPanels = 16;
  static constexpr int64_t kMostSums = 16;
  static constexpr float kLargestValue = 1 << 20;

  struct Workspace {
    typename FloatTile<Metric>::Storage tile;
    alignas(64) FloatVec sums[kFloatRows * kMostSums];
    alignas(64) FloatPair parameters[kMostSums];
  };

  static bool suits(const Problem& p) {
    if (p.parameters * p.columns > kMostSums) return false;
    return suits_floats(p) && values_at_most(p, p.right, kLargestValue);
  }

  static int64_t width(const Problem& p) { return p.parameters * p.columns; }
  static int64_t block_rows(const Problem& p) { return FloatTile<Metric>::block_rows(p); }
  static int64_t workspace_bytes(const Problem& p) {
    return static_cast<int64_t>(sizeof(Workspace)) + FloatTile<Metric>::block_bytes(p);
  }

  static void enter(const Problem& p, const Block& block, Workspace& ws) {
    FloatTile<Metric>::pack_rows(p, block, ws.tile, rows_of(ws));
  }

  static void run(const Problem& p, const Block& block, Workspace& ws, S* partial) {
    const int64_t sums = width(p);
    for (int64_t i = 0; i < block.rows * sums; ++i) partial[i] = 0.0;
    for (int64_t l = 0; l < p.parameters; ++l)
      ws.parameters[l] = bits_parameter<Kernel>(p, block, l);
    FloatTile<Metric> tile(p, block, ws.tile, rows_of(ws));
    for (int64_t begin = 0; begin < tile.panels(); begin += kFlushPanels) {
      const int64_t end =
          begin + kFlushPanels < tile.panels() ? begin + kFlushPanels : tile.panels();
      for (int64_t i = 0; i < block.rows * sums; ++i) ws.sums[i] = FloatVec(0.0f);
      if (sums == 1) {
        tile.for_distances(begin, end, OneSum{ws.parameters[0], tile.layout().values, ws.sums});
      } else {
        tile.for_distances(
            begin, end,
            ManySums{p.parameters, p.columns, ws.parameters, tile.layout().values, ws.sums});
      }
      for (int64_t i = 0; i < block.rows * sums; ++i)
        partial[i] += sum_lanes(ws.sums[i]) * kUnscale;
    }
  }

  static void merge(int64_t count, S* total, const S* part) { add_scalars(count, total, part); }
  static void store(const Problem& p, const Block& block, const S* total, S*) {
    store_sums(p, block, total);
  }

 private:
  struct OneSum {
    FloatPair parameter;
    int64_t values;
    FloatVec* sums;

    SEMIDEEP_INLINE void operator()(int64_t row, const float* panel,
                                    const FloatPair (&d)[2]) const {
      const FloatVec first = scaled_exp2(Kernel::log_value(d[0], parameter));
      const FloatVec second = scaled_exp2(Kernel::log_value(d[1], parameter));
      add(first, second, panel + values, sums + row);
    }
  };
  struct ManySums {
    int64_t parameters, columns;
    const FloatPair* parameter;
    int64_t values;
    FloatVec* sums;

    SEMIDEEP_INLINE void operator()(int64_t row, const float* panel,
                                    const FloatPair (&d)[2]) const {
      const float* v = panel + values;
      FloatVec* sum = sums + row * parameters * columns;
      for (int64_t l = 0; l < parameters; ++l) {
        const FloatVec first = scaled_exp2(Kernel::log_value(d[0], parameter[l]));
        const FloatVec second = scaled_exp2(Kernel::log_value(d[1], parameter[l]));
        for (int64_t c = 0; c < columns; ++c, ++sum, v += kPanelColumns) add(first, second, v, sum);
      }
    }
  };
  static SEMIDEEP_INLINE void add(FloatVec first, FloatVec second, const float* values,
                                  FloatVec* sum) {
    *sum =
        fma(first, FloatVec::load(values), fma(second, FloatVec::load(values + kFloatLanes), *sum));
  }
  static float* rows_of(Workspace& ws) { return reinterpret_cast<float*>(&ws + 1); }
};

SEMIDEEP_MATH_END
