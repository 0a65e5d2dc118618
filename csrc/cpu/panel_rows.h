// Rows as the kernels on panels want them: prepared, translated, and transposed, as elements E, float or double.
#pragma once

#include "cpu/float_pair.h"
#include "cpu/task.h"

SEMIDEEP_MATH_BEGIN

constexpr int64_t kDirectFeatures = 8;
constexpr int kGroupRows =
    6;  // with two vectors of columns: 12 sums, enough for the latency of 2 units
constexpr int64_t kDirectStep = 4, kProductStep = 16;  // whose terms are added up apart
constexpr int64_t kSliceFeatures = 128;                // of one panel: 16 KiB, half of L1
constexpr int64_t kFloatRows = 16 * kGroupRows;        // of a block
constexpr int64_t kBlockFloats = int64_t{1} << 18;

template <class E>
constexpr int64_t kColumnsOf = 2 * kLanesOf<E>;
constexpr int64_t kPanelColumns = kColumnsOf<float>;

// The squared norm of a row: NaN, which no comparison trusts, where products of E cannot stand for it.
template <class E>
struct Norm;

// As two floats, of which the first has 16 bits, so that the sum of two is exact unless one is negligible.
template <>
struct Norm<float> {
  static constexpr int kElements = 2;
  float hi, lo;

  Norm() = default;
  explicit Norm(double squares) {
    const bool trusted = squares == 0.0 || (squares > 1e-30 && squares < 1e36);
    hi = trusted ? static_cast<float>(squares) : NAN;
    uint32_t bits;
    __builtin_memcpy(&bits, &hi, sizeof bits);
    bits &= 0xffffff00u;
    __builtin_memcpy(&hi, &bits, sizeof bits);
    lo = static_cast<float>(squares - hi);
  }
  float main() const { return hi; }
  void store(float* to) const {
    to[0] = hi;
    to[kColumnsOf<float>] = lo;
  }
};

// Not trusted if 0: squares of tiny values vanish.
template <>
struct Norm<double> {
  static constexpr int kElements = 1;
  double all;

  Norm() = default;
  explicit Norm(double squares)
      : all(squares > kLeastSquares && squares < kLargestSquares ? squares : NAN) {}
  double main() const { return all; }
  void store(double* to) const { *to = all; }
};

inline int64_t panels_of(int64_t columns, int64_t panel_columns = kPanelColumns) {
  return (columns + panel_columns - 1) / panel_columns;
}

template <class E>
int64_t padded_features(int64_t features) {
  return (features + kLanesOf<E> - 1) / kLanesOf<E> * kLanesOf<E>;
}
// Plain rows are worked on in pieces of two vectors of features; the last may be one vector.
template <class E>
constexpr int64_t kPieceFeatures = 2 * kLanesOf<E>;
template <class E>
int64_t piece_width(int64_t features, int64_t begin) {
  return features - begin > kLanesOf<E> ? 2 * kLanesOf<E> : kLanesOf<E>;
}

// Where things stand in a packed panel of columns, in elements.
template <class E>
struct PanelLayout {
  bool products;
  // norms; rests: what the features lack; plain: rows whose features stand together (PanelRows::copy)
  int64_t norms, rests, stats, values, plain, panel;

  // prepared: whether the metric makes other rows of those given
  PanelLayout(const Problem& p, bool prepared) : products(p.features > kDirectFeatures) {
    const int64_t columns = kColumnsOf<E>;
    norms = p.features * columns;
    rests = norms + (products ? Norm<E>::kElements * columns : 0);
    // Prepared rows are not floats: when they are subtracted, what the floats lack is kept too.
    const bool lacking = sizeof(E) == sizeof(float) && !products && prepared;
    stats = rests + (lacking ? p.features * columns : 0);
    values = stats + (prepared ? columns : 0);
    plain = values + p.parameters * p.columns * columns;
    panel = plain + (p.task == Task::gradient ? padded_features<E>(p.features) * columns : 0);
  }
};

SEMIDEEP_INLINE Vec load_wide(const float* from) {
#if defined(__AVX512F__)
  return Vec::Native(_mm512_cvtps_pd(_mm256_loadu_ps(from)));
#elif defined(__AVX2__)
  return Vec::Native(_mm256_cvtps_pd(_mm_loadu_ps(from)));
#else
  Vec wide;
  for (int lane = 0; lane < kLanes; ++lane) wide.v[lane] = from[lane];
  return wide;
#endif
}
SEMIDEEP_INLINE Vec load_wide(const double* from) { return Vec::load(from); }

