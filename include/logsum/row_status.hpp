// SPDX-License-Identifier: Apache-2.0
// What became of a row. Data-dependent trouble is reported per row, in an optional i32 output, and
// never touches another row: a Status is only for what the host can see before it starts.
#pragma once

#include <cstdint>

namespace logsum {

enum class RowStatus : std::int32_t {
  ok = 0,
  ignored = 1,        // target = ignore_index: log-prob 0
  empty = 2,          // all −∞: token −1, log-prob NaN, lse −∞
  nan = 3,            // a NaN within vocab_size: NaN results
  pos_inf = 4,        // a +∞ (and no NaN): NaN results
  bad_target = 5,     // a target outside [0, vocab_size): its log-prob is NaN
  bad_parameter = 6,  // a per-row parameter out of range: NaN results
  overflow = 7,  // losses: the token's (distill_loss: the row's, preference_loss: its pair's), or
                 // its derivative, is beyond f32
};

constexpr const char* to_string(RowStatus status) noexcept {
  switch (status) {
    case RowStatus::ok: return "ok";
    case RowStatus::ignored: return "ignored";
    case RowStatus::empty: return "empty";
    case RowStatus::nan: return "nan";
    case RowStatus::pos_inf: return "pos_inf";
    case RowStatus::bad_target: return "bad_target";
    case RowStatus::bad_parameter: return "bad_parameter";
    case RowStatus::overflow: return "overflow";
  }
  return "?";
}

}  // namespace logsum
