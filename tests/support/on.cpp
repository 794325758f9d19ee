// SPDX-License-Identifier: Apache-2.0
#include "support/on.hpp"

#include <atomic>
#include <cstdlib>

#include "support/mirrored.hpp"

namespace logsum::test::on {
namespace {

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

// Asked for by static initialisers too.
const std::string& backend() {
  static const std::string value = environment("LOGSUM_TEST_BACKEND");
  return value;
}
const std::string& mirror() {
  static const std::string value = environment("LOGSUM_TEST_MIRROR");
  return value;
}

std::atomic<std::int64_t> counted_calls{0};

// The default of the tests where none is asked for.
Context resolved(Context context) {
  if (is_cuda() && context.backend == Backend::automatic) {
    context.backend = Backend::cuda;
    context.determinism = Determinism::cross_device;
  }
  return context;
}

template <class Operation, class Args>
Status call(const Operation& operation, const Args& args, const Context& unresolved) {
  const Context context = resolved(unresolved);
  if (context.backend == Backend::cuda) return mirrored(cuda_memory(), operation, args, context);
  if (is_mirrored() && !is_cuda()) return mirrored(host_memory(), operation, args, context);
  return operation(args, context);
}

// What the operation wants without a context.
template <class Args>
std::size_t size(std::size_t (*workspace_size)(const Args&) noexcept, const Args& args) {
  Copy<Args> copy(args);
  if (is_cuda()) move_to(DeviceType::cuda, copy);
  return workspace_size(copy);
}

}  // namespace

bool is_cuda() { return backend() == "cuda"; }
bool is_mirrored() { return is_cuda() || mirror() == "1"; }

std::string why_not() {
  if (!mirror().empty() && mirror() != "1")
    return "LOGSUM_TEST_MIRROR is " + mirror() + ", must be 1";
  if (!backend().empty() && !is_cuda())
    return "LOGSUM_TEST_BACKEND is " + backend() + ", must be cuda";
  const std::string reason = is_cuda() ? why_no_cuda() : "";
  return reason.empty() ? reason : "LOGSUM_TEST_BACKEND is cuda: " + reason;
}

std::string summary() {
  if (!is_mirrored()) return {};
  return std::to_string(Mirror::count() + counted_calls) + " calls " +
         (is_cuda() ? "on cuda" : "mirrored");
}

void count_call() { ++counted_calls; }

#define LOGSUM_TEST_OPERATION(operation, Args)                          \
  Status operation(const Args& args, const Context& context) noexcept { \
    return call(&::logsum::operation, args, context);                   \
  }
#define LOGSUM_TEST_WORKSPACE_SIZE(operation, Args)                   \
  std::size_t operation##_workspace_size(const Args& args) noexcept { \
    return size(&::logsum::operation##_workspace_size, args);         \
  }
LOGSUM_TEST_FOR_EACH_OPERATION(LOGSUM_TEST_OPERATION, LOGSUM_TEST_WORKSPACE_SIZE)

}  // namespace logsum::test::on