// Two vectors of doubles as elements, and what those lack; rests of doubles are not written.
SEMIDEEP_INLINE void store_elements(Vec first, Vec second, float* values, float* rests) {
  const FloatPair pair(first, second);
  pair.hi.store(values);
  pair.lo.store(rests);
}
SEMIDEEP_INLINE void store_elements(Vec first, Vec second, double* values, double*) {
  first.store(values);
  second.store(values + kLanes);
}

template <class Metric, class E>
class PanelRows {
 public:
  PanelRows(const Problem& p, const Side& side, int64_t batch, const void* infos)
      : p_(p), side_(side), batch_(batch), infos_(static_cast<const RowInfo<double>*>(infos)) {}

  template <class T>
  const T* raw(int64_t at) const {
    return static_cast<const T*>(side_.rows) + batch_ * side_.rows_batch_stride +
           at * side_.rows_row_stride;
  }
  RowInfo<double> info(int64_t at) const {
    if constexpr (Metric::Row::has_info) {
      return infos_[at];
    } else {
      return {1.0, 1.0, 0.0};
    }
  }

  // A row whose distances no sum of squares gives (cosine's zero row) counts as NaN, which no comparison trusts:
  // its distances are then taken one by one.
  RowInfo<double> trusted_info(int64_t at) const {
    RowInfo<double> facts = info(at);
    if (Metric::Row::has_info && facts.stat != 1.0) facts.scale = NAN;
    return facts;
  }

  // Writes the prepared and translated features of [begin, end) as elements, and what those lack, and returns the
  // sum of squares of both together: in that of the elements alone, all that a dominant feature loses would be
  // missing.
  double load(int64_t at, const RowInfo<double>& facts, int64_t begin, int64_t end, const E* center,
              E* values, E* rests) const {
    double sum = 0.0;
    with_element_type(p_.dtype, [&](auto* type) {
      using T = std::remove_cv_t<std::remove_pointer_t<decltype(type)>>;
      sum = load_row(raw<T>(at), facts, begin, end, center, values, rests);
    });
    return sum;
  }

  // Writes features as elements, translated if there is a center, with zeros behind them: row `lane` of
  // [piece][row of `rows`][feature of piece].
  void copy(int64_t at, const E* center, int64_t lane, int64_t rows, E* to) const {
    E rests[kPieceFeatures<E>];
    for (int64_t k = 0; k < p_.features; k += kPieceFeatures<E>) {
      const int64_t width = piece_width<E>(p_.features, k);
      const int64_t end = k + width < p_.features ? k + width : p_.features;
      E* piece = to + k * rows + lane * width;
      load(at, info(at), k, end, center, piece, rests);
      for (int64_t i = end - k; i < width; ++i) piece[i] = E(0);
    }
  }

 private:
  template <class T>
  SEMIDEEP_INLINE double load_row(const T* row, const RowInfo<double>& facts, int64_t begin,
                                  int64_t end, const E* center, E* values, E* rests) const {
    const RowInfo<Vec> wide{Vec(facts.scale), Vec(facts.inverse_norm), Vec(facts.stat)};
    Vec squares(0.0);
    int64_t k = begin;
    for (; k + 2 * kLanes <= end; k += 2 * kLanes, values += 2 * kLanes, rests += 2 * kLanes) {
      Vec exact[2];
      for (int i = 0; i < 2; ++i) {
        exact[i] = Metric::Row::prepare(load_wide(row + k + i * kLanes), wide);
        if (center) exact[i] = exact[i] - load_wide(center + k + i * kLanes);
        squares = fma(exact[i], exact[i], squares);
      }
      store_elements(exact[0], exact[1], values, rests);
    }
    double sum = sum_lanes(squares);
    for (; k < end; ++k, ++values, ++rests) {
      const double exact =
          Metric::Row::prepare(static_cast<double>(row[k]), facts) - (center ? center[k] : E(0));
      *values = static_cast<E>(exact);
      *rests = static_cast<E>(exact - *values);
      sum = fma(exact, exact, sum);
    }
    return sum;
  }

  const Problem& p_;
  const Side& side_;
  const int64_t batch_;
  const RowInfo<double>* infos_;
};

