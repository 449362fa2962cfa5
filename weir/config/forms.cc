// One scalar against one row, form by form.
//
//   (1) Words come first: `off` is never a file's name or a host where the row takes the word.
//   (2) Quotes make text: a number or a boolean in quotes is a mistake, here as in the JSON Schema.
//   (3) A value that has the form and not the bounds is told the bounds alone, not what forms there are.
#include "weir/config/internal/forms.h"

#include <algorithm>

#include "weir/base/ip.h"
#include "weir/base/strings.h"
#include "weir/config/internal/scalars.h"

namespace weir::config::internal {

std::vector<std::string_view> words_of(std::string_view list) {
  return list.empty() ? std::vector<std::string_view>{} : base::split(list, ' ');
}

bool contains_word(std::string_view list, std::string_view word) {
  const auto words = words_of(list);
  return std::find(words.begin(), words.end(), word) != words.end();
}

namespace {

std::string milliseconds_text(std::uint64_t ms) {
  return duration_text(Duration{static_cast<std::int64_t>(ms) * 1'000'000});
}

struct Noun {
  Forms form;
  std::string_view text;
};

// In the order in which a message lists them.
constexpr Noun kNouns[] = {
    {kListen, "an address such as 127.0.0.1:8080"},
    {kUrl, "http(s)://HOST or http(s)://HOST:PORT, without a path"},
    {kPattern, "a path such as /orders, /orders/* or /users/{id}"},
    {kRewrite, "a path that ends in /*"},
    {kCidr, "an address block such as 10.0.0.0/8"},
    {kMethod, "a method such as GET"},
    {kHost, "a host name without a port"},
    {kHeaderName, "a header's name"},
    {kHeaderValue, "a header's value: visible ASCII on one line"},
    {kName, "a name: letters, digits, `_`, `.` and `-`, at most 64"},
    {kLimitKey,
     "a key: global, client_ip, header:NAME, cookie:NAME, query:NAME, path, method, host or route"},
    {kFailure, "a status such as 503, a class such as 5xx, connect, timeout, reset or malformed"},
    {kRate, "a rate such as 100/min, 10/s, 5000/h or 20000/d"},
    {kPercent, "a share from 0% to 100%"},
    {kFilePath, "the path of a file"},
    {kBool, "true or false"},
    {kJson, "any value"},
};

std::string text_noun(const Row& row) {
  if (row.max > 0) return "text of " + bounds_text(row, kNumber) + " characters";
  return row.min > 0 ? "text that is not empty" : "text";
}

}  // namespace

std::string bounds_text(const Row& row, Forms form) {
  if (form == kDuration) return milliseconds_text(row.min) + " to " + milliseconds_text(row.max);
  if (form == kSize) return size_text(row.min) + " to " + size_text(row.max);
  return std::to_string(row.min) + " to " + std::to_string(row.max);
}

std::string expectation(const Row& row) {
  std::vector<std::string> parts;
  for (std::string_view word : words_of(row.words)) parts.push_back("`" + std::string(word) + "`");
  for (const Noun& noun : kNouns)
    if ((row.forms & noun.form) != 0) parts.emplace_back(noun.text);
  if ((row.forms & kNumber) != 0) parts.push_back("a whole number, " + bounds_text(row, kNumber));
  if ((row.forms & kDuration) != 0)
    parts.push_back("a duration such as 250ms, 2s or 1m, " + bounds_text(row, kDuration));
  if ((row.forms & kSize) != 0)
    parts.push_back("a size such as 512, 64KiB or 1MiB, " + bounds_text(row, kSize));
  if ((row.forms & kText) != 0) parts.push_back(text_noun(row));
  if ((row.forms & kTrue) != 0) parts.emplace_back("`true`");
  if ((row.forms & kAuto) != 0) parts.emplace_back("`auto`");
  if ((row.forms & kOff) != 0) parts.emplace_back("`off`");
  if ((row.forms & kList) != 0) parts.emplace_back("a list");
  if (has_map_form(row)) parts.emplace_back("a map");
  std::string text;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    // A part with a comma of its own needs more than an `or` before the next.
    if (i > 0) text += i + 1 < parts.size() ? ", " : text.find(',') == std::string::npos ? " or " : ", or ";
    text += parts[i];
  }
  return text;
}

std::string near_word(const Row& row, std::string_view text) {
  std::vector<std::string_view> words = words_of(row.words);
  const std::string lower = base::to_lower(text);
  const bool no =
      lower == "false" || lower == "no" || lower == "off" || lower == "none" || lower == "disabled";
  const bool yes = lower == "true" || lower == "yes" || lower == "on" || lower == "enabled";
  if ((row.forms & kOff) != 0) {
    if (no) return "off";
    words.emplace_back("off");
  }
  if ((row.forms & (kTrue | kBool)) != 0) {
    if (yes) return "true";
    words.emplace_back("true");
  }
  if ((row.forms & kBool) != 0) {
    if (no) return "false";
    words.emplace_back("false");
  }
  if ((row.forms & kAuto) != 0) words.emplace_back("auto");
  const std::string_view near = base::closest(text, words);
  return near == text ? std::string{} : std::string(near);  // quotes are the mistake then
}

