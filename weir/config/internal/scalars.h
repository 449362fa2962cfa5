// The small languages inside scalars: durations, sizes, rates, addresses, patterns.
//
// Pure functions from text to value. A text that does not fit comes back without a value, and where the
// intention is plain with the spelling that would do (`suggestion`). Each accepts one spelling of a thing
// only, so that the JSON Schema's patterns, in the same file, accept exactly as much.
#ifndef WEIR_CONFIG_INTERNAL_SCALARS_H_
#define WEIR_CONFIG_INTERNAL_SCALARS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "weir/base/clock.h"
#include "weir/config/config.h"

namespace weir::config::internal {

template <class T>
struct Parsed {
  std::optional<T> value;
  std::string suggestion;  // a spelling that would do; may be empty
  std::string later;       // what the contract knows and weir does not do yet; then there is no value

  explicit operator bool() const noexcept { return value.has_value(); }
};

struct Rate {
  std::uint64_t count = 0;
  Duration window{};
};

Parsed<std::uint64_t> parse_number(std::string_view text);
Parsed<double> parse_percent(std::string_view text);  // 0..1
Parsed<Duration> parse_duration(std::string_view text);
Parsed<std::uint64_t> parse_size(std::string_view text);
Parsed<Rate> parse_rate(std::string_view text);
Parsed<HostPort> parse_listen(std::string_view text);
Parsed<HostPort> parse_url(std::string_view text);
Parsed<std::string> parse_pattern(std::string_view text);
Parsed<std::string> parse_rewrite(std::string_view text);
Parsed<std::string> parse_method(std::string_view text);
// Lower case; `wildcard` admits "*.example".
Parsed<std::string> parse_host(std::string_view text, bool wildcard);
Parsed<KeyPart> parse_limit_key(std::string_view text);
Parsed<std::string> parse_failure(std::string_view text);

bool is_token(std::string_view text) noexcept;         // RFC 9110 5.6.2
bool is_header_value(std::string_view text) noexcept;  // RFC 9110 5.5, without obs-text
bool is_name(std::string_view text) noexcept;          // [A-Za-z0-9_.-]{1,64}
// Fields that frame a message or belong to one connection: weir writes them itself.
bool is_own_header(std::string_view name) noexcept;

// "1500ms", "30s", "7d": the largest unit that divides it.
std::string duration_text(Duration duration);
// "64KiB".
std::string size_text(std::uint64_t bytes);

}  // namespace weir::config::internal

#endif  // WEIR_CONFIG_INTERNAL_SCALARS_H_
