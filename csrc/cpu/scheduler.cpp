#include "cpu/scheduler.h"

#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <stdexcept>

#include "cpu/backend.h"
#include "cpu/batches.h"

namespace semideep {

// kernels.cpp, once per instruction set.
namespace default_ {
bool find_block_kernel(const Problem&, bool has_vpopcnt, BlockKernel*);
}
namespace avx2 {
bool find_block_kernel(const Problem&, bool has_vpopcnt, BlockKernel*);
}
namespace avx512 {
bool find_block_kernel(const Problem&, bool has_vpopcnt, BlockKernel*);
}

namespace cpu {
namespace {

// Bounds on scratch memory: packed right rows, and partial results, at any one time.
constexpr int64_t kPackedBytes = int64_t{8} << 20;
constexpr int64_t kPartialBytes = int64_t{4} << 20;
// Features times pairs (or rows) below which waking another thread costs more than it saves.
constexpr int64_t kGrainWork = int64_t{1} << 16;

int64_t ceil_divide(int64_t a, int64_t b) { return (a + b - 1) / b; }

BlockKernel find(const Problem& problem, Capability capability) {
  BlockKernel kernel;
  bool found = false;
#if SEMIDEEP_HAVE_X86
  if (capability >= Capability::avx512) {
    const bool has_vpopcnt = capability == Capability::avx512_vpopcntdq;
    found = avx512::find_block_kernel(problem, has_vpopcnt, &kernel);
  }
  if (capability == Capability::avx2) found = avx2::find_block_kernel(problem, false, &kernel);
#endif
  if (capability == Capability::default_)
    found = default_::find_block_kernel(problem, false, &kernel);
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

// Right rows are folded in spans of a fixed length, each span's partial results from 0, and merged in order: so
// the bits depend neither on how many threads there are nor on which of them takes what.
//
// Spans are taken in rounds, as many at a time as scratch memory holds: packed by all threads, run over all
// blocks of left rows, merged. Where one round's results of all blocks would not fit, blocks are taken in
// chunks.
class Execution {
 public:
  Execution(const Problem& problem, const BlockKernel& kernel, int threads,
            const ParallelFor& parallel)
      : p_(problem),
        kernel_(kernel),
        parallel_(parallel),
        threads_(threads),
        width_(kernel_.width(problem)),
        blocks_(ceil_divide(problem.left.count, kernel_.block_rows)),
        spans_(problem.right.count > 0 ? ceil_divide(problem.right.count, kernel_.span_columns)
                                       : 1),
        left_info_(describe(problem.left)),
        right_info_(describe(problem.right)),
        plans_(plan()),
        parameters_(allocate(
            gradient() ? p_.batches * blocks_ * p_.parameters * kernel_.scalar_bytes : 0)) {
    run();
    if (gradient() && p_.parameter_gradient)
      for (int64_t b = 0; b < p_.batches; ++b)
        kernel_.add_parameters(p_, b, blocks_, parameter_partials(b * blocks_));
  }

 private:
  int64_t grain(int64_t pairs) const {
    const int64_t work = pairs * (p_.features + 8);  // 8: what exp costs, in features
    return work > 0 ? ceil_divide(kGrainWork, work) : kGrainWork;
  }

  bool gradient() const { return p_.task == Task::gradient; }
  int64_t partial_bytes() const { return kernel_.block_rows * width_ * kernel_.scalar_bytes; }
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

  Buffer plan() const {
    if (kernel_.plan_bytes == 0) return Buffer(nullptr, &std::free);
    Buffer plans = allocate(p_.batches * kernel_.plan_bytes);
    for (int64_t b = 0; b < p_.batches; ++b)
      kernel_.plan(p_, b, info_of(left_info_, p_.left, b), info_of(right_info_, p_.right, b),
                   at(plans, b * kernel_.plan_bytes));
    return plans;
  }

  // Item i is span i % spans_ of batch i / spans_.
  Block span_of(int64_t item) const {
    Block span;
    span.batch = item / spans_;
    span.column_begin = item % spans_ * kernel_.span_columns;
    const int64_t left = p_.right.count - span.column_begin;
    span.column_end =
        span.column_begin + (left < kernel_.span_columns ? left : kernel_.span_columns);
    span.left_info = info_of(left_info_, p_.left, span.batch);
    span.right_info = info_of(right_info_, p_.right, span.batch);
    if (plans_) span.plan = at(plans_, span.batch * kernel_.plan_bytes);
    return span;
  }
  Block block_of(int64_t item, int64_t block) const {
    Block result = span_of(item);
    result.row_begin = block * kernel_.block_rows;
    const int64_t left = p_.left.count - result.row_begin;
    result.rows = left < kernel_.block_rows ? left : kernel_.block_rows;
    return result;
  }
  const void* info_of(const Buffer& infos, const Side& side, int64_t batch) const {
    if (!infos) return nullptr;
    const int64_t described = described_batches(side) == 1 ? 0 : batch;
    return at(infos, described * side.count * kernel_.info_bytes);
  }

  int64_t span_panels() const {
    const int64_t columns =
        p_.right.count < kernel_.span_columns ? p_.right.count : kernel_.span_columns;
    return kernel_.panel_bytes > 0 ? ceil_divide(columns, kernel_.panel_columns) : 0;
  }
  int64_t packed_bytes() const { return span_panels() * kernel_.panel_bytes; }

  // Of a quantity with `bytes` each, how many a bound admits; at least `least`, at most `most`.
  static int64_t admitted(int64_t bound, int64_t bytes, int64_t least, int64_t most) {
    const int64_t fitting = bytes > 0 ? bound / bytes : most;
    const int64_t number = fitting < least ? least : fitting;
    return number < most ? number : most;
  }

  void run() const {
    const int64_t items = p_.batches * spans_;
    const int64_t chunk = admitted(kPartialBytes / 2, partial_bytes(), 2 * threads_, blocks_);
    const int64_t by_partials = admitted(kPartialBytes, chunk * partial_bytes(), 1, items);
    const int64_t round = admitted(kPackedBytes, packed_bytes(), 1, by_partials);
    const Buffer packed = allocate(round * packed_bytes());
    const Buffer parts = allocate(round * chunk * partial_bytes());
    const Buffer totals = allocate(round < items && spans_ > 1 ? chunk * partial_bytes() : 0);
    for (int64_t block = 0; block < blocks_; block += chunk)
      for (int64_t item = 0; item < items; item += round) {
        const Round now{item, item + round < items ? item + round : items, block,
                        block + chunk < blocks_ ? block + chunk : blocks_};
        pack(now, packed);
        run(now, packed, parts);
        merge(now, parts, totals);
      }
  }

  struct Round {
    int64_t item_begin, item_end, block_begin, block_end;
    int64_t items() const { return item_end - item_begin; }
    int64_t blocks() const { return block_end - block_begin; }
  };
  char* part_of(const Round& now, const Buffer& parts, int64_t item, int64_t block) const {
    return at(parts,
              ((item - now.item_begin) * now.blocks() + block - now.block_begin) * partial_bytes());
  }
  char* packed_of(const Round& now, const Buffer& packed, int64_t item) const {
    return at(packed, (item - now.item_begin) * packed_bytes());
  }

  void pack(const Round& now, const Buffer& packed) const {
    const int64_t panels = span_panels();
    if (panels == 0) return;
    parallel_(now.items() * panels, grain(kernel_.panel_columns), [&](int64_t begin, int64_t end) {
      while (begin < end) {
        const int64_t item = now.item_begin + begin / panels;
        const Block span = span_of(item);
        const int64_t here =
            ceil_divide(span.column_end - span.column_begin, kernel_.panel_columns);
        const int64_t first = begin % panels;
        const int64_t last = first + end - begin < panels ? first + end - begin : panels;
        kernel_.pack(p_, span, first, last < here ? last : here, packed_of(now, packed, item));
        begin += last - first;
      }
    });
  }

  // A unit is one block and, if there are blocks enough for all threads, all of a batch's spans, so that
  // what a block prepares serves them all.
  void run(const Round& now, const Buffer& packed, const Buffer& parts) const {
    const bool together = now.blocks() >= 4 * threads_;
    const int64_t batch = now.item_begin / spans_;
    const int64_t groups = together ? (now.item_end - 1) / spans_ - batch + 1 : now.items();
    const auto group_begin = [&](int64_t group) {
      const int64_t item = together ? (batch + group) * spans_ : now.item_begin + group;
      return item < now.item_begin ? now.item_begin : item < now.item_end ? item : now.item_end;
    };
    const int64_t pairs =
        kernel_.block_rows *
        (p_.right.count < kernel_.span_columns ? p_.right.count : kernel_.span_columns);
    parallel_(groups * now.blocks(), grain(pairs), [&](int64_t begin, int64_t end) {
      void* workspace = thread_workspace(kernel_.workspace_bytes);
      for (int64_t unit = begin; unit < end; ++unit) {
        const int64_t group = unit / now.blocks();
        const int64_t block = now.block_begin + unit % now.blocks();
        for (int64_t item = group_begin(group); item < group_begin(group + 1); ++item) {
          Block here = block_of(item, block);
          here.packed = packed_of(now, packed, item);
          if (kernel_.enter && item == group_begin(group)) kernel_.enter(p_, here, workspace);
          kernel_.run(p_, here, workspace, part_of(now, parts, item, block));
        }
      }
    });
  }

  // Folds each block's parts together in order; what a batch's later rounds will add to waits in totals.
  void merge(const Round& now, const Buffer& parts, const Buffer& totals) const {
    for (int64_t item = now.item_begin; item < now.item_end;) {
      const int64_t batch = item / spans_;
      const int64_t batch_end = (batch + 1) * spans_;
      const int64_t end = batch_end < now.item_end ? batch_end : now.item_end;
      const bool continued = item % spans_ > 0;
      for (int64_t block = now.block_begin; block < now.block_end; ++block) {
        const Block first = block_of(item, block);
        char* waiting = at(totals, (block - now.block_begin) * partial_bytes());
        char* total = continued ? waiting : part_of(now, parts, item, block);
        for (int64_t i = continued ? item : item + 1; i < end; ++i)
          kernel_.merge(first.rows * width_, total, part_of(now, parts, i, block));
        if (end == batch_end) {
          kernel_.store(p_, first, total, parameter_partials(batch * blocks_ + block));
        } else if (total != waiting) {
          std::memcpy(waiting, total, static_cast<size_t>(partial_bytes()));
        }
      }
      item = end;
    }
  }

  const Problem& p_;
  const BlockKernel kernel_;
  const ParallelFor& parallel_;
  const int64_t threads_;
  const int64_t width_;
  const int64_t blocks_;
  const int64_t spans_;
  const Buffer left_info_;
  const Buffer right_info_;
  const Buffer plans_;
  const Buffer parameters_;
};

}  // namespace

void execute(const Problem& problem, Capability capability, int threads,
             const ParallelFor& parallel_for) {
  // What a batch holds may decide which kernel answers it; neighbours with the same kernel go together.
  for (int64_t begin = 0, end; begin < problem.batches; begin = end) {
    const BlockKernel kernel = find(batches_of(problem, begin, begin + 1), capability);
    const auto same = [&](int64_t batch) {
      return find(batches_of(problem, batch, batch + 1), capability).run == kernel.run;
    };
    for (end = begin + 1; end < problem.batches && same(end);) ++end;
    Execution(batches_of(problem, begin, end), kernel, threads, parallel_for);
  }
}

}  // namespace cpu
}  // namespace semideep
