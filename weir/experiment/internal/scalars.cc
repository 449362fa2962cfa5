#include "weir/experiment/internal/scalars.h"

#include <charconv>
#include <chrono>

#include "weir/base/strings.h"

namespace weir::experiment::internal {
namespace {

// Up to `separator` or the end; takes the piece off the text.
std::string_view take_until(std::string_view& text, char separator) noexcept {
  const std::size_t at = text.find(separator);
  const std::string_view piece = text.substr(0, at);
  text = at == std::string_view::npos ? std::string_view{} : text.substr(at + 1);
  return piece;
}

bool digits(std::string_view text) noexcept {
  for (char c : text)
    if (!base::is_digit(c)) return false;
  return !text.empty();
}

// SemVer 9 and 10: dot-separated, none empty, alphanumerics and hyphens; numeric ones without a leading zero.
bool identifiers(std::string_view text, bool strict_numbers) noexcept {
  for (bool more = true; more;) {
    more = text.find('.') != std::string_view::npos;
    const std::string_view piece = take_until(text, '.');
    if (piece.empty()) return false;
    for (char c : piece)
      if (!base::is_digit(c) && !base::is_alpha(c) && c != '-') return false;
    if (strict_numbers && digits(piece) && piece.size() > 1 && piece.front() == '0') return false;
  }
  return true;
}

std::optional<std::uint64_t> version_number(std::string_view text) noexcept {
  if (text.size() > 1 && text.front() == '0') return std::nullopt;  // SemVer 2
  return base::parse_u64(text);
}

// SemVer 11.4.1 to 11.4.3.
int compare_identifier(std::string_view a, std::string_view b) noexcept {
  const bool numeric_a = digits(a);
  const bool numeric_b = digits(b);
  if (numeric_a != numeric_b) return numeric_a ? -1 : 1;
  if (numeric_a && a.size() != b.size())
    return a.size() < b.size() ? -1 : 1;  // no leading zeros: longer is larger
  return a.compare(b);
}

std::optional<int> two_digits(std::string_view text, std::size_t at) noexcept {
  if (at + 2 > text.size() || !base::is_digit(text[at]) || !base::is_digit(text[at + 1])) return std::nullopt;
  return (text[at] - '0') * 10 + (text[at + 1] - '0');
}

// ".250" or "", then "Z", "+02:00" or "-02:00": milliseconds to add for the fraction and to take off for the
// offset.
std::optional<std::int64_t> fraction_and_offset(std::string_view rest) noexcept {
  std::int64_t ms = 0;
  if (rest.starts_with('.')) {
    std::size_t n = 1;
    for (std::int64_t unit = 100; n < rest.size() && base::is_digit(rest[n]); ++n, unit /= 10)
      ms += (rest[n] - '0') * unit;
    if (n == 1) return std::nullopt;
    rest.remove_prefix(n);
  }
  if (rest == "Z" || rest == "z") return ms;
  if (rest.size() != 6 || (rest[0] != '+' && rest[0] != '-') || rest[3] != ':') return std::nullopt;
  const auto hours = two_digits(rest, 1);
  const auto minutes = two_digits(rest, 4);
  if (!hours || !minutes || *hours > 23 || *minutes > 59) return std::nullopt;
  const std::int64_t offset = (*hours * 60LL + *minutes) * 60'000;
  return rest[0] == '+' ? ms - offset : ms + offset;
}

}  // namespace

std::optional<Version> parse_version(std::string_view text) noexcept {
  if (text.starts_with('v') || text.starts_with('V')) text.remove_prefix(1);
  Version version;
  const std::size_t plus = text.find('+');
  if (plus != std::string_view::npos) {
    if (!identifiers(text.substr(plus + 1), false)) return std::nullopt;
    text = text.substr(0, plus);
  }
  const std::size_t hyphen = text.find('-');
  if (hyphen != std::string_view::npos) {
    version.prerelease = text.substr(hyphen + 1);
    if (!identifiers(version.prerelease, true)) return std::nullopt;
    text = text.substr(0, hyphen);
  }
  for (std::size_t i = 0; i < 3; ++i) {
    const bool more = text.find('.') != std::string_view::npos;
    const auto number = version_number(take_until(text, '.'));
    if (!number) return std::nullopt;
    version.numbers[i] = *number;
    if (!more) return version;
  }
  return std::nullopt;  // a fourth number
}

int compare(const Version& a, const Version& b) noexcept {
  for (std::size_t i = 0; i < 3; ++i)
    if (a.numbers[i] != b.numbers[i]) return a.numbers[i] < b.numbers[i] ? -1 : 1;
  if (a.prerelease.empty() || b.prerelease.empty())  // SemVer 11.3: a release is above its pre-releases
    return static_cast<int>(a.prerelease.empty()) - static_cast<int>(b.prerelease.empty());
  std::string_view left = a.prerelease;
  std::string_view right = b.prerelease;
  while (!left.empty() && !right.empty()) {
    const int order = compare_identifier(take_until(left, '.'), take_until(right, '.'));
    if (order != 0) return order;
  }
  return static_cast<int>(!left.empty()) - static_cast<int>(!right.empty());  // SemVer 11.4.4
}

std::optional<std::int64_t> parse_time_ms(std::string_view text) noexcept {
  if (text.size() < 10 || text[4] != '-' || text[7] != '-') return std::nullopt;
  const auto century = two_digits(text, 0);
  const auto year = two_digits(text, 2);
  const auto month = two_digits(text, 5);
  const auto day = two_digits(text, 8);
  if (!century || !year || !month || !day) return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year{*century * 100 + *year},
                                         std::chrono::month{static_cast<unsigned>(*month)},
                                         std::chrono::day{static_cast<unsigned>(*day)}};
  if (!date.ok() || date.year() < std::chrono::year{1970}) return std::nullopt;
  std::int64_t ms = std::chrono::sys_days{date}.time_since_epoch().count() * 86'400'000LL;
  if (text.size() == 10) return ms;
  if (text.size() < 20 || (text[10] != 'T' && text[10] != 't' && text[10] != ' ') || text[13] != ':' ||
      text[16] != ':')
    return std::nullopt;
  const auto hour = two_digits(text, 11);
  const auto minute = two_digits(text, 14);
  const auto second = two_digits(text, 17);
  if (!hour || !minute || !second || *hour > 23 || *minute > 59 || *second > 60) return std::nullopt;
  const auto rest = fraction_and_offset(text.substr(19));
  if (!rest) return std::nullopt;
  return ms + ((*hour * 60LL + *minute) * 60 + *second) * 1000 + *rest;
}

std::optional<double> parse_number(std::string_view text) noexcept {
  double number = 0;
  if (text.empty() || (!base::is_digit(text.front()) && text.front() != '-')) return std::nullopt;
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (fault != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number - number == 0 ? std::optional(number) : std::nullopt;
}

}  // namespace weir::experiment::internal
