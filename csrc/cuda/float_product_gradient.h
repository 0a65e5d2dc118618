// Gradients of the weighted sum of float32 rows of many features.
//
//     dF/dx_i = sum_j w_ij (x_i - y_j),  w_ij = sum_l s_lij k_l'(d_ij) c(d_ij),
// with c the metric's gradient factor and s_lij = sum_c left.values[l, i, c] right.values[l, j, c].
//
// Features pass through shared memory twice for each tile of 64 rows by 128 columns: for products, which give
// distances and so weights (float_product_tile.h), and for what these weigh. With translated rows that is
//     x_i sum_j w_ij - sum_j w_ij y_j,
// again by products, of weights split as rows are; the first term comes last. Little is lost in this difference: pairs
// whose squared distance is less than a tenth of |x_i|^2 + |y_j|^2 are among those that float arithmetic does not
// answer (FloatCare). Those weigh 0; a bit remembers them, and they are taken in double.
#pragma once

#include "cuda/float_product_tile.h"

SEMIDEEP_MATH_BEGIN

// More would not fit the 64 KiB of compute capability 7.5. A tile has at least two steps: fewer features are
// float_direct_gradient.h's.
constexpr int kGradientStages = 2, kGradientSlots = 2;

struct ProductGradientShared {
  ProductShared<kGradientStages, kGradientSlots> tile;
  // Of each row's octets of columns two pieces: high and low halves of scaled weights; and what those of a warp are to
  // be multiplied by.
  Piece weights[2][kProductColumns / 8][kUnitRows];
  float units[kProductColumns / 32][kUnitRows];
  uint32_t doubtful[kUnitRows][kProductColumns / 32];  // one bit for each column
};
static_assert(sizeof(ProductGradientShared) <= 64 * 1024);

template <class Metric, int Sums>
class ProductGradient {
  static_assert(kAlongDifference<Metric>, "serves gradients along x - y alone");

 public:
  __device__ ProductGradient(const Problem& problem, const Pass& pass, const FloatFacts& facts,
                             const Place& place, int64_t group)
      : p_(problem),
        pass_(pass),
        place_(place),
        group_(static_cast<int>(group)),
        care_(problem, place.batch),
        shared_(*cuda::shared_memory<ProductGradientShared>()),
        tile_(problem, facts, place, shared_.tile),
        center_(facts.center_of(place.batch)) {
#pragma unroll
    for (int s = 0; s < Sums; ++s) {
      parameters_[s] = bits_parameter(p_, place.batch, lambda_of(s));
      lambdas_[s] = static_cast<float>(parameter(s));
    }
  }

  __device__ void run() {
    for (int64_t i = threadIdx.x; i < place_.rows * pass_.width; i += kProductThreads) {
      const int64_t k = i % pass_.width;
      if (k >= rows_width() ? group_ == 0 : k >= begin_feature() && k < end_feature())
        partial_of_place()[i] = 0.0;
    }
    int tiles = 0;
    const int64_t first = begin_feature() / kStepFeatures;
    const int64_t last = (end_feature() + kStepFeatures - 1) / kStepFeatures;
    const StepRange mine{static_cast<int>(first), static_cast<int>(last - first)};
    const auto nothing = [](const StepPlace&, int) {};
    tile_.run(mine, nothing, [&](const ProductStage& stage, const StepPlace& at) {
      if (at.step >= tile_.steps()) {
        subtract_products(stage,
                          begin_feature() + int64_t{at.step - tile_.steps()} * kStepFeatures);
        return;
      }
      tile_.multiply(stage);
      if (at.step + 1 < tile_.steps()) return;
      find_weights(at);
      tile_.clear();
      __syncthreads();
      mend(at.begin);
      if (++tiles % kProductFlushTiles == 0) by_parameter_.flush(Tile::t());
    });
    add_rows();
    if (group_ > 0) return;
    by_parameter_.flush(Tile::t());
    by_parameter_.totals.for_totals(place_.rows, [&](int row, int s, double total) {
      if (s < sums()) partial_of_place()[row * pass_.width + rows_width() + lambda_of(s)] += total;
    });
  }

