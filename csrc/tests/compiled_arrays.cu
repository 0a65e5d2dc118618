// What nvcc makes of an array of sums: compiled_arrays.cmake reads the constant that count_wrong stores from the PTX, so
// that no card is needed. A host compiler cannot show what is wrong there.
#include "cuda/wide_tasks.h"

namespace semideep::device {

// Stores how many sums do not begin as a sum of nothing; all of them are known when this is compiled.
__global__ void count_wrong(int* wrong) {
  LogSums sums;
  clear(sums);
  int count = 0;
#pragma unroll
  for (int i = 0; i < kThreadRows * kWideSums; ++i) {
    const LogSum& sum = sums[i / kWideSums][i % kWideSums];
    count += sum.largest != -INFINITY || sum.sum != 0.0;
  }
  *wrong = count;
}

}  // namespace semideep::device
