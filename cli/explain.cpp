// SPDX-License-Identifier: Apache-2.0
#include "explain.hpp"

#include <fmt/format.h>

#include <optional>
#include <utility>
#include <vector>

#include "errors.hpp"
#include "gpus.hpp"
#include "io/file_error.hpp"
#include "numbers.hpp"
#include "table.hpp"

namespace logsum::cli {
namespace {

struct Explained {
  const char* operation;
  ScheduleInfo info;
};

ScheduleInfo visit_of(const DeviceInfo& device, const VisitedRows& rows) {
  ScheduleInfo info;
  check(explain_schedule(device, rows, Schedule::automatic, info), "--explain");
  return info;
}

// None where the call takes two launches.
std::optional<ScheduleInfo> rings_of(const DeviceInfo& device, const VisitedRows& rows,
                                     WrittenRows::Operation operation, Determinism determinism) {
  ScheduleInfo info;
  const Status status = explain_rings(device,
                                      {.rows = rows.rows,
                                       .columns = rows.columns,
                                       .dtype = rows.dtype,
                                       .operation = operation,
                                       .determinism = determinism},
                                      info);
  if (status.code() == StatusCode::unsupported) return std::nullopt;
  check(status, "--explain");
  return info;
}

// Of two launches the first is logsumexp's, or one of tiles.
void add_written(const DeviceInfo& device, const VisitedRows& rows, Determinism determinism,
                 std::vector<Explained>& list) {
  using Operation = WrittenRows::Operation;
  constexpr std::pair<const char*, Operation> kCalls[] = {
      {"softmax", Operation::softmax},
      {"log_softmax", Operation::log_softmax},
      {"gradient of either", Operation::gradient}};
  for (const auto& [name, operation] : kCalls)
    if (const auto info = rings_of(device, rows, operation, determinism))
      list.push_back({name, *info});
}

// With their gradients. Of several launches what is said is of the first, which scores the rows,
// of distill_loss measures one matrix's; the others are of tiles.
void add_losses(const DeviceInfo& device, VisitedRows rows, Determinism determinism,
                std::vector<Explained>& list) {
  using Operation = WrittenRows::Operation;
  struct Call {
    const char* name;
    std::optional<Operation> written;  // none: rings never suit it
    bool entropy;
  };
  constexpr Call kCalls[] = {{"policy_loss", Operation::loss, false},
                             {"policy_loss, entropy", Operation::loss_with_entropy, true},
                             {"cross_entropy", Operation::loss, false},
                             {"distill_loss", Operation::divergence, false},
                             {"preference_loss", std::nullopt, false}};
  for (const Call& call : kCalls) {
    std::optional<ScheduleInfo> info;
    if (call.written) info = rings_of(device, rows, *call.written, determinism);
    rows.entropy = call.entropy;
    list.push_back({call.name, info ? *info : visit_of(device, rows)});
  }
}

std::vector<Explained> explain(const DeviceInfo& device, VisitedRows rows,
                               Determinism determinism) {
  struct Call {
    const char* name;
    bool entropy, raw;
  };
  constexpr Call kCalls[] = {{"logsumexp", false, false},
                             {"token_logprobs", false, false},
                             {"token_logprobs, entropy", true, false},
                             {"sample", false, false},
                             {"sample, raw log-prob", false, true},
                             {"sample, entropy", true, true}};
  std::vector<Explained> list;
  for (const Call& call : kCalls) {
    rows.entropy = call.entropy;
    rows.raw_logprob = call.raw;
    list.push_back({call.name, visit_of(device, rows)});
  }
  rows.entropy = rows.raw_logprob = false;
  add_written(device, rows, determinism, list);
  add_losses(device, rows, determinism, list);
  return list;
}

std::optional<DType> logits_dtype(const std::string& name) {
  for (const DType dtype : {DType::f32, DType::f16, DType::bf16})
    if (name == to_string(dtype)) return dtype;
  return std::nullopt;
}

}  // namespace

VisitedRows parse_rows(const std::string& text) {
  const std::size_t first = text.find(','), second = text.find(',', first + 1);
  const auto dtype = first == std::string::npos || second == std::string::npos
                         ? std::nullopt
                         : logits_dtype(text.substr(second + 1));
  if (!dtype)
    throw UsageError(fmt::format("--explain is {}, must be ROWS,VOCAB,DTYPE with f32, f16 or bf16",
                                 io::in_quotes(text)));
  return {.rows = parse_i64("--explain ROWS", text.substr(0, first), 1, INT32_MAX),
          .columns = parse_i64("--explain VOCAB", text.substr(first + 1, second - first - 1), 1,
                               INT32_MAX),
          .dtype = *dtype};
}

std::string explain_as_text(const DeviceInfo& device, const VisitedRows& rows,
                            Determinism determinism, int width, bool colour) {
  std::vector<std::vector<std::string>> lines;
  for (const auto& [operation, info] : explain(device, rows, determinism))
    lines.push_back({operation, to_string(info.schedule),
                     info.blocks_per_row > 0 ? fmt::format("{}", info.blocks_per_row) : "-",
                     fmt::format("{}", info.blocks), fmt::format("{}", info.threads),
                     fmt::format("{}", info.warps),
                     fmt::format("{:.1f}", info.shared_bytes / 1024.0)});
  const Table table = table_of(
      {"operation", "schedule", "CTAs per row", "CTAs", "threads", "measuring warps", "shared KiB"},
      2, lines);
  return fmt::format("{} rows of {} {} logits on {}\n\n{}", rows.rows, rows.columns,
                     to_string(rows.dtype), describe(device), to_text(table, width, colour));
}

nlohmann::ordered_json explain_as_json(const DeviceInfo& device, const VisitedRows& rows,
                                       Determinism determinism) {
  nlohmann::ordered_json json = {{"device", device.name},
                                 {"rows", rows.rows},
                                 {"vocab_size", rows.columns},
                                 {"dtype", to_string(rows.dtype)},
                                 {"schedules", nlohmann::ordered_json::array()}};
  for (const auto& [operation, info] : explain(device, rows, determinism)) {
    nlohmann::ordered_json entry = {{"operation", operation},
                                    {"schedule", to_string(info.schedule)}};
    if (info.blocks_per_row > 0) entry["ctas_per_row"] = info.blocks_per_row;
    entry["ctas"] = info.blocks;
    entry["threads"] = info.threads;
    entry["measuring_warps"] = info.warps;
    entry["shared_bytes"] = info.shared_bytes;
    json["schedules"].push_back(entry);
  }
  return json;
}

}  // namespace logsum::cli
