// SPDX-License-Identifier: Apache-2.0
#include "cuda/scratch.hpp"

#include "cuda/error.hpp"

namespace logsum::cuda {

DeviceScratch::DeviceScratch(std::size_t bytes, Counters counters, const Context& context)
    : stream_(static_cast<cudaStream_t>(context.stream)),
      bytes_(bytes),
      data_(context.workspace.data),
      is_owned_(data_ == nullptr) {
  if (!is_owned_) return;
  cudaError_t error = cudaMallocAsync(&data_, bytes, stream_);
  if (error == cudaSuccess && counters == Counters::used)
    error = cudaMemsetAsync(data_, 0, kSpanCounterBytes, stream_);
  if (error != cudaSuccess) status_ = cuda_error("allocating a workspace", error);
}

DeviceScratch::~DeviceScratch() {
  if (is_owned_ && data_ != nullptr) cudaFreeAsync(data_, stream_);
}

Context DeviceScratch::in(const Context& context) const {
  Context inside = context;
  inside.workspace = {data_, bytes_};
  return inside;
}

}  // namespace logsum::cuda
