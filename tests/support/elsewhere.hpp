// SPDX-License-Identifier: Apache-2.0
// A tensor in other memory, with other strides.
#pragma once

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

}  // namespace logsum::test
