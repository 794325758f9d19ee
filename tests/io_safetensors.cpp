// SPDX-License-Identifier: Apache-2.0
// The safetensors parser and writer, on bytes in memory.
#include "io/safetensors.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <functional>

#include "io/file_error.hpp"

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

std::string write(const std::vector<ArrayInfo>& arrays, const Metadata& metadata = {}) {
  const std::vector<ArrayInfo> ordered = aligned_order(arrays);
  std::string file = safetensors_header(ordered, metadata, "x.st");
  for (const ArrayInfo& array : ordered)
    file.append(static_cast<const char*>(array.data), array.bytes);
  return file;
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

const ArrayInfo& find(const ArrayList& list, const std::string& name) {
  for (const ArrayInfo& array : list.arrays)
    if (array.name == name) return array;
  throw std::out_of_range(name);
}

TEST(Safetensors, RoundTripsEveryDtypeAndShape) {
  const Shape shapes[] = {{}, {0}, {3}, {1}, {2, 0, 3}, {1, 2, 3}, {1, 1, 1, 1, 1, 1, 1, 1, 2}};
  // Every bit set is a NaN with a payload in each floating type; the odd ones are not.
  std::string bits(64, '\xff');
  for (std::size_t i = 0; i < bits.size(); i += 3) bits[i] = static_cast<char>(i);
  std::vector<ArrayInfo> arrays;
  for (const DType dtype : {DType::u8, DType::bf16, DType::f32, DType::f64, DType::f16, DType::i32,
                            DType::boolean, DType::i64})
    for (const Shape& shape : shapes)
      arrays.push_back({logsum::to_string(dtype) + shape_text(shape), dtype, shape, bits.data(),
                        *bits_of(8 * size_of(dtype), shape) / 8});
  const Metadata metadata = {{"", "empty key"}, {"k\n\"\x01", "\xc3\xa9"}};

  const std::string file = write(arrays, metadata);
  const ArrayList list = parse(file);
  ASSERT_EQ(list.arrays.size(), arrays.size());
  EXPECT_TRUE(list.skipped.empty());
  EXPECT_EQ(list.metadata, metadata);
  for (const ArrayInfo& array : arrays) {
    SCOPED_TRACE(array.name);
    const ArrayInfo& read = find(list, array.name);
    EXPECT_EQ(read.dtype, array.dtype);
    EXPECT_EQ(read.shape, array.shape);
    EXPECT_EQ(bytes_of(read), bytes_of(array));
    EXPECT_TRUE(is_aligned(read));  // operator new aligns the string to 16
  }
  EXPECT_EQ(write(list.arrays, list.metadata), file);
}

TEST(Safetensors, ReadsAndReproducesTheReferenceImplementation) {
  // safetensors 0.8.0, NumPy 2.4.6, ml_dtypes 0.6.0: safetensors.numpy.save(
  //   {"b": i8, "a": f4, "s": f8, "e": f2, "h": f2, "x": ?, "bf": bfloat16, "i": i4, "u": u1,
  //    "small": i1, "\u00e9\"": i2}, metadata={"made by": "safetensors 0.8.0"})
  const std::string file =
      "\240\002\000\000\000\000\000\000"
      R"({"__metadata__":{"made by":"safetensors 0.8.0"},)"
      R"("b":{"dtype":"I64","shape":[2],"data_offsets":[0,16]},)"
      R"("s":{"dtype":"F64","shape":[],"data_offsets":[16,24]},)"
      R"("a":{"dtype":"F32","shape":[2,2],"data_offsets":[24,40]},)"
      R"("i":{"dtype":"I32","shape":[1,1],"data_offsets":[40,44]},)"
      R"("bf":{"dtype":"BF16","shape":[3],"data_offsets":[44,50]},)"
      R"("e":{"dtype":"F16","shape":[0,3],"data_offsets":[50,50]},)"
      R"("h":{"dtype":"F16","shape":[2],"data_offsets":[50,54]},)"
      "\"\303\251\\\"\":"
      R"({"dtype":"I16","shape":[1],"data_offsets":[54,56]},)"
      R"("small":{"dtype":"I8","shape":[1],"data_offsets":[56,57]},)"
      R"("u":{"dtype":"U8","shape":[2],"data_offsets":[57,59]},)"
      R"("x":{"dtype":"BOOL","shape":[2],"data_offsets":[59,61]}}       )"
      "\377\377\377\377\377\377\377\377\000\000\000\000\000\001\000\000"
      "\000\000\000\000\000\000\370?"
      "\000\000\200?E#\301\177\001\000\200\377\000\000\000\200"
      "\007\000\000\000"
      "\200?\301\377\200\177"
      "\000<\001\376"
      "\001\000"
      "\375"
      "\377\000"
      "\001\000"s;
  ASSERT_EQ(file.size(), 741u);
  const ArrayList list = parse(file);
  ASSERT_EQ(list.arrays.size(), 9u);
  EXPECT_EQ(list.metadata, (Metadata{{"made by", "safetensors 0.8.0"}}));
  const auto expect = [&](const char* name, DType dtype, const Shape& shape, const auto& values) {
    SCOPED_TRACE(name);
    const ArrayInfo& array = find(list, name);
    EXPECT_EQ(array.dtype, dtype);
    EXPECT_EQ(array.shape, shape);
    ASSERT_EQ(array.bytes, sizeof(values));
    EXPECT_EQ(std::memcmp(array.data, &values, sizeof(values)), 0);
  };
  expect("b", DType::i64, {2}, std::array<std::int64_t, 2>{-1, std::int64_t{1} << 40});
  expect("s", DType::f64, {}, 1.5);
  expect("a", DType::f32, {2, 2},
         std::array<std::uint32_t, 4>{0x3f800000, 0x7fc12345, 0xff800001, 0x80000000});
  expect("i", DType::i32, {1, 1}, std::int32_t{7});
  expect("bf", DType::bf16, {3}, std::array<std::uint16_t, 3>{0x3f80, 0xffc1, 0x7f80});
  expect("h", DType::f16, {2}, std::array<std::uint16_t, 2>{0x3c00, 0xfe01});
  expect("u", DType::u8, {2}, std::array<std::uint8_t, 2>{255, 0});
  expect("x", DType::boolean, {2}, std::array<bool, 2>{true, false});
  EXPECT_EQ(find(list, "e").shape, (Shape{0, 3}));

  ASSERT_EQ(list.skipped.size(), 2u);
  EXPECT_EQ(list.skipped[0].name, "\303\251\"");
  EXPECT_EQ(list.skipped[0].dtype_name, "I16");
  EXPECT_EQ(list.skipped[0].bytes, 2u);
  EXPECT_EQ(list.skipped[1].shape, Shape{1});

  // What we write for its arrays is what it writes: in the same place, byte for byte.
  std::vector<ArrayInfo> kept(list.arrays.begin(), list.arrays.begin() + 7);
  const std::string header = safetensors_header(kept, list.metadata, "x.st");
  const std::size_t json = file.find(",\"\303\251") - 8;
  EXPECT_EQ(header.substr(8, json), file.substr(8, json));
}

TEST(Safetensors, RefusesEveryTruncation) {
  const float values[3] = {1, 2, 3};
  const std::string file = write({{"a", DType::f32, {3}, values, 12}}, {{"k", "v"}});
  EXPECT_EQ(parse(file).arrays.size(), 1u);
  for (std::size_t length = 0; length < file.size(); ++length)
    EXPECT_NE(error_of([&] { parse(file.substr(0, length)); }), "no error") << length;
  EXPECT_NE(error_of([&] { parse(file + '\0'); }), "no error");
}

TEST(Safetensors, ListsTypesItCannotRead) {
  const std::string file = file_of(R"({"f4":{"dtype":"F4","shape":[2,2],"data_offsets":[0,2]},)"
                                   R"("e8":{"dtype":"F8_E8M0","shape":[2],"data_offsets":[2,4]},)"
                                   R"("ok":{"dtype":"U8","shape":[1],"data_offsets":[4,5]},)"
                                   R"("c":{"dtype":"C64","shape":[],"data_offsets":[5,13]}})",
                                   "0123456789abc");
  const ArrayList list = parse(file);
  ASSERT_EQ(list.arrays.size(), 1u);
  EXPECT_EQ(bytes_of(list.arrays[0]), "4");
  ASSERT_EQ(list.skipped.size(), 3u);
  EXPECT_EQ(list.skipped[0].dtype_name, "F4");
  EXPECT_EQ(list.skipped[0].bytes, 2u);
  EXPECT_EQ(list.skipped[2].bytes, 8u);
}

TEST(Safetensors, ReadsMisalignedTensors) {
  const float value = 1.5f;
  const ArrayInfo byte{"byte", DType::u8, {1}, "x", 1}, real{"real", DType::f32, {1}, &value, 4};
  const std::vector<ArrayInfo> packed = {byte, real};
  const std::string file = safetensors_header(packed, {}, "x.st") + "x" + bytes_of(real);
  const ArrayList list = parse(file);
  EXPECT_FALSE(is_aligned(find(list, "real")));
  EXPECT_TRUE(is_aligned(find(list, "byte")));
  EXPECT_EQ(bytes_of(find(list, "real")), bytes_of(real));
  EXPECT_EQ(aligned_order(packed)[0].name, "real");
}

}  // namespace
}  // namespace logsum::io
