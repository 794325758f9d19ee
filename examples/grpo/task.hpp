// SPDX-License-Identifier: Apache-2.0
// The task: the prompt is two digits, the completion is to be the digits of their sum and END. The
// reward is computed, not judged, and is no function of logits that one could differentiate.
#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace task {

using Token = std::int32_t;

// Tokens 0 to 9 are the digits. Those after kPad mean nothing: that they are wrong is to be learnt
// too.
inline constexpr int kVocabulary = 64;
inline constexpr Token kEnd = 10;
inline constexpr Token kPad = 11;  // what stands before a prompt

inline constexpr int kPromptTokens = 2;
inline constexpr int kCompletionTokens = 4;  // one more than the longest right answer

using Prompt = std::array<Token, kPromptTokens>;

// From 0 to 1: half for the share of the answer's tokens that are in their place, half for all of
// them and nothing else. Without the first half almost no completion of an untrained policy has a
// reward, and groups of equal rewards teach nothing.
float reward(const Prompt& prompt, std::span<const Token> completion);

bool correct(const Prompt& prompt, std::span<const Token> completion);

}  // namespace task
