// Stacks of their own within one OS thread, and the switch between them, which the sanitizers are told of.
//
// Of ThreadSanitizer's fibers, a switch orders nothing: only acquire(), release() and the creation of a fiber do.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <new>

#if defined(SEMIDEEP_EMULATOR_ADDRESS)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#elif defined(SEMIDEEP_EMULATOR_THREAD)
#include <sanitizer/tsan_interface.h>
#endif

#if defined(SEMIDEEP_EMULATOR_UCONTEXT) || !(defined(__x86_64__) || defined(__aarch64__))
#include <ucontext.h>
#define SEMIDEEP_EMULATOR_BY_UCONTEXT 1
#else
// Saves the callee's registers on this stack and its top in *from, and goes on where the other left off.
extern "C" void semideep_emulator_switch(void** from, void* to);
#endif

namespace {

constexpr size_t kStack = size_t{256} << 10;

inline void acquire([[maybe_unused]] void* address) {
#if defined(SEMIDEEP_EMULATOR_THREAD)
  __tsan_acquire(address);
#endif
}
inline void release([[maybe_unused]] void* address) {
#if defined(SEMIDEEP_EMULATOR_THREAD)
  __tsan_release(address);
#endif
}

struct Fiber {
  void* bottom = nullptr;  // of the stack; of the OS thread's own, ASan tells
  size_t size = 0;
  void (*entry)() = nullptr;
#if defined(SEMIDEEP_EMULATOR_BY_UCONTEXT)
  ucontext_t context;
#else
  void* top = nullptr;
#endif
  [[maybe_unused]] void* sanitizer = nullptr;  // TSan: its fiber; ASan: its fake stack
};

inline Fiber* switched_from = nullptr;

// First and last thing on either side of a switch.
inline void leave([[maybe_unused]] Fiber& from, Fiber& to, [[maybe_unused]] bool for_good) {
  switched_from = &from;
#if defined(SEMIDEEP_EMULATOR_ADDRESS)
  __sanitizer_start_switch_fiber(for_good ? nullptr : &from.sanitizer, to.bottom, to.size);
#elif defined(SEMIDEEP_EMULATOR_THREAD)
  __tsan_switch_to_fiber(to.sanitizer, __tsan_switch_to_fiber_no_sync);
#else
  (void)to;
#endif
}
inline void arrive([[maybe_unused]] Fiber& here) {
#if defined(SEMIDEEP_EMULATOR_ADDRESS)
  const void* bottom;
  size_t size;
  __sanitizer_finish_switch_fiber(here.sanitizer, &bottom, &size);
  switched_from->bottom = const_cast<void*>(bottom);
  switched_from->size = size;
#endif
}

inline Fiber* starting = nullptr;
inline void start() {
  Fiber& here = *starting;
  arrive(here);
  here.entry();
  __builtin_trap();  // entry never returns
}

// `for_good`: nobody will ever switch back to `from`.
inline void switch_fiber(Fiber& from, Fiber& to, bool for_good = false) {
  leave(from, to, for_good);
  starting = &to;
#if defined(SEMIDEEP_EMULATOR_BY_UCONTEXT)
  swapcontext(&from.context, &to.context);
#else
  semideep_emulator_switch(&from.top, to.top);
#endif
  arrive(from);
}

// Makes `fiber` begin entry() when it is next switched to.
inline void prepare(Fiber& fiber, void (*entry)()) {
  fiber.entry = entry;
#if defined(SEMIDEEP_EMULATOR_BY_UCONTEXT)
  getcontext(&fiber.context);
  fiber.context.uc_stack.ss_sp = fiber.bottom;
  fiber.context.uc_stack.ss_size = fiber.size;
  fiber.context.uc_link = nullptr;
  makecontext(&fiber.context, start, 0);
#else
  void** top = reinterpret_cast<void**>(static_cast<char*>(fiber.bottom) + fiber.size);
#if defined(__x86_64__)
  *--top = nullptr;  // in place of a return address: alignment, and the end of back-traces
  *--top = reinterpret_cast<void*>(start);
  for (int i = 0; i < 6; ++i) *--top = nullptr;
#else
  for (int i = 0; i < 20; ++i) *--top = nullptr;
  top[11] = reinterpret_cast<void*>(start);  // x30
#endif
  fiber.top = top;
#endif
#if !defined(SEMIDEEP_EMULATOR_THREAD)
  fiber.sanitizer = nullptr;
#endif
}

// A stack, with a page below it that no access survives. Mapped memory has no past, as the sanitizers see it.
inline void create(Fiber& fiber) {
  void* const memory = mmap(nullptr, kStack, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  mprotect(memory, page, PROT_NONE);
  fiber.bottom = static_cast<char*>(memory) + page;
  fiber.size = kStack - page;
#if defined(SEMIDEEP_EMULATOR_THREAD)
  fiber.sanitizer = __tsan_create_fiber(0);
#endif
}

inline void destroy(Fiber& fiber) {
#if defined(SEMIDEEP_EMULATOR_ADDRESS)
  __asan_unpoison_memory_region(fiber.bottom, fiber.size);  // calls under way poisoned it
#elif defined(SEMIDEEP_EMULATOR_THREAD)
  __tsan_destroy_fiber(fiber.sanitizer);
#endif
  munmap(static_cast<char*>(fiber.bottom) + fiber.size - kStack, kStack);
  fiber.bottom = nullptr;
}

}  // namespace

#if !defined(SEMIDEEP_EMULATOR_BY_UCONTEXT)
asm(R"(
.text
.hidden semideep_emulator_switch
.globl semideep_emulator_switch
.type semideep_emulator_switch, %function
semideep_emulator_switch:
)"
#if defined(__x86_64__)
    R"(
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
)"
#else
    R"(
.macro semideep_move instruction
  \instruction x19, x20, [sp]
  \instruction x21, x22, [sp, #16]
  \instruction x23, x24, [sp, #32]
  \instruction x25, x26, [sp, #48]
  \instruction x27, x28, [sp, #64]
  \instruction x29, x30, [sp, #80]
  \instruction d8, d9, [sp, #96]
  \instruction d10, d11, [sp, #112]
  \instruction d12, d13, [sp, #128]
  \instruction d14, d15, [sp, #144]
.endm
  sub sp, sp, #160
  semideep_move stp
  mov x9, sp
  str x9, [x0]
  mov sp, x1
  semideep_move ldp
  add sp, sp, #160
)"
#endif
    R"(
  ret
.size semideep_emulator_switch, . - semideep_emulator_switch
)");
#endif
