// SPDX-License-Identifier: Apache-2.0
// More elements than 32 bits count, written in one call, in one launch and in two: what repeated
// rows give is what each of them gives on the CPU.
#include <gtest/gtest.h>

#include "logsum/logsumexp.hpp"
#include "logsum/softmax.hpp"
#include "logsum/softmax_backward.hpp"
#include "support/cuda.hpp"
#include "support/statistics.hpp"

namespace logsum::test {
namespace {

using CudaLargeWritten = OnGpu;

constexpr std::int64_t kColumns = 131072;
constexpr std::int64_t kGiven = 7;  // distinct rows
constexpr float kTemperature = 0.9f;
const Context kCpu{.backend = Backend::cpu};

std::int64_t rows_wanted() { return is_quick() ? 600 : 16400; }

using Values = std::vector<std::uint16_t>;  // bf16

Tensor matrix(std::uint16_t* data, std::int64_t rows, Device device = {}) {
  return Tensor::contiguous(data, DType::bf16, std::array{rows, kColumns}, device);
}
Matrix given_rows(std::uint64_t seed, float spread) {
  Matrix rows(kGiven, kColumns, DType::bf16);
  for (std::int64_t i = 0; i < kGiven; ++i)
    rows.set_row(i, many_logits(kColumns, seed + std::uint64_t(i), spread));
  return rows;
}

// What a call writes for the given rows, on the CPU.
template <class Call>
Values by_cpu(const Call& call) {
  Values output(std::size_t(kGiven * kColumns));
  must(call(matrix(output.data(), kGiven), kCpu));
  return output;
}

// What it writes on the GPU is the given rows' again and again. Not all is looked at: the rest is
// the same code at other places. At both ends, and where 31 and 32 bits of bytes and elements end.
template <class Call>
void expect_repeated(const Values& wanted, const Call& call) {
  constexpr std::int64_t kEvery = (1 << 29) / kColumns;
  const std::int64_t rows = rows_wanted();
  for (const Schedule schedule : {Schedule::automatic, Schedule::spans}) {
    const DeviceBuffer<std::uint16_t> output(std::size_t(rows * kColumns), 0x7f);
    on::count_call();
    must(call(matrix(output.data(), rows, kGpu), cuda(Determinism::cross_device, schedule)));
    for (std::int64_t i = 0; i < rows; ++i) {
      if ((i + kGiven) % kEvery >= 2 * kGiven && i + kGiven < rows) continue;
      const Values row = output.get(std::size_t(i * kColumns), std::size_t(kColumns));
      ASSERT_TRUE(same_elements(row, 0, wanted, std::size_t(i % kGiven), row.size()))
          << "row " << i << ", schedule " << to_string(schedule);
    }
  }
}

// Calls but for their output and context.
template <class Operation>
auto forward(const Operation& operation, const Tensor& logits) {
  return [operation, logits](const Tensor& output, const Context& context) {
    return operation({.logits = logits, .output = output, .temperature = kTemperature}, context);
  };
}
template <class Operation>
auto backward(const Operation& operation, const Tensor& gradient, const Tensor& given) {
  return [operation, gradient, given](const Tensor& output, const Context& context) {
    return operation({.grad_output = gradient,
                      .output = given,
                      .grad_logits = output,
                      .temperature = kTemperature},
                     context);
  };
}

void expect_forward(Status (*operation)(const SoftmaxArgs&, const Context&) noexcept) {
  if (!has_gigabytes(9)) GTEST_SKIP() << "not enough memory";
  Matrix logits = given_rows(1, 6);
  const DeviceMatrix on_gpu(rows_wanted(), logits.tensor());
  expect_repeated(by_cpu(forward(operation, logits.tensor())), forward(operation, on_gpu.tensor()));
}

TEST_F(CudaLargeWritten, Softmax) { expect_forward(&softmax); }
TEST_F(CudaLargeWritten, LogSoftmax) { expect_forward(&log_softmax); }

void expect_backward(Status (*operation)(const SoftmaxArgs&, const Context&) noexcept,
                     Status (*gradient_of)(const SoftmaxBackwardArgs&, const Context&) noexcept) {
  if (!has_gigabytes(13)) GTEST_SKIP() << "not enough memory";
  Matrix logits = given_rows(1, 6), gradient = given_rows(100, 2);
  Values p = by_cpu(forward(operation, logits.tensor()));
  const Tensor given = matrix(p.data(), kGiven);
  const DeviceMatrix g_on_gpu(rows_wanted(), gradient.tensor()), p_on_gpu(rows_wanted(), given);
  expect_repeated(by_cpu(backward(gradient_of, gradient.tensor(), given)),
                  backward(gradient_of, g_on_gpu.tensor(), p_on_gpu.tensor()));
}

TEST_F(CudaLargeWritten, SoftmaxBackward) { expect_backward(&softmax, &softmax_backward); }
TEST_F(CudaLargeWritten, LogSoftmaxBackward) {
  expect_backward(&log_softmax, &log_softmax_backward);
}

// Of each row the lse, which is one of the given rows', and with it the gradient.
TEST_F(CudaLargeWritten, LogsumexpAndItsGradient) {
  if (!has_gigabytes(9)) GTEST_SKIP() << "not enough memory";
  const std::int64_t rows = rows_wanted();
  Matrix logits = given_rows(1, 6);
  const DeviceMatrix on_gpu(rows, logits.tensor());
  std::vector<float> given(kGiven), lse(std::size_t(rows), 99);
  must(on::logsumexp({.logits = logits.tensor(),
                      .lse = Tensor::of(given.data(), {kGiven}),
                      .temperature = kTemperature},
                     kCpu));
  must(on::logsumexp({.logits = on_gpu.tensor(),
                      .lse = Tensor::of(lse.data(), {rows}),
                      .temperature = kTemperature},
                     cuda(Determinism::cross_device)));
  ASSERT_TRUE(same_elements(lse, 0, repeated(given, rows), 0, lse.size()));
  const auto backward = [](const Tensor& z, float* g, float* row_lse, Device device) {
    return [=](const Tensor& output, const Context& context) {
      return logsumexp_backward({.grad_output = Tensor::of(g, {z.shape[0]}, device),
                                 .lse = Tensor::of(row_lse, {z.shape[0]}, device),
                                 .logits = z,
                                 .grad_logits = output,
                                 .temperature = kTemperature},
                                context);
    };
  };
  std::vector<float> g = many_logits(kGiven, 3, 4);
  const DeviceBuffer<float> g_on_gpu(repeated(g, rows)), lse_on_gpu(lse);
  expect_repeated(by_cpu(backward(logits.tensor(), g.data(), given.data(), {})),
                  backward(on_gpu.tensor(), g_on_gpu.data(), lse_on_gpu.data(), kGpu));
}

}  // namespace
}  // namespace logsum::test
