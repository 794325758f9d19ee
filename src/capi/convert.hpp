// SPDX-License-Identifier: Apache-2.0
// Between the C structs and the C++ ones.
#pragma once

#include <algorithm>
#include <cstring>
#include <vector>

#include "logsum/c/context.h"
#include "logsum/c/status.h"
#include "logsum/c/tensor.h"
#include "logsum/context.hpp"
#include "logsum/status.hpp"
#include "logsum/tensor.hpp"

namespace logsum::capi {

inline logsum_status to_c(const Status& status) {
  logsum_status result{};
  result.code = static_cast<logsum_code>(status.code());
  std::snprintf(result.message, sizeof result.message, "%s", status.message());
  return result;
}

// Values beyond the enum's type become one that nothing knows, and that the call refuses.
template <class Enum>
Enum to_enum(std::int32_t value) {
  return static_cast<Enum>(value < 0 || value > 255 ? 255 : value);
}

inline Tensor to_cpp(const logsum_tensor& t) {
  const auto stored = static_cast<std::size_t>(std::clamp<std::int32_t>(t.rank, 0, kMaxRank));
  const Device device{t.device_type == 0 ? DeviceType::cpu : static_cast<DeviceType>(t.device_type),
                      t.device_index};
  Tensor tensor = Tensor::strided(t.data, to_enum<DType>(t.dtype), std::span(t.shape, stored),
                                  std::span(t.strides, stored), device);
  tensor.rank = t.rank;
  return tensor;
}

inline std::vector<Tensor> to_cpp(const logsum_tensor* tensors, std::size_t count) {
  std::vector<Tensor> result;
  for (std::size_t i = 0; i < count; ++i) result.push_back(to_cpp(tensors[i]));
  return result;
}

inline PerRow<float> to_cpp(const logsum_param_f32& p) {
  PerRow<float> result(to_cpp(p.tensor));
  result.value = p.value;
  return result;
}

inline PerRow<double> to_cpp(const logsum_param_f64& p) {
  PerRow<double> result(to_cpp(p.tensor));
  result.value = p.value;
  return result;
}

inline PerRow<std::uint64_t> to_cpp(const logsum_param_u64& p) {
  PerRow<std::uint64_t> result(to_cpp(p.tensor));
  result.value = p.value;
  return result;
}

// The host's pool as an Executor.
class HostExecutor final : public Executor {
 public:
  explicit HostExecutor(const logsum_executor& host) : host_(host) {}
  int concurrency() const noexcept override { return host_.concurrency(host_.self); }
  bool run(std::int64_t tasks, Task task, void* argument) noexcept override {
    return host_.run(host_.self, tasks, task, argument) == 0;
  }

 private:
  logsum_executor host_;
};

// Takes a versioned struct over into this build's: a shorter one leaves the later fields at
// `defaults`, a longer one must be zero behind what this build knows.
template <class T>
Status read_struct(const char* function, const char* name, const T* given, const T& defaults,
                   T& result) {
  result = defaults;
  if (given == nullptr)
    return Status::error(StatusCode::invalid_argument, "%s: %s is null", function, name);
  const std::size_t size = given->struct_size;
  if (size < sizeof(std::size_t) || size > 64 * 1024)
    return Status::error(
        StatusCode::invalid_argument,
        "%s: %s.struct_size is %zu, must be the sizeof of the struct (%zu here): start from its "
        "_defaults() function",
        function, name, size, sizeof(T));
  const auto* bytes = reinterpret_cast<const unsigned char*>(given);
  if (size > sizeof(T) &&
      std::any_of(bytes + sizeof(T), bytes + size, [](unsigned char b) { return b; }))
    return Status::error(
        StatusCode::unsupported,
        "%s: %s.struct_size is %zu, this version of logsum knows %zu bytes and the rest isn't zero",
        function, name, size, sizeof(T));
  std::memcpy(static_cast<void*>(&result), given, std::min(size, sizeof(T)));
  return {};
}

// A workspace query's answer; 0 for a struct that can't be read, whose call says why.
template <class T, class Size>
std::size_t workspace_size(const T* given, const T& defaults, const Size& size) {
  T args;
  return read_struct("", "args", given, defaults, args).ok() ? size(args) : 0;
}

// Runs `call(args, context)` with both structs read; no exception crosses the C boundary.
template <class T, class Call>
logsum_status run(const char* function, const T* given, const T& defaults,
                  const logsum_context* given_context, const Call& call) noexcept {
  try {
    T args;
    if (Status status = read_struct(function, "args", given, defaults, args); !status.ok())
      return to_c(status);
    const logsum_context default_context = logsum_context_defaults();
    logsum_context c;
    if (Status status =
            read_struct(function, "context", given_context ? given_context : &default_context,
                        default_context, c);
        !status.ok())
      return to_c(status);
    if (c.executor && (!c.executor->concurrency || !c.executor->run))
      return to_c(Status::error(StatusCode::invalid_argument,
                                "%s: executor has a null function, must have concurrency and run",
                                function));
    HostExecutor host(c.executor ? *c.executor : logsum_executor{});
    Context context;
    context.workspace = {c.workspace, c.workspace_size};
    context.executor = c.executor ? &host : nullptr;
    context.backend = to_enum<Backend>(c.backend);
    context.simd = to_enum<SimdTarget>(c.simd);
    context.determinism = to_enum<Determinism>(c.determinism);
    context.schedule = to_enum<Schedule>(c.schedule);
    context.stream = c.stream;
    return to_c(call(args, context));
  } catch (...) {
    return to_c(Status::error(StatusCode::out_of_memory, "%s: out of memory", function));
  }
}

}  // namespace logsum::capi
