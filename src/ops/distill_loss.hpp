// SPDX-License-Identifier: Apache-2.0
// distill_loss after validation: which rows count, how a pair of rows is compared, and what becomes
// of its sums.
#pragma once

#include "core/divergence.hpp"
#include "ops/loss_plan.hpp"

namespace logsum {

// What the whole batch has in common.
struct DistillTotals {
  std::int64_t counted = 0;  // rows
  double per_row = 0;        // 1/N
  double factor = 0;         // grad_scale/N
  bool is_valid = true;      // else a normalizer or grad_scale on the device is out of range
};

// The student's and the teacher's.
struct MeasuredPair {
  MeasuredRow student, teacher;
};

// A row whose sums are known.
struct DistilledRow {
  RowStatus status = RowStatus::ignored;
  DivergenceSums sums;
};

struct DistillLossPlan {
  // One side: logits, their gradient (data null: not wanted), and temperature.
  struct Side {
    RowsView logits, grad;
    std::int64_t padded_columns = 0;  // of grad
    PerRowView<float> temperature;
  };
  enum class Fate : int { computed, zero, nan };

  Side student, teacher;
  MaskView mask;
  ElementsView loss, per_token_loss, row_status;
  Divergence divergence = Divergence::jsd;
  float beta = 0;
  ScalarView normalizer, grad_scale;

  LOGSUM_HOST_DEVICE std::int64_t rows() const { return student.logits.rows; }
  LOGSUM_HOST_DEVICE std::int64_t columns() const { return student.logits.columns; }
  LOGSUM_HOST_DEVICE bool wants_gradient() const {
    return student.grad.data != nullptr || teacher.grad.data != nullptr;
  }
  LOGSUM_HOST_DEVICE bool has_temperatures(std::int64_t row) const {
    return is_valid_temperature(student.temperature(row)) &&
           is_valid_temperature(teacher.temperature(row));
  }

  LOGSUM_HOST_DEVICE DistillTotals totals(std::int64_t counted) const {
    DistillTotals t;
    t.counted = counted;
    double n = normalizer();
    const double scale = grad_scale();
    t.is_valid = is_normalizer(n) && is_finite(scale);
    if (!normalizer.tensor && n == 0) n = static_cast<double>(counted);
    t.per_row = 1 / (n == 0 ? 1 : n);
    t.factor = scale * t.per_row;
    return t;
  }

  // A KL is of the first to the second: a reverse one of the student to the teacher.
  LOGSUM_HOST_DEVICE bool teacher_is_first() const { return divergence != Divergence::reverse_kl; }
  LOGSUM_HOST_DEVICE const Side& first() const { return teacher_is_first() ? teacher : student; }
  LOGSUM_HOST_DEVICE const Side& second() const { return teacher_is_first() ? student : teacher; }

  LOGSUM_HOST_DEVICE const MeasuredRow& first_of(const MeasuredPair& measured) const {
    return teacher_is_first() ? measured.teacher : measured.student;
  }
  LOGSUM_HOST_DEVICE const MeasuredRow& second_of(const MeasuredPair& measured) const {
    return teacher_is_first() ? measured.student : measured.teacher;
  }

  // Of rows that are ok. `factor`: of all probabilities.
  LOGSUM_HOST_DEVICE DivergencePair pair(std::int64_t row, const MeasuredPair& measured,
                                         double factor) const {
    const float ta = first().temperature(row), tb = second().temperature(row);
    DivergencePair pair(first_of(measured), ta, second_of(measured), tb, factor);
    if (divergence == Divergence::jsd) pair.set_jsd(beta);
    return pair;
  }

  // What becomes of the gradients of first and second.
  LOGSUM_HOST_DEVICE Fate fate(const DistilledRow& row, const DistillTotals& totals,
                               bool of_first) const {
    if (row.status == RowStatus::ignored || row.status == RowStatus::empty) return Fate::zero;
    const bool has_sums = row.status == RowStatus::ok || row.status == RowStatus::overflow;
    if (!has_sums || !fits_f32(totals.factor)) return Fate::nan;
    const bool has_mean = of_first || divergence == Divergence::jsd;
    if (has_mean && !fits_f32(of_first ? row.sums.mean_a : row.sums.mean_b)) return Fate::nan;
    return totals.factor == 0 ? Fate::zero : Fate::computed;
  }

  // Writes a row's results and returns what it adds to the loss. `row.status` may become overflow.
  LOGSUM_HOST_DEVICE double write_row(std::int64_t i, const DistillTotals& totals,
                                      DistilledRow& row) const {
    const bool counts = row.status != RowStatus::ignored;
    if (counts && row.status != RowStatus::ok)
      row.sums.divergence = static_cast<double>(kNan);
    else if (counts && !fits_f32(row.sums.divergence))
      row.status = RowStatus::overflow;
    per_token_loss.set(i, counts ? static_cast<float>(row.sums.divergence) : 0.0f);
    row_status.set_integer(i, 0, static_cast<int>(row.status));
    return counts ? row.sums.divergence * totals.per_row : 0;
  }
};

// What is kept of the rows between the steps of a call.
struct DistillRows {
  DistillTotals* totals;
  MeasuredPair* measured;  // [rows]
  DistilledRow* rows;      // [rows]
  double* terms;           // [rows]: what each adds to the loss
  DivergenceSums* sums;    // [rows, tiles]
  // A GPU's:
  std::int64_t* list;   // [rows]: those that count in their order, then the others, last first
  unsigned* left;       // [rows]: what the quick kernels leave of each (cuda/distill_call.hpp)
  unsigned* left_rows;  // one: how many they leave something of
  std::byte* prepared;  // [rows]: of rows that count (cuda/device/ring_rows.cuh)

  static constexpr std::size_t kPreparedBytes = 144;

  // Lays them out from `memory`; returns how many bytes they take.
  std::size_t lay(void* memory, std::size_t row_count, std::size_t tiles, bool on_gpu) {
    Layout layout(memory);
    layout.take(totals, 1);
    layout.take(measured, row_count);
    layout.take(rows, row_count);
    layout.take(terms, row_count);
    layout.take(sums, row_count * tiles);
    const std::size_t gpu_rows = on_gpu ? row_count : 0;
    layout.take(list, gpu_rows);
    layout.take(left, gpu_rows);
    layout.take(left_rows, 1);
    layout.take(prepared, gpu_rows * kPreparedBytes);
    return layout.used();
  }
};

}  // namespace logsum
