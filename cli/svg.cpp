// SPDX-License-Identifier: Apache-2.0
#include "svg.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace logsum::cli {
namespace {

constexpr double kMarginLeft = 66, kMarginRight = 22, kMarginTop = 26, kMarginBottom = 48;

double step_of(const Axis& axis, int count) {
  const double rough = (axis.high - axis.low) / count;
  const double power = std::pow(10.0, std::floor(std::log10(rough)));
  for (const double factor : {1.0, 2.0, 5.0})
    if (factor * power >= rough * 0.999) return factor * power;
  return 10 * power;
}

// A real minus sign.
std::string tick_text(double value, double step) {
  std::string text;
  const double largest = std::max(std::abs(value), step);
  if (value == 0) {
    text = "0";
  } else if (largest >= 1e6 || step < 1e-4) {
    text = fmt::format("{:.6g}", value);
  } else {
    const int decimals = std::max(0, -static_cast<int>(std::floor(std::log10(step) + 1e-9)));
    text = fmt::format("{:.{}f}", value, decimals);
  }
  return text.starts_with('-') ? "\u2212" + text.substr(1) : text;
}

}  // namespace

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      case '\'': out += "&#39;"; break;
      default: out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    }
  }
  return out;
}

std::string coordinate(double value) {
  std::string text = fmt::format("{:.1f}", value);
  if (text.ends_with(".0")) text.erase(text.size() - 2);
  return text == "-0" ? "0" : text;
}

std::vector<double> ticks(const Axis& axis, int count) {
  std::vector<double> out;
  if (axis.is_log) {
    const int first = static_cast<int>(std::ceil(std::log10(axis.low) - 1e-9));
    const int last = static_cast<int>(std::floor(std::log10(axis.high) + 1e-9));
    const int every = std::max(1, (last - first + count) / count);
    for (int power = first; power <= last; power += every) out.push_back(std::pow(10.0, power));
    return out;
  }
  // A count of steps, not a sum: 0.1 + 0.2 is not 0.3.
  const double step = step_of(axis, count);
  const double first = std::ceil(axis.low / step - 1e-9);
  for (int i = 0; i <= 2 * count + 2; ++i) {
    const double value = (first + i) * step;
    if (value > axis.high + 1e-9 * step) break;
    out.push_back(value);
  }
  return out;
}

Plot::Plot(double width, double height, Axis x, Axis y, const std::string& label)
    : x_(std::move(x)),
      y_(std::move(y)),
      left_(kMarginLeft),
      right_(width - kMarginRight),
      top_(kMarginTop),
      bottom_(height - kMarginBottom),
      out_(fmt::format("<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">\n", width,
                       height, escaped(label))) {
  draw_axes();
}

double Plot::place(const Axis& axis, double value, double begin, double end) {
  const double at = axis.is_log ? std::log(value / axis.low) / std::log(axis.high / axis.low)
                                : (value - axis.low) / (axis.high - axis.low);
  return begin + std::clamp(std::isnan(at) ? 0.0 : at, 0.0, 1.0) * (end - begin);
}

void Plot::draw_axes() {
  const int x_count = static_cast<int>((right_ - left_) / 60);
  const int y_count = static_cast<int>((bottom_ - top_) / 40);
  std::string grid;
  for (const double v : ticks(x_, x_count)) {
    grid += fmt::format("M{} {}V{}", coordinate(x(v)), coordinate(top_), coordinate(bottom_));
    text("tick", x(v), bottom_ + 18, "middle", tick_text(v, step_of(x_, x_count)));
  }
  for (const double v : ticks(y_, y_count)) {
    grid += fmt::format("M{} {}H{}", coordinate(left_), coordinate(y(v)), coordinate(right_));
    text("tick", left_ - 8, y(v) + 4, "end", tick_text(v, y_.is_log ? v : step_of(y_, y_count)));
  }
  path("grid", grid);
  line("axis", left_, bottom_, right_, bottom_);
  line("axis", left_, top_, left_, bottom_);
  text("title", (left_ + right_) / 2, bottom_ + 40, "middle", x_.title);
  // Above its axis, not turned beside it: it can be read without tilting one's head.
  text("title", 4, 15, "start", y_.title);
}

void Plot::path(const std::string& kind, const std::string& d) {
  if (!d.empty()) out_ += fmt::format("<path class=\"{}\" d=\"{}\"/>\n", kind, d);
}

void Plot::line(const std::string& kind, double x1, double y1, double x2, double y2) {
  path(kind,
       fmt::format("M{} {}L{} {}", coordinate(x1), coordinate(y1), coordinate(x2), coordinate(y2)));
}

void Plot::dot(const std::string& kind, double x, double y, double radius,
               const std::string& title) {
  out_ +=
      fmt::format("<circle class=\"{}\" cx=\"{}\" cy=\"{}\" r=\"{}\"><title>{}</title></circle>\n",
                  kind, coordinate(x), coordinate(y), coordinate(radius), escaped(title));
}

void Plot::text(const std::string& kind, double x, double y, const char* anchor,
                const std::string& text) {
  out_ += fmt::format("<text class=\"{}\" x=\"{}\" y=\"{}\" text-anchor=\"{}\">{}</text>\n", kind,
                      coordinate(x), coordinate(y), anchor, escaped(text));
}

}  // namespace logsum::cli
