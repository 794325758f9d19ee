// SPDX-License-Identifier: Apache-2.0
// A model of the rings' protocol (cuda/device/visit_rings.cuh): the warps of a cluster as
// coroutines that go on in any order, copies and messages that take any time, a few of them longer
// than a row takes. No warp waits for ever, and none takes for its own a slot, a table or a place
// that is another row's, or a slot whose copy hasn't ended. On a GPU a batch may pass a thousand
// times before one doesn't.
#include <gtest/gtest.h>

#include <algorithm>
#include <coroutine>
#include <deque>
#include <functional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "core/measure.hpp"
#include "cuda/ring_cost.hpp"
#include "cuda/ring_places.hpp"
#include "cuda/schedule.hpp"

namespace logsum::cuda {
namespace {

// A coroutine that is suspended wherever another warp may go on.
class Warp {
 public:
  struct promise_type {
    Warp get_return_object() {
      return Warp(std::coroutine_handle<promise_type>::from_promise(*this));
    }
    std::suspend_always initial_suspend() noexcept { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() { std::terminate(); }
  };
  Warp(Warp&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Warp& operator=(Warp&&) = delete;
  ~Warp() {
    if (handle_) handle_.destroy();
  }
  // Whether it has ended.
  bool step() {
    if (!handle_.done()) handle_.resume();
    return handle_.done();
  }

 private:
  explicit Warp(std::coroutine_handle<promise_type> handle) : handle_(handle) {}
  std::coroutine_handle<promise_type> handle_;
};
constexpr std::suspend_always kStep;

// An mbarrier: a phase ends when all have arrived and all that was expected has come. Asked for a
// parity, it takes the phase before last for the one that is meant, as the hardware does.
struct Barrier {
  int count, pending;
  int expected = 0;
  unsigned phase = 0;

  explicit Barrier(int arrivals) : count(arrivals), pending(arrivals) {}
  void arrive() {
    --pending;
    end_phase();
  }
  void arrive_expecting(int things) {
    expected += things;
    arrive();
  }
  void complete() {
    --expected;
    end_phase();
  }
  bool has_ended(unsigned parity) const { return (phase & 1) != parity; }

 private:
  void end_phase() {
    if (pending != 0 || expected != 0) return;
    ++phase;
    pending = count;
  }
};

using Barriers = std::deque<Barrier>;

constexpr int kLate = 600;  // steps that few copies take: longer than rows after theirs

// What rules an operation's warps follow.
struct Rules {
  RingUse use;
  DType dtype;
  // What is wrong, for what it does:
  bool begins_at_once = false;       // not asking whether the tile's other slots may be asked for
  bool trusts_parity = false;        // nor whether its own has been emptied, unless it is far ahead
  bool joins_what_is_begun = false;  // looking at a row before its records are there
  int fewer_tables = 0;              // than the rows that CTAs may be apart

  bool awaits_all() const { return ring_awaits_all(use); }
  bool has_middle() const { return use == RingUse::divergence; }
  bool joins_everywhere() const { return ring_joins_everywhere(use); }
};

template <int kTileSlotsOf>
class Cluster {
 public:
  Cluster(const Rules& rules, const RingCost& cost, const RingSpace& space, int rows,
          std::uint64_t seed)
      : rules_(rules),
        cost_(cost),
        space_(space),
        groups_(ring_groups(rules.use, rules.dtype)),
        rows_(rows),
        random_(seed) {
    for (int block = 0; block < space.blocks; ++block) ctas_.emplace_back(*this, block);
    for (Cta& cta : ctas_) {
      warps_.push_back(produce(cta));
      for (int i = 0; i < cost.joiners; ++i)
        warps_.push_back(rules.has_middle() ? join_twice(cta, i) : join(cta, i));
      for (int i = 0; i < groups_ * kTileChunks; ++i)
        warps_.push_back(consume(cta, i / kTileChunks, i % kTileChunks));
    }
    for (int i = 0; i < rows; ++i) target_tiles_.push_back(any(0, space.tiles - 1));
  }
  Cluster(const Cluster&) = delete;
  Cluster& operator=(const Cluster&) = delete;

