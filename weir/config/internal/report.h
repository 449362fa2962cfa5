// Where mistakes are gathered on the way from bytes to Config.
//
// Bounded: past kMaxReported nothing more is kept, and one line says so. A file with a thousand mistakes has
// one cause.
#ifndef WEIR_CONFIG_INTERNAL_REPORT_H_
#define WEIR_CONFIG_INTERNAL_REPORT_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "weir/config/diagnostics.h"

namespace weir::config::internal {

inline constexpr std::size_t kMaxReported = 1'000;

class Report {
 public:
  void error(Position at, std::string message, std::string suggestion = {});
  void warning(Position at, std::string message, std::string suggestion = {});

  bool any_error() const noexcept { return errors_ > 0; }
  // Nothing more is kept: whoever would search long for a suggestion may stop.
  bool full() const noexcept { return list_.size() > kMaxReported; }
  // By file, line and column; of one place, in the order of their finding.
  std::vector<Diagnostic> take_sorted();

 private:
  void add(Diagnostic::Severity severity, Position at, std::string message, std::string suggestion);

  std::vector<Diagnostic> list_;
  std::size_t errors_ = 0;
};

// For messages: at most 64 characters, control characters and bytes that are not UTF-8 escaped.
std::string printable(std::string_view text);
// The same between backquotes.
std::string quote(std::string_view text);

// "did you mean `word`?", "" for "".
std::string did_you_mean(std::string_view word);
// The same for the candidate that is nearest to `word`, if one is near.
std::string did_you_mean(std::string_view word, const std::vector<std::string_view>& candidates);

}  // namespace weir::config::internal

#endif  // WEIR_CONFIG_INTERNAL_REPORT_H_
