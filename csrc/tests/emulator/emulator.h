// What device.h asks of emulator.cpp. That file is compiled without instrumentation: sanitizers see what kernels do,
// not what the emulator does on their behalf.
#pragma once

#include <cstdint>
#include <stdexcept>

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

struct uint3 {
  unsigned x, y, z;
};
extern uint3 threadIdx, blockIdx;  // set whenever another thread goes on
extern dim3 blockDim, gridDim;

namespace semideep::emulator {

// A kernel did what CUDA leaves undefined. launch() throws it, with kernel, block and threads in the text.
class Error : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

// The orders of blocks and threads follow from it and from the launches since.
void seed(uint64_t value);

// While set, launches do nothing: to see what a call asks for besides.
void skip_launches(bool skip);

// Calls body(arguments) as each thread of the grid. Messages name the caller where the kernel has no name.
void run_grid(const void* kernel, const char* caller, void (*body)(const void*),
              const void* arguments, dim3 grid, int threads, int shared_bytes);

void* block_shared_memory();
void wait_for_block();  // __syncthreads

enum class Collective {
  sync,
  shuffle,
  shuffle_xor,
  shuffle_down,
  shuffle_up,
  ballot,
  any,
  all,
  sum,
  load_matrices,
  multiply_halves,
  multiply_bytes
};

// Waits until every lane of the mask is here; returns this lane's result. `source` is the lane that a shuffle
// reads.
uint64_t wait_for_warp(Collective kind, unsigned mask, uint64_t value, int source = 0);

template <class Sum>
struct Operands {  // of a lane, of a matrix instruction
  Sum* c;
  const uint32_t* a;
  const uint32_t* b;
};
struct MatrixRow {  // of a lane, of load_matrices
  uint32_t* to;
  const uint32_t* words;
  bool transposed;
};
using Product = Operands<float>;
using ByteProduct = Operands<int>;

struct Copy {
  uint16_t* to;
  const uint16_t* from;
  int size;
  bool reads;  // or writes zeros
  int group;
};
void begin_copy(void* to, const void* from, int size, bool reads);
void close_copies();
// The next copy to perform, such that in the end all but the last `pending` groups are done; null at that end.
const Copy* due_copy(int pending);

// Refuses 16 bytes for load_matrices that are not in shared memory, or misaligned.
void check_row(const void* row);

// NaN as double, float, half and bfloat16; as an integer, an index far outside.
inline constexpr uint32_t kPoison = 0x7ff47ff4;

}  // namespace semideep::emulator
