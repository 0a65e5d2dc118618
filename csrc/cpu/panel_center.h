// What is decided from a few right rows before any is packed: the vector by which all rows are translated.
#pragma once

#include "cpu/panel_rows.h"

SEMIDEEP_MATH_BEGIN

constexpr int64_t kSamples = 64;

// A vector near the middle of y, the mean of a few of its rows; and behind it the share that the largest feature
// has in their variance.
template <class Metric, class E, class T>
void find_center(const Problem& p, int64_t batch, const void* infos, E* center) {
  const PanelRows<Metric, E> rows(p, p.right, batch, infos);
  const int64_t samples = p.right.count < kSamples ? p.right.count : kSamples;
  for (int64_t k = 0; k < p.features; ++k) center[k] = E(0);
  for (int64_t s = 0; s < samples; ++s) {
    const int64_t at = s * p.right.count / samples;
    const T* row = rows.template raw<T>(at);
    const RowInfo<double> facts = rows.info(at);
    for (int64_t k = 0; k < p.features; ++k)
      center[k] += static_cast<E>(Metric::Row::prepare(static_cast<double>(row[k]), facts));
  }
  for (int64_t k = 0; k < p.features; ++k) {
    const E mean = center[k] / static_cast<E>(samples);
    center[k] = mean - mean == E(0) ? mean : E(0);  // not of infinities or NaN
  }
  double largest = 0.0, sum = 0.0;
  constexpr int64_t kFeatures = 64;
  for (int64_t first = 0; first < p.features; first += kFeatures) {
    const int64_t count = p.features - first < kFeatures ? p.features - first : kFeatures;
    double squares[kFeatures] = {};
    for (int64_t s = 0; s < samples; ++s) {
      const int64_t at = s * p.right.count / samples;
      const T* row = rows.template raw<T>(at) + first;
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
  center[p.features] = sum > 0.0 ? static_cast<E>(largest / sum) : E(0);
}

SEMIDEEP_MATH_END
