// SPDX-License-Identifier: Apache-2.0
// The JSON header of a safetensors file, read as events rather than into a tree: a tree would
// silently keep the last of duplicate keys, and would be built before its depth is known.
#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "io/file_error.hpp"
#include "io/safetensors.hpp"

namespace logsum::io {
namespace {

class HeaderReader : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit HeaderReader(const std::string& path) : path_(path) {}

  SafetensorsHeader header;

  bool null() override { return refuse("null"); }
  bool boolean(bool value) override { return refuse(value ? "true" : "false"); }
  bool number_integer(number_integer_t value) override {
    return refuse(value == 0 ? "-0" : std::to_string(value));
  }
  bool number_float(number_float_t, const string_t& token) override {
    return refuse(printable(token));
  }
  bool binary(binary_t&) override { return refuse("binary data"); }

  bool number_unsigned(number_unsigned_t value) override {
    if (place_ == Place::shape) {
      if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
        return refuse(std::to_string(value));
      if (entry_.shape.size() == kMaxFileRank)
        throw FileError(path_, where() + " has more than 64 dimensions");
      entry_.shape.push_back(static_cast<std::int64_t>(value));
      return true;
    }
    if (place_ == Place::offsets && entry_.offsets.size() < 2) {
      entry_.offsets.push_back(value);
      return true;
    }
    return refuse(std::to_string(value));
  }

  bool string(string_t& value) override {
    if (place_ == Place::metadata) {
      header.metadata[key_] = value;
      return true;
    }
    if (place_ == Place::tensor && key_ == "dtype") {
      entry_.dtype_name = value;
      return true;
    }
    return refuse("the string " + in_quotes(value));
  }

  bool start_object(std::size_t) override {
    if (place_ == Place::start) {
      place_ = Place::file;
    } else if (place_ == Place::file && key_ == "__metadata__") {
      place_ = Place::metadata;
      inner_keys_.clear();
    } else if (place_ == Place::file) {
      place_ = Place::tensor;
      inner_keys_.clear();
      entry_ = {.name = key_, .dtype_name = {}, .shape = {}, .offsets = {}};
    } else {
      return refuse("an object");
    }
    return true;
  }

  bool key(string_t& value) override {
    key_ = value;
    std::set<std::string>& seen = place_ == Place::file ? keys_ : inner_keys_;
    if (!seen.insert(value).second)
      throw FileError(path_, (place_ == Place::file ? "header" : container()) + " has the key " +
                                 in_quotes(value) + " twice; keys must be unique");
    if (place_ == Place::tensor && value != "dtype" && value != "shape" && value != "data_offsets")
      throw FileError(path_, container() + " has the unknown key " + in_quotes(value) +
                                 "; allowed: dtype, shape, data_offsets");
    return true;
  }

  bool end_object() override {
    if (place_ == Place::tensor) {
      for (const char* field : {"dtype", "shape", "data_offsets"})
        if (!inner_keys_.contains(field))
          throw FileError(
              path_, container() + " has no " + field + "; it needs dtype, shape and data_offsets");
      header.entries.push_back(std::move(entry_));
    }
    place_ = Place::file;
    return true;
  }

  bool start_array(std::size_t) override {
    if (place_ == Place::tensor && key_ == "shape") {
      place_ = Place::shape;
    } else if (place_ == Place::tensor && key_ == "data_offsets") {
      place_ = Place::offsets;
    } else {
      return refuse("an array");
    }
    return true;
  }

  bool end_array() override {
    if (place_ == Place::offsets && entry_.offsets.size() != 2)
      return refuse(std::to_string(entry_.offsets.size()) + " entries");
    place_ = Place::tensor;
    return true;
  }

  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception& error) override {
    // Keep the reason, drop nlohmann's prefix, line and column, and the raw text it read last.
    std::string reason = error.what();
    if (const auto at = reason.find("] "); at != std::string::npos) reason.erase(0, at + 2);
    if (reason.starts_with("parse error at"))
      if (const auto at = reason.find(": "); at != std::string::npos) reason.erase(0, at + 2);
    if (const auto at = reason.find("; last read"); at != std::string::npos) reason.erase(at);
    // `position` counts characters read from the start of the JSON, which is byte 8 of the file.
    throw FileError(path_, "header is not valid JSON at byte " +
                               std::to_string(8 + std::max<std::size_t>(position, 1) - 1) + ": " +
                               printable(reason, 160));
  }

 private:
  enum class Place { start, file, metadata, tensor, shape, offsets };

  std::string container() const {
    if (place_ == Place::metadata) return "__metadata__";
    return "tensor " + in_quotes(entry_.name);
  }

  std::string where() const {
    switch (place_) {
      case Place::start: return "header";
      case Place::file: return "header key " + in_quotes(key_);
      case Place::metadata: return "__metadata__ key " + in_quotes(key_);
      default: return container() + ": " + printable(key_);
    }
  }

  const char* allowed() const {
    switch (place_) {
      case Place::start: return "a JSON object";
      case Place::file:
        return key_ == "__metadata__" ? "an object of strings"
                                      : "an object with dtype, shape and data_offsets";
      case Place::metadata: return "a string";
      case Place::tensor:
        return key_ == "dtype"   ? "a string"
               : key_ == "shape" ? "an array of integers"
                                 : "an array of two integers";
      case Place::shape: return "integers from 0 to 2^63 - 1";
      case Place::offsets: return "two integers from 0 to 2^64 - 1";
    }
    return "";
  }

  // Never returns; bool so that an event handler can end with it.
  bool refuse(const std::string& found) const {
    throw FileError(path_, where() + " holds " + found + "; allowed: " + allowed());
  }

  const std::string& path_;
  Place place_ = Place::start;
  std::string key_;
  SafetensorsEntry entry_;
  std::set<std::string> keys_, inner_keys_;  // of the file; of the tensor or metadata being read
};

}  // namespace

SafetensorsHeader parse_safetensors_json(std::string_view json, const std::string& path) {
  // nlohmann takes a NUL for the end of its input and would not look at what follows.
  if (const auto nul = json.find('\0'); nul != std::string_view::npos)
    throw FileError(
        path, "header is not valid JSON at byte " + std::to_string(8 + nul) + ": NUL character");
  HeaderReader reader(path);
  nlohmann::json::sax_parse(json.begin(), json.end(), &reader);
  return std::move(reader.header);
}

}  // namespace logsum::io
