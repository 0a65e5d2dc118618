// Codes of the values that columns have, where those are few: a bit where no column has more than two, as
// standardised one-hot columns do, a byte where none has more than 256.
//
// A column has a table with open addressing, from values to codes in the order of their discovery. Columns are
// learnt in chunks, by all threads; which codes they get follows from the rows alone, and does not matter.
#pragma once

#include "cpu/task.h"

SEMIDEEP_MATH_BEGIN

// What was found out about the columns of a batch, by any thread.
struct Learnt {
  bool beyond_two;  // some column has more than two values
  bool too_many;    // or more than a byte can tell apart: the columns have no codes
};
SEMIDEEP_INLINE void note(bool& fact) { __atomic_store_n(&fact, true, __ATOMIC_RELAXED); }
SEMIDEEP_INLINE bool is_known(const bool& fact) { return __atomic_load_n(&fact, __ATOMIC_RELAXED); }

constexpr int64_t kChunkColumns = 16;
constexpr int64_t kLearntBytes = int64_t{4} << 20;
// Learning a value and coding it takes as long as counting about this many pairs of floats, less what pairs of
// bytes take.
constexpr int64_t kPairsOfLearning = 400;

template <class T>
const T* count_row(const Side& side, int64_t batch, int64_t at) {
  return static_cast<const T*>(side.rows) + batch * side.rows_batch_stride +
         at * side.rows_row_stride;
}

template <class T>
class ColumnCodes {
 public:
  static bool pays(const Problem& p) {
    const double pairs = static_cast<double>(p.left.count) * static_cast<double>(p.right.count);
    return pairs > kPairsOfLearning * static_cast<double>(p.left.count + p.right.count) &&
           p.batches * padded(p.features) * static_cast<int64_t>(sizeof(T)) <= kLearntBytes;
  }
  static int64_t bytes(const Problem& p) {
    const int64_t of_column = sizeof(T) + (has_tables(p) ? sizeof(Table) : 0);
    return padded(p.features) * of_column;
  }

  // The memory behind a plan, as it is.
  ColumnCodes(const void* memory, int64_t features)
      : first_(static_cast<T*>(const_cast<void*>(memory))),
        tables_(reinterpret_cast<Table*>(first_ + padded(features))) {}

  // Of each column the value of bit 0.
  const T* first() const { return first_; }
  // The byte of a value; of a NaN, any.
  SEMIDEEP_INLINE uint32_t code(int64_t column, T value) const {
    const Table& table = tables_[column];
    return table.codes[slot(table, key_of(value))];
  }

  // Learns a chunk of columns from all rows of a batch.
  void learn(const Problem& p, int64_t batch, int64_t chunk, Learnt& learnt) {
    const int64_t begin = chunk * kChunkColumns;
    const int64_t width = p.features - begin < kChunkColumns ? p.features - begin : kChunkColumns;
    T second[kChunkColumns] = {};
    for (int64_t k = 0; k < kChunkColumns; ++k) first_[begin + k] = T(0);
    if (learn_two(p, batch, begin, width, second, learnt)) {
      if (!has_tables(p)) return;
      for (int64_t k = 0; k < width; ++k) {
        tables_[begin + k].clear();
        add(tables_[begin + k], first_[begin + k]);
        add(tables_[begin + k], second[k]);
      }
      return;
    }
    note(learnt.beyond_two);
    if (!has_tables(p)) return note(learnt.too_many);
    for (int64_t k = 0; k < width; ++k) tables_[begin + k].clear();
    // A few rows, from everywhere, tell most data that has too many values.
    constexpr int64_t kSample = 512;
    const int64_t rows = p.left.count + p.right.count;
    if (learn_rows(p, batch, begin, width, rows / kSample + 1, learnt))
      learn_rows(p, batch, begin, width, 1, learnt);
  }

