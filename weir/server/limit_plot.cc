#include "weir/server/limit_plot.h"

#include <algorithm>
#include <string_view>

#include "weir/config/units.h"

namespace weir::server {
namespace {

// Pixels. What a panel shows stands to the right of it.
constexpr std::int64_t kWidth = 960, kLeft = 84, kRight = 744;
constexpr std::int64_t kTop = 104, kPanel = 76, kGap = 20, kFoot = 62;
constexpr std::string_view kInk = "#222222", kQuiet = "#5f5f5f";
constexpr std::string_view kWithin = "#0072b2", kBeyond = "#c0272d";  // told apart by the colour-blind, too

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '&')
      out += "&amp;";
    else if (c == '<')
      out += "&lt;";
    else if (static_cast<unsigned char>(c) >= 0x20)
      out += c;
  }
  return out;
}

// Hundredths of a pixel as "12.5".
std::string pixels(std::int64_t hundredths) {
  std::string text = std::to_string(hundredths / 100);
  const std::int64_t rest = hundredths % 100;
  if (rest == 0) return text;
  text += '.';
  text += static_cast<char>('0' + rest / 10);
  if (rest % 10 != 0) text += static_cast<char>('0' + rest % 10);
  return text;
}

// 1, 2 or 5 times a power of ten, so that `span` has at most `most` of them.
std::uint64_t nice_step(std::uint64_t span, std::uint64_t most) {
  for (std::uint64_t power = 1;; power *= 10)
    for (const std::uint64_t factor : {1U, 2U, 5U})
      if (span / (factor * power) <= most) return factor * power;
}

class Drawing {
 public:
  Drawing(const std::vector<WindowSeries>& series, const PlotOptions& options)
      : series_(series), options_(options), from_(options.from), to_(options.to) {
    if (to_ <= from_) to_ = from_ + std::chrono::seconds{1};
    top_ = std::max<std::uint64_t>(1, options.limit);
    for (const WindowSeries& one : series_) top_ = std::max(top_, one.most);
    bottom_ = kTop + static_cast<std::int64_t>(series_.size()) * (kPanel + kGap);
  }

  std::string draw() {
    frame();
    for (std::size_t i = 0; i < series_.size(); ++i) panel(i);
    columns();
    return std::move(out_.append("</svg>\n"));
  }

 private:
  // Hundredths of a pixel; whole half pixels.
  std::int64_t x(Duration at) const {
    const Duration inside = std::clamp(at, from_, to_) - from_;
    const std::int64_t unit =
        std::max<std::int64_t>(1, (to_ - from_).count() / 1'000'000);  // nothing overflows
    const std::int64_t all = std::max<std::int64_t>(1, (to_ - from_).count() / unit);
    return kLeft * 100 + inside.count() / unit * (kRight - kLeft) * 2 / all * 50;
  }
  static std::int64_t floor_of(std::size_t index) {
    return kTop + static_cast<std::int64_t>(index) * (kPanel + kGap) + kPanel;
  }
  std::int64_t y(std::size_t index, std::uint64_t units) const {
    return floor_of(index) * 100 - static_cast<std::int64_t>(units * (kPanel * 100) / top_);
  }

  void text(const std::string& left, const std::string& top, std::string_view style, std::string_view words) {
    out_.append("<text x=\"").append(left).append("\" y=\"").append(top).append("\"");
    out_.append(style.empty() ? "" : " ")
        .append(style)
        .append(">")
        .append(escaped(words))
        .append("</text>\n");
  }

  void frame() {
    const std::string window = config::to_text(options_.window);
    const std::string title = "Units admitted within the last " + window;
    const std::string height = std::to_string(bottom_ + kFoot);
    out_ = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 " + std::to_string(kWidth) + " " +
           height + "\" width=\"" + std::to_string(kWidth) + "\" height=\"" + height +
           "\" role=\"img\" aria-labelledby=\"t d\" font-family=\"system-ui, 'DejaVu Sans', sans-serif\" "
           "font-size=\"13\" fill=\"" +
           std::string(kInk) + "\">\n<title id=\"t\">" + title + "</title>\n<desc id=\"d\">" +
           escaped(options_.subtitle);
    for (const WindowSeries& one : series_)
      out_ += "; " + escaped(one.name) + ": at most " + std::to_string(one.most);
    out_ += "</desc>\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n";
    text("24", "30", "font-size=\"17\" font-weight=\"600\"", title);
    text("24", "52", "fill=\"" + std::string(kQuiet) + "\"", options_.subtitle);
    legend();
    text(std::to_string((kLeft + kRight) / 2), std::to_string(bottom_ + 44), "text-anchor=\"middle\"",
         "time in seconds");
    const std::string middle = std::to_string((kTop + bottom_ - kGap) / 2);
    text("22", middle, "text-anchor=\"middle\" transform=\"rotate(-90 22 " + middle + ")\"",
         "units in the last " + window);
  }

  void legend() {
    const auto sample = [this](std::int64_t left, std::string_view colour, std::string_view words) {
      out_ += "<rect x=\"" + std::to_string(left) + "\" y=\"70\" width=\"24\" height=\"10\" fill=\"" +
              std::string(colour) + "\" fill-opacity=\"0.3\" stroke=\"" + std::string(colour) + "\"/>\n";
      text(std::to_string(left + 32), "80", "", words);
    };
    sample(24, kWithin, "within the limit");
    sample(184, kBeyond, "beyond it");
    rule(30400, 7500, 32800, 7500, "stroke=\"" + std::string(kBeyond) + "\" stroke-dasharray=\"6 3\"");
    text("336", "80", "", "the limit, " + std::to_string(options_.limit));
  }

