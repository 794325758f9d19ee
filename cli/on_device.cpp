// SPDX-License-Identifier: Apache-2.0
#include "on_device.hpp"

namespace logsum::cli {
namespace {

// From the first element to behind the last.
std::size_t bytes_of(const Tensor& tensor) {
  std::int64_t last = 0;
  for (int i = 0; i < tensor.rank; ++i) {
    if (tensor.shape[i] == 0) return 0;
    last += (tensor.shape[i] - 1) * tensor.strides[i];
  }
  return static_cast<std::size_t>(last + 1) * size_of(tensor.dtype);
}

}  // namespace

Tensor OnDevice::place(const Tensor& host) {
  if (used_ == buffers_.size()) buffers_.emplace_back();
  Tensor device = host;
  device.data = buffers_[used_++].at_least(*gpu_, bytes_of(host));
  device.device = {DeviceType::cuda, gpu_->index()};
  return device;
}

Tensor OnDevice::in(const Tensor& host) {
  if (gpu_ == nullptr || !host.present()) return host;
  const Tensor device = place(host);
  gpu_->to_device(device.data, host.data, bytes_of(host));
  return device;
}

Tensor OnDevice::out(const Tensor& host) {
  if (gpu_ == nullptr || !host.present()) return host;
  const Tensor device = place(host);
  results_.push_back({host, device});
  return device;
}

void OnDevice::finish() {
  for (const Result& result : results_)
    gpu_->to_host(result.host.data, result.device.data, bytes_of(result.host));
  results_.clear();
  used_ = 0;
}

}  // namespace logsum::cli
