// Sums of w_ij y_j or of w_ij (x_i - y_j) over columns j, with a feature in each lane so that nothing is summed
// across lanes.
#pragma once

#include "cpu/panel_rows.h"

SEMIDEEP_MATH_BEGIN

// What is folded: weights, [panel][row][column], and plain right rows (PanelRows::copy), into sums,
// [row][padded feature]. rows: a whole number of groups.
template <class E>
struct Fold {
  int64_t rows, features, panels;
  const E* weights;
  const E* plain;
  int64_t plain_stride;  // from panel to panel
  E* sums;

  int64_t stride() const { return padded_features<E>(features); }
};

// What a weight multiplies: y_j, or x_i - y_j with x of a group of rows.
template <class E, int Vectors>
struct RightRows {
  SEMIDEEP_INLINE VecOf<E> operator()(int, int, VecOf<E> y) const { return y; }
};
template <class E, int Vectors>
struct Differences {
  VecOf<E> x[kGroupRows][Vectors];

  SEMIDEEP_INLINE Differences(const E* rows, int64_t stride) {
    for (int r = 0; r < kGroupRows; ++r)
      for (int v = 0; v < Vectors; ++v)
        x[r][v] = VecOf<E>::load(rows + r * stride + v * kLanesOf<E>);
  }
  SEMIDEEP_INLINE VecOf<E> operator()(int r, int v, VecOf<E> y) const { return x[r][v] - y; }
};

// Adds the terms of a group of rows and a piece of features.
template <int Vectors, class E, class Term>
SEMIDEEP_INLINE void fold_piece(const Fold<E>& fold, int64_t row, int64_t k, const Term& term) {
  using Lanes = VecOf<E>;
  constexpr int64_t kColumns = kColumnsOf<E>;
  E* sums = fold.sums + row * fold.stride() + k;
  Lanes total[kGroupRows][Vectors];
  for (int r = 0; r < kGroupRows; ++r)
    for (int v = 0; v < Vectors; ++v)
      total[r][v] = Lanes::load(sums + r * fold.stride() + v * kLanesOf<E>);
  for (int64_t panel = 0; panel < fold.panels; ++panel) {
    const E* y = fold.plain + panel * fold.plain_stride + k * kColumns;
    const E* weights = fold.weights + (panel * fold.rows + row) * kColumns;
    Lanes part[kGroupRows][Vectors];
    for (int r = 0; r < kGroupRows; ++r)
      for (int v = 0; v < Vectors; ++v) part[r][v] = Lanes(E(0));
    for (int64_t j = 0; j < kColumns; ++j, y += Vectors * kLanesOf<E>)
      for (int v = 0; v < Vectors; ++v) {
        const Lanes right = Lanes::load(y + v * kLanesOf<E>);
        for (int r = 0; r < kGroupRows; ++r)
          part[r][v] = fma(Lanes(weights[r * kColumns + j]), term(r, v, right), part[r][v]);
      }
    for (int r = 0; r < kGroupRows; ++r)
      for (int v = 0; v < Vectors; ++v) total[r][v] = total[r][v] + part[r][v];
  }
  for (int r = 0; r < kGroupRows; ++r)
    for (int v = 0; v < Vectors; ++v) total[r][v].store(sums + r * fold.stride() + v * kLanesOf<E>);
}

// Calls f.template operator()<Vectors>(row, k) for each group of rows and each piece of features.
template <class E, class F>
SEMIDEEP_INLINE void for_pieces(const Fold<E>& fold, F f) {
  for (int64_t k = 0; k < fold.features; k += kPieceFeatures<E>) {
    const bool whole = piece_width<E>(fold.features, k) == kPieceFeatures<E>;
    for (int64_t row = 0; row < fold.rows; row += kGroupRows) {
      if (whole) {
        f.template operator()<2>(row, k);
      } else {
        f.template operator()<1>(row, k);
      }
    }
  }
}

// sums += sum_j w_ij y_j
template <class E>
void add_right_rows(const Fold<E>& fold) {
  for_pieces(fold, [&]<int Vectors>(int64_t row, int64_t k) {
    fold_piece<Vectors>(fold, row, k, RightRows<E, Vectors>());
  });
}

// sums += sum_j w_ij (x_i - y_j), with x as [row][padded feature]
template <class E>
void add_differences(const Fold<E>& fold, const E* x) {
  for_pieces(fold, [&]<int Vectors>(int64_t row, int64_t k) {
    const Differences<E, Vectors> term(x + row * fold.stride() + k, fold.stride());
    fold_piece<Vectors>(fold, row, k, term);
  });
}

SEMIDEEP_MATH_END
