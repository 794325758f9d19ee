// SPDX-License-Identifier: Apache-2.0
// policy_loss: what follows from rows' log-probs, a CTA per sequence: its ratio, its tokens'
// results and sums, the derivatives that a second visit asks for. The last CTA adds the sequences'.
#include <algorithm>

#include "cuda/device/halving_sum.cuh"
#include "cuda/device/last_block.cuh"
#include "cuda/launch_kernel.hpp"
#include "cuda/policy_call.hpp"

namespace logsum::cuda {
namespace {

constexpr int kThreads = 512;

union SequenceRoom {
  HalvingRoom<PolicyCoupling, kThreads> coupling;
  HalvingRoom<Sum, kThreads> slope;
  HalvingRoom<PolicySums, kThreads> sums;
};

class SequenceVisit {
 public:
  __device__ SequenceVisit(const PolicyCall& call, std::int64_t index)
      : call_(call),
        plan_(call.plan),
        totals_(*call.rows.totals),
        index_(index),
        span_(plan_.sequences.range(index)),
        first_(span_.begin < span_.end ? call.rows.before[span_.begin] : 0),
        count_(call.rows.lengths[index]) {}

  __device__ void write_masked() const {
    for (std::int64_t row = span_.begin + threadIdx.x; row < span_.end; row += kThreads)
      if (!call_.counts(row)) plan_.write_masked(row);
  }

  __device__ PolicySums run(SequenceRoom& room, bool derives) const {
    const PolicyOptions& options = plan_.options;
    const auto length = static_cast<double>(count_);
    PolicyCoupling coupling;
    if (is_coupled(options))
      coupling = halving_sum_of_block(
          count_, room.coupling, [&](std::int64_t i) { return PolicyCoupling(options, token(i)); });
    const PolicySequence sequence = plan_.sequence(coupling, length, index_);
    const double u = plan_.unit(totals_, length);
    Sum slope;
    if (has_sequence_ratio(options))
      slope = halving_sum_of_block(count_, room.slope, [&](std::int64_t i) {
        return Sum{product(u, terms(i, sequence).slope)};
      });
    return halving_sum_of_block(count_, room.sums, [&](std::int64_t i) {
      const ListedRow at = call_.rows.list[first_ + i];
      const PolicyTerms of_token = terms(i, sequence);
      const RowDerivatives d = plan_.derivatives(
          at, totals_, plan_.coupled_gradient(totals_, length, slope.value, of_token));
      if (derives) call_.rows.derivatives[at.row] = d;
      return plan_.write_token(at, u, of_token, d, call_.rows.logps[at.row],
                               call_.rows.entropies[at.row], call_.rows.status[at.row]);
    });
  }

 private:
  __device__ PolicyToken token(std::int64_t i) const {
    const ListedRow at = call_.rows.list[first_ + i];
    return plan_.token(at, call_.rows.logps[at.row]);
  }
  __device__ PolicyTerms terms(std::int64_t i, const PolicySequence& sequence) const {
    const PolicyToken of = token(i);
    return terms_of(plan_.options, of, sequence, exponentials_of(plan_.options, of, sequence));
  }

  const PolicyCall& call_;
  const PolicyLossPlan& plan_;
  const PolicyTotals totals_;
  std::int64_t index_;
  TokenRange span_;
  std::int64_t first_, count_;
};

__global__ __launch_bounds__(kThreads) void sequences_kernel(
    const __grid_constant__ PolicyCall call, unsigned* counter, bool derives) {
  __shared__ Shared<SequenceRoom> shared;
  SequenceRoom& room = *shared;
  wait_for_kernel_before();
  for (std::int64_t i = blockIdx.x; i < call.plan.sequences.count; i += gridDim.x) {
    const SequenceVisit visit(call, i);
    visit.write_masked();
    const PolicySums sums = visit.run(room, derives);
    if (threadIdx.x == 0) call.rows.sums[i] = sums;
  }
  if (!is_last_block(counter)) return;
  const PolicySums total =
      halving_sum_of_block(call.plan.sequences.count, room.sums,
                           [&](std::int64_t i) { return load_past_l1(call.rows.sums + i); });
  if (threadIdx.x == 0) call.plan.write_totals(total);
}

}  // namespace

Status finish_sequences(const PolicyCall& call, unsigned* counter, bool derives,
                        const Context& context) {
  const auto blocks =
      static_cast<unsigned>(std::clamp<std::int64_t>(call.plan.sequences.count, 1, 1024));
  return launch_early(sequences_kernel, blocks, kThreads, context, call, counter, derives);
}

}  // namespace logsum::cuda
