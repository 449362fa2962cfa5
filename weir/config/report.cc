#include "weir/config/internal/report.h"

#include <algorithm>
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
  std::stable_sort(list_.begin(), list_.end(), [](const Diagnostic& a, const Diagnostic& b) {
    return std::tie(a.at.file, a.at.line, a.at.column) < std::tie(b.at.file, b.at.line, b.at.column);
  });
  return std::move(list_);
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
