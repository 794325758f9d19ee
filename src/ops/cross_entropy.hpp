// SPDX-License-Identifier: Apache-2.0
// cross_entropy after validation: what becomes of a token, and the sums.
#pragma once

#include "core/column_gradient.hpp"
#include "core/lane_sums.hpp"
#include "core/policy_terms.hpp"
#include "core/results.hpp"
#include "logsum/cross_entropy.hpp"
#include "ops/loss_plan.hpp"

namespace logsum {

struct CrossEntropyTotals : LossTotals {
  double per_token = 1;      // u but for lse²,
  double per_z = 1;          // for lse²
  double column_weight = 0;  // Σ_c w_c; with label smoothing
};

// What tokens add up to.
struct CrossEntropySums {
  double loss = 0, z_loss = 0;

  LOGSUM_HOST_DEVICE void add(const CrossEntropySums& other) {
    loss += other.loss;
    z_loss += other.z_loss;
  }
};

struct CrossEntropyPlan : LossPlan {
  ElementsView class_weights, grad_loss;
  ElementsView loss, z_loss, per_token_loss, lse, row_status;
  Reduction reduction = Reduction::mean;
  double label_smoothing = 0, lse_square_scale = 0;
  Softcap softcap;
  ScalarView normalizer;

  // Columns are looked at one by one: not as rows of logits alone.
  LOGSUM_HOST_DEVICE bool is_by_column() const { return label_smoothing != 0 || softcap.cap != 0; }

  LOGSUM_HOST_DEVICE double weight(std::int64_t column) const {
    return class_weights ? class_weights.real(0, column) : 1;
  }
  // Of a row's target; 0 without one.
  LOGSUM_HOST_DEVICE double weight_of_row(std::int64_t row) const {
    const std::int64_t target = targets.integer(row);
    return has_target(target) ? weight(target) : 0;
  }
  LOGSUM_HOST_DEVICE bool counts_weights() const {
    return class_weights && reduction == Reduction::mean && !normalizer.tensor &&
           normalizer.value == 0;
  }

  // `weights`: Σ w_y where counts_weights; `column_weight`: Σ_c w_c with label smoothing.
  LOGSUM_HOST_DEVICE CrossEntropyTotals totals(std::int64_t kept, double weights,
                                               double column_weight) const {
    CrossEntropyTotals t;
    t.kept = kept;
    t.column_weight = column_weight;
    t.grad_scale = grad_scale();
    t.is_valid = is_finite(t.grad_scale);
    if (reduction != Reduction::mean) return t;
    const double n = normalizer();
    t.is_valid = t.is_valid && is_normalizer(n);
    const bool is_given = normalizer.tensor || n != 0;
    const double count = is_given ? n : static_cast<double>(kept);
    const double sum = is_given || !class_weights ? count : weights;
    t.per_token = 1 / (sum == 0 ? 1 : sum);
    t.per_z = 1 / (count == 0 ? 1 : count);
    return t;
  }

  // By log-prob, lse and entropy; but for the upstream gradient.
  LOGSUM_HOST_DEVICE RowDerivatives derivatives(const CrossEntropyTotals& totals, double weight,
                                                double row_lse) const {
    RowDerivatives d;
    d.g = -(1 - label_smoothing) * weight * totals.per_token;
    d.s = totals.per_z * 2 * lse_square_scale * row_lse;
    if (label_smoothing != 0) d.s += per_column(totals) * totals.column_weight;
    return d;
  }
  // What label smoothing subtracts of each column's gradient, per weight of the column.
  LOGSUM_HOST_DEVICE double per_column(const CrossEntropyTotals& totals) const {
    return label_smoothing / static_cast<double>(logits.columns) * totals.per_token;
  }
  LOGSUM_HOST_DEVICE ColumnGradient column_gradient(const CrossEntropyTotals& totals,
                                                    std::int64_t row) const {
    return {softcap, static_cast<float>(per_column(totals) * upstream(row) * totals.grad_scale)};
  }
  // A column's part of the sum that label smoothing asks for.
  LOGSUM_HOST_DEVICE double weighted(std::int64_t column, float z) const {
    return class_weights ? product(weight(column), static_cast<double>(z)) : static_cast<double>(z);
  }
  // Σ_c w_c·(lse − z_c), of Σ_c w_c·z_c.
  LOGSUM_HOST_DEVICE double smooth(const CrossEntropyTotals& totals, const ScoredRow& row,
                                   double column_sum) const {
    return totals.column_weight * (static_cast<double>(row.max) + row.norm.log_ratio64) -
           column_sum;
  }
  LOGSUM_HOST_DEVICE double upstream(std::int64_t row) const {
    return grad_loss ? grad_loss.real(row) : 1;
  }

