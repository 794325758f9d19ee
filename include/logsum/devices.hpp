// SPDX-License-Identifier: Apache-2.0
// The GPUs of this machine, and how the library lays rows over one. In every build: one without the
// CUDA backend says so.
#pragma once

#include <cstddef>
#include <cstdint>

#include "logsum/context.hpp"
#include "logsum/dtype.hpp"
#include "logsum/export.h"
#include "logsum/status.hpp"

namespace logsum {

// What there is of CUDA. Versions as CUDA has them: 13000 is 13.0.
struct CudaInfo {
  bool compiled = false;     // this build has the backend
  std::int32_t runtime = 0;  // that the backend was built with
  std::int32_t driver = 0;   // the newest that the driver knows; 0: no driver
  std::int32_t device_count = 0;
};

struct DeviceInfo {
  char name[256] = {};
  std::int32_t capability = 0;  // 90: compute capability 9.0
  std::int32_t multiprocessors = 0;
  std::int32_t shared_bytes_per_block = 0;  // the most that a block may ask for
  // How many clusters of 1, 2, 4, 8 and 16 blocks, each with a multiprocessor to itself, run at
  // once; 0: none of this size, as all below compute capability 9.0.
  static constexpr int kClusterSizes = 5;
  std::int32_t clusters[kClusterSizes] = {};
  std::size_t l2_bytes = 0;
  std::size_t memory_bytes = 0;
};

LOGSUM_API CudaInfo cuda_info() noexcept;

// `unsupported` where the backend, the driver or any GPU is missing, and says which.
LOGSUM_API Status cuda_device(std::int32_t index, DeviceInfo& info) noexcept;

// A call that reads rows once, as far as its schedule depends on it: what it measures of a row.
struct VisitedRows {
  std::int64_t rows = 1;
  std::int64_t columns = 1;
  DType dtype = DType::f32;
  bool entropy = false;
  bool raw_logprob = false;  // sample: at a temperature that isn't 1, and with its entropy
};

// A call that writes rows: softmax or log_softmax of logits to their own dtype, the gradient of
// either, or a loss with the gradient of its logits, with tensors of one dtype whose rows are
// contiguous and begin at multiples of 16 bytes. A loss is policy_loss where no token's gradient
// asks for its sequence (as GSPO's, GMPO's and VESPO's do), or cross_entropy without softcap and
// label smoothing; with entropy, policy_loss that has an output of it, a bonus or metrics.
struct WrittenRows {
  enum class Operation : std::uint8_t {
    softmax,
    log_softmax,
    gradient,
    loss,
    loss_with_entropy,
    divergence  // of two matrices; of f32, and under cross_device, never
  };

  std::int64_t rows = 1;
  std::int64_t columns = 1;
  DType dtype = DType::f32;
  Operation operation = Operation::softmax;
  Determinism determinism = Determinism::per_device;
};

struct ScheduleInfo {
  Schedule schedule = Schedule::spans;  // never automatic
  std::int32_t blocks_per_row = 0;      // clusters, rings: CTAs that share a row; else 0
  std::int64_t blocks = 0;              // CTAs of the launch
  std::int32_t threads = 0;             // of each
  std::int32_t warps = 0;               // of those, that measure
  std::int32_t shared_bytes = 0;        // of dynamic shared memory, of each CTA
};

// What a call on such a device would do, from the function that decides it. The device needn't be
// there: its capability, multiprocessors, shared_bytes_per_block and clusters count.
LOGSUM_API Status explain_schedule(const DeviceInfo& device, const VisitedRows& rows,
                                   Schedule wanted, ScheduleInfo& info) noexcept;
// The same of rings, which read and write rows in one launch; `unsupported` where such a call takes
// two. Of a loss the first of them is the visit that explain_schedule speaks of, as it is where no
// gradient is asked for and of preference_loss always.
LOGSUM_API Status explain_rings(const DeviceInfo& device, const WrittenRows& rows,
                                ScheduleInfo& info) noexcept;

}  // namespace logsum
