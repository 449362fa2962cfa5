// Mistakes in the order of the file, each once, and no more than anybody reads.
#include "weir/config/internal/report.h"

#include <algorithm>
#include <numeric>
#include <tuple>
#include <utility>

#include "weir/base/strings.h"
#include "weir/config/internal/utf8.h"

namespace weir::config::internal {

void Report::error(Position at, std::string message, std::string suggestion) {
  ++errors_;
  add(Diagnostic::Severity::error, at, std::move(message), std::move(suggestion));
}

void Report::warning(Position at, std::string message, std::string suggestion) {
  add(Diagnostic::Severity::warning, at, std::move(message), std::move(suggestion));
}

void Report::add(Diagnostic::Severity severity, Position at, std::string message, std::string suggestion) {
  if (full()) return;
  if (list_.size() == kMaxReported) {
    message = "more than " + std::to_string(kMaxReported) + " mistakes; the others are not shown";
    suggestion.clear();
    severity = Diagnostic::Severity::error;
    ++errors_;
  }
  Diagnostic& diagnostic = list_.emplace_back();
  diagnostic.severity = severity;
  diagnostic.at = at;
  diagnostic.message = std::move(message);
  diagnostic.suggestion = std::move(suggestion);
}

std::vector<Diagnostic> Report::take_sorted() {
  // By index where places are equal: a stable sort without std::stable_sort, which clang 19 finds deprecated
  // inside the standard library of g++ 12.
  std::vector<std::size_t> order(list_.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    const Position& x = list_[a].at;
    const Position& y = list_[b].at;
    return std::tie(x.file, x.line, x.column, a) < std::tie(y.file, y.line, y.column, b);
  });
  std::vector<Diagnostic> sorted;
  sorted.reserve(list_.size());
  for (const std::size_t index : order) {
    // A value behind several aliases is checked at each use and wrong at one place.
    const Position& at = list_[index].at;
    const bool again = std::any_of(sorted.rbegin(), sorted.rend(), [&](const Diagnostic& earlier) {
      return earlier.at.line == at.line && earlier.at.column == at.column && earlier.at.file == at.file &&
             earlier.message == list_[index].message;
    });
    if (!again) sorted.push_back(std::move(list_[index]));
  }
  return sorted;
}

std::string printable(std::string_view text) {
  static constexpr std::string_view kHex = "0123456789abcdef";
  constexpr std::size_t kShown = 64;
  std::string out;
  std::size_t shown = 0;
  for (std::size_t i = 0; i < text.size(); ++shown) {
    if (shown == kShown) return out + "...";
    const auto byte = static_cast<unsigned char>(text[i]);
    const std::size_t length = utf8_length(text.substr(i));
    if (byte == '\n') {
      out += "\\n";
    } else if (length == 0 || byte < 0x20 || byte == 0x7f) {
      out += "\\x";
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    } else {
      out += text.substr(i, length);
    }
    i += std::max<std::size_t>(length, 1);
  }
  return out;
}

std::string quote(std::string_view text) { return "`" + printable(text) + "`"; }

std::string did_you_mean(std::string_view word) {
  return word.empty() ? std::string{} : "did you mean " + quote(word) + "?";
}

std::string did_you_mean(std::string_view word, const std::vector<std::string_view>& candidates) {
  return did_you_mean(base::closest(word, candidates));
}

}  // namespace weir::config::internal
