// A page's calls over time, as text, as a picture and as JSON.
#include <algorithm>
#include <array>
#include <cstdio>

#include "weir/base/strings.h"
#include "weir/server/page_trace.h"

namespace weir::server {
namespace {

constexpr std::size_t kColumns = 48;  // of the time line in text

std::string number(double value, int digits = 1) {
  std::array<char, 32> text;
  const int n = std::snprintf(text.data(), text.size(), "%.*f", digits, value);
  return {text.data(), static_cast<std::size_t>(n)};
}

std::string padded(std::string text, std::size_t width) {
  if (text.size() < width) text.append(width - text.size(), ' ');
  return text;
}

// What a stranger's server said is shown, not obeyed.
std::string printable(std::string_view text, std::size_t most) {
  std::string out;
  for (const char c : text.substr(0, most))
    out.push_back(static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) >= 0x7f ? '?' : c);
  if (text.size() > most) out.append("...");
  return out;
}

std::string xml(std::string_view text) {
  std::string out;
  for (const char c : printable(text, 200)) {
    switch (c) {
      case '&':
        out.append("&amp;");
        break;
      case '<':
        out.append("&lt;");
        break;
      case '>':
        out.append("&gt;");
        break;
      case '"':
        out.append("&quot;");
        break;
      default:
        out.push_back(c);
    }
  }
  return out;
}

std::string json_text(std::string_view text) {
  std::string out = "\"";
  base::append_json_escaped(out, text);
  return out.append("\"");
}

std::string headline(const PageTrace& trace) {
  return printable(trace.method + " " + trace.target, 120) + "  " + std::to_string(trace.status) + "  " +
         number(trace.took_ms) + " ms of " + number(trace.deadline_ms, 0) + " ms  " +
         (trace.complete ? "complete" : "not complete");
}

}  // namespace

std::string waterfall_text(const PageTrace& trace) {
  std::size_t widest = 0;
  for (const PageTrace::Bar& bar : trace.bars)
    widest = std::max(widest, std::min<std::size_t>(bar.name.size() + (bar.section ? 0 : 2), 52));
  const double whole = std::max(trace.took_ms, 0.001);
  const auto column = [&](double ms) {
    return std::min(kColumns, static_cast<std::size_t>(std::max(0.0, ms) / whole * kColumns));
  };
  std::string out = headline(trace) + "\ntrace " + trace.trace_id + "\n\n";
  for (const PageTrace::Bar& bar : trace.bars) {
    std::string line =
        padded((bar.section ? "" : "  ") + printable(bar.name, bar.section ? 48 : 46), widest + 4);
    std::string time(kColumns, '.');
    if (bar.called) {
      const std::size_t from = std::min(column(bar.from_ms), kColumns - 1);
      const std::size_t to = std::max(from + 1, column(bar.to_ms));
      std::fill(time.begin() + static_cast<std::ptrdiff_t>(from),
                time.begin() + static_cast<std::ptrdiff_t>(to), bar.section ? '#' : '-');
    }
    line.append("|").append(time).append("| ");
    line.append(padded(bar.called ? number(bar.from_ms) + " - " + number(bar.to_ms) : "-", 18));
    out.append(line).append(printable(bar.result, 60)).append("\n");
  }
  return out;
}

std::string waterfall_svg(const PageTrace& trace) {
  constexpr double kLeft = 360, kWidth = 560, kRow = 22, kTop = 56;
  const double whole = std::max(trace.took_ms, 0.001);
  const double height = kTop + kRow * static_cast<double>(trace.bars.size()) + 34;
  std::string out = "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"1160\" height=\"" + number(height, 0) +
                    "\" font-family=\"sans-serif\" font-size=\"12\">\n"
                    "<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
                    "<text x=\"16\" y=\"22\" font-size=\"15\" font-weight=\"bold\">" +
                    xml(headline(trace)) + "</text>\n<text x=\"16\" y=\"40\" fill=\"#666666\">trace " +
                    xml(trace.trace_id) + "</text>\n";
  for (int i = 0; i <= 4; ++i) {
    const double x = kLeft + kWidth * i / 4;
    out += "<line x1=\"" + number(x) + "\" x2=\"" + number(x) + "\" y1=\"" + number(kTop - 6) + "\" y2=\"" +
           number(height - 28) + "\" stroke=\"#dddddd\"/><text x=\"" + number(x) + "\" y=\"" +
           number(height - 12) + "\" text-anchor=\"middle\" fill=\"#666666\">" + number(whole * i / 4) +
           " ms</text>\n";
  }
  double y = kTop;
  for (const PageTrace::Bar& bar : trace.bars) {
    const std::string middle = number(y + 14);
    out += "<text x=\"" + std::string(bar.section ? "16" : "32") + "\" y=\"" + middle + "\"" +
           (bar.section ? " font-weight=\"bold\">" : " fill=\"#444444\">") + xml(printable(bar.name, 50)) +
           "</text>";
    double end = kLeft;
    if (bar.called) {
      const double from = kLeft + kWidth * std::clamp(bar.from_ms / whole, 0.0, 1.0);
      end = kLeft + kWidth * std::clamp(bar.to_ms / whole, 0.0, 1.0);
      const char* colour =
          bar.good ? (bar.section ? "#2f7d4f" : "#8cc5a2") : (bar.section ? "#b3402e" : "#e3a396");
      out += "<rect x=\"" + number(from) + "\" y=\"" + number(y + 3) + "\" width=\"" +
             number(std::max(1.0, end - from)) + "\" height=\"" + number(kRow - 8) + "\" rx=\"2\" fill=\"" +
             colour + "\"/>";
    }
    const std::string took = bar.called ? number(bar.to_ms - bar.from_ms) + " ms  " : "";
    out += "<text x=\"" + number(std::min(end + 6, kLeft + kWidth + 6)) + "\" y=\"" + middle +
           "\" fill=\"#444444\">" + xml(took + bar.result) + "</text>\n";
    y += kRow;
  }
  return out + "</svg>\n";
}

std::string waterfall_json(const PageTrace& trace) {
  std::string out =
      "{\"method\":" + json_text(trace.method) + ",\"target\":" + json_text(trace.target) +
      ",\"trace_id\":" + json_text(trace.trace_id) + ",\"status\":" + std::to_string(trace.status) +
      ",\"complete\":" + (trace.complete ? "true" : "false") + ",\"took_ms\":" + number(trace.took_ms, 3) +
      ",\"deadline_ms\":" + number(trace.deadline_ms, 3) + ",\"sections\":[";
  bool first = true;
  bool inside = false;
  for (const PageTrace::Bar& bar : trace.bars) {
    if (bar.section) {
      if (inside) out += "]}";
      out += first ? "\n " : ",\n ";
      first = false;
    } else if (out.back() != '[') {
      out += ",";
    }
    out += "{\"name\":" + json_text(bar.name) + ",\"result\":" + json_text(bar.result);
    out += ",\"from_ms\":" + (bar.called ? number(bar.from_ms, 3) : std::string("null"));
    out += ",\"to_ms\":" + (bar.called ? number(bar.to_ms, 3) : std::string("null"));
    out += bar.section ? ",\"calls\":[" : "}";
    inside = true;
  }
  if (inside) out += "]}";
  return out + "]}\n";
}

}  // namespace weir::server
