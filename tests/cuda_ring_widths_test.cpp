// SPDX-License-Identifier: Apache-2.0
// Few rows of the widths that language models have, written through rings and by two launches: the
// same bytes, and under cross_device the CPU's. Rows that rings can't hold are written by two
// launches alone.
#include <gtest/gtest.h>

#include <iterator>

#include "logsum/softmax.hpp"
#include "logsum/softmax_backward.hpp"
#include "support/cuda.hpp"

namespace logsum::test {
namespace {

constexpr std::int64_t kWidths[] = {31, 32000, 128256, 131072, 151936, 262144, 262147};
constexpr float kTemperature = 0.8f;

using Bytes = std::vector<std::byte>;
using Operation = WrittenRows::Operation;

struct Pair {
  Operation operation;
  Status (*forward)(const SoftmaxArgs&, const Context&) noexcept;
  Status (*backward)(const SoftmaxBackwardArgs&, const Context&) noexcept;
};
constexpr Pair kPairs[] = {{Operation::softmax, &softmax, &softmax_backward},
                           {Operation::log_softmax, &log_softmax, &log_softmax_backward}};

// A matrix whose rows begin at multiples of 16 bytes, with elements between them that no call may
// write.
struct Place {
  std::int64_t rows, columns;
  DType dtype;

  std::int64_t stride() const { return (columns + 15) / 8 * 8; }
  std::size_t bytes() const { return static_cast<std::size_t>(rows * stride()) * size_of(dtype); }
  Tensor tensor(std::byte* data, Device device = {}) const {
    const std::int64_t shape[] = {rows, columns}, strides[] = {stride(), 1};
    return Tensor::strided(data, dtype, shape, strides, device);
  }
};

// Calls but for their output and context.
auto forward(const Pair& pair, const Tensor& logits) {
  return [&pair, logits](const Tensor& output, const Context& context) {
    return pair.forward({.logits = logits, .output = output, .temperature = kTemperature}, context);
  };
}
auto backward(const Pair& pair, const Tensor& gradient, const Tensor& given) {
  return [&pair, gradient, given](const Tensor& output, const Context& context) {
    return pair.backward({.grad_output = gradient,
                          .output = given,
                          .grad_logits = output,
                          .temperature = kTemperature},
                         context);
  };
}

// What a call leaves, of the matrix and around it.
template <class Call>
Bytes by_cpu(const Place& place, const Call& call) {
  Bytes output(place.bytes(), std::byte{0x7f});
  must(call(place.tensor(output.data()), {.backend = Backend::cpu}));
  return output;
}
template <class Call>
Bytes by_gpu(const Place& place, const Call& call, const Context& context) {
  const DeviceBuffer<std::byte> output(place.bytes(), 0x7f);
  on::count_call();
  must(call(place.tensor(output.data(), kGpu), context));
  return output.get();
}

bool rings_hold(const Place& place, Operation operation, Determinism determinism) {
  // Of one tile they are not the best, which explain_rings refuses too.
  if (place.columns <= kTileColumns) return true;
  const WrittenRows rows{place.rows, place.columns, place.dtype, operation, determinism};
  ScheduleInfo info;
  return explain_rings(device_info(), rows, info).ok();
}

// `wanted`, by the CPU, is what cross_device promises.
template <class Call>
void expect_same(const Place& place, Operation operation, Determinism determinism,
                 const Bytes& wanted, const Call& call) {
  SCOPED_TRACE("V=" + std::to_string(place.columns) + " operation " +
               std::to_string(static_cast<int>(operation)) + " determinism " +
               std::to_string(static_cast<int>(determinism)));
  const Bytes twice = by_gpu(place, call, cuda(determinism, Schedule::spans));
  EXPECT_TRUE(determinism != Determinism::cross_device || twice == wanted) << "two launches";
  EXPECT_TRUE(by_gpu(place, call, cuda(determinism)) == twice) << "automatic";
  const Context rings = cuda(determinism, Schedule::rings);
  if (rings_hold(place, operation, determinism)) {
    EXPECT_TRUE(by_gpu(place, call, rings) == twice) << "rings";
    return;
  }
  const DeviceBuffer<std::byte> unwritten(place.bytes());
  EXPECT_EQ(call(place.tensor(unwritten.data(), kGpu), rings).code(), StatusCode::unsupported);
}

class CudaRingWidths : public OnGpuWithRings, public ::testing::WithParamInterface<DType> {};

TEST_P(CudaRingWidths, GiveTheBitsOfTwoLaunches) {
  for (const std::int64_t columns : kWidths) {
    const Place place{std::ssize(healthy_rows()), columns, GetParam()};
    const std::int64_t padding = place.stride() - columns;
    Batch logits(healthy_rows(), columns, GetParam(), 2, padding);
    Matrix gradients(place.rows, columns, GetParam(), padding);
    for (std::int64_t i = 0; i < place.rows; ++i)
      gradients.set_row(i, many_logits(std::size_t(columns), std::uint64_t(i), 2));
    const DeviceMatrix z(place.rows, logits.tensor(), padding);
    const DeviceMatrix g(place.rows, gradients.tensor(), padding);
    for (const Pair& pair : kPairs) {
      Bytes p = by_cpu(place, forward(pair, logits.tensor()));
      const Bytes dz = by_cpu(place, backward(pair, gradients.tensor(), place.tensor(p.data())));
      const DeviceBuffer<std::byte> p_on_gpu(p);
      const Tensor output = place.tensor(p_on_gpu.data(), kGpu);
      for (const Determinism determinism : kDeterminisms) {
        expect_same(place, pair.operation, determinism, p, forward(pair, z.tensor()));
        expect_same(place, Operation::gradient, determinism, dz,
                    backward(pair, g.tensor(), output));
      }
      if (HasFailure()) return;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(CudaRing, CudaRingWidths, ::testing::Values(DType::f32, DType::bf16),
                         [](const auto& dtype) { return std::string(to_string(dtype.param)); });

}  // namespace
}  // namespace logsum::test
