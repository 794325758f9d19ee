// SPDX-License-Identifier: Apache-2.0
// What this machine can do at most, measured: how fast memory is read and how many FMAs are
// executed.
#pragma once

#include <cstddef>

#include "logsum/context.hpp"

namespace logsum::cli {

// f32 FMAs per second of one thread with a target's vectors (lanes counted); 0 if it can't run
// here.
double fma_rate(SimdTarget target);

// Reads memory as fast as one thread can; the value only keeps the reads alive.
unsigned read_memory(SimdTarget target, const void* data, std::size_t bytes);

}  // namespace logsum::cli
