// Distances between a block of left rows and packed panels of right rows, in registers, for metrics that are
// functions of sum_k (x_k - y_k)^2.
//
// Rows of up to kDirectFeatures features are subtracted. Longer rows are multiplied: with both sets translated
// by one vector near the middle of y, which changes no difference,
//     sum_k (x_k - y_k)^2 = |x|^2 + |y|^2 - 2 <x, y>,
// where the norms are sums in double of the translated rows before they are rounded to elements.
//
// Squares are summed in steps of 4; products in steps of 16, those in slices of 128: errors grow with the length
// of a step and the number of steps, not with the number of features. Where the expected error of a pair of rows
// could still be seen in exp(-lambda d), because the sum is small against the norms, its distance is taken again
// in double.
#pragma once

#include "cpu/panel_center.h"

SEMIDEEP_MATH_BEGIN

// What to expect of the rounding of |x|^2 + |y|^2 - 2 <x, y>, as multiples of |x|^2 + |y|^2 and of <x, y>: four
// standard errors, fitted to simulated rows of every correlation. Terms of either sign leave an error in
// proportion to the norms, terms of one sign one in proportion to their sum (N. Higham and T. Mary,
// SIAM J. Sci. Comput. 41 (2019) A2815, say why).
struct ExpectedError {
  double by_norms, by_product;

  // share: of the largest feature in the variance
  ExpectedError(int64_t features, double roundoff, double share) {
    const double steps = static_cast<double>(features) / static_cast<double>(kProductStep);
    by_norms = 4.0 * roundoff * 0.31 / ::sqrt(steps > 1.0 ? steps : 1.0);
    // All that is added to one dominant product is rounded to its precision.
    by_product = 4.0 * roundoff * 1.3 * (1.0 + 3.0 * share);
  }
};

// In double, from rows as they were given.
template <class Metric, class T>
double sum_between(const T* x, const RowInfo<double>& of_x, const T* y, const RowInfo<double>& of_y,
                   int64_t features) {
  const auto wide = [](const RowInfo<double>& info) {
    return RowInfo<Vec>{Vec(info.scale), Vec(info.inverse_norm), Vec(info.stat)};
  };
  const RowInfo<Vec> wide_x = wide(of_x), wide_y = wide(of_y);
  Vec lanes(0.0);
  int64_t k = 0;
  for (; k + kLanes <= features; k += kLanes)
    lanes = Metric::accumulate(lanes, Metric::Row::prepare(load_wide(x + k), wide_x),
                               Metric::Row::prepare(load_wide(y + k), wide_y));
  double sum = sum_lanes(lanes);
  for (; k < features; ++k)
    sum = Metric::accumulate(sum, Metric::Row::prepare(static_cast<double>(x[k]), of_x),
                             Metric::Row::prepare(static_cast<double>(y[k]), of_y));
  return sum;
}

// Self, a tile derived from this one, offers
//   Distances                               of one vector of columns
//   finish<Products>(row, panel, c, sum, d) from a vector of sums, or of products, to distances; returns the
//                                           lanes in which they may be in doubt
//   mend<Products>(row, panel, c, sum, d)   sets those right that are
template <class Self, class Metric, class E>
class PanelTile {
  static_assert(Metric::sum_of == SumOf::squares, "serves sums of squares alone");

 public:
  using Element = E;
  using Lanes = VecOf<E>;
  static constexpr int64_t kColumns = kColumnsOf<E>;

  struct Storage {
    alignas(64) Lanes sums[kFloatRows * 2];  // unfinished, of one panel
    Norm<E> norms[kFloatRows];               // of the left rows
    double exact[kFloatRows * kDirectFeatures];
  };
  static int64_t block_rows(const Problem& p) {
    const int64_t groups = kBlockFloats * kLanesOf<E> / kFloatLanes / (p.features * kGroupRows);
    return groups < 1                         ? kGroupRows
           : groups * kGroupRows < kFloatRows ? groups * kGroupRows
                                              : kFloatRows;
  }
  static int64_t block_bytes(const Problem& p) {
    return block_rows(p) * p.features * static_cast<int64_t>(sizeof(E));
  }

