// SPDX-License-Identifier: Apache-2.0
// Decoding with logsum::sample, which reads and writes the batch in place through strided views.
#include "rollout.hpp"

#include <algorithm>
#include <cstddef>
#include <stdexcept>

using logsum::Tensor;
using task::Token;

Batch::Batch(int n)
    : sequences(n),
      rows(n * kSteps),
      tokens(static_cast<std::size_t>(n) * kLength, task::kPad),
      mask(rows),
      old_logps(rows),
      ref_logps(rows),
      hidden(static_cast<std::size_t>(rows) * Policy::kHidden),
      logits(static_cast<std::size_t>(rows) * Policy::kVocabulary),
      grad_logits(logits.size()) {}

void Batch::set_prompt(int sequence, const task::Prompt& prompt) {
  Token* completion = &tokens[sequence * kLength + Policy::kWindow];
  std::copy(prompt.begin(), prompt.end(), completion - task::kPromptTokens);
}

task::Prompt Batch::prompt(int sequence) const {
  const Token* completion = &tokens[sequence * kLength + Policy::kWindow];
  task::Prompt prompt;
  std::copy(completion - task::kPromptTokens, completion, prompt.begin());
  return prompt;
}

std::span<const Token> Batch::completion(int sequence) const {
  const auto first = mask.begin() + sequence * kSteps;
  return {&tokens[sequence * kLength + Policy::kWindow],
          static_cast<std::size_t>(std::count(first, first + kSteps, 1))};
}

const Token* Batch::window(int row) const { return &tokens[row / kSteps * kLength + row % kSteps]; }

void Batch::forward(const Policy& policy, int row) {
  policy.forward(window(row), &hidden[row * Policy::kHidden], &logits[row * Policy::kVocabulary]);
}

void Batch::forward(const Policy& policy) {
  for (int row = 0; row < rows; ++row)
    if (mask[row]) forward(policy, row);
}

void Batch::backward(Policy& policy) const {
  for (int row = 0; row < rows; ++row)
    if (mask[row])
      policy.backward(window(row), &hidden[row * Policy::kHidden],
                      &grad_logits[row * Policy::kVocabulary]);
}

Tensor Batch::targets() {
  const std::int64_t shape[] = {sequences, kSteps}, strides[] = {kLength, 1};
  return Tensor::strided(&tokens[Policy::kWindow], logsum::DType::i32, shape, strides);
}

Tensor Batch::per_token(std::vector<float>& values) const {
  return Tensor::of(values.data(), {sequences, kSteps});
}

Tensor Batch::per_token(std::vector<std::uint8_t>& values) const {
  return Tensor::of(values.data(), {sequences, kSteps});
}

Tensor Batch::per_column(std::vector<float>& values) const {
  return Tensor::of(values.data(), {sequences, kSteps, Policy::kVocabulary});
}

namespace {

// Step t of a tensor [sequences, kSteps, …]: the second dimension is left out.
Tensor step_of(Tensor all, int t) {
  all.data = static_cast<std::byte*>(all.data) + t * all.strides[1] * logsum::size_of(all.dtype);
  std::copy(all.shape + 2, all.shape + all.rank, all.shape + 1);
  std::copy(all.strides + 2, all.strides + all.rank, all.strides + 1);
  --all.rank;
  return all;
}

}  // namespace

void rollout(const Policy& policy, Batch& batch, float temperature, std::uint64_t seed,
             std::int64_t first) {
  std::vector<std::int64_t> offset(batch.sequences);
  for (int t = 0; t < Batch::kSteps; ++t) {
    for (int s = 0; s < batch.sequences; ++s) {
      const int row = s * Batch::kSteps + t;
      const bool ended = t > 0 && (!batch.mask[row - 1] || batch.token(row - 1) == task::kEnd);
      batch.mask[row] = !ended;
      if (!ended) batch.forward(policy, row);
      offset[s] = first + row;
    }
    // Sequences that have ended are drawn for too, from old logits; the mask hides it.
    logsum::sample({.logits = step_of(batch.per_column(batch.logits), t),
                    .token = step_of(batch.targets(), t),
                    .logprob = step_of(batch.per_token(batch.old_logps), t),
                    .temperature = temperature,
                    .seed = seed,
                    .offset = Tensor::of(offset.data(), {batch.sequences})},
                   kContext)
        .or_throw();
    // -1 is what a row of NaN draws, and no token to look an embedding up with.
    for (int s = 0; s < batch.sequences; ++s)
      if (batch.token(s * Batch::kSteps + t) < 0)
        throw std::runtime_error("the policy's logits are no longer numbers");
  }
}
