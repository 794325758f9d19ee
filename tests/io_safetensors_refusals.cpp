// SPDX-License-Identifier: Apache-2.0
// What the safetensors parser and writer refuse, and the words they do it with.
#include <gtest/gtest.h>

#include <functional>

#include "io/file_error.hpp"
#include "io/safetensors.hpp"

namespace logsum::io {
namespace {

using namespace std::string_literals;
using Shape = std::vector<std::int64_t>;

ArrayList parse(const std::string& file) {
  return parse_safetensors(std::as_bytes(std::span(file)), "x.st");
}

// A file whose header length is right.
std::string file_of(const std::string& json, const std::string& data = "") {
  std::string length(8, '\0');
  for (std::size_t i = 0; i < 8; ++i) length[i] = static_cast<char>(json.size() >> (8 * i));
  return length + json + data;
}

std::string error_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const FileError& error) {
    return error.what();
  }
  return "no error";
}

struct Hostile {
  std::string file;
  const char* phrase;
};

void expect_refused(const std::vector<Hostile>& table) {
  for (const auto& [file, phrase] : table) {
    const std::string message = error_of([&text = file] { parse(text); });
    EXPECT_NE(message.find(phrase), std::string::npos)
        << message << "\n  for " << printable(file, 300) << "\n  wanted " << phrase;
    EXPECT_TRUE(message.starts_with("x.st: ")) << message;
    EXPECT_LT(message.size(), 600u);
    for (const char c : message) EXPECT_FALSE(c >= 0 && c < ' ') << message;
  }
}

// A file of one tensor.
std::string tensor(const std::string& fields, std::size_t data = 4) {
  return file_of("{\"a\":{" + fields + "}}", std::string(data, '\0'));
}