 private:
  using Tile = ProductTile<Metric, kGradientStages, kGradientSlots>;
  static constexpr int kWarpRows = kUnitRows / (kProductThreads / kWarp);

  __device__ double* partial_of_place() const {
    return static_cast<double*>(pass_.partial) + place_.partial * pass_.width;
  }
  // The features whose gradients this block finds.
  __device__ int64_t rows_width() const { return pass_.width - p_.parameters; }
  __device__ int64_t begin_feature() const { return group_ * pass_.group_features; }
  __device__ int64_t end_feature() const {
    const int64_t end = begin_feature() + pass_.group_features;
    return end < rows_width() ? end : rows_width();
  }
  __device__ int64_t sums() const { return p_.parameters * p_.columns; }
  __device__ int64_t lambda_of(int s) const { return (s < sums() ? s : sums() - 1) / p_.columns; }
  __device__ double parameter(int s) const {
    return p_.parameter[place_.batch * p_.parameters + lambda_of(s)];
  }
  __device__ double value(const Side& side, int s, int64_t at) const {
    return value_at(p_, side, place_.batch, lambda_of(s), at, s % p_.columns);
  }

  __device__ void find_weights(const StepPlace& tile) {
    float left[8][Sums];
#pragma unroll
    for (int r = 0; r < 8; ++r)
#pragma unroll
      for (int s = 0; s < Sums; ++s)
        left[r][s] =
            s < sums() ? static_cast<float>(value(p_.left, s, tile_.row_at(Tile::row(r)))) : 0.0f;
    uint32_t doubtful[8] = {};  // of each row, a bit for each of the warp's columns
    tile_.for_distances(tile, [&](int c, auto&& pairs) {
      const int column = tile.begin + Tile::column(c);
      const bool exists = tile_.has_column(column);
      float right[Sums];
#pragma unroll
      for (int s = 0; s < Sums; ++s)
        right[s] = exists && s < sums()
                       ? static_cast<float>(value(p_.right, s, tile_.column_at(column)))
                       : 0.0f;
      pairs([&](int r, FloatPair d, const PairSquares& of) {
        float products[Sums];
        bool doubt = care_.doubts_gradient(d.hi, of.squares, of.error);
#pragma unroll
        for (int s = 0; s < Sums; ++s) {
          products[s] = left[r][s] * right[s];
          doubt = doubt || !(::fabsf(products[s]) <= kMostProduct);
        }
        const bool counts = exists && !doubt;
        if (exists && doubt) doubtful[r] |= 1u << (c / 2 * 8 + c % 2);
        // Of rows that float arithmetic finds equal, both are the center: nothing was lost.
        const float distance = doubt ? 1.0f : of.squares > 0.0f ? d.hi + d.lo : 0.0f;
        float weight = 0.0f;
#pragma unroll
        for (int s = 0; s < Sums; ++s) {
          const ScaledPower kernel = exp2(Exponential::log_value(d, parameters_[s]));
          const float power = counts ? kernel.power : 0.0f;
          const float product = counts ? kernel.unit * products[s] : 0.0f;
          weight = ::fmaf(product, Exponential::by_distance(power, distance, lambdas_[s]), weight);
          by_parameter_.sums[r][s] =
              ::fmaf(product, Exponential::by_parameter(power, distance, lambdas_[s]),
                     by_parameter_.sums[r][s]);
        }
        tile_.product(r, c) = counts ? weight * Metric::gradient(distance, 1.0f, 1.0f) : 0.0f;
      });
    });
    split_weights(tile);
#pragma unroll
    for (int r = 0; r < 8; ++r) {
      uint32_t word = doubtful[r] << 2 * Tile::t();
      word |= __shfl_xor_sync(0xffffffffu, word, 1);
      word |= __shfl_xor_sync(0xffffffffu, word, 2);
      if (Tile::t() == r / 2) shared_.doubtful[Tile::row(r)][Tile::warp()] = word;
    }
  }

