// SPDX-License-Identifier: Apache-2.0
// The dict literal in an NPY header, read by a grammar of just what NumPy writes: no escapes, no
// expressions, no nesting.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace logsum::io {

struct NpyDict {
  std::string descr;
  bool fortran_order = false;
  std::vector<std::int64_t> shape;
};

// `offset` is where `text` begins in the file; it and `path` are for messages. Throws FileError.
NpyDict parse_npy_dict(std::string_view text, std::size_t offset, const std::string& path);

}  // namespace logsum::io