  // Empty, or what has gone wrong.
  std::string run() {
    std::vector<int> slowness;
    for (std::size_t i = 0; i < warps_.size(); ++i) slowness.push_back(any(1, 4));
    std::vector<bool> has_ended(warps_.size());
    for (time_ = 0;; ++time_) {
      deliver();
      bool all = true;
      for (std::size_t i = 0; i < warps_.size(); ++i) {
        if (!has_ended[i] && any(1, slowness[i]) == 1) has_ended[i] = warps_[i].step();
        all = all && has_ended[i];
      }
      if (!fault_.empty() || all) return fault_;
      if (time_ > last_progress_ + 3000) return "all wait";
    }
  }

 private:
  struct Cta {
    Barriers full, emptied, begun, published, measured, arrived, summed;
    std::vector<Barriers> links;
    std::vector<int> row_of_slot, row_of_known;
    std::vector<unsigned> asked;                   // how often a slot has been
    std::vector<int> row_of_records, row_of_sums;  // of each table
    RingPlace place;

    Cta(const Cluster& c, int block)
        : full(make(c.space_.slots, 1)),
          emptied(make(c.space_.slots, kTileChunks / kTileSlotsOf)),
          begun(make(c.space_.known_rows, 1)),
          published(make(c.space_.known_rows, 1)),
          measured(make(c.space_.known_rows, 1)),
          arrived(make(c.space_.tables, 1)),
          summed(make(c.space_.tables, 1)),
          row_of_slot(static_cast<std::size_t>(c.space_.slots), -1),
          row_of_known(static_cast<std::size_t>(c.space_.known_rows), -1),
          asked(static_cast<std::size_t>(c.space_.slots), 0),
          row_of_records(static_cast<std::size_t>(c.space_.tables), -1),
          place(c.space_, c.rows_, block, c.space_.blocks, c.rules_.joins_everywhere()) {
      for (Barrier& b : arrived) b.arrive_expecting(c.space_.records);
      for (Barrier& b : summed) b.arrive_expecting(c.space_.tiles * kTileChunks);
      for (int i = 0; i < c.space_.tables; ++i)
        at(row_of_records, i) = place.first_to_join() + i * place.turns();
      row_of_sums = row_of_records;
      for (int i = 0; i < c.groups_; ++i) {
        links.push_back(make(kTileChunks, 1));
        if (c.rules_.awaits_all()) links.back()[1] = Barrier(2);
      }
    }
    static Barriers make(int n, int arrivals) {
      return Barriers(static_cast<std::size_t>(n), Barrier(arrivals));
    }
  };
  struct Memory {
    static constexpr int kTileSlots = kTileSlotsOf, kSlotChunks = kTileChunks / kTileSlotsOf;
    const Cta& cta;

    bool is_emptied(const RingIndex& i) const {
      return at(cta.emptied, i.at).has_ended(i.phase ^ 1);
    }
    bool are_emptied(const RingIndex& first, int count, const RingSpace& space) const {
      for (int i = 0; i < count; ++i)
        if (!is_emptied(first.ahead(i, space.slots))) return false;
      return true;
    }
    bool has_slot(const RingIndex& i) const { return at(cta.full, i.at).has_ended(i.phase); }
  };

  struct Due {
    int time;
    Barrier* barrier;
    const int* its_row;  // null: anybody's
    int row;
  };

  template <class List>
  static auto& at(List& list, int i) {
    return list[static_cast<std::size_t>(i)];
  }
  int any(int low, int high) { return std::uniform_int_distribution<int>(low, high)(random_); }

  // At some time from now.
  void later(Barrier& barrier, int at_most = 40, const int* its_row = nullptr, int row = 0) {
    due_.push_back({time_ + any(1, at_most), &barrier, its_row, row});
  }
  void deliver() {
    std::shuffle(due_.begin(), due_.end(), random_);
    std::erase_if(due_, [&](const Due& thing) {
      if (thing.time > time_) return false;
      if (thing.its_row != nullptr && *thing.its_row != thing.row)
        fault_ = "a message finds another row";
      thing.barrier->complete();
      return true;
    });
  }
  void has_moved() { last_progress_ = time_; }