bool match_word(const Row& row, std::string_view text, bool is_text, Scalar& scalar) {
  const auto matched = [&](Forms form, std::uint64_t number) {
    scalar.form = form;
    scalar.number = number;
    return true;
  };
  if ((row.forms & kWord) != 0 && contains_word(row.words, text)) return matched(kWord, 0);
  if ((row.forms & kOff) != 0 && text == "off") return matched(kOff, 0);
  if ((row.forms & kAuto) != 0 && text == "auto") return matched(kAuto, 0);
  if (is_text) return false;
  if ((row.forms & kTrue) != 0 && text == "true") return matched(kTrue, 1);
  if ((row.forms & kBool) != 0 && text == "true") return matched(kBool, 1);
  if ((row.forms & kBool) != 0 && text == "false") return matched(kBool, 0);
  return false;
}

namespace {

constexpr std::string_view kWithoutQuotes = "write it without quotes";

template <class T>
Match match_of(const Parsed<T>& parsed) {
  Match match;
  match.ok = parsed.value.has_value();
  match.suggestion = parsed.suggestion;
  match.later = parsed.later;
  return match;
}

Match match_if(bool ok) {
  Match match;
  match.ok = ok;
  return match;
}

template <class T>
Match within(const Row& row, const Parsed<T>& parsed, std::uint64_t scaled) {
  Match match = match_of(parsed);
  match.out_of_bounds = match.ok && (scaled < row.min || scaled > row.max);
  match.ok = match.ok && !match.out_of_bounds;
  return match;
}

// "10.1.0.0/8" has host bits: the block that was meant.
std::string cidr_suggestion(std::string_view text) {
  const std::size_t slash = text.find('/');
  const auto ip = base::IpAddress::parse(text.substr(0, slash));
  if (!ip || slash == std::string_view::npos) return {};
  const auto prefix = base::parse_u64(text.substr(slash + 1));
  if (!prefix || *prefix > ip->bits()) return {};
  base::Cidr block;
  block.prefix = static_cast<unsigned>(*prefix);
  block.network = ip->masked(block.prefix);
  return block.to_text();
}

Match match_cidr(std::string_view text) {
  Match match = match_if(base::Cidr::parse(text).has_value());
  if (!match.ok) match.suggestion = cidr_suggestion(text);
  return match;
}

Match match_number(const Row& row, Forms form, std::string_view text, bool is_text, Scalar& scalar) {
  const auto number = form == kSize ? parse_size(text) : parse_number(text);
  if (is_text && base::parse_u64(text)) {  // a number in quotes is text, here as in the JSON Schema
    Match match;
    match.hint = kWithoutQuotes;
    return match;
  }
  scalar.number = number.value.value_or(0);
  return within(row, number, scalar.number);
}

Match match_text(const Row& row, Forms form, std::string_view text) {
  switch (form) {
    case kText:
      return match_if(text.size() >= row.min && (row.max == 0 || text.size() <= row.max));
    case kFilePath:
      return match_if(!text.empty() && text.size() < 4096 && text.find('\0') == std::string_view::npos);
    case kListen:
      return match_of(parse_listen(text));
    case kUrl:
      return match_of(parse_url(text));
    case kPattern:
      return match_of(parse_pattern(text));
    case kRewrite:
      return match_of(parse_rewrite(text));
    case kMethod:
      return match_of(parse_method(text));
    case kHost:
      return match_of(parse_host(text, row.path == "routes[].host"));
    case kLimitKey:
      return match_of(parse_limit_key(text));
    case kFailure:
      return match_of(parse_failure(text));
    case kHeaderName:
      return match_if(is_token(text));
    case kHeaderValue:
      return match_if(is_header_value(text));
    case kName:
      return match_if(is_name(text));
    default:
      return {};  // kMap, kList and words: no scalars, or tried already
  }
}

}  // namespace

Match match_form(const Row& row, Forms form, std::string_view text, bool is_text, Scalar& scalar) {
  Match match;
  switch (form) {
    case kNumber:
    case kSize:
      match = match_number(row, form, text, is_text, scalar);
      break;
    case kDuration: {
      const auto duration = parse_duration(text);
      scalar.duration = duration.value.value_or(Duration{});
      match = within(row, duration, static_cast<std::uint64_t>(scalar.duration.count()) / 1'000'000);
      break;
    }
    case kRate: {
      const auto rate = parse_rate(text);
      scalar.number = rate.value.value_or(Rate{}).count;
      scalar.duration = rate.value.value_or(Rate{}).window;
      match = within(row, rate, scalar.number);
      break;
    }
    case kPercent: {
      const auto percent = parse_percent(text);
      scalar.share = percent.value.value_or(0);
      match = match_of(percent);
      break;
    }
    case kCidr:
      match = match_cidr(text);
      break;
    case kBool:
    case kTrue:
      if (is_text && (text == "true" || text == "false")) match.hint = kWithoutQuotes;
      break;
    default:
      match = match_text(row, form, text);
      break;
  }
  if (match.ok) scalar.form = form;
  return match;
}

}  // namespace weir::config::internal
