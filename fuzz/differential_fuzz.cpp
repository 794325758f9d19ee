// SPDX-License-Identifier: Apache-2.0
// Differential fuzzing: bytes become a small batch of logits with parameters; every SIMD target
// must return the reference's results within the contract, and all targets the same bits.
#include <cmath>
#include <cstdint>
#include <cstring>

#include "fuzz/bytes.hpp"
#include "logsum/logsum.hpp"

namespace {

using namespace logsum;
using namespace logsum::fuzz;

constexpr std::size_t kRows = 2;
constexpr std::size_t kMaxColumns = 6000;

struct Results {
  float logprob[kRows], lse[kRows], entropy[kRows], drawn[kRows], scored[kRows];
  std::int64_t token[kRows], argmax[kRows], rank[kRows];
  std::int32_t score_status[kRows], sample_status[kRows];
};

Results run(const Tensor& logits, std::int64_t* targets, float t, std::uint64_t seed,
            const Context& context) {
  Results r{};
  constexpr std::int64_t n = kRows;
  must(token_logprobs({.logits = logits,
                       .targets = Tensor::of(targets, {n}),
                       .logprobs = Tensor::of(r.logprob, {n}),
                       .lse = Tensor::of(r.lse, {n}),
                       .entropy = Tensor::of(r.entropy, {n}),
                       .argmax = Tensor::of(r.argmax, {n}),
                       .rank = Tensor::of(r.rank, {n}),
                       .row_status = Tensor::of(r.score_status, {n}),
                       .temperature = t},
                      context));
  must(sample({.logits = logits,
               .token = Tensor::of(r.token, {n}),
               .logprob = Tensor::of(r.drawn, {n}),
               .row_status = Tensor::of(r.sample_status, {n}),
               .temperature = t,
               .seed = seed},
              context));
  must(token_logprobs({.logits = logits,
                       .targets = Tensor::of(r.token, {n}),
                       .logprobs = Tensor::of(r.scored, {n}),
                       .temperature = t},
                      context));
  return r;
}

void check(const Results& got, const Results& truth) {
  for (std::size_t i = 0; i < kRows; ++i) {
    if (got.score_status[i] != truth.score_status[i])
      fail("row_status", got.score_status[i], truth.score_status[i]);
    if (got.sample_status[i] != truth.sample_status[i])
      fail("sample row_status", got.sample_status[i], truth.sample_status[i]);
    if (got.argmax[i] != truth.argmax[i])
      fail("argmax", static_cast<double>(got.argmax[i]), static_cast<double>(truth.argmax[i]));
    if (got.rank[i] != truth.rank[i])
      fail("rank", static_cast<double>(got.rank[i]), static_cast<double>(truth.rank[i]));
    if (!within(got.logprob[i], truth.logprob[i]))
      fail("logprob", got.logprob[i], truth.logprob[i]);
    if (!within(got.lse[i], truth.lse[i])) fail("lse", got.lse[i], truth.lse[i]);
    if (!within(got.entropy[i], truth.entropy[i]))
      fail("entropy", got.entropy[i], truth.entropy[i]);
    if (got.token[i] >= 0 && std::memcmp(&got.drawn[i], &got.scored[i], sizeof(float)) != 0)
      fail("sampler's and scorer's log-prob", got.drawn[i], got.scored[i]);
    if (got.token[i] >= 0 && !(got.drawn[i] > -INFINITY && got.drawn[i] <= 0))
      fail("drawn log-prob", got.drawn[i], 0);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Bytes bytes(data, size);
  const std::size_t columns = 1 + bytes.take<std::uint16_t>() % kMaxColumns;
  const DType dtypes[] = {DType::f32, DType::bf16, DType::f16};
  const DType dtype = dtypes[bytes.take<std::uint8_t>() % 3];
  float t = std::fabs(bytes.take<float>());
  if (!(t >= 0x1p-64f && t <= 0x1p64f)) t = 1;
  const auto seed = bytes.take<std::uint64_t>();
  std::int64_t targets[kRows];
  for (std::int64_t& target : targets)
    target = bytes.take<std::int16_t>() % static_cast<std::int64_t>(columns + 1);

  // A row repeats a stretch of at most 64 given values: few bytes reach all lanes, chunks and
  // tiles.
  static std::uint8_t memory[kRows * kMaxColumns * 4];
  for (std::size_t row = 0; row < kRows; ++row) {
    std::uint32_t stretch[64];
    const std::size_t period = 1 + bytes.take<std::uint8_t>() % 64;
    for (std::size_t i = 0; i < period; ++i) stretch[i] = bytes.take<std::uint32_t>();
    const std::size_t unit = size_of(dtype);
    for (std::size_t i = 0; i < columns; ++i)
      std::memcpy(memory + (row * columns + i) * unit, &stretch[i / (1 + i / 1024) % period], unit);
  }
  const std::int64_t shape[] = {kRows, static_cast<std::int64_t>(columns)};
  const Tensor logits = Tensor::contiguous(memory, dtype, shape);

  Context context{.executor = &inline_executor(), .backend = Backend::reference};
  const Results truth = run(logits, targets, t, seed, context);
  context.backend = Backend::cpu;
  Results first{};
  bool have_first = false;
  for (const SimdTargetInfo& target : simd_targets()) {
    if (!target.available) continue;
    context.simd = target.id;
    const Results got = run(logits, targets, t, seed, context);
    check(got, truth);
    if (have_first && std::memcmp(&got, &first, sizeof got) != 0) fail(target.name, 0, 0);
    first = got;
    have_first = true;
  }
  return 0;
}
