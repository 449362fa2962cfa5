#include "weir/config/units.h"

#include "weir/config/internal/scalars.h"

namespace weir::config {
namespace {

Error no(std::string_view text, std::string_view what, const std::string& suggestion) {
  std::string detail = "`";
  detail.append(text.substr(0, 64)).append("` is no ").append(what);
  if (!suggestion.empty()) detail.append(" (did you mean `").append(suggestion).append("`?)");
  return Error(ErrorCode::invalid_argument, detail);
}

}  // namespace

Result<Duration> read_duration(std::string_view text) {
  const internal::Parsed<Duration> parsed = internal::parse_duration(text);
  if (!parsed) return no(text, "duration such as 30s, 10m or 1h", parsed.suggestion);
  return *parsed.value;
}

Result<Rate> read_rate(std::string_view text) {
  const internal::Parsed<internal::Rate> parsed = internal::parse_rate(text);
  if (!parsed) return no(text, "rate such as 100/min or 10/s", parsed.suggestion);
  return Rate{parsed.value->count, parsed.value->window};
}

std::string to_text(Duration duration) { return internal::duration_text(duration); }

}  // namespace weir::config
