// SPDX-License-Identifier: Apache-2.0
// Rows of a language model as they came, bf16: an array of the demo's file. For programs that
// tests/CMakeLists.txt gives logsum_io and the file's place.
#pragma once

#include <cstdlib>
#include <stdexcept>
#include <vector>

#include "io/array_file.hpp"
#include "logsum/tensor.hpp"

namespace logsum::test {

class RealRows {
 public:
  explicit RealRows(const char* name) : file_(path()), logits_(file_.at(name)) {
    if (logits_.dtype != DType::bf16 || logits_.shape.size() != 2 || !io::is_aligned(logits_))
      throw std::runtime_error("the demo's file has other logits than bf16 [rows, V]");
  }

  std::int64_t rows() const { return logits_.shape[0]; }
  std::int64_t columns() const { return logits_.shape[1]; }
  Tensor tensor() const { return Tensor::of(begin(0), {rows(), columns()}); }
  Tensor row(std::int64_t i) const { return Tensor::of(begin(i), {columns()}); }
  std::vector<float> values(std::int64_t i) const { return {begin(i), begin(i + 1)}; }

 private:
  static const char* path() {
    // A program that is run elsewhere than it was built is told where the file is.
    const char* const elsewhere = std::getenv("LOGSUM_DEMO_LOGITS");
    return elsewhere ? elsewhere : LOGSUM_DEMO_LOGITS;
  }
  const BFloat16* begin(std::int64_t row) const {
    return static_cast<const BFloat16*>(logits_.data) + row * columns();
  }

  io::ArrayFile file_;
  const io::ArrayInfo& logits_;
};

}  // namespace logsum::test
