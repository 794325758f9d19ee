// SPDX-License-Identifier: Apache-2.0
#include "logsum/status.hpp"

#include <cstdarg>
#include <cstdio>

namespace logsum {

const char* to_string(StatusCode code) noexcept {
  switch (code) {
    case StatusCode::ok: return "ok";
    case StatusCode::invalid_argument: return "invalid_argument";
    case StatusCode::unsupported: return "unsupported";
    case StatusCode::out_of_memory: return "out_of_memory";
    case StatusCode::internal: return "internal";
  }
  return "?";
}

Status Status::error(StatusCode code, const char* format, ...) noexcept {
  Status status;
  status.code_ = code;
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(status.message_, sizeof status.message_, format, arguments);
  va_end(arguments);
  return status;
}

}  // namespace logsum
