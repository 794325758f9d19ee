// SPDX-License-Identifier: Apache-2.0
#include "core/backend.hpp"

#include <algorithm>
#include <array>

#include "cpu/kernels.hpp"
#ifdef LOGSUM_WITH_CUDA
#include "cuda/device.hpp"
#endif

namespace logsum {
namespace {

#define LOGSUM_ENTRY(name, Plan) , &LOGSUM_NAMESPACE::name

// In the order of preference: `automatic` takes the first for the tensors' device.
const BackendTable kTables[] = {
#define LOGSUM_NAMESPACE cpu
    {{Backend::cpu, "cpu", "SIMD kernels, run-time dispatch, threads by Context::executor", true},
     DeviceType::cpu,
     nullptr,
     nullptr,
     nullptr LOGSUM_FOR_EACH_OPERATION(LOGSUM_ENTRY)},
#undef LOGSUM_NAMESPACE
#define LOGSUM_NAMESPACE reference
    {{Backend::reference, "reference", "float64, naive order, one thread: the truth for tests",
      true},
     DeviceType::cpu,
     nullptr,
     nullptr,
     nullptr LOGSUM_FOR_EACH_OPERATION(LOGSUM_ENTRY)},
#undef LOGSUM_NAMESPACE
#ifdef LOGSUM_WITH_CUDA
    {.info = {Backend::cuda, "cuda", "NVIDIA GPUs, on Context::stream", true},
     .device = DeviceType::cuda,
     .is_available = &cuda::is_available,
     .enter_device = &cuda::enter_device,
     .leave_device = &cuda::leave_device,
     .token_logprobs = &cuda::token_logprobs,
     .sample = &cuda::sample,
     .measure = &cuda::measure,
     .merge = &cuda::merge,
     .draw = &cuda::draw,
     .softmax = &cuda::softmax,
     .log_softmax = &cuda::log_softmax,
     .softmax_backward = &cuda::softmax_backward,
     .log_softmax_backward = &cuda::log_softmax_backward,
     .logsumexp = &cuda::logsumexp,
     .logsumexp_backward = &cuda::logsumexp_backward,
     .approx_kl = &cuda::approx_kl,
     .policy_loss = &cuda::policy_loss,
     .cross_entropy = &cuda::cross_entropy,
     .preference_loss = &cuda::preference_loss,
     .distill_loss = &cuda::distill_loss,
     .group_advantages = &cuda::group_advantages,
     .importance_weights = &cuda::importance_weights},
#endif
};

#undef LOGSUM_ENTRY

const char* name_of(SimdTarget target) {
  for (const SimdTargetInfo& info : simd_targets())
    if (info.id == target) return info.name;
  return "?";
}

}  // namespace

std::span<const BackendInfo> backends() noexcept {
  static const auto infos = [] {
    std::array<BackendInfo, std::size(kTables)> result;
    std::transform(std::begin(kTables), std::end(kTables), result.begin(),
                   [](const BackendTable& table) {
                     BackendInfo info = table.info;
                     if (table.is_available) info.available = table.is_available();
                     return info;
                   });
    return result;
  }();
  return infos;
}

Status find_backend(const char* operation, Device device, const Context& context,
                    const BackendTable*& table) noexcept {
  table = nullptr;
  for (const BackendTable& entry : kTables)
    if (context.backend == Backend::automatic ? entry.device == device.type
                                              : entry.info.id == context.backend) {
      table = &entry;
      break;
    }
  if (table == nullptr && context.backend == Backend::automatic)
    return Status::error(StatusCode::unsupported,
                         "%s: the tensors are on device type %d, for which this build has no "
                         "backend (cuda: build with -DLOGSUM_CUDA=ON)",
                         operation, static_cast<int>(device.type));
  if (table == nullptr)
    return Status::error(StatusCode::unsupported, "%s: no backend %d in this build", operation,
                         static_cast<int>(context.backend));
  if (table->device != device.type)
    return Status::error(StatusCode::invalid_argument,
                         "%s: backend %s wants tensors on device type %d, they are on %d",
                         operation, table->info.name, static_cast<int>(table->device),
                         static_cast<int>(device.type));
  if (context.determinism > Determinism::cross_device)
    return Status::error(StatusCode::invalid_argument,
                         "%s: determinism is %d, must be per_device (0) or cross_device (1)",
                         operation, static_cast<int>(context.determinism));
  if (context.schedule > Schedule::rings)
    return Status::error(
        StatusCode::invalid_argument,
        "%s: schedule is %d, must be automatic (0), spans (1), clusters (2) or rings (3)",
        operation, static_cast<int>(context.schedule));
  if (table->info.id == Backend::cpu && cpu::kernels_for(context.simd) == nullptr)
    return Status::error(StatusCode::unsupported,
                         "%s: SIMD target %s isn't available on this machine or in this build",
                         operation, name_of(context.simd));
  return {};
}

}  // namespace logsum
