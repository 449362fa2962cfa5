#include "weir/metrics/exposition.h"

#include <charconv>
#include <cmath>
#include <span>

namespace weir::metrics {
namespace {

void append_help(std::string& out, std::string_view text) {
  for (char c : text) {
    if (c == '\\') {
      out += "\\\\";
    } else if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
}

void append_label_value(std::string& out, std::string_view text) {
  for (char c : text) {
    if (c == '\\' || c == '"') out += '\\';
    if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
}

// Whole numbers without a point or exponent, so that a person can read a count; else the shortest text that
// reads back as the same double.
void append_number(std::string& out, double value) {
  if (std::isnan(value)) {
    out += "NaN";
  } else if (std::isinf(value)) {
    out += value > 0 ? "+Inf" : "-Inf";
  } else {
    char text[32];
    constexpr double kExact = 9007199254740992.0;  // 2^53: above it not every whole number is a double
    const bool whole = value == std::trunc(value) && std::abs(value) < kExact;
    const auto end = whole ? std::to_chars(text, text + sizeof text, static_cast<long long>(value)).ptr
                           : std::to_chars(text, text + sizeof text, value).ptr;
    out.append(text, end);
  }
}

// name{a="x",b="y",le="..."} without value; `le` only when it is not empty.
void append_series(std::string& out, const Family& family, std::string_view suffix, const Series& series,
                   std::string_view le = {}) {
  out.append(family.name).append(suffix);
  char open = '{';
  for (std::size_t i = 0; i < family.label_names.size(); ++i) {
    out += open;
    open = ',';
    out.append(family.label_names[i]).append("=\"");
    append_label_value(out, series.labels[i]);
    out += '"';
  }
  if (!le.empty()) {
    out += open;
    open = ',';
    out.append("le=\"").append(le).append("\"");
  }
  if (open == ',') out += '}';
  out += ' ';
}

void append_histogram(std::string& out, const Family& family, const Series& series) {
  std::uint64_t cumulated = 0;
  for (std::size_t i = 0; i < kBuckets; ++i) {
    std::string le = "+Inf";
    if (i < kDurationBounds.size()) {
      le.clear();
      append_number(le, std::chrono::duration<double>(kDurationBounds[i]).count());
    }
    cumulated += series.histogram.buckets[i];
    append_series(out, family, "_bucket", series, le);
    out.append(std::to_string(cumulated)).append("\n");
  }
  append_series(out, family, "_sum", series);
  append_number(out, static_cast<double>(series.histogram.sum_ns) / 1e9);
  out += '\n';
  append_series(out, family, "_count", series);
  out.append(std::to_string(cumulated)).append("\n");
}

std::string_view type_name(Type type) noexcept {
  switch (type) {
    case Type::counter:
      return "counter";
    case Type::gauge:
      return "gauge";
    case Type::histogram:
      return "histogram";
  }
  return "untyped";
}

}  // namespace

std::string format_text(const Snapshot& snapshot) {
  std::string out;
  for (const Family& family : snapshot) {
    if (family.series.empty()) continue;
    out.append("# HELP ").append(family.name).append(" ");
    append_help(out, family.help);
    out.append("\n# TYPE ").append(family.name).append(" ").append(type_name(family.type)).append("\n");
    for (const Series& series : family.series) {
      if (family.type == Type::histogram) {
        append_histogram(out, family, series);
      } else {
        append_series(out, family, "", series);
        append_number(out, series.value);
        out += '\n';
      }
    }
  }
  return out;
}

}  // namespace weir::metrics
