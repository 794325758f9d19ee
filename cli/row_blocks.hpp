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

// Some rows, copied if they aren't aligned; one where their number isn't given.
class SomeRows {
 public:
  SomeRows(const Input& input, std::int64_t first, std::int64_t rows = 1);
  ~SomeRows();
  SomeRows(const SomeRows&) = delete;
  SomeRows& operator=(const SomeRows&) = delete;

  const Tensor& tensor() const { return tensor_; }  // [rows, V]

 private:
  const Input& input_;
  std::int64_t first_, rows_;
  std::vector<std::byte> copy_;
  Tensor tensor_;
};

}  // namespace logsum::cli
