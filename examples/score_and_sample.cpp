// SPDX-License-Identifier: Apache-2.0
// The README's example: a token per row and its log-prob, then the same token scored: the bits
// agree.
#include <logsum/logsum.hpp>

#include <cstdio>
#include <cstring>

int main() {
  // example-begin readme
  float logits[2][5] = {{1, 2, 3, 4, 5}, {0, 0, 9, 0, -1e30f}};
  std::int32_t token[2];
  float logprob[2], scored[2];
  const auto z = logsum::Tensor::of(&logits[0][0], {2, 5});

  logsum::Status status = logsum::sample({.logits = z,
                                          .token = logsum::Tensor::of(token, {2}),
                                          .logprob = logsum::Tensor::of(logprob, {2}),
                                          .temperature = 0.7f,
                                          .seed = 42});
  if (status.ok())
    status = logsum::token_logprobs({.logits = z,
                                     .targets = logsum::Tensor::of(token, {2}),
                                     .logprobs = logsum::Tensor::of(scored, {2}),
                                     .temperature = 0.7f});
  // example-end readme
  if (!status.ok()) {
    std::fprintf(stderr, "%s\n", status.message());
    return 1;
  }
  for (int i = 0; i < 2; ++i) std::printf("token %d, log-prob %.7f\n", token[i], logprob[i]);
  return std::memcmp(logprob, scored, sizeof logprob) == 0 ? 0 : 1;
}