  LOGSUM_HOST_DEVICE void write_ignored(std::int64_t row) const {
    per_token_loss.set(row, 0.0f);
    lse.set(row, 0.0f);
    row_status.set_integer(row, 0, static_cast<int>(RowStatus::ignored));
  }

  // Writes a token's results and returns what it adds to the sums. `smooth`: Σ_c w_c·(lse − z_c).
  LOGSUM_HOST_DEVICE CrossEntropySums write_token(std::int64_t row,
                                                  const CrossEntropyTotals& totals,
                                                  RowStatus status, float logp, float row_lse,
                                                  double smooth) const {
    double of_classes = kNan, of_lse = kNan;
    if (status == RowStatus::ok) {
      of_classes = product((1 - label_smoothing) * weight_of_row(row), -static_cast<double>(logp));
      of_classes += product(label_smoothing / static_cast<double>(logits.columns), smooth);
      of_lse = lse_square_scale * static_cast<double>(row_lse) * static_cast<double>(row_lse);
      if (!fits_f32(of_classes + of_lse)) status = RowStatus::overflow;
    }
    const bool is_measured =
        status == RowStatus::ok || status == RowStatus::overflow || status == RowStatus::bad_target;
    per_token_loss.set(row, static_cast<float>(of_classes + of_lse));
    lse.set(row, is_measured ? row_lse : lse_of_failed(status));
    row_status.set_integer(row, 0, static_cast<int>(status));
    return {totals.per_token * of_classes + totals.per_z * of_lse, totals.per_z * of_lse};
  }

  LOGSUM_HOST_DEVICE void write_totals(const CrossEntropySums& sums) const {
    set_scalar(loss, sums.loss);
    set_scalar(z_loss, sums.z_loss);
  }
};

// What is kept of the rows, and beside them.
struct CrossEntropyRows : LossRows {
  CrossEntropyTotals* totals;
  // Where columns are looked at one by one:
  double* smooth;          // [rows]
  double* column_sums;     // [rows · tiles]: Σ_c w_c·z_c of a tile
  TileRecord* records;     // [rows · tiles], on a GPU
  CrossEntropySums* sums;  // [pieces of the batch], on a GPU

  static constexpr std::int64_t kPiece = 512;  // tokens

  // Lays them out from `memory`; returns how many bytes they take.
  std::size_t lay(void* memory, std::size_t rows, std::size_t tiles, bool by_column, bool on_gpu) {
    Layout layout(memory);
    layout.take(totals, 1);
    LossRows::lay(layout, rows, 1, on_gpu);
    if (on_gpu) layout.take(lses, rows);
    layout.take(smooth, by_column ? rows : 0);
    layout.take(column_sums, by_column ? rows * tiles : 0);
    layout.take(records, by_column && on_gpu ? rows * tiles : 0);
    layout.take(sums, on_gpu ? 2 * rows / kPiece + 2 : 0);
    return layout.used();
  }
  std::size_t lay(void* memory, const CrossEntropyPlan& plan, bool on_gpu) {
    return lay(memory, static_cast<std::size_t>(plan.logits.rows),
               static_cast<std::size_t>(tile_count(plan.logits.columns)), plan.is_by_column(),
               on_gpu);
  }
};

}  // namespace logsum
