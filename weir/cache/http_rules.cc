// The rules, each beside the section that it comes from.
//
//   (1) A doubt is decided against the cache: unreadable numbers are 0, unreadable dates are long past, directives
//       with field names count without them.
//   (2) Seconds are clamped to 2^31 (RFC 9111 1.2.2), so that no sum of them overflows a Duration.
#include "weir/cache/http_rules.h"

#include <algorithm>
#include <array>
#include <utility>

#include "weir/base/strings.h"

namespace weir::cache {
namespace {

constexpr std::int64_t kSecondsMax = std::int64_t{1} << 31;
constexpr std::size_t kVaryMax = 32;
constexpr std::array<std::string_view, 12> kMonths{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                   "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

// 3: statuses that weir understands and that say something about the resource itself. 206 needs the bookkeeping of
// ranges, 304 is no answer of its own, 1xx are interim.
constexpr std::array kStorable{200, 203, 204, 300, 301, 302, 307, 308, 404, 405, 410, 414, 451, 501};

std::int64_t seconds_of(std::string_view text) {
  if (text.size() >= 2 && text.front() == '"' && text.back() == '"') text = text.substr(1, text.size() - 2);
  if (text.empty() || !std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; }))
    return 0;
  const std::optional<std::uint64_t> number = base::parse_u64(text);
  if (!number || *number > static_cast<std::uint64_t>(kSecondsMax)) return kSecondsMax;
  return static_cast<std::int64_t>(*number);
}

void keep_smaller(std::optional<std::int64_t>& target, std::int64_t value) {
  target = target ? std::min(*target, value) : value;
}

// Calls visit(member) for each member of a comma-separated list; a quoted string may hold commas (RFC 9110 5.6.1).
template <class Visit>
void each_member(std::string_view list, Visit&& visit) {
  std::size_t begin = 0;
  bool quoted = false;
  for (std::size_t i = 0; i <= list.size(); ++i) {
    if (i < list.size() && quoted && list[i] == '\\') {
      ++i;
      continue;
    }
    if (i < list.size() && list[i] == '"') quoted = !quoted;
    if (i < list.size() && (quoted || list[i] != ',')) continue;
    const std::string_view member = base::trim(list.substr(begin, std::min(i, list.size()) - begin));
    if (!member.empty()) visit(member);
    begin = i + 1;
  }
}

template <class Visit>
void each_value(const http::Fields& fields, std::string_view name, Visit&& visit) {
  for (const http::Field& field : fields)
    if (base::iequals(field.name, name)) visit(field.value);
}

// Two digits at `at`, or -1.
int two(std::string_view text, std::size_t at) {
  if (at + 2 > text.size()) return -1;
  const char a = text[at] == ' ' ? '0' : text[at];  // asctime pads its day with a space
  const char b = text[at + 1];
  if (a < '0' || a > '9' || b < '0' || b > '9') return -1;
  return (a - '0') * 10 + (b - '0');
}

// Days since 1970-01-01, in the proleptic Gregorian calendar.
std::optional<std::int64_t> seconds_since_epoch(int year, std::string_view month_name, int day,
                                                std::string_view clock) {
  const auto found = std::find(kMonths.begin(), kMonths.end(), month_name);
  if (found == kMonths.end() || clock.size() != 8 || clock[2] != ':' || clock[5] != ':') return std::nullopt;
  const int hour = two(clock, 0);
  const int minute = two(clock, 3);
  const int second = two(clock, 6);
  const auto month = static_cast<unsigned>(found - kMonths.begin()) + 1;
  const std::chrono::year_month_day date{std::chrono::year{year}, std::chrono::month{month},
                                         std::chrono::day{static_cast<unsigned>(std::max(day, 0))}};
  if (!date.ok() || hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60)
    return std::nullopt;
  const std::int64_t days = std::chrono::sys_days(date).time_since_epoch().count();
  return days * 86'400 + hour * 3'600 + minute * 60 + second;
}

std::int64_t unix_seconds(WallTime time) {
  return std::chrono::floor<std::chrono::seconds>(time.time_since_epoch()).count();
}

// RFC 9213 2.1: the first targeted field that is there and parses stands in for the others. Ours are CDN-Cache-Control
// alone: an answer that a CDN in front may keep is what weir may keep.
CacheControl effective_control(const http::Fields& fields, bool& targeted) {
  CacheControl control;
  each_value(fields, "CDN-Cache-Control", [&](std::string_view line) { control.add(line); });
  targeted = control.any;
  if (targeted) return control;
  for (const http::Field& field : fields)
    if (field.id == http::Name::cache_control) control.add(field.value);
  return control;
}

bool matches_etag(std::string_view member, std::string_view etag) {
  const auto opaque = [](std::string_view tag) { return tag.starts_with("W/") ? tag.substr(2) : tag; };
  return !etag.empty() && opaque(member) == opaque(etag);
}

}  // namespace

