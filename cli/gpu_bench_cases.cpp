// SPDX-License-Identifier: Apache-2.0
#include "gpu_bench_cases.hpp"

#include <algorithm>

#include "errors.hpp"
#include "logsum/measure.hpp"

namespace logsum::cli {
namespace {

// A decode step's rows; prompts and training batches; whole rows written; what goes with them.
std::vector<GpuCase> table() {
  constexpr std::int64_t kVocab = 151936;
  std::vector<GpuCase> cases;
  for (const DType dtype : {DType::bf16, DType::f32}) {
    for (const std::int64_t rows : {1, 8, 64, 256, 1024})
      cases.push_back({GpuFamily::sample, rows, kVocab, dtype});
    for (const std::int64_t columns : {131072, 262144})
      cases.push_back({GpuFamily::sample, 1, columns, dtype});
  }
  for (const GpuFamily family : {GpuFamily::score, GpuFamily::loss}) {
    cases.push_back({family, 4096, kVocab, DType::bf16});
    cases.push_back({family, 16384, 32000, DType::bf16});
    cases.push_back({family, 2048, 262144, DType::bf16});
    cases.push_back({family, 2048, kVocab, DType::f32});
  }
  for (const DType dtype : {DType::bf16, DType::f32})
    cases.push_back({GpuFamily::softmax, 4096, kVocab, dtype});
  cases.push_back({GpuFamily::top, 16384, 32000, DType::bf16});
  cases.push_back({GpuFamily::shards, 4096, 32000, DType::bf16});
  cases.push_back({GpuFamily::kl, 2, 1 << 20, DType::f32});
  return cases;
}

// The kinds with one shape, and of the others that of today's vocabularies.
bool is_quick(const GpuCase& c) {
  if (c.family == GpuFamily::top || c.family == GpuFamily::shards || c.family == GpuFamily::kl)
    return true;
  const bool is_left_out = c.family == GpuFamily::sample && c.rows != 1 && c.rows != 64;
  return c.dtype == DType::bf16 && c.columns == 151936 && !is_left_out;
}

bool has_operations(const GpuCase& c) {
  switch (c.family) {
    case GpuFamily::top: return c.columns >= kGpuTop;
    case GpuFamily::shards: return c.columns > kTileColumns;              // two of them
    case GpuFamily::kl: return c.dtype == DType::f32 && c.rows % 2 == 0;  // policy and reference
    default: return true;
  }
}

}  // namespace

std::vector<GpuCase> gpu_cases(const BenchOptions& options) {
  std::vector<GpuCase> cases;
  if (options.rows > 0 && !options.vocab.empty()) {
    for (const std::int64_t columns : options.vocab)
      for (const DType dtype : {DType::bf16, DType::f32})
        for (const GpuFamily family :
             {GpuFamily::sample, GpuFamily::score, GpuFamily::top, GpuFamily::softmax,
              GpuFamily::loss, GpuFamily::shards, GpuFamily::kl})
          cases.push_back({family, options.rows, columns, dtype});
    std::erase_if(cases, [](const GpuCase& c) { return !has_operations(c); });
    return cases;
  }
  const auto& vocab = options.vocab;
  for (const GpuCase& c : table())
    if ((options.rows == 0 || c.rows == options.rows) &&
        (vocab.empty() || std::find(vocab.begin(), vocab.end(), c.columns) != vocab.end()) &&
        (!options.quick || is_quick(c)))
      cases.push_back(c);
  if (cases.empty())
    throw UsageError(
        "no shape of the table is left by --rows, --vocab, --quick; "
        "--rows and --vocab together make one");
  return cases;
}

}  // namespace logsum::cli
