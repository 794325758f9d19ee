// SPDX-License-Identifier: Apache-2.0
// Forward and backward of one row, and Adam.
#include "policy.hpp"

#include <algorithm>
#include <cmath>
#include <random>

namespace {

constexpr std::size_t kEmbeddings =
    std::size_t{Policy::kWindow} * Policy::kVocabulary * Policy::kHidden;
constexpr std::size_t kOutputs = std::size_t{Policy::kHidden} * Policy::kVocabulary;

}  // namespace

std::size_t Policy::embedding(int place, task::Token token) {
  return static_cast<std::size_t>(place * kVocabulary + token) * kHidden;
}

std::size_t Policy::output(int unit) {
  return kEmbeddings + static_cast<std::size_t>(unit) * kVocabulary;
}

Policy::Policy(std::uint64_t seed)
    : weights_(kEmbeddings + kOutputs),
      gradient_(weights_.size()),
      momentum_(weights_.size()),
      square_(weights_.size()) {
  // std::mt19937_64's numbers are the standard's, those of its distributions aren't.
  std::mt19937_64 random(seed);
  const auto uniform = [&] { return static_cast<float>(random() >> 40) * 0x1p-23f - 1.0f; };
  for (std::size_t i = 0; i < weights_.size(); ++i)
    weights_[i] = uniform() * (i < kEmbeddings ? 0.5f : 0.1f);
}

void Policy::forward(const task::Token* window, float* hidden, float* logits) const {
  std::fill_n(hidden, kHidden, 0.0f);
  for (int i = 0; i < kWindow; ++i) {
    const float* from = &weights_[embedding(i, window[i])];
    for (int h = 0; h < kHidden; ++h) hidden[h] += from[h];
  }
  std::fill_n(logits, kVocabulary, 0.0f);
  for (int h = 0; h < kHidden; ++h) {
    hidden[h] = std::max(hidden[h], 0.0f);
    const float* to = &weights_[output(h)];
    for (int v = 0; v < kVocabulary; ++v) logits[v] += hidden[h] * to[v];
  }
}

void Policy::backward(const task::Token* window, const float* hidden, const float* grad_logits) {
  float grad_hidden[kHidden] = {};
  for (int h = 0; h < kHidden; ++h) {
    if (hidden[h] == 0.0f) continue;  // relu's derivative there, and output's too
    const float* to = &weights_[output(h)];
    float* grad_to = &gradient_[output(h)];
    for (int v = 0; v < kVocabulary; ++v) {
      grad_to[v] += hidden[h] * grad_logits[v];
      grad_hidden[h] += to[v] * grad_logits[v];
    }
  }
  for (int i = 0; i < kWindow; ++i) {
    float* grad_from = &gradient_[embedding(i, window[i])];
    for (int h = 0; h < kHidden; ++h) grad_from[h] += grad_hidden[h];
  }
}

void Policy::step(float learning_rate) {
  constexpr float kBeta1 = 0.9f, kBeta2 = 0.99f, kEpsilon = 1e-8f;
  momentum_decay_ *= kBeta1;
  square_decay_ *= kBeta2;
  for (std::size_t i = 0; i < weights_.size(); ++i) {
    const float g = gradient_[i];
    momentum_[i] = kBeta1 * momentum_[i] + (1 - kBeta1) * g;
    square_[i] = kBeta2 * square_[i] + (1 - kBeta2) * g * g;
    const float mean = momentum_[i] / (1 - momentum_decay_);
    const float mean_square = square_[i] / (1 - square_decay_);
    weights_[i] -= learning_rate * mean / (std::sqrt(mean_square) + kEpsilon);
  }
  std::ranges::fill(gradient_, 0.0f);
}
