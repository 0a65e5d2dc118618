// Gradients of the weighted sum of float32 rows under the exponential kernel, on floats (float_tile.h).
#pragma once

#include "cpu/float_tile.h"
#include "cpu/gradient_task.h"

SEMIDEEP_MATH_BEGIN

// dF/dx_i = sum_j w_ij (x_i - y_j) with w_ij = sum_l s_lij k_l'(d_ij) c(d_ij), s_lij = sum_c left.values[l, i, c]
// right.values[l, j, c] and c the metric's gradient factor; and dF/dparameter_l = sum_ij s_lij dk_l/dparameter.
//
// Weights come from distances with a column in each lane; differences are then weighed with a feature in each
// lane, so that nothing is summed across lanes. Subtracting rather than multiplying keeps what near rows have.
template <class Metric, class Kernel>
struct FloatGradientTask {
  using S = double;
  using Common = GradientTask<Vec, Metric, Kernel>;

  static constexpr int64_t kFlushPanels = 16;
  static constexpr int64_t kMostSums = 16;
  // Nearer than this, a weight may leave the range of float.
  static constexpr float kLeastDistance = 1e-15f;

  struct Workspace {
    typename FloatTile<Metric>::Storage tile;
    alignas(64) FloatVec by_parameter[kFloatRows * kMostSums];
    alignas(64) FloatPair parameters[kMostSums];
    alignas(64) float lambdas[kMostSums];
    alignas(64) float left_values[kFloatRows * kMostSums];
    alignas(64) float weights[kFloatRows * kPanelColumns];
  };

  static bool suits(const Problem& p) {
    return p.parameters * p.columns <= kMostSums && suits_floats(p) &&
           values_at_most(p, p.left, kLargestFloatValue) &&
           values_at_most(p, p.right, kLargestFloatValue);
  }

  static int64_t width(const Problem& p) { return Common::width(p); }
  static int64_t block_rows(const Problem& p) {
    const int64_t rows = FloatTile<Metric>::block_rows(p);
    const int64_t fitting = rows_within(rows, width(p)) / kGroupRows * kGroupRows;
    return fitting < kGroupRows ? kGroupRows : fitting;
  }
  static int64_t workspace_bytes(const Problem& p) {
    const int64_t floats = block_rows(p) * (p.features + 2 * padded_features(p.features));
    return static_cast<int64_t>(sizeof(Workspace)) + 64 +
           floats * static_cast<int64_t>(sizeof(float));
  }

  static void enter(const Problem& p, const Block& block, Workspace& ws) {
    FloatTile<Metric>::pack_rows(p, block, ws.tile, sliced_rows(ws));
    const PanelRows<Metric, float> left(p, p.left, block.batch, block.left_info);
    const Attachments<double> at{p, block.batch};
    const int64_t stride = padded_features(p.features);
    for (int64_t row = 0; row < padded(block.rows); ++row) {
      const int64_t from = block.row_begin + (row < block.rows ? row : block.rows - 1);
      left.copy(from, plain_rows(p, ws) + row * stride, static_cast<const float*>(block.plan));
      for (int64_t l = 0; l < p.parameters; ++l)
        for (int64_t c = 0; c < p.columns; ++c)
          ws.left_values[(row * p.parameters + l) * p.columns + c] =
              static_cast<float>(at.value(p.left, l, from, c));
    }
    for (int64_t l = 0; l < p.parameters; ++l) {
      ws.parameters[l] = FloatTile<Metric>::template parameter<Kernel>(p, block, l);
      ws.lambdas[l] = static_cast<float>(at.parameter(l));
    }
  }

