// SPDX-License-Identifier: Apache-2.0
// The policy: a network that is small enough to be differentiated by hand, and Adam.
//
//   hidden = relu(Σ_i embedding[i][window[i]])      window: the last kWindow tokens
//   logits = hidden · output
//
// Only +, ·, / and sqrt: IEEE 754 defines their results. With logsum's own bits a seed has one
// curve, whatever the math library, where the compiler doesn't contract a·b + c to an FMA.
#pragma once

#include <cstdint>
#include <vector>

#include "task.hpp"

class Policy {
 public:
  // The prompt and the first two tokens of the completion: all that an answer depends on. An
  // embedding per place in the window tells first digits from second ones.
  static constexpr int kWindow = 4;
  static constexpr int kHidden = 64;
  static constexpr int kVocabulary = task::kVocabulary;

  explicit Policy(std::uint64_t seed);

  // One row: kWindow tokens to kHidden and kVocabulary numbers. Rows are computed one by one and
  // each in the same order: a row has the same bits in a rollout and in training.
  void forward(const task::Token* window, float* hidden, float* logits) const;

  // Adds what the row contributes to the gradient of the weights.
  void backward(const task::Token* window, const float* hidden, const float* grad_logits);

  // One step of Adam down the gradient, which is zero afterwards.
  void step(float learning_rate);

 private:
  static std::size_t embedding(int place, task::Token token);  // where it is in the weights
  static std::size_t output(int unit);                         // and a hidden unit's row of output

  std::vector<float> weights_, gradient_, momentum_, square_;
  float momentum_decay_ = 1, square_decay_ = 1;  // beta1 and beta2 to the number of steps
};
