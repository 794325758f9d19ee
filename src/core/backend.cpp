// SPDX-License-Identifier: Apache-2.0
#include "core/backend.hpp"

#include "cpu/kernels.hpp"

namespace logsum {
namespace {

#define LOGSUM_ENTRY(name, Plan) , &LOGSUM_NAMESPACE::name

// In the order of preference: `automatic` takes the first.
const BackendTable kTables[] = {
#define LOGSUM_NAMESPACE cpu
    {{Backend::cpu, "cpu", "SIMD kernels, run-time dispatch, threads by Context::executor",
      true} LOGSUM_FOR_EACH_OPERATION(LOGSUM_ENTRY)},
#undef LOGSUM_NAMESPACE
#define LOGSUM_NAMESPACE reference
    {{Backend::reference, "reference", "float64, naive order, one thread: the truth for tests",
      true} LOGSUM_FOR_EACH_OPERATION(LOGSUM_ENTRY)},
#undef LOGSUM_NAMESPACE
};

#undef LOGSUM_ENTRY

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