  static void run(const Problem& p, const Block& block, Workspace& ws, S* partial) {
    const bool rows_wanted = p.rows_gradient != nullptr;
    const int64_t stride = padded_features(p.features);
    for (int64_t i = 0; i < block.rows * width(p); ++i) partial[i] = 0.0;
    FloatTile<Metric> tile(p, block, ws.tile, sliced_rows(ws));
    float* sums = sums_of(p, ws);
    for (int64_t begin = 0; begin < tile.panels(); begin += kFlushPanels) {
      const int64_t end =
          begin + kFlushPanels < tile.panels() ? begin + kFlushPanels : tile.panels();
      for (int64_t i = 0; i < block.rows * p.parameters; ++i) ws.by_parameter[i] = FloatVec(0.0f);
      if (rows_wanted)
        for (int64_t i = 0; i < padded(block.rows) * stride; ++i) sums[i] = 0.0f;
      for (int64_t panel = begin; panel < end; ++panel) {
        tile.for_distances(panel, panel + 1,
                           Weights{p, block, tile, ws, partial, panel, rows_wanted});
        if (rows_wanted) add_differences(p, block, tile, ws, panel);
      }
      flush(p, block, ws, partial);
    }
  }

  static void merge(int64_t count, S* total, const S* part) { add_scalars(count, total, part); }
  static void store(const Problem& p, const Block& block, const S* total, S* by_parameter) {
    Common::store(p, block, total, by_parameter);
  }

 private:
  static float* sliced_rows(Workspace& ws) { return reinterpret_cast<float*>(&ws + 1); }
  // Both aligned for vectors: [row][padded features].
  static float* plain_rows(const Problem& p, Workspace& ws) {
    const int64_t floats = (block_rows(p) * p.features + 15) / 16 * 16;
    return sliced_rows(ws) + floats;
  }
  static float* sums_of(const Problem& p, Workspace& ws) {
    return plain_rows(p, ws) + block_rows(p) * padded_features(p.features);
  }

  // Fills the weights of one row against one panel.
  struct Weights {
    const Problem& p;
    const Block& block;
    const FloatTile<Metric>& tile;
    Workspace& ws;
    S* partial;
    int64_t panel_index;
    bool rows_wanted;

    SEMIDEEP_INLINE void operator()(int64_t row, const float* panel,
                                    const FloatPair (&d)[2]) const {
      const float* values = panel + tile.layout().values;
      const float* left = ws.left_values + row * p.parameters * p.columns;
      FloatVec weight[2] = {FloatVec(0.0f), FloatVec(0.0f)};
      const FloatVec distance[2] = {d[0].hi + d[0].lo, d[1].hi + d[1].lo};
      for (int64_t l = 0; l < p.parameters; ++l) {
        FloatVec s[2] = {FloatVec(0.0f), FloatVec(0.0f)};
        for (int64_t c = 0; c < p.columns; ++c, ++left, values += kPanelColumns)
          for (int i = 0; i < 2; ++i)
            s[i] = fma(FloatVec(*left), FloatVec::load(values + i * kFloatLanes), s[i]);
        const FloatVec lambda(ws.lambdas[l]);
        FloatVec& by_parameter = ws.by_parameter[row * p.parameters + l];
        for (int i = 0; i < 2; ++i) {
          const FloatVec k = unscaled(scaled_exp2(Kernel::log_value(d[i], ws.parameters[l])));
          weight[i] = fma(s[i], Kernel::by_distance(k, distance[i], lambda), weight[i]);
          by_parameter = fma(s[i], Kernel::by_parameter(k, distance[i], lambda), by_parameter);
        }
      }
      if (!rows_wanted) return;
      uint32_t near = 0;
      for (int i = 0; i < 2; ++i) {
        const FloatVec stat(static_cast<float>(tile.left_stat(row)));
        const FloatVec c = Metric::gradient(distance[i], stat, tile.right_stats(panel, i));
        weight[i] = weight[i] * c;
        near |= lanes_above(FloatVec(kLeastDistance), distance[i]) << (i * kFloatLanes);
      }
      float* to = ws.weights + row * kPanelColumns;
      weight[0].store(to);
      weight[1].store(to + kFloatLanes);
      if (Metric::power < 1.0 && __builtin_expect(near != 0, 0)) add_near(row, near, to);
    }

