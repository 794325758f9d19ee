// SPDX-License-Identifier: Apache-2.0
// A call's tensors where a session computes: on the CPU they are the host's own, on a GPU copies
// whose memory is kept from block to block.
#pragma once

#include <cstddef>
#include <vector>

#include "gpu.hpp"
#include "logsum/tensor.hpp"

namespace logsum::cli {

class OnDevice {
 public:
  explicit OnDevice(Gpu* gpu) : gpu_(gpu) {}  // null: on the CPU

  // No strides below 0; absent tensors stay absent.
  Tensor in(const Tensor& host);
  Tensor out(const Tensor& host);

  // Brings back what was written; the tensors so far are then void.
  void finish();

 private:
  struct Result {
    Tensor host, device;
  };

  Tensor place(const Tensor& host);

  Gpu* gpu_;
  std::vector<GpuBuffer> buffers_;
  std::size_t used_ = 0;
  std::vector<Result> results_;
};

}  // namespace logsum::cli
