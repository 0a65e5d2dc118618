#include "cpu/scheduler.h"

#include <cstdlib>
#include <memory>
#include <new>
#include <stdexcept>
#include <vector>

#include "cpu/backend.h"

namespace semideep {

// kernels.cpp, once per instruction set.
namespace default_ {
bool find_block_kernel(const Problem&, BlockKernel*);
}
namespace avx2 {
bool find_block_kernel(const Problem&, BlockKernel*);
}
namespace avx512 {
bool find_block_kernel(const Problem&, BlockKernel*);
}

namespace cpu {
namespace {

// Right rows are folded in spans of this many, and the spans' results merged in order. The length is a
// constant, so that one thread that walks all spans and many threads that take one each agree bit for bit.
constexpr int64_t kSpanColumns = 8192;
// Bounds on scratch memory: partial results of one block of rows, and of all blocks and spans at once.
constexpr int64_t kBlockScalars = int64_t{1} << 19;
constexpr int64_t kSplitBytes = int64_t{4} << 20;
// Features times pairs (or rows) below which waking another thread costs more than it saves.
constexpr int64_t kGrainWork = int64_t{1} << 16;

int64_t ceil_divide(int64_t a, int64_t b) { return (a + b - 1) / b; }

BlockKernel find(const Problem& problem, Capability capability) {
  BlockKernel kernel;
  bool found = false;
#if SEMIDEEP_HAVE_X86
  if (capability == Capability::avx512) found = avx512::find_block_kernel(problem, &kernel);
  if (capability == Capability::avx2) found = avx2::find_block_kernel(problem, &kernel);
#endif
  if (capability == Capability::default_) found = default_::find_block_kernel(problem, &kernel);
  if (!found)
    throw std::invalid_argument("no CPU kernel for this task, metric and kernel function");
  return kernel;
}

using Buffer = std::unique_ptr<void, decltype(&std::free)>;

Buffer allocate(int64_t bytes) {
  const int64_t rounded = ceil_divide(bytes > 0 ? bytes : 1, 64) * 64;
  void* memory = std::aligned_alloc(64, static_cast<size_t>(rounded));
  if (!memory) throw std::bad_alloc();
  return Buffer(memory, &std::free);
}

// Kept per thread: small calls would spend more on fresh pages than on arithmetic.
void* thread_workspace(int64_t bytes) {
  thread_local Buffer workspace(nullptr, &std::free);
  thread_local int64_t size = 0;
  if (size < bytes) {
    workspace = allocate(bytes);
    size = bytes;
  }
  return workspace.get();
}

char* at(const Buffer& buffer, int64_t offset) { return static_cast<char*>(buffer.get()) + offset; }

class Execution {
 public:
  Execution(const Problem& problem, Capability capability, int threads, const ParallelFor& parallel)
      : p_(problem),
        kernel_(find(problem, capability)),
        parallel_(parallel),
        width_(kernel_.width(problem)),
        rows_per_block_(rows_per_block(width_, problem.left.count)),
        blocks_(ceil_divide(problem.left.count, rows_per_block_)),
        spans_(problem.right.count > 0 ? ceil_divide(problem.right.count, kSpanColumns) : 1),
        left_info_(describe(problem.left)),
        right_info_(describe(problem.right)),
        parameters_(allocate(
            gradient() ? p_.batches * blocks_ * p_.parameters * kernel_.scalar_bytes : 0)) {
    const int64_t split_bytes = p_.batches * blocks_ * spans_ * partial_bytes();
    if (p_.batches * blocks_ < threads && spans_ > 1 && split_bytes <= kSplitBytes) {
      run_split(split_bytes);
    } else {
      run_blocks();
    }
    if (gradient() && p_.parameter_gradient)
      for (int64_t b = 0; b < p_.batches; ++b)
        kernel_.add_parameters(p_, b, blocks_, parameter_partials(b * blocks_));
  }

 private:
  static int64_t rows_per_block(int64_t width, int64_t count) {
    const int64_t fitting = kBlockScalars / (width > 0 ? width : 1);
    const int64_t rows = fitting < count ? fitting : count;
    return rows < 1 ? 1 : rows > kTileRows ? kTileRows : rows;
  }

  int64_t grain(int64_t pairs) const {
    const int64_t work = pairs * (p_.features + 8);  // 8: what exp costs, in features
    return work > 0 ? ceil_divide(kGrainWork, work) : kGrainWork;
  }

