// SPDX-License-Identifier: Apache-2.0
// A Comparison as one page that needs nothing else: no script, no file, no font beside it.
#include <fmt/format.h>

#include <cmath>

#include "compare.hpp"
#include "logsum/version.h"
#include "svg.hpp"

namespace logsum::cli {
namespace {

constexpr const char* kStyle = R"(
:root{color-scheme:light dark;--bg:#fff;--card:#f6f7f9;--fg:#1a2130;--soft:#5a6475;--line:#dde1e8;
--grid:#e9ecf1;--main:#2b62d9;--hot:#cf4a12;--good:#1a7f4b;--fair:#a86a00}
@media(prefers-color-scheme:dark){:root{--bg:#12151b;--card:#1a1f28;--fg:#e5e8ee;--soft:#9aa4b5;
--line:#2e3644;--grid:#262d39;--main:#7aa5ff;--hot:#ff8a57;--good:#57c98b;--fair:#e2ad4b}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--fg);font:15px/1.5 system-ui,-apple-system,
"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
main{max-width:1200px;margin:0 auto;padding:28px 20px 40px}
header p,footer,figcaption,.unit{color:var(--soft)}
header p{margin:0;letter-spacing:.04em;font-size:13px}
h1{font-size:26px;line-height:1.25;margin:2px 0 16px}
h2{font-size:16px;line-height:1.35;margin:0 0 8px}
.pair>*{min-width:0}
section{margin-bottom:28px}
.verdict{border-left:5px solid var(--hot);background:var(--card);border-radius:6px;
padding:14px 18px;margin:0 0 20px}
.verdict.good{border-color:var(--good)}.verdict.fair{border-color:var(--fair)}
.verdict strong{font-size:17px}
.verdict ul{margin:6px 0 0;padding-left:20px}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;
margin:0 0 28px}
.tiles div{border:1px solid var(--line);border-radius:6px;padding:10px 14px}
.tiles span{display:block;color:var(--soft);font-size:13px}
.tiles b{font-size:20px;font-weight:600;font-variant-numeric:tabular-nums}
.pair{display:grid;align-items:start;
grid-template-columns:repeat(auto-fit,minmax(min(100%,460px),1fr));gap:0 32px}
figure{margin:0 0 28px}
.scroll{overflow-x:auto}
svg{display:block;width:100%;min-width:440px;height:auto}
.wide svg{min-width:760px}
svg text{font-size:12.5px;fill:var(--soft);font-variant-numeric:tabular-nums}
svg .title{fill:var(--fg)}
svg .mark{fill:var(--hot);paint-order:stroke;stroke:var(--bg);stroke-width:4px}
svg .note{fill:var(--fg)}
svg path{fill:none}
svg .grid{stroke:var(--grid)}svg .axis{stroke:var(--soft)}
svg .diagonal{stroke:var(--soft);stroke-dasharray:5 4}
svg .epsilon{stroke:var(--hot);stroke-dasharray:5 4}
svg .points{stroke:var(--main);stroke-width:3;stroke-linecap:round;stroke-opacity:.55}
svg .density{fill:var(--main)}svg .d1{fill-opacity:.1}svg .d2{fill-opacity:.2}
svg .d3{fill-opacity:.32}svg .d4{fill-opacity:.46}svg .d5{fill-opacity:.62}
svg .worst{fill:var(--hot);stroke:var(--bg)}
svg .bars{fill:var(--main)}svg .outside{fill:var(--hot)}
svg .area{fill:var(--main);fill-opacity:.15}svg .line{stroke:var(--main);stroke-width:1.8}
figcaption{font-size:13px;margin-top:6px}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;font-size:14px}
th,td{padding:5px 14px 5px 0;text-align:right;border-bottom:1px solid var(--line);
white-space:nowrap}
th{color:var(--soft);font-weight:500}
.text{text-align:left}
th:last-child,td:last-child{padding-right:0}
.facts th{text-align:left;color:var(--soft);vertical-align:top}
.facts td{text-align:left;white-space:normal;overflow-wrap:anywhere}
footer{font-size:13px;margin-top:32px}
@media(max-width:640px){main{padding:18px 14px 32px}h1{font-size:22px}svg{min-width:330px}
.wide svg{min-width:700px}svg text{font-size:17px}}
)";

std::string table_html(const Table& table) {
  std::string html = "<div class=\"scroll\"><table>\n<thead><tr>";
  const auto cell = [&](const char* tag, const TableColumn& column, const std::string& text) {
    html += fmt::format("<{}{}>{}</{}>", tag, column.is_text ? " class=\"text\"" : "",
                        escaped(text), tag);
  };
  for (const TableColumn& column : table.columns) cell("th", column, column.header);
  html += "</tr></thead>\n<tbody>\n";
  for (std::size_t row = 0; row < table.columns.front().cells.size(); ++row) {
    html += "<tr>";
    for (const TableColumn& column : table.columns) cell("td", column, column.cells[row]);
    html += "</tr>\n";
  }
  return html + "</tbody></table></div>\n";
}

std::string facts_html(const Facts& facts) {
  std::string html = "<div class=\"scroll\"><table class=\"facts\"><tbody>\n";
  for (const auto& [name, value] : facts.lines())
    if (name != "verdict")  // stands above
      html += fmt::format("<tr><th scope=\"row\">{}</th><td>{}</td></tr>\n", escaped(name),
                          escaped(value));
  return html + "</tbody></table></div>\n";
}

std::string section_html(const Section& section) {
  return fmt::format(
      "<section>\n<h2>{}</h2>\n{}</section>\n",
      escaped(section.title.empty() ? "Inputs" : section.title),
      section.facts.lines().empty() ? table_html(section.table) : facts_html(section.facts));
}

std::string verdict_html(const Verdict& verdict) {
  const char* colour = verdict.kind == VerdictKind::mismatch ? ""
                       : verdict.kind == VerdictKind::small  ? " fair"
                                                             : " good";
  std::string reasons;
  for (const Reason& reason : verdict.reasons)
    reasons += fmt::format("<li>{}</li>\n", escaped(reason.text));
  if (!reasons.empty()) reasons = "<ul>\n" + reasons + "</ul>\n";
  return fmt::format("<div class=\"verdict{}\"><strong>{}</strong>\n{}</div>\n", colour,
                     escaped(verdict.text), reasons);
}

std::string tiles_html(const Comparison& c) {
  const CompareStats& s = c.stats;
  const auto n = static_cast<double>(c.pairs.compared);
  const Clipped& clipped = s.clipped.front();
  std::string html = "<div class=\"tiles\">\n";
  const auto tile = [&](const std::string& name, const std::string& value) {
    html += fmt::format("<div><span>{}</span><b>{}</b></div>\n", escaped(name), escaped(value));
  };
  tile("tokens compared", fmt::format("{}", c.pairs.compared));
  tile("mean |difference|", fmt::format("{:.3g}", s.mean_abs));
  tile("max |difference|", fmt::format("{:.3g}", s.max_abs));
  tile("KL, k3", fmt::format("{:.3g}", c.kl.k[2]));
  tile("effective sample size", percent(s.effective_sample_size / n));
  tile(fmt::format("outside [{:.4g}, {:.4g}]", 1 - clipped.band.low, 1 + clipped.band.high),
       percent(static_cast<double>(clipped.below + clipped.above) / n));
  return html + "</div>\n";
}

std::string figure_html(const char* title, const std::string& chart, const std::string& caption) {
  return fmt::format(
      "<figure>\n<h2>{}</h2>\n<div class=\"scroll\">{}</div>\n<figcaption>{}</figcaption>\n"
      "</figure>\n",
      title, chart, caption);
}

}  // namespace

std::string to_html(const Comparison& c) {
  const std::vector<Section> sections = sections_of(c);
  std::string html = fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
      "<title>{}: {} and {}</title>\n<style>{}</style>\n</head>\n<body>\n<main>\n"
      "<header><p>logsum compare</p>\n<h1>Rollout and trainer log-probs</h1></header>\n",
      to_string(c.verdict.kind), escaped(c.pairs.labels[0]), escaped(c.pairs.labels[1]), kStyle);
  html += verdict_html(c.verdict) + tiles_html(c);
  html +=
      "<div class=\"pair\">\n" +
      figure_html("Trainer against rollout", scatter_chart(c),
                  "One point per token, on the dashed line where both agree. Many tokens are "
                  "thinned out over the shaded density of all. Marked: those that differ most.") +
      figure_html("Log-ratios", histogram_chart(c),
                  "Dashed: where clipping begins. Bars at the ends, if any: all that lies "
                  "beyond the axis.") +
      "</div>\n<div class=\"wide\">\n" +
      figure_html("Difference along the sequence", position_chart(c),
                  "Over all sequences that have a compared token there.") +
      "</div>\n";
  // Two stacks of about one height: inputs and quantiles beside the rest; the worst below both.
  html += "<div class=\"pair\">\n<div>" + section_html(sections[0]) + section_html(sections[2]) +
          "</div>\n<div>" + section_html(sections[1]) + section_html(sections[3]) +
          section_html(sections[4]) + "</div>\n</div>\n";
  for (std::size_t i = 5; i < sections.size(); ++i) html += section_html(sections[i]);
  return html + "<footer>Made by logsum " LOGSUM_VERSION
                ". What each number is and the rules of the verdict: docs/compare.md.</footer>\n"
                "</main>\n</body>\n</html>\n";
}

}  // namespace logsum::cli
