// The question a binding puts to a backend: raw pointers and sizes, no owner, no framework.
//
//   F = sum_{b,l,i,j,c}  left.values[b,l,i,c]  k_l(d(x_bi, y_bj))  right.values[b,l,j,c]
//
// Everything that is ever asked for is F, or a derivative of F, with one side's values left open:
//   Task::sum       out[b,l,i,c] = sum_j k_l(d_ij) right.values[b,l,j,c]         (dF/d left.values)
//   Task::log_sum   out[b,l,i]   = log sum_j k_l(d_ij) right.values[b,l,j,0]
//   Task::gradient  dF/dx_bi and dF/dparameter_bl
// The same for y and for right.values is the same question with the sides exchanged. With tangents given,
// sum and gradient return the derivative of their results along (left, right, parameter) tangents.
#pragma once

#include <cstdint>

namespace semideep {

enum class DType : int8_t { float32, float64 };
// Rows may be stored in half a float32, which the CUDA kernels alone read: they convert it, exactly, where they load.
enum class Half : int8_t { none, float16, bfloat16 };
enum class Task : int8_t { sum, log_sum, gradient };

// One of the two sets of rows, and what is attached to each row. Strides count elements; the last
// dimension of each array is contiguous.
struct Side {
  int64_t count = 0;
  const void* rows = nullptr;  // (B, count, D)
  Half half = Half::none;      // of rows, of both sides alike, where the dtype is float32
  int64_t rows_batch_stride = 0;
  int64_t rows_row_stride = 0;
  const void* tangents = nullptr;  // (B, count, D) contiguous, or absent
  const void* values = nullptr;    // (B, L, count, C), or absent where the task leaves it open
  int64_t values_batch_stride = 0;
  int64_t values_parameter_stride = 0;
  int64_t values_row_stride = 0;
  const double* shift = nullptr;  // (B, L, count) contiguous, or absent: kernels are k exp(-shift)
};

struct Problem {
  Task task = Task::sum;
  int metric = 0;  // position in Metrics
  int kernel = 0;  // position in Kernels
  DType dtype = DType::float32;
  int64_t batches = 1;     // B
  int64_t features = 0;    // D
  int64_t parameters = 1;  // L
  int64_t columns = 1;     // C
  Side left;
  Side right;
  const double* parameter = nullptr;  // (B, L) contiguous
  bool tangent = false;               // whether derivatives along tangents are asked for
  const double* parameter_tangent = nullptr;

  // Results, contiguous, divided by the divisor. A gradient that is not wanted stays null.
  double divisor = 1;
  void* out = nullptr;                   // (B, L, N, C); (B, L, N) doubles for log_sum
  void* rows_gradient = nullptr;         // (B, N, D)
  double* parameter_gradient = nullptr;  // (B, L)
  bool* merged = nullptr;  // set where a metric of sets met a value other than 0 and 1
};

}  // namespace semideep
