// SPDX-License-Identifier: Apache-2.0
#include "support/mirror.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>

namespace logsum::test {
namespace {

constexpr std::size_t kGuard = 4096;
// Larger than any logit as f32 or bf16, NaN as f16: what is read outside shows in the results too.
constexpr std::byte kPoison{0x7f};

std::atomic<std::int64_t> mirrored_calls{0};

std::byte* host(std::uintptr_t address) { return reinterpret_cast<std::byte*>(address); }

bool is_poison(std::byte b) { return b == kPoison; }

}  // namespace

Mirror::~Mirror() {
  for (const Block& block : blocks_) memory_.free(block.base);
}

void Mirror::add(Tensor& tensor) {
  if (tensor.data == nullptr || tensor.elements() == 0) return;
  std::int64_t first = 0, last = 0;
  for (int i = 0; i < tensor.rank; ++i) {
    const std::int64_t reach = (tensor.shape[i] - 1) * tensor.strides[i];
    (reach < 0 ? first : last) += reach;
  }
  const auto address = reinterpret_cast<std::uintptr_t>(tensor.data);
  const auto size = static_cast<std::int64_t>(size_of(tensor.dtype));
  tensors_.push_back({&tensor.data, address + static_cast<std::uintptr_t>(first * size),
                      address + static_cast<std::uintptr_t>((last + 1) * size)});
}

void Mirror::add(Workspace& workspace) {
  if (workspace.data == nullptr) return;
  const auto address = reinterpret_cast<std::uintptr_t>(workspace.data);
  workspaces_.push_back({&workspace.data, address, address + workspace.size});
}

// Tensors that overlap or touch lie in one block.
std::vector<Mirror::Block> Mirror::blocks_of_tensors() const {
  std::vector<Place> sorted = tensors_;
  std::sort(sorted.begin(), sorted.end(),
            [](const Place& a, const Place& b) { return a.begin < b.begin; });
  std::vector<Block> blocks;
  for (const Place& place : sorted)
    if (!blocks.empty() && place.begin <= blocks.back().end)
      blocks.back().end = std::max(blocks.back().end, place.end);
    else
      blocks.push_back({place.begin, place.end, false});
  return blocks;
}

std::size_t Mirror::size() const {
  std::size_t sum = 0;
  for (const Block& block : blocks_of_tensors()) sum += block.size();
  for (const Place& place : workspaces_) sum += place.end - place.begin;
  return sum;
}

// From the allocation to the block: a guard, and what gives it its address at home modulo 256.
std::size_t Mirror::Block::lead() const { return kGuard + begin % DeviceMemory::kAlignment; }

void Mirror::allocate() {
  blocks_ = blocks_of_tensors();
  for (const Place& place : workspaces_) blocks_.push_back({place.begin, place.end, true});
  for (Block& block : blocks_)
    block.base = static_cast<std::byte*>(memory_.allocate(block.lead() + block.size() + kGuard));
  for (const Block& block : blocks_)
    for (const Place& place : block.is_workspace ? workspaces_ : tensors_)
      if (place.begin >= block.begin && place.end <= block.end) {
        const std::size_t offset = reinterpret_cast<std::uintptr_t>(*place.pointer) - block.begin;
        *place.pointer = block.base + block.lead() + offset;
      }
}

void Mirror::to_device() {
  if (blocks_.empty()) allocate();
  for (const Block& block : blocks_) {
    std::vector<std::byte> bytes(block.lead() + block.size() + kGuard, kPoison);
    if (block.is_workspace)
      std::fill_n(&bytes[block.lead()], block.size(), std::byte{0});
    else
      std::memcpy(&bytes[block.lead()], host(block.begin), block.size());
    memory_.to_device(block.base, bytes.data(), bytes.size());
  }
  memory_.synchronize();  // other streams than the default one don't wait for it
}

std::string Mirror::to_host() {
  std::string damage;
  memory_.synchronize();
  for (const Block& block : blocks_) {
    std::vector<std::byte> bytes(block.lead() + block.size() + kGuard);
    memory_.to_host(bytes.data(), block.base, bytes.size());
    const auto begin = bytes.begin() + static_cast<std::ptrdiff_t>(block.lead());
    const auto end = bytes.end() - static_cast<std::ptrdiff_t>(kGuard);
    const std::string what = std::to_string(block.size()) +
                             (block.is_workspace ? " bytes of workspace" : " bytes of tensors");
    // The written byte nearest to the block.
    const auto before =
        std::find_if_not(std::make_reverse_iterator(begin), bytes.rend(), is_poison);
    if (before != bytes.rend())
      damage += "byte " + std::to_string(begin - before.base() + 1) + " before " + what + ", ";
    if (const auto behind = std::find_if_not(end, bytes.end(), is_poison); behind != bytes.end())
      damage += "byte " + std::to_string(behind - end + 1) + " behind " + what + ", ";
    // Only what changed: inputs may be constants, or shared with other threads.
    if (!block.is_workspace && std::memcmp(host(block.begin), &*begin, block.size()) != 0)
      std::memcpy(host(block.begin), &*begin, block.size());
  }
  ++mirrored_calls;
  return damage;
}

std::int64_t Mirror::count() { return mirrored_calls; }

}  // namespace logsum::test
