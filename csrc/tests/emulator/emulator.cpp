// The grid, its blocks and the turns of their threads; barriers, collectives and copies. device.h tells the model.
#include "emulator/emulator.h"

#include <cxxabi.h>
#include <dlfcn.h>

#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "emulator/fiber.h"
#include "emulator/matrices.h"

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace semideep::emulator {
namespace {

enum class State { ready, at_barrier, in_collective, exited };

constexpr const char* kNames[] = {"__syncwarp",       "__shfl_sync",     "__shfl_xor_sync",
                                  "__shfl_down_sync", "__shfl_up_sync",  "__ballot_sync",
                                  "__any_sync",       "__all_sync",      "__reduce_add_sync",
                                  "load_matrices",    "multiply_halves", "multiply_bytes"};

constexpr int kThreads = 1024;
constexpr unsigned kCopies =
    2048;  // a thread's at a time: those of one warp fill all shared memory
constexpr int kDepartures = 16;
// ThreadSanitizer takes a fiber's blocks for ordered, so successive blocks have fibers of their own: any two of
// kSets in a row are compared, and of a larger grid's all but one pair in kSets.
#if defined(SEMIDEEP_EMULATOR_THREAD)
constexpr int kSets = 4;
#else
constexpr int kSets = 1;
#endif

struct Thread : Fiber {
  int index;
  State state;
  // In a collective: what it brings, what it takes away.
  Collective kind;
  unsigned mask;
  uint64_t value, result;
  int source;
  // Copies begun and not performed: [first, last), modulo kCopies; `group` is the open one.
  Copy copies[kCopies];
  unsigned first, last;
  int group;
  // Addresses that name clocks of ThreadSanitizer: all that this thread did before it waited; what those knew who
  // met where it came last; the latter for the meeting that this thread was at.
  char arrival[8], departures[kDepartures][8];
  unsigned meetings;
  char* departure;
};

struct Grid {
  const void* kernel;
  const char* caller;
  void (*body)(const void*);
  const void* arguments;
  int threads, shared_bytes;
};

struct Block {
  int running;  // threads that have not exited
  int at_barrier;
  void* shared;
  char complaint[200];  // of the thread that ended it
};

Grid grid;
Block block;
Fiber scheduler;
char start_clock[8], end_clock[8];  // what the scheduler did before a block; what blocks did
Thread* const all_threads = new Thread[kSets * kThreads];
Thread* threads = all_threads;  // the block's
Thread* current = nullptr;      // null: the scheduler
int ready[kThreads];
int ready_count = 0;
uint64_t random_state = 1;
bool launches_skipped = false;

unsigned draw(unsigned below) {  // splitmix64
  uint64_t z = random_state += 0x9e3779b97f4a7c15u;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return static_cast<unsigned>((z ^ z >> 31) % below);
}

// --- messages -------------------------------------------------------------------------------------

std::string place() {
  std::string name =
      std::string("of ") + grid.caller;  // the linker knows none that is local to its file
  Dl_info info{};
  if (dladdr(grid.kernel, &info) != 0 && info.dli_sname != nullptr) {
    char* demangled = abi::__cxa_demangle(info.dli_sname, nullptr, nullptr, nullptr);
    name = demangled != nullptr ? demangled : info.dli_sname;
    std::free(demangled);
  }
  char where[120];
  std::snprintf(where, sizeof where, ", block (%u, %u, %u) of (%u, %u, %u)", blockIdx.x, blockIdx.y,
                blockIdx.z, gridDim.x, gridDim.y, gridDim.z);
  return "kernel " + name + where;
}

std::string describe(const Thread& thread) {
  switch (thread.state) {
    case State::exited:
      return "exited";
    case State::at_barrier:
      return "waiting in __syncthreads";
    case State::in_collective: {
      char text[80];
      std::snprintf(text, sizeof text, "waiting in %s, mask 0x%08x",
                    kNames[static_cast<int>(thread.kind)], thread.mask);
      return text;
    }
    default:
      return "ready";
  }
}

std::string who_is_where() {
  std::string text;
  for (int i = 0, from = 0; i < grid.threads; ++i) {
    if (i + 1 < grid.threads && describe(threads[i]) == describe(threads[i + 1])) continue;
    text += from == i ? "\n  thread " : "\n  threads " + std::to_string(from) + " to ";
    text += std::to_string(i) + ": " + describe(threads[i]);
    from = i + 1;
  }
  return text;
}

// Ends the launch. No string is built here: nobody would free it.
[[noreturn]] __attribute__((format(printf, 1, 2))) void fail(const char* format, ...) {
  char* const text = block.complaint;
  const int start = std::snprintf(text, sizeof block.complaint, ", thread %d: ", current->index);
  va_list parts;
  va_start(parts, format);
  std::vsnprintf(text + start, sizeof block.complaint - static_cast<size_t>(start), format, parts);
  va_end(parts);
  release(end_clock);
  switch_fiber(*current, scheduler, true);
  __builtin_trap();
}

// --- turns ----------------------------------------------------------------------------------------

void make_ready(Thread& thread) {
  thread.state = State::ready;
  ready[ready_count++] = thread.index;
}

// Goes on with a thread that can; with the scheduler where none can.
void give_turn(Fiber& from, bool for_good = false) {
  Fiber* to = &scheduler;
  current = nullptr;
  if (ready_count > 0) {
    const unsigned drawn = draw(static_cast<unsigned>(ready_count));
    current = &threads[ready[drawn]];
    ready[drawn] = ready[--ready_count];
    threadIdx.x = static_cast<unsigned>(current->index);
    to = current;
  }
  if (to != &from) switch_fiber(from, *to, for_good);
}

void run_thread() {
  acquire(start_clock);
  grid.body(grid.arguments);
  Thread& self = *current;
  if (self.first != self.last)
    fail("exits before its copies are done: a copies_wait<0>() is missing");
  self.state = State::exited;
  release(self.arrival);
  if (--block.running == 0) {
    // Freed here, not by the scheduler: that would put this block before the next.
    for (int i = 0; i < grid.threads; ++i) acquire(threads[i].arrival);
    release(end_clock);
    std::free(block.shared);
  }
  give_turn(self, true);
}

// --- meetings: barriers and collectives -----------------------------------------------------------

// Waits for others, after the state has been set.
void wait(Thread& self, bool orders_memory) {
  give_turn(self);
  if (orders_memory) acquire(self.departure);
}

// The last to arrive lets all go on. What each did before is ordered before what any does next: through a clock of
// the last one, which tells nothing that this thread does not know. Which clock changes, for the sake of those that
// come to read it late.
void complete(Thread& last, Thread* const* members, int count, bool orders_memory) {
  char* const departure = last.departures[last.meetings++ % kDepartures];
  for (int i = 0; i < count; ++i) {
    if (orders_memory) acquire(members[i]->arrival);
    members[i]->departure = departure;
    make_ready(*members[i]);
  }
  if (orders_memory) release(departure);
}

void compute(Collective kind, Thread* warp, Thread* const* members, int count) {
  uint64_t ballot = 0, sum = 0;
  Lanes values = {};
  for (int i = 0; i < count; ++i) {
    values[i] = members[i]->value;
    ballot |= uint64_t{members[i]->value != 0} << (members[i] - warp);
    sum += members[i]->value;
  }
  if (kind == Collective::load_matrices) load_matrices(values);
  if (kind == Collective::multiply_halves) multiply_halves(values);
  if (kind == Collective::multiply_bytes) multiply_bytes(values);
  for (int i = 0; i < count; ++i) {
    Thread& lane = *members[i];
    if (kind == Collective::ballot) lane.result = ballot;
    if (kind == Collective::any) lane.result = ballot != 0;
    if (kind == Collective::all) lane.result = ballot == lane.mask;
    if (kind == Collective::sum) lane.result = sum;
    if (kind <= Collective::shuffle_up) lane.result = warp[lane.source].value;
  }
}

// --- blocks ---------------------------------------------------------------------------------------

void run_block() {
  block = {grid.threads, 0, std::malloc(static_cast<size_t>(grid.shared_bytes)), {}};
  for (int i = 0; i < grid.shared_bytes / 4; ++i) static_cast<uint32_t*>(block.shared)[i] = kPoison;
  for (int i = 0; i < grid.threads; ++i) {
    Thread& thread = threads[i];
    thread.index = i;
    thread.first = thread.last = 0;
    thread.group = 0;
    if (thread.bottom == nullptr) create(thread);
    prepare(thread, run_thread);
    make_ready(thread);
  }
  release(start_clock);
  give_turn(scheduler);
  if (block.running == 0) return;

  acquire(end_clock);
  std::string error = place();
  if (block.complaint[0] != 0)
    error += block.complaint;
  else
    error += ": these " + std::to_string(grid.threads) +
             " threads wait for each other for ever:" + who_is_where();
  for (int i = 0; i < grid.threads; ++i) destroy(threads[i]);
  ready_count = 0;
  // Kept: to free it would be a race with those of its threads that told nobody what they did.
  static auto& abandoned = *new std::vector<void*>;
  abandoned.push_back(block.shared);
  throw Error(error);
}

}  // namespace

void seed(uint64_t value) { random_state = value; }
void skip_launches(bool skip) { launches_skipped = skip; }

void run_grid(const void* kernel, const char* caller, void (*body)(const void*),
              const void* arguments, dim3 size, int block_threads, int shared_bytes) {
  if (launches_skipped) return;
  gridDim = size;
  blockDim = dim3(static_cast<unsigned>(block_threads));
  grid = {kernel, caller, body, arguments, block_threads, shared_bytes};
#if defined(SEMIDEEP_EMULATOR_THREAD)
  scheduler.sanitizer = __tsan_get_current_fiber();
#endif
  std::vector<unsigned> order(size_t{size.x} * size.y * size.z);
  for (size_t i = 0; i < order.size(); ++i) {
    const size_t j = draw(static_cast<unsigned>(i + 1));
    order[i] = order[j];
    order[j] = static_cast<unsigned>(i);
  }
  for (size_t turn = 0; turn < order.size(); ++turn) {
    const unsigned i = order[turn];
    threads = all_threads + turn % kSets * kThreads;
    blockIdx = {i % size.x, i / size.x % size.y, i / size.x / size.y};
    run_block();
  }
  acquire(end_clock);
}

void* block_shared_memory() { return block.shared; }

void wait_for_block() {
  Thread& self = *current;
  self.state = State::at_barrier;
  release(self.arrival);
  if (++block.at_barrier == grid.threads) {
    block.at_barrier = 0;
    static Thread* members[kThreads];
    for (int i = 0; i < grid.threads; ++i) members[i] = &threads[i];
    complete(self, members, grid.threads, true);
  }
  wait(self, true);
}

uint64_t wait_for_warp(Collective kind, unsigned mask, uint64_t value, int source) {
  Thread& self = *current;
  Thread* const warp = &threads[self.index / 32 * 32];
  if ((mask >> self.index % 32 & 1) == 0)
    fail("%s: the mask 0x%08x lacks the caller's lane", kNames[static_cast<int>(kind)], mask);
  if ((mask >> source & 1) == 0 && kind <= Collective::shuffle_up && kind != Collective::sync)
    fail("%s reads lane %d, which the mask 0x%08x lacks", kNames[static_cast<int>(kind)], source,
         mask);
  const bool orders_memory = kind == Collective::sync;
  self.state = State::in_collective;
  self.kind = kind;
  self.mask = mask;
  self.value = value;
  self.source = source;
  if (orders_memory) release(self.arrival);

  Thread* members[32];
  int count = 0;
  bool complete_now = true;
  for (int lane = 0; lane < 32; ++lane) {
    if ((mask >> lane & 1) == 0) continue;
    Thread& other = warp[lane];
    complete_now = complete_now && &other < threads + grid.threads &&
                   other.state == State::in_collective && other.kind == kind && other.mask == mask;
    members[count++] = &other;
  }
  if (complete_now) {
    compute(kind, warp, members, count);
    complete(self, members, count, orders_memory);
  }
  wait(self, orders_memory);
  return self.result;
}

bool misaligned(const void* address, int size) {
  return reinterpret_cast<uintptr_t>(address) % static_cast<unsigned>(size) != 0;
}
void check_shared(const char* what, const void* address, int size) {
  if (misaligned(address, size)) fail("%s: an address is no multiple of %d", what, size);
  const auto offset = static_cast<const char*>(address) - static_cast<char*>(block.shared);
  if (offset < 0 || offset + size > grid.shared_bytes)
    fail("%s: byte %td of a shared memory of %d", what, offset, grid.shared_bytes);
}

void check_row(const void* row) { check_shared("load_matrices", row, 16); }

void begin_copy(void* to, const void* from, int size, bool reads) {
  Thread& self = *current;
  check_shared("copy_async", to, size);
  if (reads && misaligned(from, size)) fail("copy_async: an address is no multiple of %d", size);
  if (self.last - self.first == kCopies) fail("copy_async: more than %u copies at a time", kCopies);
  self.copies[self.last++ % kCopies] = {
      static_cast<uint16_t*>(to), static_cast<const uint16_t*>(from), size, reads, self.group};
}

void close_copies() { ++current->group; }

const Copy* due_copy(int pending) {
  Thread& self = *current;
  if (self.first == self.last) return nullptr;
  const Copy& copy = self.copies[self.first % kCopies];
  if (copy.group >= self.group - pending) return nullptr;
  ++self.first;
  return &copy;
}

}  // namespace semideep::emulator
