// The weighted sum under the exponential kernel, on tiles of packed panels (panel_tile.h).
#pragma once

#include "cpu/double_tile.h"
#include "cpu/float_tile.h"

SEMIDEEP_MATH_BEGIN

// Which sums such a task takes.
constexpr int64_t kMostPanelSums = 16;
inline bool suits_float_sums(const Problem& p) {
  return p.parameters * p.columns <= kMostPanelSums && suits_floats(p) &&
         values_at_most(p, p.right, kLargestFloatValue);
}
inline bool suits_double_sums(const Problem& p) {
  return p.parameters * p.columns <= kMostPanelSums && suits_doubles(p);
}

// out[l, i, c] = sum_j k_l(d_ij) values[l, j, c]
template <class Tile, class Kernel>
struct PanelSumTask {
  static_assert(Kernel::exponential, "serves exp(-lambda d) alone");
  using S = double;
  using E = typename Tile::Element;
  using Lanes = VecOf<E>;
  using Distances = typename Tile::Distances;
  using Parameter = typename Tile::Parameter;

  static constexpr bool kTranslates = false;  // plain rows, of which a sum has none
  static constexpr int64_t kSpanBytes = int64_t{1} << 20;
  // Kernels are added up in E for this many panels, then in double.
  static constexpr int64_t kFlushPanels = 16;

  struct Workspace {
    typename Tile::Storage tile;
    alignas(64) Lanes sums[kFloatRows * kMostPanelSums];
    alignas(64) Parameter parameters[kMostPanelSums];
  };

  static int64_t width(const Problem& p) { return p.parameters * p.columns; }
  static int64_t block_rows(const Problem& p) { return Tile::block_rows(p); }
  static int64_t workspace_bytes(const Problem& p) {
    return static_cast<int64_t>(sizeof(Workspace)) + Tile::block_bytes(p);
  }

  static void enter(const Problem& p, const Block& block, Workspace& ws) {
    Tile::pack_rows(p, block, ws.tile, rows_of(ws));
  }

  static void run(const Problem& p, const Block& block, Workspace& ws, S* partial) {
    const int64_t sums = width(p);
    for (int64_t i = 0; i < block.rows * sums; ++i) partial[i] = 0.0;
    for (int64_t l = 0; l < p.parameters; ++l)
      ws.parameters[l] = Tile::template parameter<Kernel>(p, block, l);
    Tile tile(p, block, ws.tile, rows_of(ws));
    for (int64_t begin = 0; begin < tile.panels(); begin += kFlushPanels) {
      const int64_t end =
          begin + kFlushPanels < tile.panels() ? begin + kFlushPanels : tile.panels();
      for (int64_t i = 0; i < padded(block.rows) * sums; ++i) ws.sums[i] = Lanes(E(0));
      if (sums == 1) {
        tile.for_distances(begin, end, OneSum{ws.parameters[0], tile.layout().values, ws.sums});
      } else {
        tile.for_distances(
            begin, end,
            ManySums{p.parameters, p.columns, ws.parameters, tile.layout().values, ws.sums});
      }
      for (int64_t i = 0; i < block.rows * sums; ++i)
        partial[i] += sum_lanes(ws.sums[i]) * Tile::kSumScale;
    }
  }

  static void merge(int64_t count, S* total, const S* part) { add_scalars(count, total, part); }
  static void store(const Problem& p, const Block& block, const S* total, S*) {
    store_sums(p, block, total);
  }

 private:
  struct OneSum {
    Parameter parameter;
    int64_t values;
    Lanes* sums;

    template <int Rows>
    SEMIDEEP_INLINE void operator()(int64_t row, int, const E* panel,
                                    const Distances (&d)[Rows][2]) const {
      Lanes kernels[Rows][2];
      take_kernels(d, parameter, kernels);
      for (int r = 0; r < Rows; ++r) add(kernels[r], panel + values, sums + row + r);
    }
  };
  struct ManySums {
    int64_t parameters, columns;
    const Parameter* parameter;
    int64_t values;
    Lanes* sums;

    template <int Rows>
    SEMIDEEP_INLINE void operator()(int64_t row, int, const E* panel,
                                    const Distances (&d)[Rows][2]) const {
      const E* v = panel + values;
      Lanes* sum = sums + row * parameters * columns;
      for (int64_t l = 0; l < parameters; ++l) {
        Lanes kernels[Rows][2];
        take_kernels(d, parameter[l], kernels);
        for (int64_t c = 0; c < columns; ++c, ++sum, v += kColumnsOf<E>)
          for (int r = 0; r < Rows; ++r) add(kernels[r], v, sum + r * parameters * columns);
      }
    }
  };
  template <int Rows>
  static SEMIDEEP_INLINE void take_kernels(const Distances (&d)[Rows][2], Parameter parameter,
                                           Lanes (&kernels)[Rows][2]) {
    for (int r = 0; r < Rows; ++r)
      for (int c = 0; c < 2; ++c) kernels[r][c] = Tile::template kernel<Kernel>(d[r][c], parameter);
  }
  static SEMIDEEP_INLINE void add(const Lanes (&kernels)[2], const E* values, Lanes* sum) {
    *sum = fma(kernels[0], Lanes::load(values),
               fma(kernels[1], Lanes::load(values + kLanesOf<E>), *sum));
  }
  static E* rows_of(Workspace& ws) { return reinterpret_cast<E*>(&ws + 1); }
};

SEMIDEEP_MATH_END