  static void pack_rows(const Problem& p, const Block& block, Storage& storage, E* rows) {
    const PanelRows<Metric, E> left(p, p.left, block.batch, block.left_info);
    const bool products = p.features > kDirectFeatures;
    const E* center = products ? static_cast<const E*>(block.plan) : nullptr;
    alignas(64) E values[kGroupRows * kChunkFeatures], rests[kGroupRows * kChunkFeatures];
    for (int64_t row = 0; row < padded(block.rows); row += kGroupRows) {
      double squares[kGroupRows] = {};
      for (Slice slice(p.features); slice.exists(); slice.next())
        for (int64_t k = slice.begin; k < slice.end; k += kChunkFeatures) {
          const int64_t stop = k + kChunkFeatures < slice.end ? k + kChunkFeatures : slice.end;
          for (int r = 0; r < kGroupRows; ++r) {
            // A group's missing rows repeat the last one.
            const int64_t at = block.row_begin + (row + r < block.rows ? row + r : block.rows - 1);
            E* value = values + r * kChunkFeatures;
            E* rest = rests + r * kChunkFeatures;
            squares[r] += left.load(at, left.trusted_info(at), k, stop, center, value, rest);
            if (sizeof(E) == sizeof(float) && !products)
              for (int64_t i = 0; i < p.features; ++i)
                storage.exact[(row + r) * kDirectFeatures + i] =
                    static_cast<double>(value[i]) + static_cast<double>(rest[i]);
          }
          transpose(values, kGroupRows, stop - k,
                    rows + slice.of_row(row, block.rows) + (k - slice.begin) * kGroupRows,
                    kGroupRows);
        }
      for (int r = 0; r < kGroupRows; ++r) storage.norms[row + r] = Norm<E>(squares[r]);
    }
  }

  PanelTile(const Problem& p, const Block& block, Storage& storage, E* rows)
      : p_(p),
        block_(block),
        layout_(p, Metric::Row::has_info),
        storage_(storage),
        packed_(static_cast<const E*>(block.packed)),
        rows_(rows),
        left_(p, p.left, block.batch, block.left_info),
        right_(p, p.right, block.batch, block.right_info) {}

  const PanelLayout<E>& layout() const { return layout_; }
  const E* panel(int64_t i) const { return packed_ + i * layout_.panel; }
  int64_t panels() const { return panels_of(block_.column_end - block_.column_begin, kColumns); }

  RowInfo<double> left_info(int64_t at) const { return left_.info(at); }
  RowInfo<double> right_info(int64_t column) const { return right_.info(column); }
  Lanes right_stats(const E* panel, int c) const {
    if constexpr (Metric::Row::has_info) {
      return Lanes::load(panel + layout_.stats + c * kLanesOf<E>);
    } else {
      return Lanes(E(0));
    }
  }

  // The squared norms of a row and of a vector of columns, together.
  Lanes squared_norms(int64_t row, const E* panel, int c) const {
    return Lanes(storage_.norms[row].main()) + Lanes::load(panel + layout_.norms + c * kLanesOf<E>);
  }

  // to += weight (x - y), in double, of prepared rows.
  void add_difference(int64_t at, int64_t column, double weight, double* to) const {
    with_element_type(p_.dtype, [&](auto* type) {
      using T = std::remove_cv_t<std::remove_pointer_t<decltype(type)>>;
      const T* x = left_.template raw<T>(at);
      const T* y = right_.template raw<T>(column);
      const RowInfo<double> of_x = left_.info(at), of_y = right_.info(column);
      for (int64_t k = 0; k < p_.features; ++k)
        to[k] += weight * (Metric::Row::prepare(static_cast<double>(x[k]), of_x) -
                           Metric::Row::prepare(static_cast<double>(y[k]), of_y));
    });
  }

  // In double, from the rows as they were given.
  double exact_distance(int64_t at, int64_t column) const {
    double d = 0.0;
    with_element_type(p_.dtype, [&](auto* type) {
      using T = std::remove_cv_t<std::remove_pointer_t<decltype(type)>>;
      const RowInfo<double> x = left_.info(at), y = right_.info(column);
      const double sum = sum_between<Metric>(left_.template raw<T>(at), x,
                                             right_.template raw<T>(column), y, p_.features);
      d = Metric::distance(sum, x.stat, y.stat, static_cast<double>(p_.features));
      if constexpr (Metric::rescale && sizeof(T) == sizeof(double))
        if (!(d > 1e-140 && d < 1e150)) {
          using Reader = RowReader<double, T>;
          d = rescaled_euclidean<double>(Reader(p_, p_.left, block_.batch, at),
                                         Reader(p_, p_.right, block_.batch, column), p_.features);
        }
    });
    return d;
  }

  // Calls f(row, rows, panel, distances[Rows][2]) for groups of rows, of which the last may have fewer than
  // Rows, and each panel in [begin, end), panels in order.
  template <class F>
  void for_distances(int64_t begin, int64_t end, F f) {
    if (layout_.products) {
      for_distances<true>(begin, end, f);
    } else {
      for_distances<false>(begin, end, f);
    }
  }

