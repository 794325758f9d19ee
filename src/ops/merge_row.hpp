// SPDX-License-Identifier: Apache-2.0
// merge of one row, for every backend: from its tiles' records, wherever they lie, to what
// token_logprobs and sample would have said of the whole row.
#pragma once

#include "ops/shards.hpp"

namespace logsum {

// A row's tiles as a cdf that is added up anew for each draw: for where there is no room to keep
// it. TileChooser's choices.
template <class Records>
class TileScan {
 public:
  LOGSUM_HOST_DEVICE TileScan(const Records& records, std::int64_t tiles, const RowMeasure& row)
      : records_(records), tiles_(tiles), row_(row) {}

  LOGSUM_HOST_DEVICE TileChoice choose(std::uint64_t bits) const {
    const std::uint64_t target = portion(bits, row_.mass);
    std::uint64_t below = 0;
    for (std::int64_t tile = 0;; ++tile) {
      const std::uint64_t above = below + tile_mass(records_(tile), row_);
      if (above > target || tile == tiles_ - 1) return TileChoice(tile, target, below, above);
      below = above;
    }
  }

 private:
  const Records& records_;
  std::int64_t tiles_;
  const RowMeasure& row_;
};

// Call: MergeOutputs' fields. records(tile) → TileRecord; target_logit() is the target's where it
// has one; chooser(measure) makes what chooses the draws' tiles.
template <class Records, class TargetLogit, class MakeChooser>
LOGSUM_HOST_DEVICE void merge_row(const MergeCall& call, std::int64_t row, const Records& records,
                                  const TargetLogit& target_logit, const MakeChooser& chooser) {
  const RowMeasure measure = join(records, call.tiles, call.columns);
  const float t = call.temperature(row);
  const bool greedy = t == 0.0f;
  RowStatus status = status_of(measure);
  if (!(greedy || is_valid_temperature(t)) || !call.uniforms.hold(row, call.choices.count))
    status = RowStatus::bad_parameter;
  const bool ok = status == RowStatus::ok;

  const Temperature temperature(ok && !greedy ? t : 1.0f);
  const RowNorm norm = ok ? RowNorm(measure, temperature) : RowNorm();
  const float lse = greedy ? measure.max : row_lse(measure, norm, temperature);
  call.lse.set(row, ok ? lse : lse_of_failed(status));
  call.entropy.set(row, ok ? (greedy ? 0.0f : row_entropy(measure, norm, temperature)) : kNan);
  call.max.set(row, ok ? measure.max : kNan);
  const std::int64_t in_tile = ok ? records(measure.max_tile).argmax : -1;
  call.argmax.set_integer(row, 0, ok ? measure.max_tile * kTile + in_tile : -1);
  RowStatus reported = status;
  if (call.targets) {
    const std::int64_t target = call.targets.integer(row);
    float logprob = kNan;
    if (target == call.ignore_index) {
      logprob = 0;
      reported = RowStatus::ignored;
    } else if (target < 0 || target >= call.columns) {
      if (ok) reported = RowStatus::bad_target;
    } else if (ok) {
      logprob = norm.logprob(target_logit());
    }
    call.logprobs.set(row, logprob);
  }
  call.row_status.set_integer(row, 0, static_cast<int>(reported));

  if (call.choices.count == 0) return;
  const auto chooses = chooser(measure);
  for (std::int64_t k = 0; k < call.choices.count; ++k) {
    DrawChoice choice;
    choice.half_max = norm.half_max;
    choice.two_over_t = norm.two_over_t;
    choice.log_ratio = norm.log_ratio;
    if (ok && greedy) {
      choice.tile = measure.max_tile;
      choice.share = -1;
      choice.column = static_cast<std::int32_t>(in_tile);
    } else if (ok) {
      std::uint64_t bits = 0;
      call.uniforms.bits(row, k, bits);
      const TileChoice chosen = chooses.choose(bits);
      choice.tile = chosen.tile;
      choice.share = chosen.share;
    }
    call.choices.row(row)[k] = choice;
  }
}

}  // namespace logsum