  // Weights of what shared memory has of y, scaled features; and the sums of those of features as given.
  __device__ void split_weights(const StepPlace& tile) {
    float sums[8][1], largest[8];
#pragma unroll
    for (int r = 0; r < 8; ++r) sums[r][0] = largest[r] = 0.0f;
#pragma unroll
    for (int c = 0; c < 8; ++c) {
      const float unit = tile_.column_unit(tile, c);
#pragma unroll
      for (int r = 0; r < 8; ++r) {
        float& weight = tile_.product(r, c);
        sums[r][0] += weight;
        weight *= unit;
        largest[r] = ::fmaxf(largest[r], ::fabsf(weight));
      }
    }
    row_weights_.add(sums, Tile::t());
#pragma unroll
    for (int r = 0; r < 8; ++r) {
      float most = largest[r];
      most = ::fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 1));
      most = ::fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 2));
      int exponent = kHalfExponent - log2_below(most);
      exponent = exponent < 126 ? exponent : 126;  // of a row without weights
      const float scale = power_of_two(exponent);
      if (Tile::t() == r % 4) shared_.units[Tile::warp()][Tile::row(r)] = power_of_two(-exponent);
#pragma unroll
      for (int c = 0; c < 8; c += 2) {
        const SplitPair pair(tile_.product(r, c) * scale, tile_.product(r, c + 1) * scale);
        const int octet = Tile::column(c) / 8, row = Tile::row(r);
        shared_.weights[0][octet][row].words[Tile::t()] = pair.high;
        shared_.weights[1][octet][row].words[Tile::t()] = pair.low;
      }
    }
  }

  // Takes what was left out; a warp has 16 of the rows, in this and in subtract_products().
  __device__ void mend(int begin) {
    constexpr int kWords = kProductColumns / 32;
#pragma unroll 1
    for (int first = 0; first < kWarpRows * kWords; first += kWarp) {
      const int mine = first + Tile::lane();
      const uint32_t word =
          shared_.doubtful[Tile::warp() * kWarpRows + mine / kWords][mine % kWords];
      unsigned lanes = __ballot_sync(0xffffffffu, word != 0);
      for (; lanes != 0; lanes &= lanes - 1) {
        const int source = __ffs(static_cast<int>(lanes)) - 1, i = first + source;
        const int row = Tile::warp() * kWarpRows + i / kWords;
        uint32_t bits = __shfl_sync(0xffffffffu, word, source);
        if (row >= place_.rows) continue;
        for (; bits != 0; bits &= bits - 1)
          add_in_double(
              row, tile_.column_at(begin + i % kWords * 32 + __ffs(static_cast<int>(bits)) - 1));
      }
    }
  }

  // By a warp: a lane has the same features of every column.
  __device__ void add_in_double(int row, int64_t column) {
    const int64_t at = place_.row_begin + row;
    const RowReader<double> x(p_, p_.left, place_.batch, at);
    const RowReader<double> y(p_, p_.right, place_.batch, column);
    const auto of_x = info_of<double, Metric>(p_, p_.left, pass_.left_info, place_.batch, at);
    const auto of_y = info_of<double, Metric>(p_, p_.right, pass_.right_info, place_.batch, column);
    const double d = exact_distance<Metric, kWarp>(p_, pass_, place_.batch, at, column);
    double* partial = partial_of_place() + row * pass_.width;
    double weight = 0.0;
    for (int s = 0; s < sums(); ++s) {
      const double lambda = parameter(s), kernel = Exponential::value(d, lambda, 0.0);
      const double product = value(p_.left, s, at) * value(p_.right, s, column);
      weight = fma(product, Exponential::by_distance(kernel, d, lambda), weight);
      if (Tile::lane() == 0 && group_ == 0)
        partial[rows_width() + lambda_of(s)] +=
            product * Exponential::by_parameter(kernel, d, lambda);
    }
    weight *= Metric::gradient(d, of_x.stat, of_y.stat);
    for (int64_t k = begin_feature() + Tile::lane(); k < end_feature(); k += kWarp)
      partial[k] = fma(weight, Metric::Row::prepare(x(k), of_x) - Metric::Row::prepare(y(k), of_y),
                       partial[k]);
  }

  // A warp has 16 rows by 16 features, as two blocks of the instruction; each warp's columns have units of their own.
  __device__ void subtract_products(const ProductStage& stage, int64_t first) {
    const int block = Tile::lane() / 8, in_block = Tile::lane() % 8;
    const int rows = Tile::warp() * kWarpRows;
    float sums[2][4] = {};
#pragma unroll
    for (int strip = 0; strip < kProductColumns / 32; ++strip) {
      float parts[2][4] = {};
#pragma unroll
      for (int column = strip * 32; column < strip * 32 + 32; column += 16) {
        uint32_t weights[2][4], y[2][4];  // [high, low]
#pragma unroll
        for (int part = 0; part < 2; ++part) {
          cuda::load_matrices(
              weights[part],
              &shared_.weights[part][column / 8 + block / 2][rows + block % 2 * 8 + in_block]);
          cuda::load_matrices<true>(
              y[part],
              &stage.pieces[part][block / 2][kUnitRows + column + block % 2 * 8 + in_block]);
        }
#pragma unroll
        for (int n = 0; n < 2; ++n)
          multiply_split(parts[n], weights, {y[0][2 * n], y[0][2 * n + 1]},
                         {y[1][2 * n], y[1][2 * n + 1]});
      }
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        const float unit = shared_.units[strip][rows + 8 * h + Tile::g()];
#pragma unroll
        for (int i = 0; i < 4; ++i)
          sums[i / 2][2 * h + i % 2] =
              ::fmaf(unit, parts[i / 2][2 * h + i % 2], sums[i / 2][2 * h + i % 2]);
      }
    }
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const int row = rows + i / 2 % 2 * 8 + Tile::g();
      const int64_t feature = first + i / 4 * 8 + 2 * Tile::t() + i % 2;
      if (row < place_.rows && feature < end_feature())
        partial_of_place()[row * pass_.width + feature] -= static_cast<double>(sums[i / 4][i % 4]);
    }
  }

  // What subtract_products() leaves out.
  __device__ void add_rows() {
    auto* const weights = reinterpret_cast<double*>(&shared_.weights);
    row_weights_.for_totals(kUnitRows, [&](int row, int, double total) { weights[row] = total; });
    __syncthreads();
    const int64_t features = end_feature() - begin_feature();
    for (int64_t i = threadIdx.x; i < place_.rows * features; i += kProductThreads) {
      const int64_t row = i / features, k = begin_feature() + i % features;
      const auto info = info_of<double, Metric>(p_, p_.left, pass_.left_info, place_.batch,
                                                place_.row_begin + row);
      const RowReader<double> x(p_, p_.left, place_.batch, place_.row_begin + row);
      const double translated = Metric::Row::prepare(x(k), info) - static_cast<double>(center_[k]);
      double& partial = partial_of_place()[row * pass_.width + k];
      partial = fma(weights[row], translated, partial);
    }
  }

  const Problem& p_;
  const Pass& pass_;
  const Place& place_;
  const int group_;  // of features; what follows from it is found again, since registers are scarce
  const FloatCare<Metric> care_;
  ProductGradientShared& shared_;
  Tile tile_;
  const float* center_;
  RowTotals<1> row_weights_;
  FloatPair parameters_[Sums];
  float lambdas_[Sums];
  ProductSums<Sums> by_parameter_;
};

// partial[row] = (dF/dx in D scalars, if wanted; then dF/dparameter_l for each l)
template <class Metric, int Sums>
__global__ void __launch_bounds__(kProductThreads, 2)
    float_product_gradient(const Problem p, const Pass pass, const FloatFacts facts) {
  const Place place(p, pass, blockIdx.x / pass.groups);
  ProductGradient<Metric, Sums>(p, pass, facts, place, blockIdx.x % pass.groups).run();
}

SEMIDEEP_MATH_END