// to[k * stride + row] = from[row * kChunkFeatures + k], in squares of four.
constexpr int64_t kChunkFeatures = 64;
template <class E>
SEMIDEEP_INLINE void transpose(const E* from, int64_t rows, int64_t features, E* to,
                               int64_t stride) {
  typedef E Four __attribute__((vector_size(4 * sizeof(E))));
  int64_t row = 0;
  for (; row + 4 <= rows; row += 4) {
    int64_t k = 0;
    for (; k + 4 <= features; k += 4) {
      Four a, b, c, d;
      __builtin_memcpy(&a, from + row * kChunkFeatures + k, sizeof a);
      __builtin_memcpy(&b, from + (row + 1) * kChunkFeatures + k, sizeof b);
      __builtin_memcpy(&c, from + (row + 2) * kChunkFeatures + k, sizeof c);
      __builtin_memcpy(&d, from + (row + 3) * kChunkFeatures + k, sizeof d);
      const Four ab = __builtin_shufflevector(a, b, 0, 4, 1, 5);
      const Four cd = __builtin_shufflevector(c, d, 0, 4, 1, 5);
      const Four ab_high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
      const Four cd_high = __builtin_shufflevector(c, d, 2, 6, 3, 7);
      const Four columns[4] = {__builtin_shufflevector(ab, cd, 0, 1, 4, 5),
                               __builtin_shufflevector(ab, cd, 2, 3, 6, 7),
                               __builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5),
                               __builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7)};
      for (int i = 0; i < 4; ++i)
        __builtin_memcpy(to + (k + i) * stride + row, &columns[i], sizeof columns[i]);
    }
    for (; k < features; ++k)
      for (int64_t r = row; r < row + 4; ++r) to[k * stride + r] = from[r * kChunkFeatures + k];
  }
  for (; row < rows; ++row)
    for (int64_t k = 0; k < features; ++k) to[k * stride + row] = from[row * kChunkFeatures + k];
}

// Packs panels [begin, end) of the columns of a span. translates: whether plain rows are translated, too.
template <class Metric, class E>
void pack_panels(const Problem& p, const Block& span, int64_t begin, int64_t end, bool translates,
                 E* packed) {
  constexpr int64_t kColumns = kColumnsOf<E>;
  const PanelLayout<E> at(p, Metric::Row::has_info);
  const PanelRows<Metric, E> rows(p, p.right, span.batch, span.right_info);
  const Attachments<double> attached{p, span.batch};
  const E* middle = static_cast<const E*>(span.plan);
  alignas(64) E values[kColumns * kChunkFeatures], rests[kColumns * kChunkFeatures];
  for (int64_t panel = begin; panel < end; ++panel) {
    E* to = packed + panel * at.panel;
    // Lanes past the end repeat the last row, with the value 0.
    const auto is_column = [&](int64_t lane) {
      return span.column_begin + panel * kColumns + lane < span.column_end;
    };
    const auto column = [&](int64_t lane) {
      return is_column(lane) ? span.column_begin + panel * kColumns + lane : span.column_end - 1;
    };
    double squares[kColumns] = {};
    for (int64_t k = 0; k < p.features; k += kChunkFeatures) {
      const int64_t stop = k + kChunkFeatures < p.features ? k + kChunkFeatures : p.features;
      for (int64_t lane = 0; lane < kColumns; ++lane)
        squares[lane] += rows.load(column(lane), rows.trusted_info(column(lane)), k, stop,
                                   at.products ? middle : nullptr, values + lane * kChunkFeatures,
                                   rests + lane * kChunkFeatures);
      transpose(values, kColumns, stop - k, to + k * kColumns, kColumns);
      if (at.stats > at.rests)
        transpose(rests, kColumns, stop - k, to + at.rests + k * kColumns, kColumns);
    }
    for (int64_t lane = 0; lane < kColumns; ++lane) {
      if (at.products) Norm<E>(squares[lane]).store(to + at.norms + lane);
      if constexpr (Metric::Row::has_info)
        to[at.stats + lane] = static_cast<E>(rows.info(column(lane)).stat);
      if (at.panel > at.plain)
        rows.copy(column(lane), translates ? middle : nullptr, lane, kColumns, to + at.plain);
      for (int64_t l = 0; l < p.parameters; ++l)
        for (int64_t c = 0; c < p.columns; ++c)
          to[at.values + (l * p.columns + c) * kColumns + lane] =
              is_column(lane) ? static_cast<E>(attached.value(p.right, l, column(lane), c)) : E(0);
    }
  }
}

// Rows of a block, with the last group filled up.
inline int64_t padded(int64_t rows) { return (rows + kGroupRows - 1) / kGroupRows * kGroupRows; }

// A range of features that is worked on at a time. Left rows stand as [slice][group][feature][row of group].
struct Slice {
  int64_t begin = 0, end, features, length;

  explicit Slice(int64_t d) : features(d) {
    const int64_t slices = (d + kSliceFeatures - 1) / kSliceFeatures;
    length = end = (d + slices - 1) / slices;
  }
  bool exists() const { return begin < features; }
  void next() {
    begin = end;
    end = end + length < features ? end + length : features;
  }
  int64_t of_row(int64_t row, int64_t rows) const {
    return begin * padded(rows) + row / kGroupRows * kGroupRows * (end - begin) + row % kGroupRows;
  }
};

SEMIDEEP_MATH_END
