// SPDX-License-Identifier: Apache-2.0
// What logsum loss was asked and what it found.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "logsum/policy_loss.hpp"
#include "loss_inputs.hpp"
#include "policy_choice.hpp"
#include "report.hpp"
#include "results.hpp"

namespace logsum::cli {

struct LossOptions {
  LossFiles files;
  PolicyChoice policy;
  float temperature = 1;
  double normalizer = 0, entropy_normalizer = 0, grad_scale = 1;
  std::int64_t vocab_size = 0;
  std::int64_t ignore_index = -100;
  std::optional<std::int64_t> worst;
  std::optional<std::string> grad;
  bool grad_is_f32 = false;
  ReportOptions report;
};

struct Loss {
  LossInputs in;
  std::int64_t columns;  // used ones
  PolicyOptions policy;
  Results results;
  // kl null: without a reference
  Column *logprob = nullptr, *advantage = nullptr, *ratio = nullptr, *kl = nullptr, *loss = nullptr,
         *entropy = nullptr, *row_status = nullptr;
  double total = 0;
  double metrics[kPolicyMetrics] = {};
  std::vector<std::byte> gradient = {};  // of all logits; empty: not asked for
  DType gradient_dtype = DType::f32;

  double metric(PolicyMetric m) const { return metrics[static_cast<int>(m)]; }
};

Summary summary_of(const Loss& loss, const LossOptions& options);

// For people, facts and tokens: all where they are few or asked for, else the worst.
std::string to_text(const Loss& loss, const LossOptions& options, int width, bool colour);

}  // namespace logsum::cli
