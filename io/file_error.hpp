// SPDX-License-Identifier: Apache-2.0
// FileError: what every function of logsum::io throws. Its message is one line that names the file,
// the place in it, what is wrong and what is allowed. Text that came out of a file or from the user
// goes through printable() or in_quotes(), so that a hostile name cannot write to the terminal.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace logsum::io {

class FileError : public std::runtime_error {
 public:
  FileError(std::string_view path, std::string_view problem);
};

// The error of a failed system call: "PATH: PROBLEM: text of the errno value".
FileError system_error(std::string_view path, std::string_view problem, int error);

// The text with control, bidirectional and line-breaking characters, invalid UTF-8 and backslashes
// written as escapes, cut after about `limit` bytes.
std::string printable(std::string_view text, std::size_t limit = 80);

// printable() between double quotes, a double quote inside it escaped. (Called `quoted`, argument-
// dependent lookup would find the one of <iomanip>.)
std::string in_quotes(std::string_view text);

}  // namespace logsum::io