 private:
  using Key = std::conditional_t<sizeof(T) == sizeof(uint32_t), uint32_t, uint64_t>;
  static constexpr int kSlotBits = 9;  // half of the slots stay empty
  static constexpr int kSlots = 1 << kSlotBits, kMostValues = 256;
  static constexpr Key kEmpty = ~Key{0};  // the bits of a NaN

  struct Table {
    Key keys[kSlots];
    uint8_t codes[kSlots];
    int32_t values;

    void clear() {
      for (Key& key : keys) key = kEmpty;
      for (uint8_t& code : codes) code = 0;
      values = 0;
    }
  };

  // Room for whole words and chunks.
  static int64_t padded(int64_t features) { return (features + 31) / 32 * 32; }
  static bool has_tables(const Problem& p) {
    return p.batches * padded(p.features) * static_cast<int64_t>(sizeof(T) + sizeof(Table)) <=
           kLearntBytes;
  }

  static SEMIDEEP_INLINE Key key_of(T value) {
    const T canonical = value + T(0);  // -0 becomes 0
    Key key;
    __builtin_memcpy(&key, &canonical, sizeof key);
    return key;
  }
  static SEMIDEEP_INLINE int slot(const Table& table, Key key) {
    constexpr Key kFactor = static_cast<Key>(0x9e3779b97f4a7c15u >> (64 - 8 * sizeof(Key))) | 1;
    int at = static_cast<int>((key * kFactor) >> (8 * sizeof(Key) - kSlotBits));
    while (table.keys[at] != key && table.keys[at] != kEmpty) at = (at + 1) % kSlots;
    return at;
  }
  // False if there is no code left for the value.
  static SEMIDEEP_INLINE bool add(Table& table, T value) {
    const Key key = key_of(value);
    const int at = slot(table, key);
    if (__builtin_expect(table.keys[at] == key || value != value, 1)) return true;
    if (table.values == kMostValues) return false;
    table.keys[at] = key;
    table.codes[at] = static_cast<uint8_t>(table.values++);
    return true;
  }

  // Row i of both sides, one behind the other.
  static const T* row_of(const Problem& p, int64_t batch, int64_t i) {
    return i < p.left.count ? count_row<T>(p.left, batch, i)
                            : count_row<T>(p.right, batch, i - p.left.count);
  }

  // False if a column has more than two values.
  bool learn_two(const Problem& p, int64_t batch, int64_t begin, int64_t width, T* second,
                 const Learnt& learnt) {
    T* first = first_ + begin;
    for (int64_t k = 0; k < width; ++k) {
      const T value = row_of(p, batch, 0)[begin + k];
      first[k] = second[k] = value == value ? value : T(0);
    }
    for (int64_t i = 0; i < p.left.count + p.right.count; ++i) {
      if (is_known(learnt.too_many)) return true;
      const T* row = row_of(p, batch, i) + begin;
      int32_t others = 0;
      for (int64_t k = 0; k < width; ++k)
        others |= (row[k] != first[k]) & (row[k] != second[k]) & (row[k] == row[k]);
      if (!others) continue;
      for (int64_t k = 0; k < width; ++k) {
        if (row[k] == first[k] || row[k] == second[k] || row[k] != row[k]) continue;
        if (first[k] != second[k]) return false;
        second[k] = row[k];
      }
    }
    return true;
  }

  // False if a column has too many values.
  bool learn_rows(const Problem& p, int64_t batch, int64_t begin, int64_t width, int64_t step,
                  Learnt& learnt) {
    for (int64_t i = 0; i < p.left.count + p.right.count; i += step) {
      if (is_known(learnt.too_many)) return false;
      const T* row = row_of(p, batch, i) + begin;
      for (int64_t k = 0; k < width; ++k)
        if (!add(tables_[begin + k], row[k])) {
          note(learnt.too_many);
          return false;
        }
    }
    return true;
  }

  T* first_;
  Table* tables_;
};

SEMIDEEP_MATH_END
