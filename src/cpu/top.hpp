// SPDX-License-Identifier: Apache-2.0
// The N largest logits of a row, best first, ties to the lowest index: a heap of N that tiles are
// offered to in column order, so that a tile whose maximum isn't above the N-th value needs no
// look.
#pragma once

#include <algorithm>
#include <vector>

#include "cpu/row.hpp"

namespace logsum::cpu {

struct Candidate {
  float z;
  std::int64_t column;
  // "Better" as an order: larger value, then lower column.
  friend bool operator<(const Candidate& a, const Candidate& b) {
    return a.z != b.z ? a.z > b.z : a.column < b.column;
  }
};

inline void write_top(const Row& logits, const TileRecord* records, std::int64_t n,
                      const RowNorm& norm, std::int64_t row, const ElementsView& ids,
                      const ElementsView& logprobs, TileScratch& scratch) {
  std::vector<Candidate> heap;  // its front is the worst kept
  heap.reserve(static_cast<std::size_t>(n));
  for (std::int64_t tile = 0; tile < logits.tiles(); ++tile) {
    const bool full = static_cast<std::int64_t>(heap.size()) == n;
    if (full && !(records[tile].max > heap.front().z)) continue;
    const Tile loaded = logits.load(tile, scratch);
    for (int i = 0; i < loaded.columns; ++i) {
      const Candidate candidate{loaded.z[i], tile * kTile + i};
      if (static_cast<std::int64_t>(heap.size()) < n) {
        heap.push_back(candidate);
        std::push_heap(heap.begin(), heap.end());
      } else if (candidate < heap.front()) {
        std::pop_heap(heap.begin(), heap.end());
        heap.back() = candidate;
        std::push_heap(heap.begin(), heap.end());
      }
    }
  }
  std::sort_heap(heap.begin(), heap.end());
  for (std::int64_t k = 0; k < n; ++k) {
    ids.set_integer(row, k, heap[static_cast<std::size_t>(k)].column);
    logprobs.set(row, k, norm.logprob(heap[static_cast<std::size_t>(k)].z));
  }
}

}  // namespace logsum::cpu