std::optional<std::int64_t> parse_http_date(std::string_view text, std::int64_t now) {
  const std::size_t comma = text.find(',');
  if (comma == 3) {  // Sun, 06 Nov 1994 08:49:37 GMT
    if (text.size() != 29 || !text.ends_with(" GMT") || text[4] != ' ' || text[7] != ' ' || text[11] != ' ' ||
        text[16] != ' ' || text[5] == ' ')
      return std::nullopt;
    const int century = two(text, 12);
    const int year = two(text, 14);
    if (century < 0 || year < 0) return std::nullopt;
    return seconds_since_epoch(century * 100 + year, text.substr(8, 3), two(text, 5), text.substr(17, 8));
  }
  if (comma != std::string_view::npos) {  // Sunday, 06-Nov-94 08:49:37 GMT
    const std::string_view rest = text.substr(comma + 1);
    if (rest.size() != 23 || rest[0] != ' ' || rest[3] != '-' || rest[7] != '-' || rest[10] != ' ' ||
        !rest.ends_with(" GMT"))
      return std::nullopt;
    const int year = two(rest, 8);
    if (year < 0) return std::nullopt;
    // RFC 9110 5.6.7: what seems more than 50 years in the future is the past with the same last digits.
    const std::chrono::sys_days today{
        std::chrono::floor<std::chrono::days>(std::chrono::sys_seconds{std::chrono::seconds{now}})};
    const int this_year = static_cast<int>(std::chrono::year_month_day{today}.year());
    int whole = this_year / 100 * 100 + year;
    if (whole > this_year + 50) whole -= 100;
    return seconds_since_epoch(whole, rest.substr(4, 3), two(rest, 1), rest.substr(11, 8));
  }
  // Sun Nov  6 08:49:37 1994
  if (text.size() != 24 || text[3] != ' ' || text[7] != ' ' || text[10] != ' ' || text[19] != ' ')
    return std::nullopt;
  const int century = two(text, 20);
  const int year = two(text, 22);
  if (century < 0 || year < 0) return std::nullopt;
  return seconds_since_epoch(century * 100 + year, text.substr(4, 3), two(text, 8), text.substr(11, 8));
}

void CacheControl::add(std::string_view line) {
  each_member(line, [&](std::string_view member) {
    const std::size_t equals = member.find('=');
    const std::string_view name = base::trim(member.substr(0, equals));
    const std::string_view argument =
        equals == std::string_view::npos ? std::string_view{} : base::trim(member.substr(equals + 1));
    any = true;
    if (base::iequals(name, "no-store")) no_store = true;
    if (base::iequals(name, "no-cache")) no_cache = true;
    if (base::iequals(name, "private")) is_private = true;
    if (base::iequals(name, "public")) is_public = true;
    if (base::iequals(name, "must-revalidate")) must_revalidate = true;
    if (base::iequals(name, "only-if-cached")) only_if_cached = true;
    if (base::iequals(name, "max-age")) keep_smaller(max_age, seconds_of(argument));
    if (base::iequals(name, "s-maxage")) keep_smaller(s_maxage, seconds_of(argument));
    if (base::iequals(name, "min-fresh")) keep_smaller(min_fresh, seconds_of(argument));
  });
}