    // Pairs too near for floats, and those with a NaN: their share goes to the partial, in double.
    __attribute__((noinline)) void add_near(int64_t row, uint32_t near, float* weights) const {
      for (; near; near &= near - 1) {
        const int lane = __builtin_ctz(near);
        weights[lane] = 0.0f;
        const int64_t column = block.column_begin + panel_index * kPanelColumns + lane;
        if (column >= block.column_end) continue;
        const Attachments<double> at{p, block.batch};
        const int64_t i = block.row_begin + row;
        const double d = tile.exact_distance(i, column);
        double weight = 0.0;
        for (int64_t l = 0; l < p.parameters; ++l) {
          double s = 0.0;
          for (int64_t c = 0; c < p.columns; ++c)
            s += at.value(p.left, l, i, c) * at.value(p.right, l, column, c);
          const double k = Kernel::value(d, at.parameter(l), 0.0);
          weight += s * Kernel::by_distance(k, d, at.parameter(l));
        }
        weight *= Metric::gradient(d, 1.0, 1.0);
        const float* x = tile.left_row(i);
        const float* y = tile.right_row(column);
        for (int64_t k = 0; k < p.features; ++k)
          partial[row * width(p) + k] += weight * (static_cast<double>(x[k]) - y[k]);
      }
    }
  };

  // sums[row][k] += sum over the panel's columns of weight (x_k - y_k)
  static void add_differences(const Problem& p, const Block& block, const FloatTile<Metric>& tile,
                              Workspace& ws, int64_t panel) {
    const int64_t stride = padded_features(p.features);
    const float* y = tile.panel(panel) + tile.layout().plain;
    int64_t k = 0;
    for (; k + 2 * kFloatLanes <= stride; k += 2 * kFloatLanes)
      for (int64_t row = 0; row < block.rows; row += kGroupRows)
        add_group<2>(p, ws, y + k, row, k, stride);
    for (; k < stride; k += kFloatLanes)
      for (int64_t row = 0; row < block.rows; row += kGroupRows)
        add_group<1>(p, ws, y + k, row, k, stride);
  }

  template <int Vectors>
  static SEMIDEEP_INLINE void add_group(const Problem& p, Workspace& ws, const float* y,
                                        int64_t row, int64_t k, int64_t stride) {
    const float* x = plain_rows(p, ws) + row * stride + k;
    float* sums = sums_of(p, ws) + row * stride + k;
    const float* weights = ws.weights + row * kPanelColumns;
    FloatVec left[kGroupRows][Vectors], total[kGroupRows][Vectors];
    for (int r = 0; r < kGroupRows; ++r)
      for (int v = 0; v < Vectors; ++v) {
        left[r][v] = FloatVec::load(x + r * stride + v * kFloatLanes);
        total[r][v] = FloatVec(0.0f);
      }
    for (int64_t j = 0; j < kPanelColumns; ++j, y += stride)
      for (int v = 0; v < Vectors; ++v) {
        const FloatVec right = FloatVec::load(y + v * kFloatLanes);
        for (int r = 0; r < kGroupRows; ++r)
          total[r][v] =
              fma(FloatVec(weights[r * kPanelColumns + j]), left[r][v] - right, total[r][v]);
      }
    for (int r = 0; r < kGroupRows; ++r)
      for (int v = 0; v < Vectors; ++v) {
        float* to = sums + r * stride + v * kFloatLanes;
        (FloatVec::load(to) + total[r][v]).store(to);
      }
  }

  static void flush(const Problem& p, const Block& block, Workspace& ws, S* partial) {
    const int64_t stride = padded_features(p.features);
    const float* sums = sums_of(p, ws);
    for (int64_t row = 0; row < block.rows; ++row) {
      S* to = partial + row * width(p);
      if (p.rows_gradient)
        for (int64_t k = 0; k < p.features; ++k) *to++ += sums[row * stride + k];
      for (int64_t l = 0; l < p.parameters; ++l)
        *to++ += sum_lanes(ws.by_parameter[row * p.parameters + l]);
    }
  }
};

SEMIDEEP_MATH_END
