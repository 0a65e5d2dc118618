// Which columns get codes, and that the codes tell their values apart.
#include <random>
#include <set>
#include <vector>

#include "backend.h"
#include "check.h"
#include "cpu/column_codes.h"

namespace {

using semideep::ColumnCodes;
using semideep::kChunkColumns;
using semideep::Learnt;
using semideep::Problem;

constexpr int64_t kRows = 1000;

// Columns of so many values each, the last of which only the last row of y has.
template <class T>
struct Data {
  std::vector<T> rows;
  Problem p;
  std::vector<uint64_t> memory;

  explicit Data(const std::vector<int>& values) {
    std::mt19937 random(1);
    const int64_t features = static_cast<int64_t>(values.size());
    for (int64_t i = 0; i < 2 * kRows; ++i)
      for (const int of_column : values) {
        const int64_t before =
            i < of_column - 1 ? i : random() % (of_column > 1 ? of_column - 1 : 1);
        rows.push_back(static_cast<T>(i == 2 * kRows - 1 ? of_column - 1 : before) / 4 - 1);
      }
    p.dtype = sizeof(T) == sizeof(float) ? semideep::DType::float32 : semideep::DType::float64;
    p.features = features;
    p.left.count = p.right.count = kRows;
    p.left.rows = rows.data();
    p.right.rows = rows.data() + kRows * features;
    p.left.rows_row_stride = p.right.rows_row_stride = features;
    memory.resize(ColumnCodes<T>::bytes(p) / sizeof(uint64_t) + 1);
  }

  Learnt learn() {
    Learnt learnt{false, false};
    for (int64_t chunk = 0; chunk * kChunkColumns < p.features; ++chunk)
      ColumnCodes<T>(memory.data(), p.features).learn(p, 0, chunk, learnt);
    return learnt;
  }
  bool codes_are_equal_where_values_are() const {
    const ColumnCodes<T> codes(memory.data(), p.features);
    for (int64_t k = 0; k < p.features; ++k) {
      std::set<T> values;
      std::set<uint32_t> found;
      std::set<std::pair<T, uint32_t>> pairs;
      for (int64_t i = 0; i < 2 * kRows; ++i) {
        const T value = rows[i * p.features + k];
        values.insert(value);
        found.insert(codes.code(k, value));
        pairs.emplace(value, codes.code(k, value));
      }
      if (found.size() != values.size() || pairs.size() != values.size() || *found.rbegin() > 255)
        return false;
    }
    return true;
  }
};

template <class T>
void check_type(const std::string& type) {
  check::that(ColumnCodes<T>::pays(Data<T>({2}).p), "codes of 1000 and 1000 rows pay: " + type);
  const struct {
    std::vector<int> values;
    bool beyond_two, too_many;
  } cases[] = {
      {{1}, false, false},
      {{2}, false, false},
      {std::vector<int>(40, 2), false, false},
      {{3}, true, false},
      {{256}, true, false},
      {{257}, true, true},
      {{2, 256, 1, 17, 2}, true, false},
      {{2, 256, 1, 257, 2}, true, true},
  };
  for (const auto& [values, beyond_two, too_many] : cases) {
    const std::string name = type + ", " + std::to_string(values.size()) +
                             " columns, the first of " + std::to_string(values[0]) + " values: ";
    Data<T> data(values);
    const Learnt learnt = data.learn();
    check::that(learnt.beyond_two == beyond_two, name + "whether bits do is known");
    check::that(learnt.too_many == too_many, name + "whether bytes do is known");
    if (!too_many)
      check::that(data.codes_are_equal_where_values_are(), name + "codes tell values apart");
    const T* first = ColumnCodes<T>(data.memory.data(), data.p.features).first();
    if (!beyond_two)
      for (size_t k = 0; k < values.size(); ++k)
        check::that(first[k] == data.rows[k], name + "bit 0 is the first value");
  }
}

}  // namespace

int main() {
  backend::skip_unless_available();
  check_type<float>("float");
  check_type<double>("double");
  Problem few = Data<float>({2}).p;
  few.left.count = 10;
  check::that(!ColumnCodes<float>::pays(few), "codes of few rows do not pay");
  return check::finish();
}
