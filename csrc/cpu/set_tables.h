// Kernels of small sets, looked up.
//
// With D features, the kernel of two sets depends on the sum of their sizes and on the number of common elements,
// of which at most D / 2 + 1 are possible for one sum. Columns are ordered by size, so that most vectors hold
// columns of one size: all their lanes then look into one short table. Where a vector holds several sizes, the
// kernel is computed; the tables hold the same bits.
#pragma once

#include "cpu/count_codes.h"
#include "cpu/word_vec.h"

SEMIDEEP_MATH_BEGIN

class SetTables {
 public:
  static constexpr int64_t kEntries = 64;
#if defined(__AVX512F__)
  static constexpr int64_t kMostFeatures = 2 * (kEntries - 1);
#else
  static constexpr int64_t kMostFeatures = 0;  // one instruction looks into too few entries
#endif
  static constexpr double kLeastPairs = 1 << 16;
  static constexpr int64_t kMostBytes = int64_t{1} << 20;

  // Whether columns are ordered. It says in which order kernels are summed, so it must follow from the features
  // and the type alone: results are to have the same bits for any split of the rows.
  static bool order(const Problem& p) {
    return p.dtype == DType::float32 && p.features <= kMostFeatures && p.right.count <= INT32_MAX;
  }
  static bool pay(const Problem& p) {
    return order(p) && p.batches * bytes(p) <= kMostBytes &&
           static_cast<double>(p.left.count) * static_cast<double>(p.right.count) > kLeastPairs;
  }
  static int64_t bytes(const Problem& p) {
    return p.parameters * tables(p.features) * kEntries * static_cast<int64_t>(sizeof(float));
  }

  // The memory behind a plan, as it is.
  SetTables(const void* memory, int64_t features)
      : entries_(static_cast<float*>(const_cast<void*>(memory))), features_(features) {}

  // kernel(l, sum, common) is that of parameter l and two sets with so many elements in all, for vectors of
  // numbers of common elements.
  template <class GetKernel>
  void fill(int64_t parameters, GetKernel&& kernel) {
    float lanes[kFloatLanes];
    for (int lane = 0; lane < kFloatLanes; ++lane) lanes[lane] = static_cast<float>(lane);
    float* to = entries_;
    for (int64_t l = 0; l < parameters; ++l)
      for (int64_t sum = 0; sum < tables(features_); ++sum)
        for (int64_t i = 0; i < kEntries; i += kFloatLanes, to += kFloatLanes)
          kernel(l, static_cast<float>(sum),
                 FloatVec(static_cast<float>(least_common(sum) + i)) + FloatVec::load(lanes))
              .store(to);
  }

  SEMIDEEP_INLINE FloatVec kernel(int64_t l, int64_t sum, WordVec common) const {
    const float* table = entries_ + (l * tables(features_) + sum) * kEntries;
    const int64_t least = least_common(sum);
    const WordVec index = common - WordVec(static_cast<uint32_t>(least));
#if defined(__AVX512F__)
    const __m512i at = (__m512i)index.v;
    const __m512 low =
        _mm512_permutex2var_ps(_mm512_loadu_ps(table), at, _mm512_loadu_ps(table + 16));
    if (sum / 2 - least < 32) return FloatVec::Native(low);
    const __m512 high =
        _mm512_permutex2var_ps(_mm512_loadu_ps(table + 32), at, _mm512_loadu_ps(table + 48));
    const __mmask16 is_high = _mm512_test_epi32_mask(at, _mm512_set1_epi32(32));
    return FloatVec::Native(_mm512_mask_blend_ps(is_high, low, high));
#else
    (void)table, (void)index;
    return FloatVec(0.0f);  // not reached: kMostFeatures
#endif
  }

 private:
  static int64_t tables(int64_t features) { return 2 * features + 1; }
  SEMIDEEP_INLINE int64_t least_common(int64_t sum) const {
    return sum > features_ ? sum - features_ : 0;
  }

  float* entries_;
  int64_t features_;
};

// Gives each place the column that stands there when columns are ordered by size; those with a NaN come last.
inline void order_by_size(const Problem& p, void* infos) {
  int64_t starts[SetTables::kMostFeatures + 3] = {};
  const auto size = [&](int64_t j) {
    const float stat = count_info(p, infos, j).stat;
    return stat == stat ? static_cast<int64_t>(stat) : p.features + 1;
  };
  for (int64_t j = 0; j < p.right.count; ++j) ++starts[size(j) + 1];
  for (int64_t i = 0; i <= p.features; ++i) starts[i + 1] += starts[i];
  for (int64_t j = 0; j < p.right.count; ++j)
    count_info(p, infos, starts[size(j)]++).at_place = static_cast<int32_t>(j);
}

SEMIDEEP_MATH_END
