// SPDX-License-Identifier: Apache-2.0
#include "core/backend.hpp"

#include "cpu/cpu.hpp"
#include "cpu/kernels.hpp"
#include "reference/reference.hpp"

namespace logsum {
namespace {

// In the order of preference: `automatic` takes the first.
const BackendTable kTables[] = {
    {{Backend::cpu, "cpu", "SIMD kernels, run-time dispatch, threads by Context::executor", true},
     &cpu::token_logprobs,
     &cpu::sample,
     &cpu::measure,
     &cpu::merge,
     &cpu::draw,
     &cpu::softmax,
     &cpu::log_softmax,
     &cpu::softmax_backward,
     &cpu::log_softmax_backward,
     &cpu::logsumexp,
     &cpu::logsumexp_backward,
     &cpu::approx_kl},
    {{Backend::reference, "reference", "float64, naive order, one thread: the truth for tests",
      true},
     &reference::token_logprobs,
     &reference::sample,
     &reference::measure,
     &reference::merge,
     &reference::draw,
     &reference::softmax,
     &reference::log_softmax,
     &reference::softmax_backward,
     &reference::log_softmax_backward,
     &reference::logsumexp,
     &reference::logsumexp_backward,
     &reference::approx_kl},
};

const char* name_of(SimdTarget target) {
  for (const SimdTargetInfo& info : simd_targets())
    if (info.id == target) return info.name;
  return "?";
}

}  // namespace

std::span<const BackendInfo> backends() noexcept {
  static const BackendInfo infos[] = {kTables[0].info, kTables[1].info};
  return infos;
}

Status find_backend(const char* operation, const Context& context,
                    const BackendTable*& table) noexcept {
  table = nullptr;
  for (const BackendTable& entry : kTables)
    if (context.backend == Backend::automatic || entry.info.id == context.backend) {
      table = &entry;
      break;
    }
  if (table == nullptr)
    return Status::error(StatusCode::unsupported, "%s: no backend %d in this build", operation,
                         static_cast<int>(context.backend));
  if (table->info.id == Backend::cpu && cpu::kernels_for(context.simd) == nullptr)
    return Status::error(StatusCode::unsupported,
                         "%s: SIMD target %s isn't available on this machine or in this build",
                         operation, name_of(context.simd));
  return {};
}

}  // namespace logsum
