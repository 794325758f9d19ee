// SPDX-License-Identifier: Apache-2.0
// NumPy's .npy format: a magic string, a version, and a Python dict literal that describes the one
// array whose bytes follow. bf16, which the format has no name for, is the two-byte void type "V2"
// that ml_dtypes writes for it.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "io/array_info.hpp"

namespace logsum::io {

bool is_npy(std::span<const std::byte> bytes) noexcept;

// Versions 1.0, 2.0 and 3.0; row-major, little-endian, of the dtypes logsum has. The array points
// into `bytes`. `path` is for messages. Throws FileError.
ArrayInfo parse_npy(std::span<const std::byte> bytes, const std::string& path);

// Everything before the data (version 1.0, padded to 64 bytes), as NumPy itself writes it. Only
// dtype and shape are read, so that the data can be streamed.
std::string npy_header(const ArrayInfo& array, const std::string& path);

// Writes a whole file atomically; the name is not kept.
void write_npy(const std::string& path, const ArrayInfo& array);

}  // namespace logsum::io
