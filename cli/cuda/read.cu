// SPDX-License-Identifier: Apache-2.0
// The floor of everything that reads logits once: a kernel that does nothing else.
#include "cli/cuda/read.hpp"

namespace logsum::cli {
namespace {

constexpr int kAtOnce = 4;  // loads in flight per thread

__global__ void read_kernel(const uint4* data, std::size_t vectors, unsigned* sink) {
  const std::size_t step = std::size_t{gridDim.x} * blockDim.x;
  unsigned sum = 0;
  const auto add = [&](const uint4& v) { sum ^= v.x ^ v.y ^ v.z ^ v.w; };
  std::size_t i = std::size_t{blockIdx.x} * blockDim.x + threadIdx.x;
  for (; i + (kAtOnce - 1) * step < vectors; i += kAtOnce * step) {
    uint4 v[kAtOnce];
#pragma unroll
    for (int k = 0; k < kAtOnce; ++k) v[k] = data[i + k * step];
#pragma unroll
    for (int k = 0; k < kAtOnce; ++k) add(v[k]);
  }
  for (; i < vectors; i += step) add(data[i]);
  // Next to never, but the compiler can't know: the reads stay.
  if (sum == 0x5eed1e55 && threadIdx.x == 1023) *sink = sum;
}

}  // namespace

cudaError_t read_on_gpu(const void* data, std::size_t vectors, unsigned blocks, unsigned threads,
                        unsigned* sink, cudaStream_t stream) {
  read_kernel<<<blocks, threads, 0, stream>>>(static_cast<const uint4*>(data), vectors, sink);
  return cudaGetLastError();
}

}  // namespace logsum::cli
