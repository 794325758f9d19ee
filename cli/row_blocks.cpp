// SPDX-License-Identifier: Apache-2.0
#include "row_blocks.hpp"

#include <algorithm>
#include <cstring>

#include "progress.hpp"

namespace logsum::cli {
namespace {

constexpr std::size_t kBlockBytes = 64 << 20;

struct Bytes {
  const std::byte* data;
  std::size_t size;
};

Bytes bytes_of(const Input& input, std::int64_t first, std::int64_t rows) {
  return {static_cast<const std::byte*>(input.array.data) +
              static_cast<std::size_t>(first) * input.row_bytes(),
          static_cast<std::size_t>(rows) * input.row_bytes()};
}

// The operations take aligned pointers only; a safetensors file may place a tensor anywhere.
Tensor view(const Input& input, std::int64_t first, std::int64_t rows,
            std::vector<std::byte>& copy) {
  const Bytes bytes = bytes_of(input, first, rows);
  const std::byte* data = bytes.data;
  if (!io::is_aligned(input.array)) {
    copy.resize(bytes.size);
    std::memcpy(copy.data(), bytes.data, bytes.size);
    data = copy.data();
  }
  const std::int64_t shape[] = {rows, input.columns()};
  return Tensor::contiguous(const_cast<std::byte*>(data), input.array.dtype, shape);
}

void read_ahead(const Input& input, std::int64_t first, std::int64_t rows) {
  const Bytes bytes = bytes_of(input, first, rows);
  input.file->will_need(bytes.data, bytes.size);
}

void release(const Input& input, std::int64_t first, std::int64_t rows) {
  const Bytes bytes = bytes_of(input, first, rows);
  input.file->release(bytes.data, bytes.size);
}

}  // namespace

void for_each_block(std::initializer_list<const Input*> inputs, const char* what, bool quiet,
                    const std::function<void(const RowBlock&)>& body) {
  std::size_t row_bytes = 0;
  for (const Input* input : inputs) row_bytes += input->row_bytes();
  const std::int64_t rows = (*inputs.begin())->rows();
  const std::int64_t step =
      static_cast<std::int64_t>(std::max<std::size_t>(1, kBlockBytes / row_bytes));

  Progress progress(what, static_cast<double>(rows) * static_cast<double>(row_bytes), quiet);
  std::vector<std::vector<std::byte>> copies(inputs.size());
  for (std::int64_t first = 0; first < rows; first += step) {
    const std::int64_t count = std::min(step, rows - first);
    const std::int64_t next = first + count;
    std::vector<Tensor> tensors;
    for (const Input* input : inputs) {
      if (next < rows) read_ahead(*input, next, std::min(step, rows - next));
      tensors.push_back(view(*input, first, count, copies[tensors.size()]));
    }
    body({first, count, tensors});
    for (const Input* input : inputs) release(*input, first, count);
    progress.update(static_cast<double>(next) * static_cast<double>(row_bytes));
  }
}

SomeRows::SomeRows(const Input& input, std::int64_t first, std::int64_t rows)
    : input_(input), first_(first), rows_(rows), tensor_(view(input, first, rows, copy_)) {}

SomeRows::~SomeRows() { release(input_, first_, rows_); }

}  // namespace logsum::cli
