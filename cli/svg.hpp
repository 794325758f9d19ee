// SPDX-License-Identifier: Apache-2.0
// Small pictures for a page: a plot with axes, as an <svg> element that is also XML. Colours are
// classes: the page's style sheet says what they are in light and in dark.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace logsum::cli {

// Fit for HTML and XML, between tags and in attributes.
std::string escaped(std::string_view text);

struct Axis {
  double low, high;  // low < high
  bool is_log = false;
  std::string title;
};

// Steps of 1, 2 or 5 times a power of ten within the axis, about `count` of them; powers of ten on
// a log axis.
std::vector<double> ticks(const Axis& axis, int count);

class Plot {
 public:
  // `label` is what a screen reader says.
  Plot(double width, double height, Axis x, Axis y, const std::string& label);

  // Where a value lies, in the picture's units; beyond the axis, at its end.
  double x(double value) const { return place(x_, value, left_, right_); }
  double y(double value) const { return place(y_, value, bottom_, top_); }
  double left() const { return left_; }
  double right() const { return right_; }
  double top() const { return top_; }
  double bottom() const { return bottom_; }

  void path(const std::string& kind, const std::string& d);
  void line(const std::string& kind, double x1, double y1, double x2, double y2);
  // A circle with a tooltip.
  void dot(const std::string& kind, double x, double y, double radius, const std::string& title);
  void text(const std::string& kind, double x, double y, const char* anchor,
            const std::string& text);

  std::string finish() const { return out_ + "</svg>\n"; }

 private:
  static double place(const Axis& axis, double value, double begin, double end);
  void draw_axes();

  Axis x_, y_;
  double left_, right_, top_, bottom_;
  std::string out_;
};

// For the data of a path: one decimal, none where it is 0.
std::string coordinate(double value);

}  // namespace logsum::cli