  Warp produce(Cta& cta) {
    RingIndex slot, known;
    const Memory memory{cta};
    for (int i = 0; i < cta.place.rows; ++i) {
      while (!memory.is_emptied(slot)) co_await kStep;
      at(cta.published, known.at).arrive_expecting(1);
      if (rules_.has_middle()) at(cta.measured, known.at).arrive_expecting(1);
      at(cta.row_of_known, known.at) = i;
      at(cta.begun, known.at).arrive();
      known = known.ahead(1, space_.known_rows);
      const int tiles = cta.place.end(i, space_) - cta.place.begin(i, space_);
      for (int k = 0; k < tiles * Memory::kTileSlots; ++k) {
        while (!memory.is_emptied(slot)) co_await kStep;
        at(cta.full, slot.at).arrive_expecting(1);
        at(cta.row_of_slot, slot.at) = i;
        ++at(cta.asked, slot.at);
        later(at(cta.full, slot.at), any(1, 50) == 1 ? kLate : 80);
        slot = slot.ahead(1, space_.slots);
        has_moved();
        co_await kStep;
      }
    }
  }

  // To the row's table, which must be the row's by then.
  void push_record(const Cta& cta, const RingCursor& from) {
    const int block = cta.place.joining_block(from.row);
    for (int i = 0; i < space_.blocks; ++i) {
      Cta& to = at(ctas_, i);
      if (rules_.joins_everywhere() || i == block)
        later(at(to.arrived, from.table), 40, &at(to.row_of_records, from.table), from.row);
    }
  }
  void push_sums(const Cta& cta, const RingCursor& from) {
    Cta& to = at(ctas_, cta.place.joining_block(from.row));
    later(at(to.summed, from.table), 40, &at(to.row_of_sums, from.table), from.row);
  }
  // The row that has the table of this one after it.
  int next_of_table(const Cta& cta, int row) const {
    return row + cta.place.turns() * space_.tables;
  }
  // What a joiner knows of a row, to all CTAs.
  void send(int row, Barriers Cta::*barriers) {
    const int known = row % space_.known_rows;
    for (Cta& cta : ctas_) later(at(cta.*barriers, known), 40, &at(cta.row_of_known, known), row);
    has_moved();
  }

  Warp join(Cta& cta, int joiner) {
    const int turns = cta.place.turns();
    for (int i = cta.place.first_to_join() + joiner * turns; i < cta.place.rows;
         i += cost_.joiners * turns) {
      const RingIndex table = cta.place.table(i, space_);
      const RingIndex known = RingIndex::of(i, space_.known_rows);
      const bool begun_first = rules_.joins_everywhere() || rules_.joins_what_is_begun;
      if (!begun_first)
        while (!at(cta.arrived, table.at).has_ended(table.phase)) co_await kStep;
      while (!at(cta.begun, known.at).has_ended(known.phase)) co_await kStep;
      expect_known(cta, i);
      while (!at(cta.arrived, table.at).has_ended(table.phase)) co_await kStep;
      for (int k = any(1, 12); k > 0; --k) co_await kStep;
      expect_known(cta, i);
      at(cta.row_of_records, table.at) = next_of_table(cta, i);
      at(cta.arrived, table.at).arrive_expecting(space_.records);
      if (rules_.joins_everywhere()) {
        at(cta.published, known.at).complete();
        has_moved();
      } else {
        send(i, &Cta::published);
      }
    }
  }
  Warp join_twice(Cta& cta, int joiner) {
    const int step = cost_.joiners * cta.place.turns();
    int measured = cta.place.first_to_join() + joiner * cta.place.turns(), summed = measured;
    while (summed < cta.place.rows) {
      co_await kStep;
      RingIndex table = cta.place.table(measured, space_);
      if (measured < cta.place.rows && at(cta.arrived, table.at).has_ended(table.phase)) {
        for (int k = any(1, 12); k > 0; --k) co_await kStep;
        expect_known(cta, measured);
        at(cta.row_of_records, table.at) = next_of_table(cta, measured);
        at(cta.arrived, table.at).arrive_expecting(space_.records);
        send(measured, &Cta::measured);
        measured += step;
        continue;
      }
      table = cta.place.table(summed, space_);
      if (summed < measured && at(cta.summed, table.at).has_ended(table.phase)) {
        for (int k = any(1, 12); k > 0; --k) co_await kStep;
        expect_known(cta, summed);
        at(cta.row_of_sums, table.at) = next_of_table(cta, summed);
        at(cta.summed, table.at).arrive_expecting(space_.tiles * kTileChunks);
        send(summed, &Cta::published);
        summed += step;
      }
    }
  }

