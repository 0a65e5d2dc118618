// What a metric does to each row once, before rows meet in pairs.
//
// A policy offers
//   describe(load, features)  facts of one row; load(k) returns feature k. With a team as the third argument, a
//                             member of it that has some of the features; what a member lacks, the team adds
//   prepare(value, info)      the feature that the pair loop sees
//   pull_back(g, x, info, dot)  gradient by the prepared feature -> gradient by the raw one, where
//                             x is the prepared feature and dot = sum_k g_k x_k
// on a scalar type S: double, long double or Dual of one.
#pragma once

#include <cstdint>

#include "core/math.h"

SEMIDEEP_MATH_BEGIN

template <class S>
struct RowInfo {
  S scale;  // factors that prepare() applies, in this order
  S inverse_norm;
  S stat;  // what Metric::distance wants to know of the row; NaN if the row has a NaN
};

/// The team of one that has the whole row.
struct Alone {
  template <class S>
  SEMIDEEP_INLINE S sum(S mine) const {
    return mine;
  }
  SEMIDEEP_INLINE double largest(double mine) const { return mine; }
};

/// Rows as they are.
struct RawRow {
  static constexpr bool has_info = false;
  template <class S, class Load, class Team = Alone>
  static SEMIDEEP_INLINE RowInfo<S> describe(const Load&, int64_t, const Team& = {}) {
    return {S(1.0), S(1.0), S(0.0)};
  }
  template <class S>
  static SEMIDEEP_INLINE S prepare(S value, const RowInfo<S>&) {
    return value;
  }
  template <class S>
  static SEMIDEEP_INLINE S pull_back(S gradient, S, const RowInfo<S>&, S) {
    return gradient;
  }
};

/// Rows as they are, for metrics that only ask whether two values differ: a comparison hides a NaN, so
/// stat carries it.
struct CategoryRow : RawRow {
  static constexpr bool has_info = true;
  template <class S, class Load, class Team = Alone>
  static SEMIDEEP_INLINE RowInfo<S> describe(const Load& load, int64_t features,
                                             const Team& team = {}) {
    S stat(0.0);
    for (int64_t k = 0; k < features; ++k) {
      const S value = load(k);
      if (value != value) stat = value;
    }
    return {S(1.0), S(1.0), team.sum(stat)};
  }
};

/// Each value becomes 1 where it is not zero, else 0; stat is their number.
struct SupportRow {
  static constexpr bool has_info = true;
  template <class S, class Load, class Team = Alone>
  static SEMIDEEP_INLINE RowInfo<S> describe(const Load& load, int64_t features,
                                             const Team& team = {}) {
    S stat(0.0);
    for (int64_t k = 0; k < features; ++k) {
      const S value = load(k);
      stat = stat + (value == value ? prepare(value, RowInfo<S>{}) : value);
    }
    return {S(1.0), S(1.0), team.sum(stat)};
  }
  template <class S>
  static SEMIDEEP_INLINE S prepare(S value, const RowInfo<S>&) {
    return select(value == S(0.0), S(0.0), S(1.0));
  }
  template <class S>
  static SEMIDEEP_INLINE S pull_back(S gradient, S, const RowInfo<S>&, S) {
    return gradient;
  }
};

/// Rows of length one; stat is 0 for a zero row, else 1.
///
/// The row is first multiplied by the power of two that brings its largest magnitude near 1: exact, and
/// the sum of squares can then neither overflow nor underflow, so no epsilon is needed.
struct UnitRow {
  static constexpr bool has_info = true;
  template <class S, class Load, class Team = Alone>
  static SEMIDEEP_INLINE RowInfo<S> describe(const Load& load, int64_t features,
                                             const Team& team = {}) {
    const double largest = team.largest(largest_magnitude<S>(load, features));
    // A row of NaN has no magnitude above 0 either: the norm below, not `largest`, tells it apart.
    const S scale(power_of_two_below(largest));
    S sum(0.0);
    for (int64_t first = 0; first < features; first += kBlock)
      sum =
          sum + squares(load, scale, first, first + kBlock < features ? first + kBlock : features);
    sum = team.sum(sum);
    if (sum == S(0.0)) return {S(1.0), S(1.0), S(features == 0 ? 1.0 : 0.0)};
    const S norm = sqrt(sum);
    return {scale, S(1.0) / norm, S(1.0) + S(0.0) * norm};
  }
  template <class S>
  static SEMIDEEP_INLINE S prepare(S value, const RowInfo<S>& info) {
    return value * info.scale * info.inverse_norm;
  }
  // d(x/|x|)/dx = (I - u u^T) / |x| with u = x/|x|
  template <class S>
  static SEMIDEEP_INLINE S pull_back(S gradient, S unit, const RowInfo<S>& info, S dot) {
    return (gradient - dot * unit) * info.inverse_norm * info.scale;
  }

 private:
  // In blocks, so that the rounding error does not grow with the number of features, and in ways, so that the
  // additions do not wait for each other.
  static constexpr int64_t kBlock = 128;
  static constexpr int kWays = 8;

  template <class S, class Load>
  static SEMIDEEP_INLINE double largest_magnitude(const Load& load, int64_t features) {
    double largest[kWays] = {};
    const auto see = [&](int64_t k, int way) {
      const double magnitude = ::fabs(static_cast<double>(primal(load(k))));
      largest[way] = magnitude > largest[way] ? magnitude : largest[way];
    };
    int64_t k = 0;
    for (; k + kWays <= features; k += kWays)
      for (int way = 0; way < kWays; ++way) see(k + way, way);
    for (; k < features; ++k) see(k, 0);
    for (int way = 1; way < kWays; ++way)
      largest[0] = largest[way] > largest[0] ? largest[way] : largest[0];
    return largest[0];
  }

  template <class S, class Load>
  static SEMIDEEP_INLINE S squares(const Load& load, S scale, int64_t begin, int64_t end) {
    S parts[kWays] = {S(0.0), S(0.0), S(0.0), S(0.0), S(0.0), S(0.0), S(0.0), S(0.0)};
    const auto add = [&](int64_t k, int way) {
      const S value = load(k) * scale;
      parts[way] = fma(value, value, parts[way]);
    };
    int64_t k = begin;
    for (; k + kWays <= end; k += kWays)
      for (int way = 0; way < kWays; ++way) add(k + way, way);
    for (; k < end; ++k) add(k, 0);
    for (int width = kWays / 2; width > 0; width /= 2)
      for (int way = 0; way < width; ++way) parts[way] = parts[way] + parts[way + width];
    return parts[0];
  }

  static SEMIDEEP_INLINE double power_of_two_below(double largest) {
    if (!(largest > 0.0 && largest <= 1.7976931348623157e308)) return 1.0;
    int exponent;
    (void)::frexp(largest, &exponent);
    // 2^1022 and 2^-1022 are the last powers of two that are normal numbers in both directions.
    exponent = exponent > 1022 ? 1022 : exponent < -1022 ? -1022 : exponent;
    return ::ldexp(1.0, -exponent);
  }
};

SEMIDEEP_MATH_END
