// SPDX-License-Identifier: Apache-2.0
// In place of cli/cuda in a build without the CUDA backend.
#include "cli/gpu.hpp"

#include "cli/errors.hpp"
#include "cli/gpus.hpp"

namespace logsum::cli {

std::unique_ptr<Gpu> open_gpu(std::int32_t index) {
  gpu_at(index, "--device cuda");
  throw UsageError("--device cuda: the tool and the library are of different builds");
}

}  // namespace logsum::cli
