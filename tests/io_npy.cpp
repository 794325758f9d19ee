// SPDX-License-Identifier: Apache-2.0
// The NPY parser and writer, on bytes in memory.
#include "io/npy.hpp"

#include <gtest/gtest.h>

#include <functional>

#include "io/file_error.hpp"

namespace logsum::io {
namespace {

using namespace std::string_literals;
using Shape = std::vector<std::int64_t>;

ArrayInfo parse(const std::string& file) {
  return parse_npy(std::as_bytes(std::span(file)), "x.npy");
}

std::string write(const ArrayInfo& array) {
  return npy_header(array, "x.npy") +
         std::string(static_cast<const char*>(array.data), array.bytes);
}

// A version 1.0 file whose header length is right.
std::string file_of(const std::string& dict, const std::string& data = "") {
  return "\x93NUMPY\x01\0"s + static_cast<char>(dict.size() & 0xff) +
         static_cast<char>(dict.size() >> 8) + dict + data;
}

std::string error_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const FileError& error) {
    return error.what();
  }
  return "no error";
}

std::string bytes_of(const ArrayInfo& array) {
  return {static_cast<const char*>(array.data), array.bytes};
}

struct Golden {
  DType dtype;
  Shape shape;
  std::string data, file;
};

// What NumPy 2.4.6 (with ml_dtypes 0.6.0 for bfloat16) saves.
const Golden kGolden[] = {
    {DType::f32,
     {2, 2},
     "\000\000\200?E#\301\177\001\000\200\377\000\000\000\200"s,
     "\223NUMPY\001\000v\000{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }     "
     "                                                     \012\000\000\200?E#\301\177\001"
     "\000\200\377\000\000\000\200"s},
    {DType::f16,
     {2},
     "\000<\001\376"s,
     "\223NUMPY\001\000v\000{'descr': '<f2', 'fortran_order': False, 'shape': (2,), }       "
     "                                                     \012\000<\001\376"s},
    {DType::bf16,
     {3},
     "\200?\301\377\200\177"s,
     "\223NUMPY\001\000v\000{'descr': '<V2', 'fortran_order': False, 'shape': (3,), }       "
     "                                                     \012\200?\301\377\200\177"s},
    {DType::f64,
     {},
     "\000\000\000\000\000\000\370?"s,
     "\223NUMPY\001\000v\000{'descr': '<f8', 'fortran_order': False, 'shape': (), }         "
     "                                                     \012\000\000\000\000\000\000\370?"s},
    {DType::i32,
     {1, 1},
     "\007\000\000\000"s,
     "\223NUMPY\001\000v\000{'descr': '<i4', 'fortran_order': False, 'shape': (1, 1), }     "
     "                                                     \012\007\000\000\000"s},
    {DType::i64,
     {2},
     "\377\377\377\377\377\377\377\377\000\000\000\000\000\001\000\000"s,
     "\223NUMPY\001\000v\000{'descr': '<i8', 'fortran_order': False, 'shape': (2,), }       "
     "                                                     \012\377\377\377\377\377\377\377"
     "\377\000\000\000\000\000\001\000\000"s},
    {DType::u8,
     {2},
     "\377\000"s,
     "\223NUMPY\001\000v\000{'descr': '|u1', 'fortran_order': False, 'shape': (2,), }       "
     "                                                     \012\377\000"s},
    {DType::boolean,
     {2},
     "\001\000"s,
     "\223NUMPY\001\000v\000{'descr': '|b1', 'fortran_order': False, 'shape': (2,), }       "
     "                                                     \012\001\000"s},
    {DType::f16,
     {0, 3},
     ""s,
     "\223NUMPY\001\000v\000{'descr': '<f2', 'fortran_order': False, 'shape': (0, 3), }     "
     "                                                     \012"s},
    {DType::u8,
     {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 3},
     "\000\000\000"s,
     "\223NUMPY\001\000\266\000{'descr': '|u1', 'fortran_order': False, 'shape': (1, 1, 1, 1"
     ", 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 3), }                               "
     "                                  \012\000\000\000"s},
};

