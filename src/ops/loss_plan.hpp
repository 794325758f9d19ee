// SPDX-License-Identifier: Apache-2.0
// What all losses of tokens have in common after validation: rows of logits, which of them count,
// where their gradients go, and what is kept of them between the steps of a call.
#pragma once

#include "core/rows.hpp"
#include "core/scored_row.hpp"
#include "ops/sequences.hpp"

namespace logsum {

// One value, on the host or, in any of four dtypes, on the tensors' device.
struct ScalarView {
  double value = 0;
  ElementsView tensor;

  LOGSUM_HOST_DEVICE double operator()() const {
    if (!tensor) return value;
    const bool is_real = tensor.dtype == DType::f32 || tensor.dtype == DType::f64;
    return is_real ? tensor.real(0) : static_cast<double>(tensor.integer(0));
  }
};

// A value per token, or one per sequence.
struct TokenOrSequenceView {
  ElementsView tensor;
  bool is_per_sequence = false;

  LOGSUM_HOST_DEVICE std::int64_t index(std::int64_t row, std::int64_t sequence) const {
    return is_per_sequence ? sequence : row;
  }
  LOGSUM_HOST_DEVICE double at(std::int64_t row, std::int64_t sequence) const {
    return tensor.real(index(row, sequence));
  }
};

// A row that counts, or, at the list's other end, one that doesn't.
struct ListedRow {
  std::int64_t row, sequence;
};

// What the whole batch has in common.
struct LossTotals {
  std::int64_t kept = 0;  // rows that count
  double grad_scale = 1;
  bool is_valid = true;  // else a scalar on the device is out of range
};

LOGSUM_HOST_DEVICE inline bool is_finite(double x) {
  return std::fabs(x) <= std::numeric_limits<double>::max();
}
// 0, or what has a finite inverse.
LOGSUM_HOST_DEVICE inline bool is_normalizer(double n) {
  return n == 0 || (n >= std::numeric_limits<double>::min() && is_finite(n));
}
LOGSUM_HOST_DEVICE inline bool fits_f32(double x) {
  return std::fabs(x) <= static_cast<double>(std::numeric_limits<float>::max());
}

// One f32 or f64.
LOGSUM_HOST_DEVICE inline void set_scalar(const ElementsView& view, double value) {
  if (!view) return;
  if (view.dtype == DType::f64)
    *reinterpret_cast<double*>(view.data) = value;
  else
    view.set(0, static_cast<float>(value));
}

// An entry of metrics, f64.
LOGSUM_HOST_DEVICE inline void set_metric(const ElementsView& metrics, int entry, double value) {
  *reinterpret_cast<double*>(metrics.data + entry * metrics.inner_bytes) = value;
}

struct LossPlan {
  RowsView logits, grad_logits;  // grad_logits.data null: not wanted
  Sequences sequences;
  ElementsView targets, completion_mask;
  PerRowView<float> temperature;
  ScalarView grad_scale;
  std::int64_t ignore_index = -100;
  std::int64_t padded_columns = 0;  // of grad_logits
  bool has_entropy = false;         // the entropy of a row is asked for
  bool has_entropy_gradient = false;

  LOGSUM_HOST_DEVICE bool wants_gradient() const { return grad_logits.data != nullptr; }

  // The sequence that has the row. (Of cu_seqlens that don't rise, some sequence.)
  LOGSUM_HOST_DEVICE std::int64_t sequence_of_row(std::int64_t row) const {
    if (!sequences.cu_seqlens) {
      if (logits.rows > UINT32_MAX) return row / sequences.length;
      return static_cast<std::uint32_t>(row) / static_cast<std::uint32_t>(sequences.length);
    }
    std::int64_t low = 0, high = sequences.count - 1;
    while (low < high) {
      const std::int64_t middle = low + (high - low) / 2;
      if (sequences.range(middle).end > row)
        high = middle;
      else
        low = middle + 1;
    }
    return low;
  }

  LOGSUM_HOST_DEVICE bool counts(std::int64_t row) const {
    if (completion_mask && !flag(completion_mask, row)) return false;
    return targets.integer(row) != ignore_index;
  }
  LOGSUM_HOST_DEVICE bool has_target(std::int64_t target) const {
    return target >= 0 && target < logits.columns;
  }

 protected:
  LOGSUM_HOST_DEVICE static bool flag(const ElementsView& view, std::int64_t row) {
    return *reinterpret_cast<const std::uint8_t*>(view.place(row).at) != 0;
  }
};

// Lays arrays out from `memory`, or counts their bytes.
class Layout {
 public:
  static constexpr std::size_t kAlign = 16;
  static constexpr std::size_t aligned(std::size_t bytes) {
    return (bytes + kAlign - 1) / kAlign * kAlign;
  }

  explicit Layout(void* memory) : memory_(static_cast<std::byte*>(memory)) {}

  template <class T>
  void take(T*& pointer, std::size_t count) {
    if (memory_) pointer = reinterpret_cast<T*>(memory_ + used_);
    used_ += aligned(count * sizeof(T));
  }
  std::size_t used() const { return used_; }

 private:
  std::byte* memory_;
  std::size_t used_ = 0;
};

// What is kept of the rows between the steps of a call.
struct LossRows {
  struct Rest {
    double words[4];
  };

  ListedRow* list;       // [rows]: those that count in their order, then the others, last first
  std::int64_t* before;  // [rows + 1]: rows that count before each
  RowStatus* status;     // [rows]
  float* logps;          // [rows]
  float* entropies;      // [rows]
  ScoredRow* scored;     // [rows], where a second visit writes the gradient
  RowDerivatives* derivatives;  // likewise
  std::int64_t* lengths;        // [sequences]: rows that count
  std::int64_t* also;           // one: of those, how many another mask has; a GPU's
  Rest* rests;                  // [rows]: a GPU's, of rows that are written carefully
  std::byte* prepared;          // [rows]: a GPU's, of rows that count (cuda/device/ring_rows.cuh)
  float* lses = nullptr;        // [rows]: a GPU's, of a loss that asks for them

  static constexpr std::size_t kPreparedBytes = 144;

  LOGSUM_HOST_DEVICE bool counts(std::int64_t row) const { return before[row + 1] > before[row]; }

  void lay(Layout& layout, std::size_t rows, std::size_t sequences, bool on_gpu) {
    layout.take(list, rows);
    layout.take(before, rows + 1);
    layout.take(status, rows);
    layout.take(logps, rows);
    layout.take(entropies, rows);
    layout.take(scored, rows);
    layout.take(derivatives, rows);
    layout.take(lengths, sequences);
    layout.take(also, 1);
    layout.take(rests, on_gpu ? rows : 0);
    layout.take(prepared, on_gpu ? rows * kPreparedBytes : 0);
  }
};

}  // namespace logsum
