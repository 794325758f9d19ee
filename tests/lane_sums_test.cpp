// SPDX-License-Identifier: Apache-2.0
// The order of sums in lanes, written a second time, from its description: as a tree of names.
#include "core/lane_sums.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace logsum::test {
namespace {

// Adds names instead of numbers: the order is what is left.
struct Name {
  std::string text;
  void add(const Name& other) {
    if (text.empty() || other.text.empty())
      text += other.text;  // the default adds nothing
    else
      text = "(" + text + "+" + other.text + ")";
  }
};

// `first` to `first + count` folded by halves.
std::string folded(const std::vector<std::string>& names, std::size_t first, std::size_t count) {
  if (count == 1) return names[first];
  std::vector<std::string> halves;
  for (std::size_t i = first; i < first + count / 2; ++i) {
    Name name{names[i]};
    name.add({names[i + count / 2]});
    halves.push_back(name.text);
  }
  return folded(halves, 0, count / 2);
}

std::string in_order(std::size_t lanes, std::size_t terms) {
  std::vector<std::string> names(lanes), of_warps;
  for (std::size_t i = 0; i < terms; ++i) {
    Name name{names[i % lanes]};
    name.add({std::to_string(i)});
    names[i % lanes] = name.text;
  }
  for (std::size_t first = 0; first < lanes; first += 32)
    of_warps.push_back(folded(names, first, 32));
  return folded(of_warps, 0, of_warps.size());
}

TEST(LaneSums, AreAddedInTheirOrder) {
  const auto term = [](std::int64_t i) { return Name{std::to_string(i)}; };
  for (const std::int64_t count : {0, 1, 2, 31, 32, 33, 255, 256, 257, 1000}) {
    EXPECT_EQ(SerialLanes<kWarpLanes>()(count, term).text, in_order(32, std::size_t(count)));
    EXPECT_EQ(SerialLanes<kBlockLanes>()(count, term).text, in_order(256, std::size_t(count)));
  }
  EXPECT_EQ(SerialLanes<kWarpLanes>()(
                35, [](std::int64_t i) { return i % 16 < 3 ? Name{std::to_string(i)} : Name(); })
                .text,
            "((((0+32)+16)+((2+34)+18))+((1+33)+17))")
      << "shows what the order looks like";
}

}  // namespace
}  // namespace logsum::test
