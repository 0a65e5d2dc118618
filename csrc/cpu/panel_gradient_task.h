// Gradients of the weighted sum under the exponential kernel, on tiles of packed panels (panel_tile.h).
#pragma once

#include "cpu/gradient_fold.h"
#include "cpu/gradient_task.h"
#include "cpu/panel_sum_task.h"

SEMIDEEP_MATH_BEGIN

// Which gradients such a task takes.
inline bool suits_float_gradients(const Problem& p) {
  return suits_float_sums(p) && values_at_most(p, p.left, kLargestFloatValue);
}
inline bool suits_double_gradients(const Problem& p) { return suits_double_sums(p); }

// Of the squared norms of two rows, the share below which their squared difference makes them near.
constexpr double kNearShare = 1.0 / 16.0;

// Whether products may stand for differences without many pairs having to be taken one by one.
template <class Metric>
bool products_suit_gradients(const Problem& p) {
  if (p.features <= kDirectFeatures) return false;
  const SampledPairs<Metric> pairs(p);
  return !pairs.many([&](double sum) { return sum < kNearShare * pairs.mean; });
}

// dF/dx_i = sum_j w_ij (x_i - y_j) with w_ij = sum_l s_lij k_l'(d_ij) c(d_ij), s_lij = sum_c left.values[l, i, c]
// right.values[l, j, c] and c the metric's gradient factor; and dF/dparameter_l = sum_ij s_lij dk_l/dparameter.
//
// Weights come from distances with a column in each lane; what they weigh has a feature in each lane.
//
// kProducts: as x_i sum_j w_ij - sum_j w_ij y_j with both sets translated, which takes half the operations and
// loses what near rows have in common: those are taken in double, one by one. Where they are many, or rows are
// short, differences are weighed.
template <class Metric, class Kernel, class Tile, bool kProducts>
struct PanelGradientTask {
  static_assert(Kernel::exponential, "serves exp(-lambda d) alone");
  static_assert(kAlongDifference<Metric>, "serves gradients along x - y alone");
  using S = double;
  using Common = GradientTask<Vec, Metric, Kernel>;
  using E = typename Tile::Element;
  using Lanes = VecOf<E>;
  using Distances = typename Tile::Distances;
  using Parameter = typename Tile::Parameter;
  static constexpr int64_t kColumns = kColumnsOf<E>;

  // A span's partial result is as long as its rows; so that merging it costs little, spans are long.
  static constexpr int64_t kSpanBytes = int64_t{1} << 22;
  static constexpr int64_t kFlushPanels = 16;
  static constexpr int64_t kWeighedPanels = 4;              // whose weights are at hand at a time
  static constexpr int64_t kBlockBytes = int64_t{1} << 19;  // of rows and sums, to stay in L2
  // Nearer than this, a weight may leave the range of float.
  static constexpr bool kMayOverflow = sizeof(E) == sizeof(float) && Metric::power < 1.0;
  static constexpr float kLeastDistance = 1e-15f;
  // Of nearly opposite unit rows, floats lose the small part across the row that is left when it is pulled back.
  static constexpr bool kOpposes =
      sizeof(E) == sizeof(float) && std::is_same_v<typename Metric::Row, UnitRow>;
  static constexpr float kOpposite = 2.0f - 1.25e-3f;
  static constexpr bool kTranslates = kProducts || Metric::Row::has_info;

  struct Workspace {
    typename Tile::Storage tile;
    alignas(64) Lanes by_parameter[kFloatRows * kMostPanelSums];
    alignas(64) Lanes weight_sums[kFloatRows];
    alignas(64) Parameter parameters[kMostPanelSums];
    alignas(64) E lambdas[kMostPanelSums];
    alignas(64) E left_values[kFloatRows * kMostPanelSums];
    alignas(64) E weights[kWeighedPanels * kFloatRows * kColumns];
  };

  static int64_t width(const Problem& p) { return Common::width(p); }
  static int64_t block_rows(const Problem& p) {
    const int64_t row_bytes = 2 * p.features * static_cast<int64_t>(sizeof(E));
    const int64_t rows = at_most(Tile::block_rows(p), kBlockBytes / row_bytes);
    const int64_t fitting = rows_within(rows, width(p)) / kGroupRows * kGroupRows;
    return fitting < kGroupRows ? kGroupRows : fitting;
  }
  static int64_t workspace_bytes(const Problem& p) {
    const int64_t padded_rows =
        (kProducts ? 1 : 2) * block_rows(p) * padded_features<E>(p.features);
    return static_cast<int64_t>(sizeof(Workspace)) +
           (sliced_elements(p) + padded_rows) * static_cast<int64_t>(sizeof(E));
  }

