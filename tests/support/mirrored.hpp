// SPDX-License-Identifier: Apache-2.0
// A call, with its tensors in another memory.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "support/mirror.hpp"
#include "support/tensors_of.hpp"

namespace logsum::test {

// Whether a call gets as far as to look for its backend. All its tensors are then what they say;
// of one that is refused before, or has nothing to do, no memory is looked at.
template <class Operation, class Args>
bool reaches_backend(const Operation& operation, const Args& args, Context context) {
  context.backend = static_cast<Backend>(255);
  const Status status = operation(args, context);
  return std::string(status.message()).find("no backend 255") != std::string::npos;
}

// A call's tensors in another memory, for one call or many. Those that are there already stay.
template <class Args>
class Moved {
 public:
  Moved(DeviceMemory& memory, const Args& args) : args_(args), mirror_(memory) {
    for (Tensor* tensor : tensors_of(args_))
      if (tensor->device.type == DeviceType::cpu) at_home_.push_back(tensor);
    move_to(memory.device(), args_);
  }

  // Once, and only if the call reaches its backend.
  void add_tensors() {
    for (Tensor* tensor : at_home_) mirror_.add(*tensor);
  }
  Mirror& mirror() { return mirror_; }
  const Copy<Args>& args() const { return args_; }

  void to_host(const std::string& at) {
    if (const std::string damage = mirror_.to_host(); !damage.empty())
      ADD_FAILURE() << "written outside: " << damage << "at " << at;
  }

 private:
  Copy<Args> args_;
  std::vector<Tensor*> at_home_;
  Mirror mirror_;
};

template <class Operation, class Args>
Status mirrored(DeviceMemory& memory, const Operation& operation, const Args& args,
                Context context) {
  constexpr std::size_t kMost = std::size_t{1} << 31;
  Moved<Args> moved(memory, args);
  if (!reaches_backend(operation, moved.args(), context)) return operation(moved.args(), context);
  moved.add_tensors();
  if (!memory.holds(context.workspace.data)) moved.mirror().add(context.workspace);
  if (moved.mirror().size() > kMost) {
    ADD_FAILURE() << moved.mirror().size() << " bytes are too many to copy";
    return Status::error(StatusCode::out_of_memory, "not called");
  }
  moved.mirror().to_device();
  const Status status = operation(moved.args(), context);
  moved.to_host(status.message());
  return status;
}

}  // namespace logsum::test
