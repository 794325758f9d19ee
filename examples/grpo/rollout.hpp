// SPDX-License-Identifier: Apache-2.0
// A batch of sequences, and how a policy completes them.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <logsum/logsum.hpp>

#include "policy.hpp"
#include "task.hpp"

// Rows of 64 columns: threads would cost more than they save. Results don't depend on it.
inline const logsum::Context kContext = {.executor = &logsum::inline_executor()};

// A sequence is kPad…, prompt, completion. Step t of its completion reads the window that begins at
// its t-th token and decides on the token behind the window.
class Batch {
 public:
  static constexpr int kSteps = task::kCompletionTokens;
  static constexpr int kLength = Policy::kWindow + kSteps;

  explicit Batch(int sequences);

  const int sequences;
  const int rows;                   // sequences · kSteps: row s·kSteps + t is step t of s
  std::vector<task::Token> tokens;  // [sequences, kLength]
  std::vector<std::uint8_t> mask;   // [sequences, kSteps], as the next two: 1 up to END
  std::vector<float> old_logps;     // of the policy that sampled
  std::vector<float> ref_logps;     // of the reference
  std::vector<float> hidden;        // [sequences, kSteps, hidden units]
  std::vector<float> logits;        // [sequences, kSteps, vocabulary]
  std::vector<float> grad_logits;

  void set_prompt(int sequence, const task::Prompt& prompt);
  task::Prompt prompt(int sequence) const;
  std::span<const task::Token> completion(int sequence) const;
  task::Token token(int row) const { return window(row)[Policy::kWindow]; }  // what it decided on

  void forward(const Policy& policy);   // all rows that count
  void backward(Policy& policy) const;  // from grad_logits
  void forward(const Policy& policy, int row);

  logsum::Tensor targets();  // the completions: [sequences, kSteps], a view of tokens
  logsum::Tensor per_token(std::vector<float>& values) const;
  logsum::Tensor per_token(std::vector<std::uint8_t>& values) const;
  logsum::Tensor per_column(std::vector<float>& values) const;

 private:
  const task::Token* window(int row) const;
};

// Completes the prompts, with the log-probs of what it took. Token t of sequence s is drawn with
// random number (seed, first + s·kSteps + t), whatever else is drawn beside it.
void rollout(const Policy& policy, Batch& batch, float temperature, std::uint64_t seed,
             std::int64_t first);
