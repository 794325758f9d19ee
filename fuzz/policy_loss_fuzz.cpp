// SPDX-License-Identifier: Apache-2.0
// Differential fuzzing of policy_loss: bytes become a batch; every SIMD target must return the
// reference's results within the contract, and the bits of the same batch laid out otherwise.
#include "fuzz/policy_check.hpp"

namespace {

using namespace logsum;
using namespace logsum::fuzz;

template <class T>
void expect_same(const char* what, const std::vector<T>& a, const std::vector<T>& b) {
  for (std::size_t i = 0; i < a.size(); ++i)
    if (std::memcmp(&a[i], &b[i], sizeof(T)) != 0)
      fail(what, static_cast<double>(a[i]), static_cast<double>(b[i]));
}

void expect_same_bits(const Results& a, const Results& b) {
  expect_same("bits of per_token_loss", a.token_loss, b.token_loss);
  expect_same("bits of per_token_logps", a.logps, b.logps);
  expect_same("bits of per_token_kl", a.kl, b.kl);
  expect_same("bits of entropy", a.entropy, b.entropy);
  expect_same("bits of row_status", a.status, b.status);
  expect_same("bits of grad_logits", a.gradient, b.gradient);
  if (std::memcmp(&a.loss, &b.loss, sizeof a.loss) != 0) fail("bits of loss", a.loss, b.loss);
  if (std::memcmp(a.metrics, b.metrics, sizeof a.metrics) != 0) fail("bits of metrics", 0, 0);
}

Batch take_batch(Bytes& bytes) {
  Batch b;
  take_shape(bytes, b);
  take_options(bytes, b);
  take_targets(bytes, b);
  take_logits(bytes, b);
  // Their log-probs, whatever else there will be.
  Batch scored = b;
  scored.options = {};
  scored.advantages.assign(static_cast<std::size_t>(b.rows), 0);
  scored.in_place = false;
  take_tokens(bytes, b, reference(scored).logps);
  return b;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Bytes bytes(data, size);
  const Batch batch = take_batch(bytes);
  Batch dense = batch;
  dense.padding = dense.misalign = 0;
  dense.is_backwards = dense.in_place = dense.has_i32 = false;

  Context context{.executor = &inline_executor(), .backend = Backend::cpu};
  const Results first = Call(dense).run(context);
  Check(batch, first).run();
  for (const SimdTargetInfo& target : simd_targets()) {
    if (!target.available) continue;
    context.simd = target.id;
    expect_same_bits(Call(batch).run(context), first);
  }
  return 0;
}
