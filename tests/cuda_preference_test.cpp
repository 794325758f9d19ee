// SPDX-License-Identifier: Apache-2.0
// preference_loss on a GPU: the CPU's bits where rows, sequences and pairs are many; a graph's
// replay reads what its tensors hold.
#include <gtest/gtest.h>

#include "support/captured.hpp"
#include "support/preference_text.hpp"

namespace logsum::test {
namespace {

using CudaPreference = OnGpu;

const Context kCpu{.backend = Backend::cpu};

// Widths of one tile and of many, whose last tile, chunk and lanes aren't whole.
TEST_F(CudaPreference, HasTheCpusBits) {
  for (const PreferenceOptions& options : preference_losses())
    for (const std::int64_t columns : {33, 4100, 50000}) {
      const DType dtype = logits_dtypes()[std::size_t(columns) % 3];
      SCOPED_TRACE(std::string(to_string(options.loss)) + " " + std::to_string(columns) + " " +
                   to_string(dtype));
      const LossForm form{.grad = dtype, .in_place = columns == 4100};
      Preference p = preference_batch(options, 4, 5, columns, std::uint32_t(columns), dtype,
                                      ReferenceKind::tokens);
      std::mt19937 random(7);
      mask_some(p, MaskKind::some, random);
      PreferenceCall wanted(p, form), got(p, form);
      wanted.run(kCpu);
      got.run(cuda(Determinism::cross_device));
      ASSERT_TRUE(same_results(got, wanted));
    }
}

// More tokens in a sequence, and more pairs, than their CTA has threads: sums go round.
TEST_F(CudaPreference, SumsGoRound) {
  for (const PreferenceLoss loss : {PreferenceLoss::sigmoid, PreferenceLoss::kto})
    for (const auto& [sequences, tokens] : {std::pair{4, 1100}, std::pair{2600, 2}}) {
      Preference p = preference_batch({.loss = loss}, sequences, tokens, 40, 3);
      std::mt19937 random(5);
      mask_some(p, MaskKind::some, random);
      PreferenceCall wanted(p), got(p);
      wanted.run(kCpu);
      got.run(cuda(Determinism::cross_device));
      ASSERT_TRUE(same_results(got, wanted)) << sequences;
    }
}

TEST_F(CudaPreference, AGraphsReplayReadsWhatItsTensorsHold) {
  for (const PreferenceLoss loss : {PreferenceLoss::sigmoid, PreferenceLoss::kto}) {
    PreferenceCall call(preference_batch({.loss = loss}, 6, 5, 9000, 11));
    Captured captured(&preference_loss, call.args, &preference_loss_workspace_size,
                      cuda(Determinism::cross_device));
    for (std::uint32_t replay = 1; replay <= 3; ++replay) {
      const Preference fresh = preference_batch({.loss = loss}, 6, 5, 9000, 11 + replay);
      call.logits.set_all(fresh.logits);
      std::copy(fresh.ref_sums.begin(), fresh.ref_sums.end(), call.p.ref_sums.begin());
      captured.replay();
      Preference now = call.p;
      now.logits = fresh.logits;
      PreferenceCall wanted(now);
      wanted.run(kCpu);
      ASSERT_TRUE(same_results(call, wanted)) << to_string(loss) << ", replay " << replay;
    }
  }
}

}  // namespace
}  // namespace logsum::test
