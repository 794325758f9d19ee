// SPDX-License-Identifier: Apache-2.0
#include "io/npy_dict.hpp"

#include <charconv>

#include "io/array_info.hpp"
#include "io/file_error.hpp"

namespace logsum::io {
namespace {

class DictParser {
 public:
  DictParser(std::string_view text, std::size_t offset, const std::string& path)
      : text_(text), offset_(offset), path_(path) {}

  NpyDict parse() {
    expect('{', "'{'");
    while (!accept('}')) {
      item();
      if (accept(',')) continue;
      expect('}', "',' or '}'");
      break;
    }
    // NumPy pads with spaces and ends with a newline.
    if (const auto at = text_.find_first_not_of(" \n", position_); at != std::string_view::npos) {
      position_ = at;
      fail("allowed after the dict: spaces and a newline");
    }
    for (const Key& key : keys_)
      if (!key.seen)
        throw FileError(path_, "header has no key '" + std::string(key.name) +
                                   "'; it needs descr, fortran_order and shape");
    return std::move(dict_);
  }

 private:
  struct Key {
    std::string_view name;
    void (DictParser::*read)();
    bool seen = false;
  };

  void item() {
    skip_spaces();
    const std::size_t start = position_;
    const std::string_view name = string("a quoted key or '}'");
    for (Key& key : keys_) {
      if (key.name != name) continue;
      if (key.seen) {
        position_ = start;
        fail("the key '" + std::string(name) + "' is there twice; keys must be unique");
      }
      key.seen = true;
      expect(':', "':'");
      skip_spaces();
      (this->*key.read)();
      return;
    }
    position_ = start;
    fail("unknown key " + in_quotes(name) + "; allowed: descr, fortran_order, shape");
  }

  void read_descr() {
    if (peek() == '[' || peek() == '(' || peek() == '{')
      fail("descr is a structured dtype; allowed: a single element type such as '<f4'");
    dict_.descr = string("descr as a quoted string such as '<f4'");
  }

  void read_fortran_order() {
    if (accept_word("True")) {
      dict_.fortran_order = true;
    } else if (!accept_word("False")) {
      fail("allowed: fortran_order as True or False");
    }
  }

  void read_shape() {
    expect('(', "shape as a tuple of integers such as (2, 3)");
    bool comma = true;
    while (!accept(')')) {
      if (!comma) fail("allowed in shape: ',' or ')'");
      if (dict_.shape.size() == kMaxFileRank) fail("shape has more than 64 dimensions");
      dict_.shape.push_back(integer());
      comma = accept(',');
    }
    // In Python, (3) is the number 3.
    if (dict_.shape.size() == 1 && !comma) fail("shape is not a tuple; allowed: (n,)");
  }

  std::int64_t integer() {
    skip_spaces();
    const char* const end = text_.data() + text_.size();
    const char* const begin = text_.data() + position_;
    std::int64_t value = 0;
    const auto [stop, error] = std::from_chars(begin, end, value);
    const bool leading_zero = stop - begin > 1 && *begin == '0';
    if (error != std::errc() || *begin == '-' || leading_zero)
      fail("allowed in shape: integers from 0 to 2^63 - 1");
    position_ += static_cast<std::size_t>(stop - begin);
    return value;
  }

  std::string_view string(const char* wanted) {
    skip_spaces();
    const char quote = peek();
    if (quote != '\'' && quote != '"') fail(std::string("allowed: ") + wanted);
    const std::size_t close = text_.find(quote, position_ + 1);
    if (close == std::string_view::npos) fail("string without an end");
    const std::string_view value = text_.substr(position_ + 1, close - position_ - 1);
    if (value.find('\\') != std::string_view::npos) fail("string with an escape; allowed: none");
    position_ = close + 1;
    return value;
  }

  void skip_spaces() {
    while (peek() == ' ') ++position_;
  }

  // NUL at the end: it is no part of the grammar, so a NUL in the text is refused like the end.
  char peek() const { return position_ < text_.size() ? text_[position_] : '\0'; }

  bool accept(char c) {
    skip_spaces();
    if (peek() != c) return false;
    ++position_;
    return true;
  }

  void expect(char c, const char* wanted) {
    if (!accept(c)) fail(std::string("allowed: ") + wanted);
  }

  bool accept_word(std::string_view word) {
    if (!text_.substr(position_).starts_with(word)) return false;
    position_ += word.size();
    return true;
  }

  [[noreturn]] void fail(const std::string& what) const {
    const std::string found = position_ < text_.size() ? in_quotes(text_.substr(position_, 12))
                                                       : std::string("the end of the header");
    throw FileError(path_, "header at byte " + std::to_string(offset_ + position_) + ", " + found +
                               ": " + what);
  }

  std::string_view text_;
  std::size_t offset_;
  const std::string& path_;
  std::size_t position_ = 0;
  NpyDict dict_;
  Key keys_[3] = {{"descr", &DictParser::read_descr},
                  {"fortran_order", &DictParser::read_fortran_order},
                  {"shape", &DictParser::read_shape}};
};

}  // namespace

NpyDict parse_npy_dict(std::string_view text, std::size_t offset, const std::string& path) {
  return DictParser(text, offset, path).parse();
}

}  // namespace logsum::io