void expect_equal(const ArrayInfo& array, const Golden& golden) {
  EXPECT_EQ(array.name, "");
  EXPECT_EQ(array.dtype, golden.dtype);
  EXPECT_EQ(array.shape, golden.shape);
  EXPECT_EQ(bytes_of(array), golden.data);
}

TEST(Npy, ReadsAndReproducesNumPysFiles) {
  for (const Golden& golden : kGolden) {
    SCOPED_TRACE(to_string(golden.dtype) + shape_text(golden.shape));
    const ArrayInfo array = parse(golden.file);
    expect_equal(array, golden);
    EXPECT_TRUE(is_aligned(array));
    EXPECT_EQ(write(array), golden.file);
  }
}

TEST(Npy, ReadsVersions2And3) {
  const std::string rest =
      "\000t\000\000\000{'descr': '<i4', 'fortran_order': False, 'shape': (1, 1)"
      ", }                                                        \012\007\000\000\000"s;
  expect_equal(parse("\223NUMPY\002" + rest), kGolden[4]);
  expect_equal(parse("\223NUMPY\003" + rest), kGolden[4]);
}

TEST(Npy, RoundTripsEveryDtypeAndShape) {
  std::string bits(64, '\xff');
  for (std::size_t i = 0; i < bits.size(); i += 3) bits[i] = static_cast<char>(i);
  for (const DType dtype : {DType::f32, DType::f16, DType::bf16, DType::f64, DType::i32, DType::i64,
                            DType::u8, DType::boolean})
    for (const Shape& shape : {Shape{}, {0}, {3}, {2, 0, 3}, {1, 2, 3}, {0, 1'000'000'000'000}}) {
      const std::size_t bytes = *bits_of(8 * size_of(dtype), shape) / 8;
      const ArrayInfo array{"dropped", dtype, shape, bits.data(), bytes};
      const std::string file = write(array);
      EXPECT_EQ(file.size() % 64, bytes % 64);
      expect_equal(parse(file), {dtype, shape, bytes_of(array), ""});
    }
}

TEST(Npy, ReadsOtherSpellings) {
  const Golden golden{DType::bf16, {2, 1}, "abcd", ""};
  for (const char* dict : {
           "{'descr': '|V2', 'fortran_order': False, 'shape': (2, 1)}",
           "{\"shape\":(2,1,),\"fortran_order\":False,\"descr\":\"<V2\"}\n",
           "  {  'fortran_order' : False , 'shape' : ( 2 , 1 ) , 'descr' : '<V2' , } \n\n ",
       })
    expect_equal(parse(file_of(dict, golden.data)), golden);
}

TEST(Npy, RefusesEveryTruncation) {
  for (const Golden& golden : {kGolden[0], kGolden[6]}) {
    for (std::size_t length = 0; length < golden.file.size(); ++length)
      EXPECT_NE(error_of([&] { parse(golden.file.substr(0, length)); }), "no error") << length;
    EXPECT_NE(error_of([&] { parse(golden.file + '\0'); }), "no error");
  }
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
    EXPECT_TRUE(message.starts_with("x.npy: ")) << message;
    EXPECT_LT(message.size(), 600u);
    for (const char c : message) EXPECT_FALSE(c >= 0 && c < ' ') << message;
  }
}

TEST(Npy, RefusesBrokenPreambles) {
  expect_refused({
      {"", "not an NPY file"},
      {"\x93NUMPX\x01\0"s, "not an NPY file"},
      {"\x93NUMPY\x01"s, "has its version at byte 6, but the file ends after 7 bytes"},
      {"\x93NUMPY\0\0\0\0"s, "NPY version 0.0 at byte 6 is unknown; allowed: 1.0, 2.0, 3.0"},
      {"\x93NUMPY\x04\0\0\0"s, "NPY version 4.0"},
      {"\x93NUMPY\x01\x01\0\0"s, "NPY version 1.1"},
      {"\x93NUMPY\x01\0\x01"s, "has its header length at byte 8, but the file ends after 9 bytes"},
      {"\x93NUMPY\x02\0\x01\0\0"s, "has its header length at byte 8, but the file ends after 11"},
      {"\x93NUMPY\x01\0\xff\xff{}"s,
       "header length at byte 8 is 65535, but the file ends after 12"},
      {"\x93NUMPY\x02\0\xff\xff\xff\xff{}"s, "at byte 8 is 4294967295; allowed: at most 1048576"},
      {"\x93NUMPY\x03\0\x03\0\0\0{}"s, "at byte 8 is 3, but the file ends after 14 bytes"},
  });
}

