// SPDX-License-Identifier: Apache-2.0
// What logsum loss is given: logits and, of each token or sequence, what a policy loss asks for,
// from one file or several.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "input.hpp"

namespace logsum::cli {

// As the user names them. The first file may be FILE:TENSOR, the logits; a tensor that no option
// names is looked for in all files by its own name.
struct LossFiles {
  std::vector<std::string> files;
  std::optional<std::string> targets, advantages, mask, old, ref, sampling, weights, entropy_mask,
      cu_seqlens;

  void add_to(CLI::App& command);
};

template <class T>
struct Given {
  std::vector<T> values;
  std::vector<std::int64_t> shape;
  std::string label;  // empty: not given

  explicit operator bool() const { return !label.empty(); }
  Tensor tensor() const {
    return label.empty() ? Tensor()
                         : Tensor::contiguous(const_cast<T*>(values.data()), dtype_of<T>, shape);
  }
};

struct LossInputs {
  Input logits;
  Given<std::int64_t> targets, cu_seqlens;
  Given<float> advantages, old, ref, sampling, weights;
  Given<std::uint8_t> mask, entropy_mask;
  std::int64_t sequences = 0;
  std::vector<std::int64_t> sequence_of_row;
};

// Throws UsageError, DataError or FileError. All but advantages and weights have the shape of the
// logits' leading dimensions; those two may have a shape that the operation refuses, of at most the
// logits' rank.
LossInputs read_loss_inputs(const LossFiles& files);

}  // namespace logsum::cli