  int runs(int row, int tile) const {
    if (!ring_measures_again(rules_.use)) return 1;
    return rules_.has_middle() || at(target_tiles_, row) == tile ? 2 : 1;
  }
  void expect_known(const Cta& cta, int row) {
    if (at(cta.row_of_known, row % space_.known_rows) != row) fault_ = "a place has another row";
  }
  void expect_row(const Cta& cta, const RingIndex& slot, int row) {
    if (at(cta.row_of_slot, slot.at) != row) fault_ = "a slot has another row";
    if (at(cta.asked, slot.at) != at(cta.full, slot.at).phase) fault_ = "a slot is read too soon";
    expect_known(cta, row);
  }

  Warp consume(Cta& cta, int group, int quarter) {
    const Memory memory{cta};
    Barriers& links = at(cta.links, group);
    RingCursor measured(memory, cta.place, space_, group, quarter), emitted = measured;
    RingCursor summed = measured;
    int ahead = 0, unsummed = 0;
    unsigned phase = 0;
    const bool needs_all = ring_needs_all(rules_.use) && !rules_.begins_at_once;
    while (emitted.row < cta.place.rows) {
      co_await kStep;
      RingIndex next = measured.slot;
      if (rules_.awaits_all()) next = measured.first_slot(memory, space_, quarter);
      const bool may_begin = (rules_.trusts_parity && ahead < space_.slots / cost_.least_slots) ||
                             measured.may_begin(memory, space_, quarter, needs_all);
      if (measured.row < cta.place.rows && may_begin && memory.has_slot(next)) {
        expect_row(cta, next, measured.row);
        while (!at(cta.begun, measured.known.at).has_ended(measured.known.phase)) co_await kStep;
        for (int run = runs(measured.row, measured.tile); run > 0; --run) {
          for (int k = any(1, 6); k > 0; --k) co_await kStep;
          if (rules_.awaits_all()) {  // MeasureSums
            for (int i = 0; i < Memory::kTileSlots; ++i)
              while (!memory.has_slot(next.ahead(i, space_.slots))) co_await kStep;
            enum { kHigh, kAll, kFree };
            const int awaits = quarter >= 2 ? kFree : quarter == 1 ? kHigh : kAll;
            while (!at(links, awaits).has_ended(quarter >= 2 ? phase ^ 1 : phase)) co_await kStep;
            at(links, quarter == 3 ? kHigh : quarter == 0 ? kFree : kAll).arrive();
            if (quarter == 0) push_record(cta, measured);
          } else {  // MeasureLogits
            const int before = quarter > 0 ? quarter - 1 : kTileChunks - 1;
            while (!at(links, before).has_ended(quarter > 0 ? phase : phase ^ 1)) co_await kStep;
            at(links, quarter).arrive();
            if (quarter == kTileChunks - 1) push_record(cta, measured);
          }
          phase ^= 1;
        }
        expect_row(cta, measured.slot, measured.row);
        measured.skip(memory, cta.place, space_, groups_);
        ++ahead;
        ++unsummed;
        has_moved();
      }
      if (rules_.has_middle() && unsummed > 0 &&
          at(cta.measured, summed.known.at).has_ended(summed.known.phase)) {
        for (int k = any(1, 6); k > 0; --k) co_await kStep;
        expect_row(cta, summed.slot, summed.row);
        push_sums(cta, summed);
        summed.skip(memory, cta.place, space_, groups_);
        --unsummed;
        has_moved();
      }
      if (ahead > (rules_.has_middle() ? unsummed : 0) &&
          at(cta.published, emitted.known.at).has_ended(emitted.known.phase)) {
        for (int k = any(1, 6); k > 0; --k) co_await kStep;
        expect_row(cta, emitted.slot, emitted.row);
        at(cta.emptied, emitted.slot.at).arrive();
        emitted.skip(memory, cta.place, space_, groups_);
        --ahead;
        has_moved();
      }
    }
  }