  static void enter(const Problem& p, const Block& block, Workspace& ws) {
    Tile::pack_rows(p, block, ws.tile, sliced_rows(ws));
    const PanelRows<Metric, E> left(p, p.left, block.batch, block.left_info);
    const Attachments<double> at{p, block.batch};
    const E* center = kTranslates ? static_cast<const E*>(block.plan) : nullptr;
    for (int64_t row = 0; row < padded(block.rows); ++row) {
      const int64_t from = block.row_begin + (row < block.rows ? row : block.rows - 1);
      if (!kProducts)
        left.copy(from, center, 0, 1, plain_rows(p, ws) + row * padded_features<E>(p.features));
      for (int64_t l = 0; l < p.parameters; ++l)
        for (int64_t c = 0; c < p.columns; ++c)
          ws.left_values[(row * p.parameters + l) * p.columns + c] =
              static_cast<E>(at.value(p.left, l, from, c));
    }
    for (int64_t l = 0; l < p.parameters; ++l) {
      ws.parameters[l] = Tile::template parameter<Kernel>(p, block, l);
      ws.lambdas[l] = static_cast<E>(at.parameter(l));
    }
  }

  static void run(const Problem& p, const Block& block, Workspace& ws, S* partial) {
    for (int64_t i = 0; i < block.rows * width(p); ++i) partial[i] = 0.0;
    Tile tile(p, block, ws.tile, sliced_rows(ws));
    for (int64_t begin = 0; begin < tile.panels(); begin += kFlushPanels) {
      const int64_t end = at_most(begin + kFlushPanels, tile.panels());
      clear(p, block, ws);
      for (int64_t first = begin; first < end; first += kWeighedPanels) {
        const int64_t last = at_most(first + kWeighedPanels, end);
        for (int64_t panel = first; panel < last; ++panel)
          tile.for_distances(
              panel, panel + 1,
              Weights{p, block, tile, ws, partial, panel, weights_of(block, ws, panel - first)});
        if (!p.rows_gradient) continue;
        const Fold<E> fold{padded(block.rows),
                           p.features,
                           last - first,
                           ws.weights,
                           tile.panel(first) + tile.layout().plain,
                           tile.layout().panel,
                           sums_of(p, ws)};
        if constexpr (kProducts) {
          add_right_rows(fold);
        } else {
          add_differences(fold, plain_rows(p, ws));
        }
      }
      flush(p, block, ws, partial);
    }
  }

  static void merge(int64_t count, S* total, const S* part) { add_scalars(count, total, part); }
  static void store(const Problem& p, const Block& block, const S* total, S* by_parameter) {
    Common::store(p, block, total, by_parameter);
  }

 private:
  static int64_t at_most(int64_t value, int64_t bound) { return value < bound ? value : bound; }

  // Behind the workspace, aligned for vectors: the tile's rows, plain rows and sums as [row][padded feature].
  static E* sliced_rows(Workspace& ws) { return reinterpret_cast<E*>(&ws + 1); }
  static int64_t sliced_elements(const Problem& p) {
    return (block_rows(p) * p.features + kLanesOf<E> - 1) / kLanesOf<E> * kLanesOf<E>;
  }
  static E* sums_of(const Problem& p, Workspace& ws) {
    return sliced_rows(ws) + sliced_elements(p);
  }
  static E* plain_rows(const Problem& p, Workspace& ws) {
    return sums_of(p, ws) + block_rows(p) * padded_features<E>(p.features);
  }
  static E* weights_of(const Block& block, Workspace& ws, int64_t panel) {
    return ws.weights + panel * padded(block.rows) * kColumns;
  }

  static void clear(const Problem& p, const Block& block, Workspace& ws) {
    for (int64_t i = 0; i < block.rows * p.parameters; ++i) ws.by_parameter[i] = Lanes(E(0));
    if (!p.rows_gradient) return;
    for (int64_t row = 0; row < block.rows; ++row) ws.weight_sums[row] = Lanes(E(0));
    E* sums = sums_of(p, ws);
    for (int64_t i = 0; i < padded(block.rows) * padded_features<E>(p.features); ++i)
      sums[i] = E(0);
  }

  // Fills the weights of one row against one panel.
  struct Weights {
    const Problem& p;
    const Block& block;
    const Tile& tile;
    Workspace& ws;
    S* partial;
    int64_t panel_index;
    E* weights;

