// Rows of float32 as the kernels on floats want them: prepared, translated, in panels.
#pragma once

#include "cpu/float_pair.h"
#include "cpu/task.h"

SEMIDEEP_MATH_BEGIN

constexpr int64_t kDirectFeatures = 8;
constexpr int kGroupRows =
    6;  // with two vectors of columns: 12 sums, enough for the latency of 2 units
constexpr int64_t kPanelColumns = 2 * kFloatLanes;
constexpr int64_t kStepFeatures = 16;
constexpr int64_t kSliceFeatures = 128;          // of one panel: 16 KiB, half of L1
constexpr int64_t kFloatRows = 16 * kGroupRows;  // of a block
constexpr int64_t kBlockFloats = int64_t{1} << 18;

inline int64_t padded_features(int64_t features) {
  return (features + kFloatLanes - 1) / kFloatLanes * kFloatLanes;
}

// Where things stand in a packed panel of columns, in floats.
struct FloatLayout {
  int64_t features, sums;
  bool products;
  // norms: 16 bits each, then what they lack; rests: what the features lack; plain: [column][padded feature]
  int64_t norms, rests, stats, values, plain, panel;

  // prepared: whether the metric makes other rows of those given
  FloatLayout(const Problem& p, bool prepared)
      : features(p.features),
        sums(p.parameters * p.columns),
        products(p.features > kDirectFeatures) {
    norms = features * kPanelColumns;
    // Prepared rows are not floats: when they are subtracted, what the floats lack is kept too.
    rests = norms + (products ? 2 * kPanelColumns : 0);
    stats = rests + (!products && prepared ? features * kPanelColumns : 0);
    values = stats + (prepared ? kPanelColumns : 0);
    plain = values + sums * kPanelColumns;
    panel = plain + (p.task == Task::gradient ? padded_features(features) * kPanelColumns : 0);
  }
};

inline int64_t panels_of(int64_t columns) { return (columns + kPanelColumns - 1) / kPanelColumns; }

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

// A norm as two floats. The first has 16 bits, so that the sum of two is exact unless one is negligible.
struct SplitNorm {
  float hi, lo;
  SplitNorm() = default;
  explicit SplitNorm(double norm) {
    hi = static_cast<float>(norm);
    uint32_t bits;
    __builtin_memcpy(&bits, &hi, sizeof bits);
    bits &= 0xffffff00u;
    __builtin_memcpy(&hi, &bits, sizeof bits);
    lo = static_cast<float>(norm - hi);
    if (norm != norm) hi = lo = NAN;
  }
};

template <class Metric>
class FloatRows {
 public:
  FloatRows(const Problem& p, const Side& side, int64_t batch, const void* infos)
      : p_(p), side_(side), batch_(batch), infos_(static_cast<const RowInfo<double>*>(infos)) {}