TEST(Npy, RefusesBrokenDicts) {
  const std::string descr = "'descr': '<f4', ", order = "'fortran_order': False, ",
                    shape = "'shape': (1,), ";
  const auto dict = [&](const std::string& items, std::size_t data = 4) {
    return file_of("{" + items + "}\n", std::string(data, '\0'));
  };
  const auto with_shape = [&](const std::string& text, std::size_t data = 4) {
    return dict(descr + order + "'shape': " + text, data);
  };
  const auto with_descr = [&](const std::string& text) {
    return dict("'descr': " + text + ", " + order + shape);
  };
  std::string rank65;
  for (int i = 0; i < 65; ++i) rank65 += "1, ";
  expect_refused({
      {file_of(""), "header at byte 10, the end of the header: allowed: '{'"},
      {file_of("[]"), "header at byte 10, \"[]\": allowed: '{'"},
      {file_of("{"), "header at byte 11, the end of the header: allowed: a quoted key or '}'"},
      {dict(""), "header has no key 'descr'; it needs descr, fortran_order and shape"},
      {dict(descr + shape), "header has no key 'fortran_order'"},
      {dict(descr + order), "header has no key 'shape'"},
      {dict(descr + order + shape + "'x': 1"), "unknown key \"x\"; allowed: descr, fortran_order"},
      {dict(descr + order + shape + descr), "the key 'descr' is there twice"},
      {dict(descr + order + shape + "\"shape\": (1,)"), "the key 'shape' is there twice"},
      {dict(", " + descr + order + shape), "allowed: a quoted key"},
      {dict(descr + ", " + order + shape), "allowed: a quoted key"},
      {dict("'descr' '<f4', " + order + shape), "allowed: ':'"},
      {dict("'descr': '<f4' " + order + shape), "allowed: ',' or '}'"},
      {dict("'descr: " + std::string(100, 'x')), "string without an end"},
      {dict("'de\\163cr': '<f4', " + order + shape), "string with an escape"},
      {dict("descr: '<f4', " + order + shape), "\"descr: '<f4'\": allowed: a quoted key"},
      {file_of("{" + descr + order + shape + "} x", "1234"), "\"x\": allowed after the dict"},
      {file_of("{" + descr + order + shape + "}\0"s, "1234"), "allowed after the dict"},
      {file_of("{" + descr + order + shape + "}#", "1234"), "allowed after the dict"},
      {file_of("{" + descr + order + shape, "1234"),
       "the end of the header: allowed: a quoted key"},
      {dict(descr + "'fortran_order': 0, " + shape), "allowed: fortran_order as True or False"},
      {dict(descr + "'fortran_order': 'False', " + shape), "allowed: fortran_order as True or"},
      {dict(descr + "'fortran_order': Falsely, " + shape), "allowed: ',' or '}'"},
      {dict(descr + "'fortran_order': True, " + shape), "fortran_order is True; allowed: False"},
      {with_descr("'>f4'"), "dtype \">f4\" is big-endian; allowed: <f4, <f2, <V2"},
      {with_descr("'|O'"), "dtype \"|O\" holds Python objects; allowed: <f4"},
      {with_descr("'O'"), "dtype \"O\" holds Python objects"},
      {with_descr("'<i2'"), "dtype \"<i2\" is not supported"},
      {with_descr("'<c8'"), "dtype \"<c8\" is not supported"},
      {with_descr("'<U3'"), "dtype \"<U3\" is not supported"},
      {with_descr("'<V4'"), "dtype \"<V4\" is not supported"},
      {with_descr("'f4'"), "dtype \"f4\" is not supported"},
      {with_descr("''"), "dtype \"\" is not supported"},
      {with_descr("'\x1b[2J'"), "dtype \"\\x1b[2J\" is not supported"},
      {with_descr("'\xff'"), "dtype \"\\xff\" is not supported"},
      {with_descr("[('a', '<f4')]"), "descr is a structured dtype; allowed: a single element type"},
      {with_descr("('<f4', (2,))"), "descr is a structured dtype"},
      {with_descr("{'names': []}"), "descr is a structured dtype"},
      {with_descr("None"), "allowed: descr as a quoted string"},
      {with_descr("__import__('os')"), "allowed: descr as a quoted string"},
      {with_shape("1"), "allowed: shape as a tuple of integers such as (2, 3)"},
      {with_shape("[1]"), "allowed: shape as a tuple"},
      {with_shape("(1)"), "shape is not a tuple; allowed: (n,)"},
      {with_shape("(1 1)"), "allowed in shape: ',' or ')'"},
      {with_shape("(,)"), "allowed in shape: integers from 0 to 2^63 - 1"},
      {with_shape("(1,,)"), "allowed in shape: integers"},
      {with_shape("(1"), "allowed in shape: ',' or ')'"},
      {with_shape("(-1,)"), "allowed in shape: integers"},
      {with_shape("(-0,)"), "allowed in shape: integers"},
      {with_shape("(+1,)"), "allowed in shape: integers"},
      {with_shape("(01,)"), "allowed in shape: integers"},
      {with_shape("(0x1,)"), "allowed in shape: ',' or ')'"},
      {with_shape("(1L,)"), "allowed in shape: ',' or ')'"},
      {with_shape("(1_0,)"), "allowed in shape: ',' or ')'"},
      {with_shape("(1.0,)"), "allowed in shape: ',' or ')'"},
      {with_shape("(True,)"), "allowed in shape: integers"},
      {with_shape("((1,),)"), "allowed in shape: integers"},
      {with_shape(std::string(60'000, '(')), "allowed in shape: integers"},
      {with_shape("(9223372036854775808,)"), "allowed in shape: integers from 0 to 2^63 - 1"},
      {with_shape("(9223372036854775807,)"), "size of shape [9223372036854775807] of <f4 overfl"},
      {with_shape("(4294967296, 4294967296)"), "of <f4 overflows 64 bits"},
      {with_shape("(4294967296, 4294967296, 0)", 0), "of <f4 overflows 64 bits"},
      {with_shape("(" + rank65 + ")"), "shape has more than 64 dimensions"},
      {with_shape("(2,)"), "shape [2] of <f4 needs 8 bytes, but 4 follow the header at byte"},
      {with_shape("(1,)", 5), "shape [1] of <f4 needs 4 bytes, but 5 follow the header"},
      {with_shape("(1,)", 0), "shape [1] of <f4 needs 4 bytes, but 0 follow the header"},
  });
}

TEST(Npy, WriterRefusesWhatTheParserWould) {
  const auto refusal = [](const Shape& shape) {
    return error_of([&] {
      static_cast<void>(npy_header({"a", DType::f32, shape, nullptr, 0}, "x.npy"));
    });
  };
  EXPECT_EQ(refusal(Shape(64, 1)), "no error");
  EXPECT_EQ(refusal({-1}),
            "x.npy: cannot write array \"a\" of shape [-1]: a dimension is negative");
  EXPECT_EQ(refusal({std::int64_t{1} << 62}),
            "x.npy: cannot write array \"a\" of shape [4611686018427387904]: "
            "its size overflows 64 bits");
  EXPECT_NE(refusal(Shape(65, 1)).find("more than 64 dimensions"), std::string::npos);
}

}  // namespace
}  // namespace logsum::io
