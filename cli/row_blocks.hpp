// SPDX-License-Identifier: Apache-2.0
// Streams rows of mapped files: blocks that fit 64 MB, read ahead, and released when done with, so
// that a file larger than memory costs no more than two blocks.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <span>

#include "input.hpp"

namespace logsum::cli {

// Rows [first, first + rows) of each input, as tensors [rows, V].
struct RowBlock {
  std::int64_t first, rows;
  std::span<const Tensor> logits;
};

// Inputs of the same number of rows. `what` names the work in the progress bar.
void for_each_block(std::initializer_list<const Input*> inputs, const char* what, bool quiet,
                    const std::function<void(const RowBlock&)>& body);

// One row, copied if it isn't aligned.
class OneRow {
 public:
  OneRow(const Input& input, std::int64_t row);
  ~OneRow();
  OneRow(const OneRow&) = delete;
  OneRow& operator=(const OneRow&) = delete;

  const Tensor& tensor() const { return tensor_; }  // [1, V]

 private:
  const Input& input_;
  std::int64_t row_;
  std::vector<std::byte> copy_;
  Tensor tensor_;
};

}  // namespace logsum::cli