  const Rules rules_;
  const RingCost cost_;
  const RingSpace space_;
  int groups_, rows_;
  std::mt19937_64 random_;
  std::vector<int> target_tiles_;
  std::deque<Cta> ctas_;
  std::vector<Warp> warps_;
  std::vector<Due> due_;
  int time_ = 0, last_progress_ = 0;
  std::string fault_;
};

bool lay(const Rules& rules, int shared, std::int64_t columns, RingCost& cost, RingSpace& space) {
  cost = ring_cost(rules.use, rules.dtype, true);
  const DeviceLimits limits{.processors = 132,
                            .capability = 90,
                            .shared_per_block = shared * 1024,
                            .clusters = {132, 66, 30, 15}};
  bool is_best;
  return ring_schedule(limits, 4096, columns, cost, space, is_best);
}

std::string run(const Rules& rules, const RingCost& cost, const RingSpace& space,
                std::uint64_t seed) {
  const int rows = std::max(20, 3 * space.blocks);
  switch (cost.tile_slots) {
    case 1: return Cluster<1>(rules, cost, space, rows, seed).run();
    case 2: return Cluster<2>(rules, cost, space, rows, seed).run();
    default: return Cluster<4>(rules, cost, space, rows, seed).run();
  }
}

const Rules kRules[] = {
    {RingUse::softmax, DType::bf16},
    {RingUse::log_softmax, DType::f32},
    {RingUse::gradients, DType::bf16},
    {RingUse::gradients, DType::f32},
    {RingUse::loss, DType::bf16},
    {RingUse::loss, DType::f32},
    {RingUse::loss_with_entropy, DType::f32},
    {RingUse::divergence, DType::bf16},
};

std::string name_of(const Rules& rules, int shared, const RingSpace& space) {
  return "use " + std::to_string(int(rules.use)) + ", " + to_string(rules.dtype) + ", " +
         std::to_string(shared) + " KB: " + std::to_string(space.tiles) + " tiles by " +
         std::to_string(space.blocks) + ", " + std::to_string(space.slots) + " slots";
}

TEST(RingProtocol, NobodyWaitsForEver) {
  int laid = 0;
  for (const Rules& rules : kRules)
    for (const int shared : {100, 131, 147, 163, 199, 213, 227})
      for (const std::int64_t columns : {5000, 12288, 20000, 32000, 50304, 151936, 270344}) {
        RingCost cost;
        RingSpace space;
        if (!lay(rules, shared, columns, cost, space)) continue;
        ++laid;
        for (const int seed : {1, 2, 3})
          EXPECT_EQ(run(rules, cost, space, std::uint64_t(laid * seed)), "")
              << name_of(rules, shared, space);
      }
  EXPECT_GT(laid, 200);
}

// In how many of the rings that GPUs have room for this goes wrong.
int faults(const Rules& rules, std::int64_t columns, const std::string& what) {
  int count = 0;
  for (int shared = 100; shared <= 227; ++shared) {
    RingCost cost;
    RingSpace space;
    if (!lay(rules, shared, columns, cost, space)) continue;
    space.tables = std::max(space.tables - rules.fewer_tables, 1);
    count += run(rules, cost, space, std::uint64_t(shared)) == what;
  }
  return count;
}

// What the rules are for, and that the model would find them missing.
TEST(RingProtocol, TilesWhoseSlotsAreAskedForTooLateStop) {
  for (Rules rules : {kRules[2], kRules[3], kRules[5], kRules[7]}) {
    rules.begins_at_once = true;
    EXPECT_GT(faults(rules, 20000, "all wait"), 0)
        << "use " << int(rules.use) << ", " << to_string(rules.dtype);
  }
}
TEST(RingProtocol, SlotsWhoseParityIsTrustedAreReadTooSoon) {
  for (Rules rules : {kRules[4], kRules[5], kRules[7]}) {
    rules.trusts_parity = true;
    const std::string what = "a slot is read too soon";
    EXPECT_GT(faults(rules, 8192, what) + faults(rules, 12288, what), 0)
        << "use " << int(rules.use) << ", " << to_string(rules.dtype);
  }
}
TEST(RingProtocol, RowsThatAreJoinedInTurnsAreLookedAtTooSoon) {
  Rules rules = kRules[5];
  rules.joins_what_is_begun = true;
  EXPECT_GT(faults(rules, 20000, "a place has another row"), 0);
}

TEST(RingProtocol, TablesAreAsManyAsRowsThatAreOnTheirWay) {
  for (Rules rules : {kRules[0], kRules[1], kRules[2]}) {
    rules.fewer_tables = 2;
    EXPECT_GT(faults(rules, 200000, "a message finds another row"), 0)
        << "use " << int(rules.use) << ", " << to_string(rules.dtype);
  }
}

}  // namespace
}  // namespace logsum::cuda