  void rule(std::int64_t x1, std::int64_t y1, std::int64_t x2, std::int64_t y2, std::string_view style) {
    out_ += "<path d=\"M" + pixels(x1) + " " + pixels(y1) + "L" + pixels(x2) + " " + pixels(y2) + "\" ";
    out_.append(style).append("/>\n");
  }

  void panel(std::size_t index) {
    const WindowSeries& one = series_[index];
    const std::string scale = "text-anchor=\"end\" fill=\"" + std::string(kQuiet) + "\"";
    const std::string left = std::to_string(kLeft - 8);
    text(left, pixels(y(index, 0) + 450), scale, "0");
    if (top_ > options_.limit) text(left, pixels(y(index, top_) + 450), scale, std::to_string(top_));
    if (options_.limit > 0)
      text(left, pixels(y(index, options_.limit) + 450), scale, std::to_string(options_.limit));
    area(index, 0, options_.limit, kWithin);
    if (one.most > options_.limit) area(index, options_.limit, top_, kBeyond);
    rule(kLeft * 100, y(index, 0), kRight * 100, y(index, 0), "stroke=\"" + std::string(kQuiet) + "\"");
    rule(kLeft * 100, y(index, options_.limit), kRight * 100, y(index, options_.limit),
         "stroke=\"" + std::string(kBeyond) + "\" stroke-dasharray=\"6 3\"");
    const std::string right = std::to_string(kRight + 16);
    text(right, std::to_string(floor_of(index) - kPanel / 2 - 3), "font-weight=\"600\"", one.name);
    const bool beyond = one.most > options_.limit;
    text(right, std::to_string(floor_of(index) - kPanel / 2 + 15),
         "fill=\"" + std::string(beyond ? kBeyond : kQuiet) + "\"",
         "at most " + std::to_string(one.most) + " of " + std::to_string(options_.limit));
  }

  // The part of the series between two heights.
  void area(std::size_t index, std::uint64_t low, std::uint64_t high, std::string_view colour) {
    const WindowSeries& one = series_[index];
    const std::int64_t floor = y(index, low);
    std::int64_t last_x = x(from_), last_y = floor;
    std::string path = "M" + pixels(last_x) + " " + pixels(last_y);
    const auto to = [&](std::int64_t px, std::int64_t py) {
      if (px == last_x && py == last_y) return;
      if (px == last_x)
        path += "V" + pixels(py);
      else if (py == last_y)
        path += "H" + pixels(px);
      last_x = px;
      last_y = py;
    };
    const auto height = [&](std::uint64_t units) { return y(index, std::clamp(units, low, high)); };
    for (std::size_t i = 0; i < one.steps.size() && one.steps[i].at <= to_;) {
      // All that falls into one half pixel: its extremes, then where it ends.
      const std::int64_t column = x(one.steps[i].at);
      std::uint64_t least = one.steps[i].units, most = least, end = least;
      for (; i < one.steps.size() && one.steps[i].at <= to_ && x(one.steps[i].at) == column; ++i) {
        end = one.steps[i].units;
        least = std::min(least, end);
        most = std::max(most, end);
      }
      if (height(least) == last_y && height(most) == last_y) continue;
      to(column, last_y);
      to(column, height(least));
      to(column, height(most));
      to(column, height(end));
    }
    to(x(to_), last_y);
    to(x(to_), floor);
    out_ += "<path fill=\"" + std::string(colour) + "\" fill-opacity=\"0.3\" stroke=\"" +
            std::string(colour) + "\" stroke-width=\"1.2\" d=\"" + path + "\"/>\n";
  }

  void columns() {
    const auto span = static_cast<std::uint64_t>((to_ - from_).count());
    const Duration step{static_cast<Duration::rep>(nice_step(span, 12))};
    const std::int64_t base = bottom_ - kGap;
    Duration at{(from_.count() + step.count() - 1) / step.count() * step.count()};
    for (; at <= to_; at += step) {
      rule(x(at), base * 100, x(at), base * 100 + 500, "stroke=\"" + std::string(kQuiet) + "\"");
      text(pixels(x(at)), std::to_string(base + 20),
           "text-anchor=\"middle\" fill=\"" + std::string(kQuiet) + "\"", seconds_text(at));
    }
  }

  static std::string seconds_text(Duration at) {
    std::string text = std::to_string(at.count() / 1'000'000'000);
    if (const std::int64_t rest = at.count() % 1'000'000'000; rest != 0) {
      const std::string digits = std::to_string(1'000'000'000 + rest).substr(1);
      text += "." + digits.substr(0, digits.find_last_not_of('0') + 1);
    }
    return text;
  }

  const std::vector<WindowSeries>& series_;
  const PlotOptions& options_;
  Duration from_, to_;
  std::uint64_t top_ = 1;    // units at a panel's upper edge
  std::int64_t bottom_ = 0;  // below the last panel
  std::string out_;
};

}  // namespace

std::string plot_windows(const std::vector<WindowSeries>& series, const PlotOptions& options) {
  return Drawing(series, options).draw();
}

}  // namespace weir::server
