// SPDX-License-Identifier: Apache-2.0
#include <logsum/logsum.hpp>

#include <cstdio>

int main() {
  float logits[] = {0.0f, 1.0f, 2.0f};
  std::int32_t token[1];
  const logsum::Status status = logsum::sample({.logits = logsum::Tensor::of(logits, {1, 3}),
                                                .token = logsum::Tensor::of(token, {1}),
                                                .temperature = 0.0f});
  std::printf("C++ consumer: token %d %s\n", token[0], status.message());
  return status.ok() && token[0] == 2 ? 0 : 1;
}
