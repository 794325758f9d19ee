// SPDX-License-Identifier: Apache-2.0
// importance_weights on the CPU: sequences are independent; their sums are added in order.
#include "ops/importance_weights.hpp"

#include "core/backend.hpp"
#include "core/workspace.hpp"
#include "cpu/visit.hpp"

namespace logsum::cpu {

Status importance_weights(const ImportanceWeightsPlan& plan, const Context& context) {
  using Lanes = SerialLanes<kBlockLanes>;
  const std::int64_t ranges = plan.sequences.ranges();
  if (!plan.has_statistics())
    return parallel_rows(context, ranges, [&](std::int64_t range, TileScratch&) {
      plan.write_range(range, Lanes());
    });
  Scratch<WeightSums> sums(context, static_cast<std::size_t>(ranges));
  LOGSUM_RETURN_IF_ERROR(parallel_rows(context, ranges, [&](std::int64_t range, TileScratch&) {
    sums.data()[range] = plan.write_range(range, Lanes());
  }));
  plan.write_statistics(Lanes()(ranges, [&](std::int64_t range) { return sums.data()[range]; }));
  return {};
}

}  // namespace logsum::cpu
