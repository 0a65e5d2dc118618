// Which pairs of rows float arithmetic answers to the promised accuracy, and the others' answer in double.
//
// Promised is a relative error of 1e-6 in exp(-lambda d) while lambda d <= 20. A relative error e of d is one of
// lambda d e. Where what rounding is expected to leave (four standard errors) could exceed kTolerance, a pair is
// taken again in double, from the rows as they were given. Whatever floats cannot hold (infinities, NaN, lambdas
// out of range) fails the comparisons below and goes the same way.
#pragma once

#include "cuda/access.h"
#include "cuda/float_pair.h"
#include "cuda/pass.h"

SEMIDEEP_MATH_BEGIN

constexpr float kTolerance = 8e-7f;
constexpr float kLog2E = 1.44269504f;
constexpr float kCareBits = 21.0f * kLog2E;  // beyond, an error of the tolerance in d is harmless
constexpr float kLeastCareBits = 0.01f;      // so that equal rows are recognised under any lambda
// Up to where the root of a sum of squares of differences is trusted. Of millions of simulated pairs, features of
// falling size and a dominant one the worst, none was off by more than 1.4e-7 and 1.7e-7: 9e-7 in the kernel.
__host__ __device__ inline float direct_care_bits(int64_t features) {
  return (features <= 4 ? 6.2f : 5.4f) * kLog2E;
}
// Rows of length one are rounded to floats: an error of about 2^-24 |u - v| in their distance |u - v|^2 / 2.
constexpr float kUnitRowCare = 40.0f;
constexpr float kRoundedDistance = 0.05f;
// Products of rows split in two (float_product_tile.h) leave kSplitError * concentration * (|x|^2 + |y|^2), and their
// sum kSumError |<x, y>|, in a squared distance.
constexpr float kSplitError = 3e-7f, kSumError = 4.0f * 0x1p-23f;

// Of gradients: their relative error; and of pairs that hardly count, that of the weight. No weight beyond so many
// bits is a float.
constexpr float kGradientTolerance = 1e-6f, kFarTolerance = 0.5f;
constexpr float kMostBits = 150.0f;
// Products of values that floats multiply by whatever weights may be.
constexpr float kMostProduct = 1e15f;

// Squared distances of prepared rows, which are no floats, between which the difference of floats is good enough.
// Of nearly opposite unit rows, floats lose the small part across the row that is left when it is pulled back.
constexpr float kLeastPreparedSquares = 1e-3f, kMostPreparedSquares = 4.0f - 2.5e-3f;

// Lambdas for which the arithmetic of floats stays in range wherever exp(-lambda d) matters.
constexpr double kLeastLambda = 1e-12, kLargestLambda = 1e6, kLargestRatio = 1e3;

template <class Metric>
struct FloatCare {
  static_assert(Metric::sum_of == SumOf::squares, "serves sums of squares alone");
  float from, to;  // the distances between which direct differences are taken again
  float beyond;    // where only a large error matters
  // Weights of an error of the squares, which may not exceed these: a + b d up to `beyond`, then c.
  struct Weights {
    float a, b, c;
  } sum, gradient;
  float most;  // of d, in the gradient's

  __device__ FloatCare(const Problem& p, int64_t batch) {
    double least = kLargestLambda, largest = kLeastLambda;
    bool in_range = true;
    for (int64_t l = 0; l < p.parameters; ++l) {
      const double lambda = p.parameter[batch * p.parameters + l];
      in_range = in_range && lambda >= kLeastLambda && lambda <= kLargestLambda;
      least = lambda < least ? lambda : least;
      largest = lambda > largest ? lambda : largest;
    }
    in_range = in_range && largest <= kLargestRatio * least;
    const float lambda_bits = static_cast<float>(largest) * kLog2E;
    constexpr float power = static_cast<float>(Metric::power);
    beyond = kCareBits / (static_cast<float>(least) * kLog2E);
    to = beyond;
    from = direct_care_bits(p.features) * 0.5f / power / lambda_bits;
    const float of_sum = power / (kTolerance * kLog2E);
    sum = {kLeastCareBits * of_sum, lambda_bits * of_sum, kLog2E};
    const float of_gradient = power / (kGradientTolerance * kLog2E);
    gradient = {kLog2E * of_gradient, lambda_bits * of_gradient,
                (kLog2E + kMostBits) * power / (kFarTolerance * kLog2E)};
    most = kMostBits / lambda_bits;
    if (Metric::Row::has_info) {
      const float lambda = static_cast<float>(largest);
      from = ::fminf(from, kUnitRowCare / (lambda * lambda));
      beyond = ::fmaxf(beyond, kRoundedDistance);
    }
    if (!in_range) {
      from = -1.0f;
      to = INFINITY;
      sum = gradient = {NAN, NAN, NAN};
    }
  }

  // Negated comparisons: NaN is doubtful. So is an infinity, which the root of a pair makes NaN, and a negative sum of
  // squares, whose distance makes a weight negative under a large lambda.
  __device__ bool doubts_differences(float d) const {
    const bool finite = Metric::power < 1.0 || d < INFINITY;
    return !(d <= from) && !(d >= to && finite);
  }
  __device__ bool doubts_products(float d, float squares, float error) const {
    const float weight = d < beyond ? ::fmaf(sum.b, d, sum.a) : sum.c;
    return !(error * ::fabsf(weight) <= squares);
  }
  // The weight of a difference takes lambda and 1 / d, or d, besides exp(-lambda d): one more error of d.
  __device__ bool doubts_gradient(float d, float squares, float error) const {
    const float weight = d < beyond ? ::fmaf(gradient.b, ::fminf(d, most), gradient.a) : gradient.c;
    const bool rounded = Metric::Row::has_info &&
                         !(squares >= kLeastPreparedSquares && squares <= kMostPreparedSquares);
    return !(error * ::fabsf(weight) <= squares) || rounded;
  }
};

// The distance of one pair in double, by one thread or by the Lanes of a warp, all of which get it.
template <class Metric, int Lanes>
__device__ double exact_distance(const Problem& p, const Pass& pass, int64_t batch, int64_t row,
                                 int64_t column) {
  const RowReader<double> x(p, p.left, batch, row), y(p, p.right, batch, column);
  const auto of_x = info_of<double, Metric>(p, p.left, pass.left_info, batch, row);
  const auto of_y = info_of<double, Metric>(p, p.right, pass.right_info, batch, column);
  double sum = 0.0;
  for (int64_t k = threadIdx.x % Lanes; k < p.features; k += Lanes)
    sum =
        Metric::accumulate(sum, Metric::Row::prepare(x(k), of_x), Metric::Row::prepare(y(k), of_y));
  for (int step = Lanes / 2; step > 0; step /= 2) sum += shuffle_xor(sum, step);
  return Metric::distance(sum, of_x.stat, of_y.stat, static_cast<double>(p.features));
}

// The distance of rows whose sum of squares is a float, or a pair of them.
template <class Metric>
__device__ __forceinline__ FloatPair float_distance(FloatPair sum, int64_t features) {
  return Metric::distance(sum, FloatPair(1.0f, 0.0f), FloatPair(1.0f, 0.0f),
                          FloatPair(static_cast<float>(features), 0.0f));
}

// A kernel's parameter for logarithms to base 2: log_value is linear in it.
__device__ __forceinline__ FloatPair bits_parameter(const Problem& p, int64_t batch, int64_t l) {
  return FloatPair(p.parameter[batch * p.parameters + l] * 1.4426950408889634);
}

SEMIDEEP_MATH_END
