// SPDX-License-Identifier: Apache-2.0
#include "io/file_error.hpp"

#include <cstring>
#include <system_error>

namespace logsum::io {
namespace {

struct CodePoint {
  char32_t value;
  std::size_t length;  // 0: not UTF-8
};

CodePoint decode(std::string_view text) {
  const auto at = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned lead = at(0);
  if (lead < 0x80) return {lead, 1};
  const std::size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc2 ? 2 : 0;
  if (length == 0 || lead > 0xf4 || text.size() < length) return {0, 0};
  char32_t value = lead & (0x7fu >> length);
  for (std::size_t i = 1; i < length; ++i) {
    if ((at(i) & 0xc0u) != 0x80) return {0, 0};
    value = (value << 6) | (at(i) & 0x3fu);
  }
  constexpr char32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = value >= 0xd800 && value <= 0xdfff;
  if (value < kSmallest[length] || surrogate || value > 0x10ffff) return {0, 0};
  return {value, length};
}

bool shows_as_itself(char32_t c) {
  if (c < 0x20 || c == '\\' || (c >= 0x7f && c < 0xa0)) return false;  // C0, DEL, C1
  if (c == 0x61c || c == 0xfeff || (c >= 0x200b && c <= 0x200f)) return false;
  return !(c >= 0x2028 && c <= 0x202e) && !(c >= 0x2060 && c <= 0x206f);
}

std::string escaped(std::string_view text, std::size_t limit, char quote) {
  static const char* hex = "0123456789abcdef";
  std::string out;
  while (!text.empty()) {
    if (out.size() >= limit) return out + "...";
    const CodePoint c = decode(text);
    const std::size_t length = c.length == 0 ? 1 : c.length;
    if (c.length != 0 && shows_as_itself(c.value) && (quote == 0 || text[0] != quote)) {
      out.append(text.substr(0, length));
    } else if (text[0] == '\\' || (quote != 0 && text[0] == quote)) {
      out += '\\';
      out += text[0];
    } else {
      for (std::size_t i = 0; i < length; ++i) {
        const auto byte = static_cast<unsigned char>(text[i]);
        out += {'\\', 'x', hex[byte >> 4], hex[byte & 15]};
      }
    }
    text.remove_prefix(length);
  }
  return out;
}

}  // namespace

std::string printable(std::string_view text, std::size_t limit) { return escaped(text, limit, 0); }

std::string in_quotes(std::string_view text) { return '"' + escaped(text, 80, '"') + '"'; }

FileError::FileError(std::string_view path, std::string_view problem)
    : std::runtime_error(printable(path, 4096) + ": " + std::string(problem)) {}

FileError system_error(std::string_view path, std::string_view problem, int error) {
  // generic_category().message() is strerror without its shared buffer.
  return {path, std::string(problem) + ": " + std::generic_category().message(error)};
}

}  // namespace logsum::io
