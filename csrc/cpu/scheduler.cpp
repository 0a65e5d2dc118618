#include "cpu/scheduler.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "cpu/backend.h"
#include "cpu/batches.h"
#include "cpu/scratch.h"

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

// Bounds on scratch memory at any one time: of all, and of partial results in it. Facts of rows come on top, and
// each call of a backward pass may leave the allocator with holes.
constexpr int64_t kScratchBytes = int64_t{11} << 20;
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

// Right rows are folded in spans of a fixed length, each span's partial results from 0, and merged in order: so
// the bits depend neither on how many threads there are nor on which of them takes what.
//
// Spans are taken in rounds, as many at a time as scratch memory holds: packed by all threads, run over all
// blocks of left rows, merged. Where results of all blocks that must be kept would not fit, blocks are taken in
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
  // What a thread works in: the kernel's workspace, and results of a span and of a block.
  int64_t thread_bytes() const {
    return rounded(kernel_.workspace_bytes) + 2 * rounded(partial_bytes());
  }
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
    if (kernel_.info_bytes == 0) return Buffer();
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
    if (kernel_.plan_bytes == 0) return Buffer();
    Buffer plans = allocate(p_.batches * kernel_.plan_bytes);
    for (int64_t b = 0; b < p_.batches; ++b)
      kernel_.plan(p_, b, info_of(left_info_, p_.left, b), info_of(right_info_, p_.right, b),
                   at(plans, b * kernel_.plan_bytes));
    const int64_t chunks = kernel_.column_chunks;
    if (chunks == 0) return plans;
    parallel_(p_.batches * chunks, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i)
        kernel_.learn(p_, i / chunks, i % chunks, at(plans, i / chunks * kernel_.plan_bytes));
    });
    return plans;
  }

  // Item i is span i % spans_ of batch i / spans_.
  Block span_of(int64_t item) const {
    Block span;
    span.batch = item / spans_;
    span.column_begin = item % spans_ * kernel_.span_columns;
    span.column_end = std::min(span.column_begin + kernel_.span_columns, p_.right.count);
    span.left_info = info_of(left_info_, p_.left, span.batch);
    span.right_info = info_of(right_info_, p_.right, span.batch);
    if (plans_) span.plan = at(plans_, span.batch * kernel_.plan_bytes);
    return span;
  }
  Block block_of(int64_t item, int64_t block) const {
    Block result = span_of(item);
    result.row_begin = block * kernel_.block_rows;
    result.rows = std::min(p_.left.count - result.row_begin, kernel_.block_rows);
    return result;
  }
  void* info_of(const Buffer& infos, const Side& side, int64_t batch) const {
    if (!infos) return nullptr;
    const int64_t described = described_batches(side) == 1 ? 0 : batch;
    return at(infos, described * side.count * kernel_.info_bytes);
  }

  int64_t span_panels() const {
    const int64_t columns = std::min(p_.right.count, kernel_.span_columns);
    return kernel_.panel_bytes > 0 ? ceil_divide(columns, kernel_.panel_columns) : 0;
  }
  int64_t packed_bytes() const { return span_panels() * kernel_.panel_bytes; }

  // Of a quantity with `bytes` each, how many a bound admits; at least `least`, at most `most`.
  static int64_t admitted(int64_t bound, int64_t bytes, int64_t least, int64_t most) {
    return std::min(std::max(bytes > 0 ? bound / bytes : most, least), most);
  }

  // If there are blocks enough for all threads, one of them takes a block through all spans at hand and folds
  // the results at once: what the block prepares serves all spans, and a result has to wait only where the
  // spans do not fit into memory together. Else threads share out the spans of a block, whose results are
  // folded afterwards.
  void run() const {
    const int64_t items = p_.batches * spans_;
    const bool together = blocks_ >= 4 * threads_;
    int64_t free = kScratchBytes - threads_ * thread_bytes();
    int64_t chunk = blocks_, round = admitted(free, packed_bytes(), 1, items);
    if (!together || round < spans_) {
      // Each chunk packs all right rows again: together, it gets all but a span's room.
      const int64_t bound =
          together ? std::max(kPartialBytes / 2, free - packed_bytes()) : kPartialBytes / 2;
      chunk = admitted(bound, partial_bytes(), together ? threads_ : 2 * threads_, blocks_);
      free -= chunk * partial_bytes();
      round = admitted(free, packed_bytes(), 1, items);
    }
    if (!together) round = admitted(kPartialBytes, chunk * partial_bytes(), 1, round);
    const Buffer packed = allocate(round * packed_bytes());
    const Buffer parts = allocate(together ? 0 : round * chunk * partial_bytes());
    const Buffer totals = allocate(round < spans_ ? chunk * partial_bytes() : 0);
    for (int64_t block = 0; block < blocks_; block += chunk)
      for (Round now{0, 0, block, std::min(block + chunk, blocks_)}; now.item_end < items;) {
        now.item_begin = now.item_end;
        now.item_end = std::min(now.item_begin + round, items);
        // Whole batches, or a part of one.
        const int64_t batch = (round < spans_ ? now.item_begin : now.item_end) / spans_;
        now.item_end =
            round < spans_ ? std::min(now.item_end, (batch + 1) * spans_) : batch * spans_;
        pack(now, packed);
        if (together) {
          fold(now, packed, totals);
        } else {
          run(now, packed, parts);
          merge(now, parts, totals);
        }
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
  char* total_of(const Round& now, const Buffer& totals, int64_t block) const {
    return at(totals, (block - now.block_begin) * partial_bytes());
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

  void fold(const Round& now, const Buffer& packed, const Buffer& totals) const {
    const int64_t spans = std::min(now.items(), spans_);  // of each batch at hand
    const auto body = [&](int64_t begin, int64_t end) {
      char* workspace = thread_workspace(thread_bytes());
      char* part = workspace + rounded(kernel_.workspace_bytes);
      for (int64_t unit = begin; unit < end; ++unit) {
        const int64_t block = now.block_begin + unit % now.blocks();
        const int64_t first = now.item_begin + unit / now.blocks() * spans;
        char* total =
            spans < spans_ ? total_of(now, totals, block) : part + rounded(partial_bytes());
        for (int64_t item = first; item < first + spans; ++item) {
          Block here = block_of(item, block);
          here.packed = packed_of(now, packed, item);
          if (kernel_.enter && item == first) kernel_.enter(p_, here, workspace);
          kernel_.run(p_, here, workspace, continues(item) ? part : total);
          if (continues(item)) kernel_.merge(here.rows * width_, total, part);
          if (!continues(item + 1)) store(here, block, total);
        }
      }
    };
    parallel_(now.items() / spans * now.blocks(), grain(kernel_.block_rows * p_.right.count), body);
  }

  void run(const Round& now, const Buffer& packed, const Buffer& parts) const {
    const auto body = [&](int64_t begin, int64_t end) {
      char* workspace = thread_workspace(kernel_.workspace_bytes);
      for (int64_t unit = begin; unit < end; ++unit) {
        const int64_t item = now.item_begin + unit / now.blocks();
        const int64_t block = now.block_begin + unit % now.blocks();
        Block here = block_of(item, block);
        here.packed = packed_of(now, packed, item);
        if (kernel_.enter) kernel_.enter(p_, here, workspace);
        kernel_.run(p_, here, workspace, part_of(now, parts, item, block));
      }
    };
    const int64_t columns = std::min(p_.right.count, kernel_.span_columns);
    parallel_(now.items() * now.blocks(), grain(kernel_.block_rows * columns), body);
  }

  // Folds each block's parts together, in order.
  void merge(const Round& now, const Buffer& parts, const Buffer& totals) const {
    for (int64_t item = now.item_begin; item < now.item_end; ++item)
      for (int64_t block = now.block_begin; block < now.block_end; ++block) {
        const Block here = block_of(item, block);
        char* part = part_of(now, parts, item, block);
        char* total = part;
        if (spans_ > 1) {
          total = now.items() < spans_ ? total_of(now, totals, block)
                                       : part_of(now, parts, item / spans_ * spans_, block);
        }
        if (continues(item)) {
          kernel_.merge(here.rows * width_, total, part);
        } else if (total != part) {
          std::memcpy(total, part, static_cast<size_t>(partial_bytes()));
        }
        if (!continues(item + 1)) store(here, block, total);
      }
  }

  // Whether an item adds to what an earlier span of its batch began.
  bool continues(int64_t item) const { return item % spans_ > 0; }
  void store(const Block& here, int64_t block, const void* total) const {
    kernel_.store(p_, here, total, parameter_partials(here.batch * blocks_ + block));
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
