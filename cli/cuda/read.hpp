// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>

namespace logsum::cli {

// Reads `vectors` of 16 bytes with `blocks` CTAs of `threads`; `sink` is never written.
cudaError_t read_on_gpu(const void* data, std::size_t vectors, unsigned blocks, unsigned threads,
                        unsigned* sink, cudaStream_t stream);

}  // namespace logsum::cli
