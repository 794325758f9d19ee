// SPDX-License-Identifier: Apache-2.0
// In place of cuda_memory.cpp where the build has no CUDA.
#include <cstdlib>

#include "support/device_memory.hpp"

namespace logsum::test {

DeviceMemory& cuda_memory() { std::abort(); }

std::string why_no_cuda() { return "this build has no CUDA backend"; }

}  // namespace logsum::test
