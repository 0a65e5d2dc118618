// Scratch memory, aligned for vectors.
//
// Large buffers come from the system and go back to it at once. An allocator would keep them, beside results that
// it keeps as well, and the next call of a backward pass, which wants other sizes, would find nothing that fits.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

#if defined(__unix__) || defined(__APPLE__)
#include <sys/mman.h>
#define SEMIDEEP_HAVE_MMAP 1
#else
#define SEMIDEEP_HAVE_MMAP 0
#endif

namespace semideep::cpu {

struct Release {
  size_t mapped = 0;  // bytes; 0: allocated

  void operator()(void* memory) const {
#if SEMIDEEP_HAVE_MMAP
    if (mapped) {
      munmap(memory, mapped);
      return;
    }
#endif
    std::free(memory);
  }
};
using Buffer = std::unique_ptr<void, Release>;

constexpr int64_t kLargeBytes = int64_t{1} << 20;  // fresh pages then cost little beside the work

inline int64_t rounded(int64_t bytes) { return bytes > 0 ? (bytes + 63) / 64 * 64 : 64; }

inline Buffer allocate(int64_t bytes) {
  const size_t size = static_cast<size_t>(rounded(bytes));
#if SEMIDEEP_HAVE_MMAP
  if (bytes >= kLargeBytes) {
    void* pages = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) throw std::bad_alloc();
#if defined(MADV_HUGEPAGE)
    madvise(pages, size, MADV_HUGEPAGE);  // page faults take a good part of a call of few rows
#endif
    return Buffer(pages, Release{size});
  }
#endif
  void* memory = std::aligned_alloc(64, size);
  if (!memory) throw std::bad_alloc();
  return Buffer(memory);
}

inline char* at(const Buffer& buffer, int64_t offset) {
  return static_cast<char*>(buffer.get()) + offset;
}

// Kept per thread: small calls would spend more on fresh pages than on arithmetic.
inline char* thread_workspace(int64_t bytes) {
  thread_local Buffer workspace;
  thread_local int64_t size = 0;
  if (size < bytes) {
    workspace.reset();  // before the next one, or there would be two
    size = 0;
    workspace = allocate(bytes);
    size = bytes;
  }
  return at(workspace, 0);
}

}  // namespace semideep::cpu