TEST(Safetensors, RefusesBrokenHeaders) {
  expect_refused({
      {"", "0 bytes long; allowed: at least the 8 bytes"},
      {"\x02\0\0"s, "3 bytes long"},
      {"\0\0\0\0\0\0\0\0"s, "does not start with '{'"},
      {"\xff\xff\xff\xff\xff\xff\xff\xff{}"s,
       "is 18446744073709551615; allowed: at most 100000000"},
      {"\x01\xe1\xf5\x05\0\0\0\0{}"s, "is 100000001; allowed: at most 100000000"},
      {"\x03\0\0\0\0\0\0\0{}"s, "header length at byte 0 is 3, but the file ends after 10 bytes"},
      {file_of("[]"), "does not start with '{'"},
      {file_of(" {}"), "does not start with '{'"},
      {file_of("\xef\xbb\xbf{}"), "does not start with '{'"},
      {file_of("{"), "not valid JSON at byte 9"},
      {file_of("{}{}"), "not valid JSON at byte 10"},
      {file_of("{}\0"s), "NUL character"},
      {file_of("{}\0}"s), "not valid JSON at byte 10: NUL character"},
      {file_of("{\"a\0\":1}"s), "NUL character"},
      {file_of("{\"a\xff\":{}}"), "at byte 11: syntax error while parsing object key"},
      {file_of("{\"\xc0\x80\":{}}"), "ill-formed UTF-8"},
      {file_of("{\"\xed\xa0\x80\":{}}"), "ill-formed UTF-8"},
      {file_of(R"({"\ud800":{}})"), "surrogate"},
      {file_of("{\"a\n\":{}}"), "control character"},
      {file_of("{/**/}"), "not valid JSON"},
      {file_of("{'a':{}}"), "not valid JSON"},
      {file_of(R"({"__metadata__":{},})"), "not valid JSON"},
      {file_of(R"({"a":NaN})"), "not valid JSON"},
      {file_of(R"({"a":1e999})"), "number overflow"},
      {file_of("{\"a\":" + std::string(5000, '9') + "}"), "number overflow"},
      {file_of("{\"a\":" + std::string(100'000, '[')),
       "key \"a\" holds an array; allowed: an object"},
      {file_of(R"({"a":{"shape":[[)"), "tensor \"a\": shape holds an array; allowed: integers"},
      {file_of(R"({"a":{"shape":{)"), "tensor \"a\": shape holds an object; allowed: an array of"},
      {file_of(R"({"a":"F32"})"), "header key \"a\" holds the string \"F32\"; allowed: an object"},
      {file_of(R"({"a":null})"), "header key \"a\" holds null"},
      {file_of(R"({"__metadata__":null})"), "allowed: an object of strings"},
      {file_of(R"({"__metadata__":[]})"), "allowed: an object of strings"},
      {file_of(R"({"__metadata__":{"k":1}})"), "__metadata__ key \"k\" holds 1; allowed: a string"},
      {file_of(R"({"__metadata__":{"k":{}}})"), "__metadata__ key \"k\" holds an object"},
      {file_of(R"({"__metadata__":{"k":"","k":""}})"), "__metadata__ has the key \"k\" twice"},
      {file_of(R"({"__metadata__":{},"__metadata__":{}})"), "the key \"__metadata__\" twice"},
      {file_of(R"({"\u001b[2J":1})"), R"(header key "\x1b[2J" holds 1)"},
      {file_of(R"({"\u202egnp\"":1})"), R"(header key "\xe2\x80\xaegnp\"" holds 1)"},
      {file_of("{\"" + std::string(1000, 'n') + "\":1}"), "nnn...\" holds 1"},
  });
  EXPECT_TRUE(parse(file_of("{}")).arrays.empty());
  EXPECT_TRUE(parse(file_of("{}\n   ")).arrays.empty());
  EXPECT_TRUE(parse(file_of(R"({"__metadata__":{}})")).metadata.empty());
}

TEST(Safetensors, RefusesBrokenTensors) {
  const std::string f32 = R"("dtype":"F32",)", one = R"("shape":[1],)",
                    at04 = R"("data_offsets":[0,4])";
  const auto with_shape = [&](const std::string& shape, const std::string& offsets = "[0,4]") {
    return tensor(f32 + "\"shape\":" + shape + ",\"data_offsets\":" + offsets);
  };
  std::string rank65 = "[1";
  for (int i = 0; i < 64; ++i) rank65 += ",1";
  expect_refused({
      {tensor(""), "tensor \"a\" has no dtype; it needs dtype, shape and data_offsets"},
      {tensor(f32 + at04), "tensor \"a\" has no shape"},
      {tensor(f32 + R"("shape":[1])"), "tensor \"a\" has no data_offsets"},
      {tensor(f32 + one + at04 + R"(,"strides":[1])"), "has the unknown key \"strides\"; allowed:"},
      {tensor(f32 + f32 + one + at04), "tensor \"a\" has the key \"dtype\" twice"},
      {tensor(f32 + one + at04 + R"(,"shape":[1])"), "tensor \"a\" has the key \"shape\" twice"},
      {tensor(f32 + one + at04 + R"(,"sha\u0070e":[1])"), "has the key \"shape\" twice"},
      {tensor(R"("dtype":1,)" + one + at04), "dtype holds 1; allowed: a string"},
      {tensor(R"("dtype":["F32"],)" + one + at04), "dtype holds an array; allowed: a string"},
      {tensor(R"("dtype":"F128",)" + one + at04), "the unknown dtype \"F128\"; allowed: F64, F32"},
      {tensor(R"("dtype":"f32",)" + one + at04), "the unknown dtype \"f32\""},
      {with_shape("1"), "shape holds 1; allowed: an array of integers"},
      {with_shape("null"), "shape holds null"},
      {with_shape("[1.0]"), "shape holds 1.0; allowed: integers from 0 to 2^63 - 1"},
      {with_shape("[1e0]"), "shape holds 1e0"},
      {with_shape("[-1]"), "shape holds -1"},
      {with_shape("[-0]"), "shape holds -0"},
      {with_shape("[\"1\"]"), "shape holds the string \"1\""},
      {with_shape("[true]"), "shape holds true"},
      {with_shape("[9223372036854775808]"), "shape holds 9223372036854775808; allowed: integers"},
      {with_shape("[18446744073709551617]"), "shape holds 18446744073709551617; allowed"},
      {with_shape("[9223372036854775807]"), "the size of shape [9223372036854775807] of F32 overf"},
      {with_shape("[4294967296,4294967296]"), "of F32 overflows 64 bits"},
      {with_shape("[2305843009213693953,8]"), "of F32 overflows 64 bits"},
      {with_shape("[0,4294967296,4294967296]", "[0,0]"), "of F32 overflows 64 bits"},
      {with_shape(rank65 + "]"), "tensor \"a\": shape has more than 64 dimensions"},
      {with_shape("[1]", "[0]"), "data_offsets holds 1 entries; allowed: two integers"},
      {with_shape("[1]", "[]"), "data_offsets holds 0 entries"},
      {with_shape("[1]", "[0,4,4]"), "data_offsets holds 4; allowed: two integers"},
      {with_shape("[1]", "[0,-4]"), "data_offsets holds -4"},
      {with_shape("[1]", "[4,0]"), "data_offsets [4, 0] end before they begin"},
      {with_shape("[1]", "[4,8]"), "[4, 8] end past the data, which has 4 bytes"},
      {with_shape("[1]", "[18446744073709551612,18446744073709551615]"), "end past the data"},
      {with_shape("[1]", "[18446744073709551612,0]"), "end before they begin"},
      {with_shape("[2]"), "[0, 4] hold 4 bytes, but shape [2] of F32 needs 8"},
      {with_shape("[0]"), "[0, 4] hold 4 bytes, but shape [0] of F32 needs 0"},
      {with_shape("[1]", "[0,3]"), "[0, 3] hold 3 bytes, but shape [1] of F32 needs 4"},
      {tensor(R"("dtype":"F4","shape":[3],"data_offsets":[0,1])", 1),
       "not a whole number of bytes"},
      {tensor(R"("dtype":"F6_E2M3","shape":[2],"data_offsets":[0,1])", 1), "not a whole number"},
      {tensor(f32 + one + at04, 5), "data bytes [4, 5] at the end of the file belong to no tensor"},
      {file_of("{}", "x"), "data bytes [0, 1] at the end of the file belong to no tensor"},
      {tensor(f32 + one + R"("data_offsets":[4,8])", 8), "[0, 4] before tensor \"a\" belong to no"},
  });
}

// Tensors of U8, each given as name, begin, end.
struct Range {
  const char* name;
  int begin, end;
};
std::string tensors(const std::vector<Range>& ranges, std::size_t data) {
  std::string json = "{";
  for (const Range& r : ranges)
    json += (json == "{" ? "\"" : ",\"") + std::string(r.name) + R"(":{"dtype":"U8","shape":[)" +
            std::to_string(r.end - r.begin) + R"(],"data_offsets":[)" + std::to_string(r.begin) +
            "," + std::to_string(r.end) + "]}";
  return file_of(json + "}", std::string(data, 'x'));
}

TEST(Safetensors, TensorsCoverTheDataExactly) {
  expect_refused({
      {tensors({{"a", 0, 4}, {"b", 0, 4}}, 4),
       "tensor \"b\" at data_offsets [0, 4] overlaps tensor \"a\" at [0, 4]"},
      {tensors({{"a", 2, 6}, {"b", 0, 4}}, 6), "tensor \"a\" at data_offsets [2, 6] overlaps"},
      {tensors({{"a", 0, 8}, {"b", 2, 4}}, 8), "tensor \"b\" at data_offsets [2, 4] overlaps"},
      {tensors({{"a", 0, 8}, {"b", 4, 4}}, 8), "tensor \"b\" at data_offsets [4, 4] overlaps"},
      {tensors({{"a", 0, 4}, {"b", 5, 8}}, 8), "data bytes [4, 5] before tensor \"b\""},
      {tensors({{"a", 0, 4}, {"b", 8, 8}}, 8), "data bytes [4, 8] before tensor \"b\""},
      {tensors({{"a", 0, 4}, {"a", 4, 8}}, 8), "header has the key \"a\" twice"},
      {tensors({{"a", 0, 4}, {"\\u0061", 4, 8}}, 8), "header has the key \"a\" twice"},
  });
  // Any order in the header, empty tensors at any seam.
  const std::string file =
      tensors({{"c", 3, 4}, {"z", 4, 4}, {"b", 0, 3}, {"y", 3, 3}, {"", 0, 0}}, 4);
  std::vector<std::string> names;
  for (const ArrayInfo& array : parse(file).arrays) names.push_back(array.name);
  EXPECT_EQ(names, (std::vector<std::string>{"", "b", "y", "c", "z"}));
}

TEST(Safetensors, WriterRefusesWhatTheParserWould) {
  const auto refusal = [](const std::vector<ArrayInfo>& arrays, const Metadata& metadata = {}) {
    return error_of([&] { static_cast<void>(safetensors_header(arrays, metadata, "x.st")); });
  };
  const ArrayInfo good{"a", DType::f32, {1}, nullptr, 4};
  const auto changed = [&](auto change) {
    ArrayInfo array = good;
    change(array);
    return array;
  };
  EXPECT_EQ(refusal({good}), "no error");
  EXPECT_EQ(refusal({good, good}), "x.st: cannot write two arrays named \"a\"");
  EXPECT_EQ(refusal({changed([](auto& a) { a.name = "__metadata__"; })}),
            "x.st: cannot write an array named __metadata__: the format keeps that key");
  const std::string not_utf8 =
      "x.st: cannot write: an array name or the metadata is not valid UTF-8";
  EXPECT_EQ(refusal({changed([](auto& a) { a.name = "\xff"; })}), not_utf8);
  EXPECT_EQ(refusal({good}, {{"k", "\xff"}}), not_utf8);
  EXPECT_EQ(refusal({changed([](auto& a) {
              a.shape = {2, -1};
            })}),
            "x.st: cannot write array \"a\" of shape [2, -1]: a dimension is negative");
  EXPECT_EQ(refusal({changed([](auto& a) {
              a.shape = {std::int64_t{1} << 62, 0};
            })}),
            "x.st: cannot write array \"a\" of shape [4611686018427387904, 0]: "
            "its size overflows 64 bits");
  EXPECT_NE(refusal({changed([](auto& a) { a.shape = Shape(65, 1); })}).find("more than 64"),
            std::string::npos);
}

}  // namespace
}  // namespace logsum::io
