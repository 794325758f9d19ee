// SPDX-License-Identifier: Apache-2.0
// Tensors and backends that don't go together are refused by name, before anything is read.
#include <gtest/gtest.h>

#include "support/cuda.hpp"
#include "support/refusals.hpp"

namespace logsum::test {
namespace {

using CudaMisuse = OnGpu;

constexpr Device kHost{};

// Arguments whose tensors say that they are on these devices, wherever their memory is.
struct Call {
  float z[10] = {}, logprob[2] = {99, 99};
  std::int64_t token[2] = {99, 99};

  Status run(Device logits, Device outputs, const Context& context = {}) {
    return sample({.logits = Tensor::of(z, {2, 5}, logits),
                   .token = Tensor::of(token, {2}, outputs),
                   .logprob = Tensor::of(logprob, {2}, outputs)},
                  context);
  }
};

TEST(CudaPlaces, HalfOnTheHost) {
  Call call;
  expect_refused(call.run(kGpu, kHost), StatusCode::invalid_argument,
                 {"sample: token is on device type 1, index 0, must be where the first tensor is: "
                  "2, 0"});
  expect_refused(call.run(kHost, kGpu), StatusCode::invalid_argument,
                 {"sample: token is on device type 2, index 0, must be where the first tensor is: "
                  "1, 0"});
  expect_refused(call.run(kGpu, {DeviceType::cuda, 1}), StatusCode::invalid_argument,
                 {"sample: token is on device type 2, index 1"});
  EXPECT_EQ(call.token[0], 99);
}

TEST(CudaPlaces, ABackendOfAnotherDevice) {
  Call call;
  for (const auto& [backend, name] :
       {std::pair{Backend::cpu, "cpu"}, std::pair{Backend::reference, "reference"}})
    expect_refused(call.run(kGpu, kGpu, {.backend = backend}), StatusCode::invalid_argument,
                   {"sample: backend " + std::string(name) +
                    " wants tensors on device type 1, they are on 2"});
  expect_refused(call.run(kHost, kHost, {.backend = Backend::cuda}), StatusCode::invalid_argument,
                 {"sample: backend cuda wants tensors on device type 2, they are on 1"});
  EXPECT_EQ(call.token[0], 99);
}

// And the next call works: nothing of the failure is left behind, neither an error that a later
// launch would take for its own nor another current device.
TEST_F(CudaMisuse, ADeviceThatIsNotThere) {
  int devices = 0;
  must("devices", cudaGetDeviceCount(&devices));
  const std::vector<float> z = gaussian(5000, 1, 2, 0);
  const Tensor row = Tensor::of(z.data(), {1, 5000});
  for (const Schedule schedule : {Schedule::spans, Schedule::clusters}) {
    Call call;
    const Device missing{DeviceType::cuda, std::max(7, devices)};
    Context context{.backend = Backend::cuda, .schedule = schedule};
    expect_refused(
        call.run(missing, missing, context), StatusCode::unsupported,
        {"sample: CUDA device " + std::to_string(missing.index), "invalid device ordinal"});
    int current = -1;
    must("the device", cudaGetDevice(&current));
    EXPECT_EQ(current, 0);
    context.determinism = Determinism::cross_device;
    EXPECT_TRUE(same_bits(draws_of(row, context), draws_of(row, {.backend = Backend::cpu})));
  }
}

}  // namespace
}  // namespace logsum::test
