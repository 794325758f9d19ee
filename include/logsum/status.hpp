// SPDX-License-Identifier: Apache-2.0
// Status: what every logsum call returns. A code and a message that names the argument, what it was
// and what is allowed. The message lives inside the object: no allocation, so a Status can always
// be made.
#pragma once

#include "logsum/export.h"

#if defined(__cpp_exceptions)
#include <stdexcept>
#endif

namespace logsum {

enum class StatusCode : int {
  ok = 0,
  invalid_argument = 1,  // the caller's arguments contradict the operation's contract
  unsupported = 2,       // legal, but not by this backend, dtype or build
  out_of_memory = 3,     // a workspace could not be had, or the one given is too small
  internal = 4,          // a fault in logsum or its executor
};

LOGSUM_API const char* to_string(StatusCode code) noexcept;

class [[nodiscard]] Status {
 public:
  Status() noexcept = default;

  // printf-style; a message longer than the buffer is cut.
  LOGSUM_API static Status error(StatusCode code, const char* format, ...) noexcept
      LOGSUM_PRINTF_FORMAT(2, 3);

  bool ok() const noexcept { return code_ == StatusCode::ok; }
  StatusCode code() const noexcept { return code_; }
  const char* message() const noexcept { return message_; }

#if defined(__cpp_exceptions)
  // std::invalid_argument for invalid_argument, std::runtime_error for the rest.
  void or_throw() const {
    if (code_ == StatusCode::invalid_argument) throw std::invalid_argument(message_);
    if (code_ != StatusCode::ok) throw std::runtime_error(message_);
  }
#endif

 private:
  StatusCode code_ = StatusCode::ok;
  char message_[300] = {};
};

}  // namespace logsum

// Returns from the enclosing function when `expression` is a Status that isn't ok.
#define LOGSUM_RETURN_IF_ERROR(expression)                                      \
  do {                                                                          \
    if (::logsum::Status status_ = (expression); !status_.ok()) return status_; \
  } while (false)
