// The boundary between the scheduler (scheduler.cpp, plain C++) and the kernels (kernels.cpp, compiled once
// per instruction set). Types here hold pointers and sizes only, so that both sides may share them.
#pragma once

#include <cstdint>

#include "core/problem.h"

namespace semideep {

constexpr int64_t kTileRows = 64;

// A block of left rows, and the span of right rows that one run() folds in.
struct Block {
  int64_t batch = 0;
  int64_t row_begin = 0;
  int64_t rows = 0;
  int64_t column_begin = 0;
  int64_t column_end = 0;
  const void* left_info = nullptr;  // RowInfo of this batch's rows
  const void* right_info = nullptr;
  const void* plan = nullptr;    // this batch's
  const void* packed = nullptr;  // the span's right rows, if the kernel packs them
};

// One task, metric, kernel and value type, compiled for one instruction set (see task.h).
struct BlockKernel {
  int64_t scalar_bytes = 0;
  int64_t info_bytes = 0;  // per row; 0 if the metric needs none
  int64_t block_rows = 0;
  int64_t span_columns = 0;
  int64_t workspace_bytes = 0;
  int64_t plan_bytes = 0;     // per batch: what is decided from all rows before any is packed
  int64_t panel_columns = 0;  // right rows are packed for all blocks in panels of so many columns;
  int64_t panel_bytes = 0;    // 0: each run() packs what it needs
  int64_t (*width)(const Problem&) = nullptr;
  void (*describe)(const Problem&, const Side&, int64_t batch, int64_t begin, int64_t end,
                   void* info) = nullptr;
  void (*plan)(const Problem&, int64_t batch, const void* left_info, void* right_info,
               void* plan) = nullptr;
  int64_t column_chunks = 0;  // what remains to be learnt for the plan, in parallel; 0: nothing
  void (*learn)(const Problem&, int64_t batch, int64_t chunk, void* plan) = nullptr;
  void (*pack)(const Problem&, const Block& span, int64_t begin, int64_t end,
               void* packed) = nullptr;
  void (*enter)(const Problem&, const Block&, void* workspace) = nullptr;  // before a block's runs
  void (*run)(const Problem&, const Block&, void* workspace, void* partial) = nullptr;
  void (*merge)(int64_t scalars, void* total, const void* part) = nullptr;
  void (*store)(const Problem&, const Block&, const void* total, void* by_parameter) = nullptr;
  void (*add_parameters)(const Problem&, int64_t batch, int64_t blocks,
                         const void* by_parameter) = nullptr;
};

}  // namespace semideep