 protected:
  // The first feature of a left row that stands in one slice; the next one stands kGroupRows further.
  const E* left_packed(int64_t row) const {
    return rows_ + row / kGroupRows * kGroupRows * p_.features + row % kGroupRows;
  }
  // The column of a lane; the last one for those past the end.
  int64_t column(int64_t panel, int lane) const {
    const int64_t at = block_.column_begin + panel * kColumns + lane;
    return at < block_.column_end ? at : block_.column_end - 1;
  }

  const Problem& p_;
  const Block& block_;
  const PanelLayout<E> layout_;
  Storage& storage_;

 private:
  template <bool Products, class F>
  SEMIDEEP_INLINE void for_distances(int64_t begin, int64_t end, F f) {
    for (int64_t i = begin; i < end; ++i)
      for (Slice slice(p_.features); slice.exists(); slice.next()) {
        int64_t row = 0;
        // A last group of few rows is taken row by row; else its missing rows are computed in vain.
        for (; block_.rows - row > kGroupRows / 2; row += kGroupRows)
          fold<Products, kGroupRows>(row, i, slice, f);
        for (; row < block_.rows; ++row) fold<Products, 1>(row, i, slice, f);
      }
  }

  template <bool Products, int Rows, class F>
  SEMIDEEP_INLINE void fold(int64_t row, int64_t i, const Slice& slice, F f) {
    Lanes sums[Rows][2];
    const E* x = rows_ + slice.of_row(row, block_.rows);
    const E* y = panel(i) + slice.begin * kColumns;
    Lanes* unfinished = storage_.sums + row * 2;
    for (int r = 0; r < Rows; ++r)
      for (int c = 0; c < 2; ++c)
        sums[r][c] = slice.begin > 0 ? unfinished[r * 2 + c] : Lanes(E(0));
    add_features<Products>(x, y, slice.end - slice.begin, sums);
    if (slice.end < p_.features) {
      for (int r = 0; r < Rows; ++r)
        for (int c = 0; c < 2; ++c) unfinished[r * 2 + c] = sums[r][c];
      return;
    }
    // One step after the other for all rows: the processor looks ahead far enough to fill its units only if
    // what follows an instruction does not depend on it.
    Self& self = *static_cast<Self*>(this);
    typename Self::Distances distances[Rows][2];
    uint32_t doubtful[Rows][2], any = 0;
    for (int r = 0; r < Rows; ++r)
      for (int c = 0; c < 2; ++c)
        any |= doubtful[r][c] =
            self.template finish<Products>(row + r, i, c, sums[r][c], distances[r][c]);
    const int rows = block_.rows - row < Rows ? static_cast<int>(block_.rows - row) : Rows;
    if (__builtin_expect(any != 0, 0))
      for (int r = 0; r < rows; ++r)
        for (int c = 0; c < 2; ++c)
          if (doubtful[r][c])
            self.template mend<Products>(row + r, i, c, sums[r][c], distances[r][c]);
    f(row, rows, panel(i), distances);
  }

  // In steps, whose terms are added up apart; sums of squares start at 0, so a single step needs no sum of its own.
  template <bool Products, int Rows>
  static SEMIDEEP_INLINE void add_features(const E* x, const E* y, int64_t features,
                                           Lanes (&sums)[Rows][2]) {
    constexpr int64_t kStep = Products ? kProductStep : kDirectStep;
    if (!Products && features <= kStep) return add_step<Products>(x, y, features, sums);
    for (int64_t done = 0; done < features; done += kStep) {
      const int64_t step = features - done < kStep ? features - done : kStep;
      Lanes part[Rows][2];
      for (int r = 0; r < Rows; ++r)
        for (int c = 0; c < 2; ++c) part[r][c] = Lanes(E(0));
      add_step<Products>(x + done * kGroupRows, y + done * kColumns, step, part);
      for (int r = 0; r < Rows; ++r)
        for (int c = 0; c < 2; ++c) sums[r][c] = sums[r][c] + part[r][c];
    }
  }

  template <bool Products, int Rows>
  static SEMIDEEP_INLINE void add_step(const E* x, const E* y, int64_t features,
                                       Lanes (&sums)[Rows][2]) {
    const auto add = [](Lanes sum, Lanes value, Lanes column) {
      return Products ? fma(value, column, sum) : Metric::accumulate(sum, value, column);
    };
    for (int64_t k = 0; k < features; ++k) {
      const Lanes left = Lanes::load(y + k * kColumns);
      const Lanes right = Lanes::load(y + k * kColumns + kLanesOf<E>);
      for (int r = 0; r < Rows; ++r) {
        const Lanes value(x[k * kGroupRows + r]);
        sums[r][0] = add(sums[r][0], value, left);
        sums[r][1] = add(sums[r][1], value, right);
      }
    }
  }

  const E* packed_;
  E* rows_;

 protected:
  const PanelRows<Metric, E> left_, right_;
};

SEMIDEEP_MATH_END
