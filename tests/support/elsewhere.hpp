// SPDX-License-Identifier: Apache-2.0
// Tensors in other memory, with other strides, or other dimensions.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "logsum/tensor.hpp"

namespace logsum::test {

// A tensor's elements, tokens [B, T], somewhere else with other strides; and back.
class Elsewhere {
 public:
  Elsewhere(const Tensor& tensor, std::int64_t of_sequence, std::int64_t of_token,
            std::int64_t first)
      : home_(tensor), bytes_(1024, std::byte{0x7f}) {
    tensor_ = tensor;
    tensor_.strides[0] = of_sequence;
    tensor_.strides[1] = of_token;
    tensor_.data = bytes_.data() + first * size();
    copy(tensor_, home_);
  }
  const Tensor& tensor() const { return tensor_; }
  void copy_back() { copy(home_, tensor_); }

 private:
  std::int64_t size() const { return static_cast<std::int64_t>(size_of(home_.dtype)); }
  void copy(const Tensor& to, const Tensor& from) const {
    for (std::int64_t b = 0; b < to.shape[0]; ++b)
      for (std::int64_t t = 0; t < to.shape[1]; ++t)
        std::memcpy(at(to, b, t), at(from, b, t), static_cast<std::size_t>(size()));
  }
  std::byte* at(const Tensor& tensor, std::int64_t b, std::int64_t t) const {
    return static_cast<std::byte*>(tensor.data) +
           (b * tensor.strides[0] + t * tensor.strides[1]) * size();
  }

  Tensor home_, tensor_;
  std::vector<std::byte> bytes_;
};

struct TokenStrides {
  std::int64_t of_sequence, of_token, first;
};

// All tensors of tokens of a call somewhere else; its outputs' elements come back.
class TokensElsewhere {
 public:
  TokensElsewhere(const std::vector<Tensor*>& inputs, const std::vector<Tensor*>& outputs,
                  const TokenStrides& s)
      : first_output_(inputs.size()) {
    for (const auto* tensors : {&inputs, &outputs})
      for (Tensor* const t : *tensors) {
        moved_.emplace_back(*t, s.of_sequence, s.of_token, s.first);
        *t = moved_.back().tensor();
      }
  }
  void copy_back() {
    for (std::size_t i = first_output_; i < moved_.size(); ++i) moved_[i].copy_back();
  }

 private:
  std::size_t first_output_;
  std::vector<Elsewhere> moved_;
};

// A vector's tensor with every other element of other memory, the rest of which stays 99.
template <class T>
class EveryOther {
 public:
  EveryOther(std::vector<T>& home, Tensor& tensor) : home_(home), wide_(2 * home.size(), 99) {
    tensor.data = wide_.data();
    tensor.strides[0] = 2;
  }
  void copy_back() {
    for (std::size_t i = 0; i < home_.size(); ++i) {
      home_[i] = wide_[2 * i];
      EXPECT_EQ(wide_[2 * i + 1], 99);
    }
  }

 private:
  std::vector<T>& home_;
  std::vector<T> wide_;
};

// [first · second, …] as [first, second, …].
inline void split_first_dimension(Tensor& t, std::int64_t first, std::int64_t second) {
  EXPECT_EQ(t.shape[0], first * second);
  for (int i = t.rank++; i > 0; --i) {
    t.shape[i] = t.shape[i - 1];
    t.strides[i] = t.strides[i - 1];
  }
  t.shape[0] = first;
  t.shape[1] = second;
  t.strides[0] = second * t.strides[1];
}

// [1, …] as […].
inline void drop_first_dimension(Tensor& t) {
  EXPECT_EQ(t.shape[0], 1);
  --t.rank;
  for (int i = 0; i < t.rank; ++i) {
    t.shape[i] = t.shape[i + 1];
    t.strides[i] = t.strides[i + 1];
  }
}

}  // namespace logsum::test
