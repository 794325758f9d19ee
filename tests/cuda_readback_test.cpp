// SPDX-License-Identifier: Apache-2.0
// A decode step's way back to the host: token and log-prob as one record of 8 bytes, so that one
// copy brings both.
#include <gtest/gtest.h>

#include "support/cuda.hpp"

namespace logsum::test {
namespace {

using CudaReadback = OnGpu;

struct Record {
  std::int32_t token;
  float logprob;
};
static_assert(sizeof(Record) == 8);

class PinnedRecords {
 public:
  explicit PinnedRecords(std::size_t count) {
    must("pinned memory", cudaMallocHost(reinterpret_cast<void**>(&data_), count * sizeof(Record)));
    for (std::size_t i = 0; i < count; ++i) data_[i] = {99, 99};
  }
  ~PinnedRecords() { cudaFreeHost(data_); }
  PinnedRecords(const PinnedRecords&) = delete;
  PinnedRecords& operator=(const PinnedRecords&) = delete;

  Record* data() const { return data_; }

 private:
  Record* data_ = nullptr;
};

TEST_F(CudaReadback, RecordsHoldWhatSeparateOutputsDo) {
  constexpr std::int64_t kColumns = 9001;
  const Stream stream;
  for (const std::int64_t rows : {1, 8, 64, 300, 1000})
    for (const std::int64_t draws : {1, 3})
      for (const Determinism determinism : kDeterminisms) {
        SCOPED_TRACE(std::to_string(rows) + " rows, " + std::to_string(draws) + " draws");
        const auto count = static_cast<std::size_t>(rows * draws);
        const std::vector<float> z = many_logits(std::size_t(rows * kColumns), 3, 6);
        const DeviceBuffer<float> logits(z);
        const DeviceBuffer<Record> records(count, 0x7f);
        const PinnedRecords arrived(count);
        const SampleArgs sampling{.temperature = 0.7f, .seed = 11, .offset = 5, .draws = draws};
        SampleArgs args = sampling;
        args.logits =
            Tensor::contiguous(logits.data(), DType::f32, std::array{rows, kColumns}, kGpu);
        const auto field = [&](void* first, DType dtype) {
          return Tensor::strided(first, dtype, std::array{rows, draws},
                                 std::array{2 * draws, std::int64_t{2}}, kGpu);
        };
        args.token = field(&records.data()->token, DType::i32);
        args.logprob = field(&records.data()->logprob, DType::f32);
        Context context = cuda(determinism);
        context.stream = stream.get();
        call_on_gpu(&sample, args, context);
        must("reading back", cudaMemcpyAsync(arrived.data(), records.data(), 8 * count,
                                             cudaMemcpyDeviceToHost, stream.get()));
        stream.wait();

        const Draws apart =
            draws_of(Tensor::of(z.data(), {rows, kColumns}), cuda(determinism), sampling);
        for (std::size_t i = 0; i < count; ++i) {
          ASSERT_EQ(arrived.data()[i].token, apart.token[i]) << "draw " << i;
          ASSERT_TRUE(same_bits(arrived.data()[i].logprob, apart.logprob[i])) << "draw " << i;
        }
      }
}

}  // namespace
}  // namespace logsum::test
