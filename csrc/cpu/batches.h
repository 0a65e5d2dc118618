// Parts of a problem.
#pragma once

#include "core/problem.h"

namespace semideep {

// The batches [begin, end) of a problem, as a problem of their own.
inline Problem batches_of(Problem p, int64_t begin, int64_t end) {
  const int64_t element = p.dtype == DType::float32 ? 4 : 8;
  const auto advance = []<class T>(T*& pointer, int64_t bytes) {
    if (pointer) pointer = reinterpret_cast<T*>(reinterpret_cast<uintptr_t>(pointer) + bytes);
  };
  const auto advance_side = [&](Side& side) {
    advance(side.rows, begin * side.rows_batch_stride * element);
    advance(side.tangents, begin * side.count * p.features * element);
    advance(side.values, begin * side.values_batch_stride * element);
    advance(side.shift, begin * p.parameters * side.count * 8);
  };
  advance_side(p.left);
  advance_side(p.right);
  advance(p.parameter, begin * p.parameters * 8);
  advance(p.parameter_tangent, begin * p.parameters * 8);
  const int64_t sums = begin * p.parameters * p.left.count;
  advance(p.out, p.task == Task::log_sum ? sums * 8 : sums * p.columns * element);
  advance(p.rows_gradient, begin * p.left.count * p.features * element);
  advance(p.parameter_gradient, begin * p.parameters * 8);
  p.batches = end - begin;
  return p;
}

}  // namespace semideep