  const float* raw(int64_t at) const {
    return static_cast<const float*>(side_.rows) + batch_ * side_.rows_batch_stride +
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

  // Writes the prepared and translated features of [begin, end) as floats, and what those lack, and returns the
  // sum of squares of both together: in that of the floats alone, all that a dominant feature loses would be
  // missing.
  double load(int64_t at, const RowInfo<double>& facts, int64_t begin, int64_t end,
              const float* center, float* values, float* rests) const {
    const float* row = raw(at);
    const RowInfo<Vec> wide{Vec(facts.scale), Vec(facts.inverse_norm), Vec(facts.stat)};
    Vec squares(0.0);
    int64_t k = begin;
    for (; k + kFloatLanes <= end; k += kFloatLanes, values += kFloatLanes, rests += kFloatLanes) {
      Vec exact[2];
      for (int i = 0; i < 2; ++i) {
        exact[i] = Metric::Row::prepare(load_wide(row + k + i * kLanes), wide);
        if (center) exact[i] = exact[i] - load_wide(center + k + i * kLanes);
        squares = fma(exact[i], exact[i], squares);
      }
      const FloatPair pair(exact[0], exact[1]);
      pair.hi.store(values);
      pair.lo.store(rests);
    }
    double sum = sum_lanes(squares);
    for (; k < end; ++k, ++values, ++rests) {
      const double exact =
          Metric::Row::prepare(static_cast<double>(row[k]), facts) - (center ? center[k] : 0.0f);
      *values = static_cast<float>(exact);
      *rests = static_cast<float>(exact - *values);
      sum = fma(exact, exact, sum);
    }
    return sum;
  }
  // The row as floats to be subtracted, with zeros behind it. Prepared rows are translated first: floats of rows
  // that lie close together then keep their differences. Those of other rows are exact.
  void copy(int64_t at, float* to, const float* center) const {
    const int64_t d = p_.features;
    if constexpr (Metric::Row::has_info) {
      float rests[kFloatLanes];
      for (int64_t k = 0; k < d; k += kFloatLanes)
        load(at, info(at), k, k + kFloatLanes < d ? k + kFloatLanes : d, center, to + k, rests);
    } else {
      __builtin_memcpy(to, raw(at), static_cast<size_t>(d) * sizeof(float));
    }
    for (int64_t k = d; k < padded_features(d); ++k) to[k] = 0.0f;
  }

  // The squared norm of a row, or NaN, which no comparison trusts, where products of floats cannot stand for it.
  static SplitNorm norm(double squares) {
    return SplitNorm(squares == 0.0 || (squares > 1e-30 && squares < 1e36) ? squares : NAN);
  }

 private:
  const Problem& p_;
  const Side& side_;
  const int64_t batch_;
  const RowInfo<double>* infos_;
};

// A vector near the middle of y, the mean of a few of its rows; and behind it the share that the largest feature
// has in their variance.
template <class Metric>
void find_center(const Problem& p, int64_t batch, const void* infos, float* center) {
  constexpr int64_t kSamples = 64;
  const FloatRows<Metric> rows(p, p.right, batch, infos);
  const int64_t samples = p.right.count < kSamples ? p.right.count : kSamples;
  for (int64_t k = 0; k < p.features; ++k) center[k] = 0.0f;
  for (int64_t s = 0; s < samples; ++s) {
    const int64_t at = s * p.right.count / samples;
    const float* row = rows.raw(at);
    const RowInfo<double> facts = rows.info(at);
    for (int64_t k = 0; k < p.features; ++k)
      center[k] += static_cast<float>(Metric::Row::prepare(static_cast<double>(row[k]), facts));
  }
  for (int64_t k = 0; k < p.features; ++k) {
    const float mean = center[k] / static_cast<float>(samples);
    center[k] = mean - mean == 0.0f ? mean : 0.0f;  // not of infinities or NaN
  }
  double largest = 0.0, sum = 0.0;
  constexpr int64_t kFeatures = 64;
  for (int64_t first = 0; first < p.features; first += kFeatures) {
    const int64_t count = p.features - first < kFeatures ? p.features - first : kFeatures;
    double squares[kFeatures] = {};
    for (int64_t s = 0; s < samples; ++s) {
      const int64_t at = s * p.right.count / samples;
      const float* row = rows.raw(at) + first;
      const RowInfo<double> facts = rows.info(at);
      for (int64_t k = 0; k < count; ++k) {
        const double off =
            Metric::Row::prepare(static_cast<double>(row[k]), facts) - center[first + k];
        squares[k] += off * off;
      }
    }
    for (int64_t k = 0; k < count; ++k) {
      sum += squares[k];
      largest = squares[k] > largest ? squares[k] : largest;
    }
  }
  center[p.features] = sum > 0.0 ? static_cast<float>(largest / sum) : 0.0f;
}

// to[k * stride + row] = from[row * kChunkFeatures + k], in squares of four.
constexpr int64_t kChunkFeatures = 64;
SEMIDEEP_INLINE void transpose(const float* from, int64_t rows, int64_t features, float* to,
                               int64_t stride) {
  typedef float Four __attribute__((vector_size(16)));
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

// Packs panels [begin, end) of the columns of a span.
template <class Metric>
void pack_float_panels(const Problem& p, const Block& span, int64_t begin, int64_t end,
                       float* packed) {
  const FloatLayout at(p, Metric::Row::has_info);
  const FloatRows<Metric> rows(p, p.right, span.batch, span.right_info);
  const Attachments<double> attached{p, span.batch};
  const float* middle = static_cast<const float*>(span.plan);
  alignas(64) float values[kPanelColumns * kChunkFeatures], rests[kPanelColumns * kChunkFeatures];
  for (int64_t panel = begin; panel < end; ++panel) {
    float* to = packed + panel * at.panel;
    // Lanes past the end repeat the last row, with the value 0.
    const auto is_column = [&](int64_t lane) {
      return span.column_begin + panel * kPanelColumns + lane < span.column_end;
    };
    const auto column = [&](int64_t lane) {
      return is_column(lane) ? span.column_begin + panel * kPanelColumns + lane
                             : span.column_end - 1;
    };
    double squares[kPanelColumns] = {};
    for (int64_t k = 0; k < p.features; k += kChunkFeatures) {
      const int64_t stop = k + kChunkFeatures < p.features ? k + kChunkFeatures : p.features;
      for (int64_t lane = 0; lane < kPanelColumns; ++lane)
        squares[lane] += rows.load(column(lane), rows.trusted_info(column(lane)), k, stop,
                                   at.products ? middle : nullptr, values + lane * kChunkFeatures,
                                   rests + lane * kChunkFeatures);
      transpose(values, kPanelColumns, stop - k, to + k * kPanelColumns, kPanelColumns);
      if (at.stats > at.rests)
        transpose(rests, kPanelColumns, stop - k, to + at.rests + k * kPanelColumns, kPanelColumns);
    }
    for (int64_t lane = 0; lane < kPanelColumns; ++lane) {
      if (at.products) {
        const SplitNorm norm = rows.norm(squares[lane]);
        to[at.norms + lane] = norm.hi;
        to[at.norms + kPanelColumns + lane] = norm.lo;
      }
      if constexpr (Metric::Row::has_info)
        to[at.stats + lane] = static_cast<float>(rows.info(column(lane)).stat);
      if (at.panel > at.plain)
        rows.copy(column(lane), to + at.plain + lane * padded_features(p.features), middle);
      for (int64_t l = 0; l < p.parameters; ++l)
        for (int64_t c = 0; c < p.columns; ++c)
          to[at.values + (l * p.columns + c) * kPanelColumns + lane] =
              is_column(lane) ? static_cast<float>(attached.value(p.right, l, column(lane), c))
                              : 0.0f;
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
