// SPDX-License-Identifier: Apache-2.0
// The tool's two kinds of failure, which are its exit codes: the command line asks for something
// that can't be (2), or the data it names are at fault (1). Every message is one line.
#pragma once

#include <stdexcept>
#include <string>

#include "logsum/status.hpp"

namespace logsum::cli {

inline constexpr int kExitData = 1;
inline constexpr int kExitUsage = 2;

class UsageError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

class DataError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Of a call of the library on `what`, an input's label.
inline void check(const Status& status, const std::string& what) {
  if (!status.ok()) throw DataError(what + ": " + status.message());
}

}  // namespace logsum::cli
