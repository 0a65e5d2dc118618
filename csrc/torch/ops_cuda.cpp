// The ops on CUDA: torch's current stream and allocator. Waits for nothing: a call can be captured in a graph.
#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/library.h>

#include <initializer_list>
#include <vector>

#include "cuda/backend.h"
#include "torch/ops.h"

namespace semideep::binding {
namespace {

struct Cuda {
  static constexpr bool reads_halves = true;

  // Written by a kernel of its own each time: a captured graph must not depend on memory that it does not own.
  static const void* one(Arguments& a) {
    return torch::stable::fill_(a.keep(a.empty({1})), 1).const_data_ptr();
  }

  static void run(Arguments& a, std::initializer_list<Tensor>) {
    const int32_t device = a.x.get_device_index();
    const torch::stable::accelerator::DeviceGuard guard(device);
    void* stream = nullptr;
    TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(device, &stream));
    // Given back as soon as the work is queued: the allocator hands it out again on this stream only, which
    // comes after.
    std::vector<Tensor> scratch;
    cuda::execute(a.p, static_cast<CUstream_st*>(stream), [&](int64_t bytes) {
      scratch.push_back(a.empty({bytes}, ScalarType::Byte));
      return scratch.back().mutable_data_ptr();
    });
  }
};

}  // namespace
}  // namespace semideep::binding

STABLE_TORCH_LIBRARY_IMPL(semideep_ext, CUDA, m) {
  semideep::binding::Ops<semideep::binding::Cuda>::implement(m);
}