AnswerRules judge_answer(int status, const http::Fields& fields, const AnswerContext& context) {
  AnswerRules rules;
  bool targeted = false;
  const CacheControl control = effective_control(fields, targeted);
  const auto no = [&](std::string_view why) {
    rules.why = why;
    return rules;
  };
  if (std::find(kStorable.begin(), kStorable.end(), status) == kStorable.end()) return no("status");
  if (control.no_store) return no("no-store");
  if (control.is_private) return no("private");
  if (control.no_cache) return no("no-cache");  // could only be used after asking again
  if (fields.has(http::Name::set_cookie)) return no("set-cookie");
  // 3.5: unless the answer says that it may be shared.
  if (context.authorized && !control.is_public && !control.s_maxage && !control.must_revalidate)
    return no("authorization");

  const std::int64_t now = unix_seconds(context.now);
  const std::string_view date_text = fields.value(http::Name::date);
  const std::int64_t date = parse_http_date(date_text, now).value_or(now);
  std::int64_t lifetime = 0;
  if (control.s_maxage) {
    lifetime = *control.s_maxage;
  } else if (control.max_age) {
    lifetime = *control.max_age;
  } else if (const http::Field* expires = fields.find("Expires"); expires != nullptr && !targeted) {
    const std::optional<std::int64_t> at = parse_http_date(expires->value, now);  // 5.3: unreadable is past
    lifetime = at ? std::clamp<std::int64_t>(*at - date, 0, kSecondsMax) : 0;
  } else {
    return no("no-freshness");
  }
  rules.lifetime = std::chrono::seconds{lifetime};
  const Duration apparent = std::chrono::seconds{std::clamp<std::int64_t>(now - date, 0, kSecondsMax)};
  const Duration said = fields.has(http::Name::age)
                            ? std::chrono::seconds{seconds_of(fields.value(http::Name::age))}
                            : Duration{};
  rules.age = std::max(apparent, said + std::max(context.delay, Duration{}));
  if (rules.age >= rules.lifetime) return no("stale");
  rules.store = true;
  return rules;
}

std::optional<std::vector<std::string>> vary_names(const http::Fields& fields) {
  std::vector<std::string> names;
  bool star = false;
  for (const http::Field& field : fields) {
    if (field.id != http::Name::vary) continue;
    each_member(field.value, [&](std::string_view name) {
      star |= name == "*";
      if (names.size() <= kVaryMax) names.push_back(base::to_lower(name));
    });
  }
  if (star || names.size() > kVaryMax) return std::nullopt;
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

RequestRules judge_request(const http::Fields& fields) {
  RequestRules rules;
  if (!fields.has(http::Name::cache_control)) {
    if (!fields.has(http::Name::other)) return rules;
    each_value(fields, "Pragma", [&](std::string_view line) {  // 5.4: only where there is no Cache-Control
      each_member(line, [&](std::string_view member) { rules.use &= !base::iequals(member, "no-cache"); });
    });
    return rules;
  }
  CacheControl control;
  for (const http::Field& field : fields)
    if (field.id == http::Name::cache_control) control.add(field.value);
  rules.store = !control.no_store;
  rules.use = !control.no_cache && !control.no_store;
  rules.only_if_cached = control.only_if_cached;
  if (control.max_age) rules.age_max = std::chrono::seconds{*control.max_age};
  if (control.min_fresh) rules.fresh_for = std::chrono::seconds{*control.min_fresh};
  return rules;
}

bool is_good_enough(const RequestRules& request, Duration age, Duration lifetime) {
  if (!request.use || age >= lifetime) return false;
  if (request.age_max && age > *request.age_max) return false;  // 5.2.1.1
  return lifetime - age >= request.fresh_for;                   // 5.2.1.3
}

bool is_conditional(const http::Fields& request) {
  return request.find("If-None-Match") != nullptr || request.find("If-Modified-Since") != nullptr;
}

bool is_not_modified(const http::Fields& request, std::string_view etag, std::string_view modified,
                     std::int64_t now) {
  if (request.find("If-None-Match") != nullptr) {
    bool matched = false;
    each_value(request, "If-None-Match", [&](std::string_view line) {
      each_member(line,
                  [&](std::string_view member) { matched |= member == "*" || matches_etag(member, etag); });
    });
    return matched;  // RFC 9110 13.1.3: If-Modified-Since is ignored beside it
  }
  const http::Field* since = request.find("If-Modified-Since");
  if (since == nullptr || modified.empty()) return false;
  const std::optional<std::int64_t> asked = parse_http_date(since->value, now);
  const std::optional<std::int64_t> last = parse_http_date(modified, now);
  return asked && last && *last <= *asked;
}

}  // namespace weir::cache
