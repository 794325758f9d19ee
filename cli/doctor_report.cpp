// SPDX-License-Identifier: Apache-2.0
// A Diagnosis as JSON and as a page for people.
#include <fmt/format.h>

#include <cmath>

#include "doctor.hpp"
#include "report.hpp"
#include "table.hpp"

namespace logsum::cli {
namespace {

using Json = nlohmann::ordered_json;

Json worst_to_json(const Worst& worst, double stable) {
  if (worst.row < 0) return nullptr;
  const double returned = static_cast<double>(worst.returned);
  return {{"row", worst.row},
          {"column", worst.column},
          {"logit", worst.logit},
          {"returned", finite_or_null(returned)},
          {"returned_text", number(returned)},
          {"stable", finite_or_null(stable)},
          {"float64", finite_or_null(worst.truth)},
          {"error", finite_or_null(worst.error())}};
}

std::string of_rows(std::int64_t count, const Diagnosis& d) {
  return count > 0 ? fmt::format("{} of {}", count, d.healthy) : "none";
}

std::string row_line(const Diagnosis& d) {
  return d.statuses.empty() ? "0" : describe_statuses(d.statuses);
}

std::string padding_line(const Diagnosis& d) {
  if (d.pad_start == d.columns) return "no columns at the end look like padding";
  std::string text = fmt::format("columns {} to {} look like padding (constant in every row)",
                                 d.pad_start, d.columns - 1);
  if (d.pad_probability > 0)
    text += fmt::format(" and hold up to {:.3g} of the probability", d.pad_probability);
  return text + fmt::format(": --vocab-size {}", d.pad_start);
}

std::string unsafe_text(double below, bool large) {
  std::string text = below > 0 ? fmt::format("T < {:.4g}", below) : "";
  if (large) text += text.empty() ? "very large T" : " or very large";
  return text.empty() ? "none" : text;
}

Table overflow_table(const Diagnosis& d) {
  Table table;
  table.columns = {{"in", true, {}},
                   {"exp(z) = inf", false, {}},
                   {"sum = inf", false, {}},
                   {"naive unsafe", true, {}},
                   {"log(softmax) unsafe", true, {}}};
  for (std::size_t a = 0; a < kArithmeticCount; ++a) {
    const Diagnosis::Arithmetic& from = d.formats[a];
    table.columns[0].cells.push_back(to_string(kArithmetics[a]));
    table.columns[1].cells.push_back(of_rows(from.exp_overflows, d));
    table.columns[2].cells.push_back(of_rows(from.sum_overflows, d));
    table.columns[3].cells.push_back(unsafe_text(from.naive_below, from.any_temperature_overflows));
    table.columns[4].cells.push_back(unsafe_text(from.log_of_softmax_below, false));
  }
  return table;
}

Table formula_table(const Diagnosis& d, std::size_t f) {
  Table table;
  table.columns = {{"in", true, {}},       {"-inf or NaN", false, {}}, {"row", true, {}},
                   {"column", false, {}},  {"returns", false, {}},     {"logsum", false, {}},
                   {"float64", false, {}}, {"error", false, {}}};
  for (std::size_t a = 0; a < kArithmeticCount; ++a) {
    const auto& from = d.formats[a].formulas[f];
    const Worst& worst = from.worst;
    const std::string cells[] = {
        to_string(kArithmetics[a]),
        of_rows(from.bad_rows, d),
        row_name(d.leading, worst.row),
        fmt::format("{}", worst.column),
        number(static_cast<double>(worst.returned)),
        number(from.stable),
        number(worst.truth),
        worst.is_finite() ? fmt::format("{:.2g}", worst.error()) : std::string("-")};
    for (std::size_t i = 0; i < table.columns.size(); ++i)
      table.columns[i].cells.push_back(cells[i]);
    table.row_styles.push_back(worst.is_finite() ? Style::plain : Style::warning);
  }
  return table;
}

}  // namespace

Json to_json(const Diagnosis& d) {
  Json json = {{"input", d.label},
               {"dtype", to_string(d.dtype)},
               {"shape", d.shape},
               {"rows", d.rows},
               {"vocab_size", d.columns},
               {"rows_by_status", d.statuses},
               {"values", {{"nan", d.nan}, {"pos_inf", d.pos_inf}, {"neg_inf", d.neg_inf}}},
               {"ties_at_max", {{"rows", d.tied_rows}, {"most_columns", d.most_ties}}}};
  json["values"]["min"] = d.healthy > 0 ? Json(d.min) : Json(nullptr);
  json["values"]["max"] = d.healthy > 0 ? Json(d.max) : Json(nullptr);
  json["padding"] = nullptr;
  if (d.pad_start < d.columns)
    json["padding"] = {{"first_column", d.pad_start},
                       {"columns", d.columns - d.pad_start},
                       {"most_probability", d.pad_probability}};
  for (std::size_t a = 0; a < kArithmeticCount; ++a) {
    const Diagnosis::Arithmetic& from = d.formats[a];
    const char* name = to_string(kArithmetics[a]);
    json["naive_exp_overflow"][name] = {{"exp_rows", from.exp_overflows},
                                        {"sum_rows", from.sum_overflows}};
    json["unsafe_temperatures"][name] = {{"naive_below", from.naive_below},
                                         {"naive_large", from.any_temperature_overflows},
                                         {"log_of_softmax_below", from.log_of_softmax_below}};
    for (std::size_t f = 0; f < kFormulaCount; ++f)
      json["formulas"].push_back(
          {{"formula", kFormulaNames[f]},
           {"computed_in", name},
           {"bad_rows", from.formulas[f].bad_rows},
           {"bad_columns", from.formulas[f].bad_columns},
           {"worst", worst_to_json(from.formulas[f].worst, from.formulas[f].stable)}});
  }
  return json;
}

std::string to_text(const Diagnosis& d, int width, bool colour) {
  Facts facts;
  facts.add("logits",
            fmt::format("{}, {} {}", d.label, to_string(d.dtype), io::shape_text(d.shape)));
  facts.add("rows", row_line(d));
  facts.add("values", fmt::format("{} NaN, {} +inf, {} -inf", d.nan, d.pos_inf, d.neg_inf));
  if (d.healthy > 0) {
    facts.add("range", fmt::format("{} to {}", number(static_cast<double>(d.min)),
                                   number(static_cast<double>(d.max))));
    facts.add("ties", d.tied_rows == 0
                          ? "no row has its maximum twice"
                          : fmt::format("{} of {} rows have their maximum more than once (up to {} "
                                        "times)",
                                        d.tied_rows, d.healthy, d.most_ties));
    facts.add("padding", padding_line(d));
  }
  std::string text = facts.to_text(width, colour);
  if (d.healthy == 0) return text + "\n  no row has a distribution: nothing to compute\n";

  const auto heading = [&](const std::string& title) {
    text += '\n' + styled(title, Style::bold, colour) + '\n';
  };
  heading("Rows in which exp(z) or its sum overflows, and unsafe temperatures");
  text += to_text(overflow_table(d), width, colour);
  for (std::size_t f = 0; f < kFormulaCount; ++f) {
    heading(fmt::format("What {} would have returned, at worst", kFormulaNames[f]));
    text += to_text(formula_table(d, f), width, colour);
  }
  return text;
}

}  // namespace logsum::cli