  bool gradient() const { return p_.task == Task::gradient; }
  int64_t partial_bytes() const { return rows_per_block_ * width_ * kernel_.scalar_bytes; }
  void* parameter_partials(int64_t task) const {
    return at(parameters_, task * p_.parameters * kernel_.scalar_bytes);
  }

  // Rows that all batches share are described once.
  int64_t described_batches(const Side& side) const {
    const bool shared = side.rows_batch_stride == 0 && !side.tangents;
    return shared && p_.batches > 1 ? 1 : p_.batches;
  }

  Buffer describe(const Side& side) const {
    if (kernel_.info_bytes == 0) return Buffer(nullptr, &std::free);
    const int64_t rows = described_batches(side) * side.count;
    Buffer infos = allocate(rows * kernel_.info_bytes);
    parallel_(rows, grain(1), [&](int64_t begin, int64_t end) {
      while (begin < end) {
        const int64_t batch = begin / side.count;
        const int64_t stop = (batch + 1) * side.count < end ? (batch + 1) * side.count : end;
        kernel_.describe(p_, side, batch, begin - batch * side.count, stop - batch * side.count,
                         at(infos, batch * side.count * kernel_.info_bytes));
        begin = stop;
      }
    });
    return infos;
  }

  Block block_of(int64_t task, int64_t span) const {
    Block block;
    block.batch = task / blocks_;
    block.row_begin = task % blocks_ * rows_per_block_;
    const int64_t rows_left = p_.left.count - block.row_begin;
    block.rows = rows_left < rows_per_block_ ? rows_left : rows_per_block_;
    block.column_begin = span * kSpanColumns;
    const int64_t columns_left = p_.right.count - block.column_begin;
    block.column_end =
        block.column_begin + (columns_left < kSpanColumns ? columns_left : kSpanColumns);
    block.left_info = info_of(left_info_, p_.left, block.batch);
    block.right_info = info_of(right_info_, p_.right, block.batch);
    return block;
  }
  const void* info_of(const Buffer& infos, const Side& side, int64_t batch) const {
    if (!infos) return nullptr;
    const int64_t described = described_batches(side) == 1 ? 0 : batch;
    return at(infos, described * side.count * kernel_.info_bytes);
  }

  // Enough rows for every thread: a block walks all its spans.
  void run_blocks() const {
    parallel_(p_.batches * blocks_, grain(rows_per_block_ * p_.right.count),
              [&](int64_t begin, int64_t end) {
                void* workspace = thread_workspace(kernel_.workspace_bytes);
                const Buffer total = allocate(partial_bytes());
                const Buffer part = allocate(spans_ > 1 ? partial_bytes() : 0);
                for (int64_t task = begin; task < end; ++task) {
                  const Block first = block_of(task, 0);
                  kernel_.run(p_, first, workspace, total.get());
                  for (int64_t span = 1; span < spans_; ++span) {
                    kernel_.run(p_, block_of(task, span), workspace, part.get());
                    kernel_.merge(first.rows * width_, total.get(), part.get());
                  }
                  kernel_.store(p_, first, total.get(), parameter_partials(task));
                }
              });
  }

  // Few rows and many columns: spans are shared out, then merged in order.
  void run_split(int64_t split_bytes) const {
    const Buffer parts = allocate(split_bytes);
    const auto part = [&](int64_t task, int64_t span) {
      return at(parts, (task * spans_ + span) * partial_bytes());
    };
    parallel_(p_.batches * blocks_ * spans_, 1, [&](int64_t begin, int64_t end) {
      void* workspace = thread_workspace(kernel_.workspace_bytes);
      for (int64_t i = begin; i < end; ++i)
        kernel_.run(p_, block_of(i / spans_, i % spans_), workspace, part(i / spans_, i % spans_));
    });
    for (int64_t task = 0; task < p_.batches * blocks_; ++task) {
      const Block block = block_of(task, 0);
      for (int64_t span = 1; span < spans_; ++span)
        kernel_.merge(block.rows * width_, part(task, 0), part(task, span));
      kernel_.store(p_, block, part(task, 0), parameter_partials(task));
    }
  }

  const Problem& p_;
  const BlockKernel kernel_;
  const ParallelFor& parallel_;
  const int64_t width_;
  const int64_t rows_per_block_;
  const int64_t blocks_;
  const int64_t spans_;
  const Buffer left_info_;
  const Buffer right_info_;
  const Buffer parameters_;
};

}  // namespace

void execute(const Problem& problem, Capability capability, int threads,
             const ParallelFor& parallel_for) {
  if (problem.batches == 0) return;
  Execution(problem, capability, threads, parallel_for);
}

}  // namespace cpu
}  // namespace semideep
