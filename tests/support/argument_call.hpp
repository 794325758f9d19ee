// SPDX-License-Identifier: Apache-2.0
// What a Call of a test of arguments (refusals.hpp) is made of: outputs that show whether anything
// was written, and how a field of its args is reached.
#pragma once

#include <cstring>
#include <type_traits>

#include "logsum/tensor.hpp"

namespace logsum::test {

// Bytes that no call writes, until one does.
template <class Outputs>
struct WithOutputs {
  Outputs out;

  WithOutputs() { std::memset(&out, 0x5a, sizeof out); }
  bool wrote() const {
    const WithOutputs untouched;
    return std::memcmp(&untouched.out, &out, sizeof out) != 0;
  }
};

// A tensor of a call's args, or that of one of its parameters.
template <auto field, class Call>
Tensor& of(Call& call) {
  auto& value = call.args.*field;
  if constexpr (std::is_same_v<std::remove_reference_t<decltype(value)>, Tensor>)
    return value;
  else
    return value.tensor;
}

}  // namespace logsum::test