    template <int Rows>
    SEMIDEEP_INLINE void operator()(int64_t row, int rows, const E* panel,
                                    const Distances (&d)[Rows][2]) const {
      for (int r = 0; r < rows; ++r) weigh(row + r, panel, d[r]);
    }
    SEMIDEEP_INLINE void weigh(int64_t row, const E* panel, const Distances (&d)[2]) const {
      const E* values = panel + tile.layout().values;
      const E* left = ws.left_values + row * p.parameters * p.columns;
      Lanes weight[2] = {Lanes(E(0)), Lanes(E(0))};
      const Lanes distance[2] = {Tile::rounded(d[0]), Tile::rounded(d[1])};
      for (int64_t l = 0; l < p.parameters; ++l) {
        Lanes s[2] = {Lanes(E(0)), Lanes(E(0))};
        for (int64_t c = 0; c < p.columns; ++c, ++left, values += kColumns)
          for (int i = 0; i < 2; ++i)
            s[i] = fma(Lanes(*left), Lanes::load(values + i * kLanesOf<E>), s[i]);
        const Lanes lambda(ws.lambdas[l]);
        Lanes& by_parameter = ws.by_parameter[row * p.parameters + l];
        for (int i = 0; i < 2; ++i) {
          const Lanes k = Tile::template unscaled_kernel<Kernel>(d[i], ws.parameters[l]);
          weight[i] = fma(s[i], Kernel::by_distance(k, distance[i], lambda), weight[i]);
          by_parameter = fma(s[i], Kernel::by_parameter(k, distance[i], lambda), by_parameter);
        }
      }
      if (!p.rows_gradient) return;
      uint32_t near = 0;
      for (int i = 0; i < 2; ++i) {
        const Lanes stat(static_cast<E>(tile.left_info(block.row_begin + row).stat));
        const Lanes c = Metric::gradient(distance[i], stat, tile.right_stats(panel, i));
        weight[i] = weight[i] * c;
        near |= near_lanes(row, panel, i, distance[i]) << (i * kLanesOf<E>);
      }
      E* to = weights + row * kColumns;
      weight[0].store(to);
      weight[1].store(to + kLanesOf<E>);
      if (__builtin_expect(near != 0, 0)) {
        add_near(row, near, to);
        weight[0] = Lanes::load(to);
        weight[1] = Lanes::load(to + kLanesOf<E>);
      }
      if (kProducts) ws.weight_sums[row] = ws.weight_sums[row] + (weight[0] + weight[1]);
    }

    // Which pairs are to be taken in double, those with a NaN among them.
    SEMIDEEP_INLINE uint32_t near_lanes(int64_t row, const E* panel, int i, Lanes d) const {
      uint32_t near = 0;
      if constexpr (kMayOverflow) near = lanes_above(Lanes(kLeastDistance), d);
      if constexpr (kOpposes) near = lanes_above(d, Lanes(kOpposite));
      if constexpr (kProducts) {
        const Lanes norms = tile.squared_norms(row, panel, i);
        // d = constant * sum^power
        const Lanes power = Metric::power < 1.0 ? d * d : d;
        const E of_one = Metric::distance(E(1), E(1), E(1), E(1));
        near |= lanes_above(Lanes(static_cast<E>(kNearShare) * of_one) * norms, power);
      }
      return near;
    }

    // Their share goes to the partial, in double.
    __attribute__((noinline)) void add_near(int64_t row, uint32_t near, E* weights) const {
      const Attachments<double> at{p, block.batch};
      const int64_t i = block.row_begin + row;
      for (; near; near &= near - 1) {
        const int lane = __builtin_ctz(near);
        weights[lane] = E(0);
        const int64_t column = block.column_begin + panel_index * kColumns + lane;
        if (column >= block.column_end) continue;
        const double d = tile.exact_distance(i, column);
        double weight = 0.0;
        for (int64_t l = 0; l < p.parameters; ++l) {
          double s = 0.0;
          for (int64_t c = 0; c < p.columns; ++c)
            s += at.value(p.left, l, i, c) * at.value(p.right, l, column, c);
          const double k = Kernel::value(d, at.parameter(l), 0.0);
          weight += s * Kernel::by_distance(k, d, at.parameter(l));
        }
        weight *= Metric::gradient(d, tile.left_info(i).stat, tile.right_info(column).stat);
        tile.add_difference(i, column, weight, partial + row * width(p));
      }
    }
  };

  static void flush(const Problem& p, const Block& block, Workspace& ws, S* partial) {
    for (int64_t row = 0; row < block.rows; ++row) {
      S* to = partial + row * width(p);
      if (p.rows_gradient) {
        const E* sums = sums_of(p, ws) + row * padded_features<E>(p.features);
        if constexpr (kProducts) {
          // 0 for a row that products cannot stand for, whose pairs all count as near.
          const double weight = sum_lanes(ws.weight_sums[row]);
          for (Slice slice(p.features); slice.exists(); slice.next()) {
            const E* x = sliced_rows(ws) + slice.of_row(row, block.rows);
            for (int64_t k = slice.begin; k < slice.end; ++k, x += kGroupRows)
              to[k] += (weight != 0.0 ? weight * *x : 0.0) - sums[k];
          }
        } else {
          for (int64_t k = 0; k < p.features; ++k) to[k] += sums[k];
        }
        to += p.features;
      }
      for (int64_t l = 0; l < p.parameters; ++l)
        *to++ += sum_lanes(ws.by_parameter[row * p.parameters + l]);
    }
  }
};

SEMIDEEP_MATH_END
