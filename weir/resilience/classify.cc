#include "weir/resilience/classify.h"

#include <optional>

#include "weir/base/strings.h"

namespace weir::resilience {
namespace {

constexpr int kStatusFirst = 100;
constexpr int kStatusLast = 599;
constexpr std::string_view kKindNames[kFailureKinds] = {"connect", "timeout", "reset", "malformed"};
constexpr std::uint8_t kAllKinds = (1U << kFailureKinds) - 1;

bool in_range(int status) { return status >= kStatusFirst && status <= kStatusLast; }

// "5xx" -> 500. Nothing when it is no class.
std::optional<int> parse_class(std::string_view item) {
  if (item.size() != 3 || item[0] < '1' || item[0] > '5') return std::nullopt;
  if (base::ascii_lower(item[1]) != 'x' || base::ascii_lower(item[2]) != 'x') return std::nullopt;
  return (item[0] - '0') * 100;
}

std::optional<FailureKind> parse_kind(std::string_view item) {
  for (std::size_t i = 0; i < kFailureKinds; ++i) {
    if (item == kKindNames[i]) return static_cast<FailureKind>(i);
  }
  return std::nullopt;
}

std::optional<FailureKind> kind_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::connection_refused:
    case ErrorCode::unreachable:
    case ErrorCode::name_not_resolved:
    case ErrorCode::tls_failed:
      return FailureKind::connect;
    case ErrorCode::timed_out:
      return FailureKind::timeout;
    case ErrorCode::connection_reset:
    case ErrorCode::connection_closed:
    case ErrorCode::io_error:
      return FailureKind::reset;
    case ErrorCode::malformed:
    case ErrorCode::too_large:
      return FailureKind::malformed;
    default:
      return std::nullopt;
  }
}

Error unknown_item(std::string_view item) {
  std::string what = "failure_on knows no \"";
  base::append_json_escaped(what, item.substr(0, 64));
  what +=
      "\": a status (500), a class (5xx), or connect, timeout, reset, malformed, each with ! to take it out";
  const std::string_view near = base::closest(item, kKindNames);
  if (!near.empty()) what.append(" (did you mean ").append(near).append("?)");
  return Error(ErrorCode::invalid_argument, what, ErrorSource::configuration);
}

}  // namespace

std::string_view to_string(FailureKind kind) noexcept { return kKindNames[static_cast<std::size_t>(kind)]; }

FailureOn::FailureOn() noexcept : kinds_(kAllKinds) {
  for (int status = 500; status <= kStatusLast; ++status) set_status(status, true);
  // RFC 9110 15.6.2 and 15.6.6: the method or version is not supported, however healthy the server is.
  set_status(501, false);
  set_status(505, false);
}

FailureOn FailureOn::nothing() noexcept {
  FailureOn set;
  set.statuses_ = {};
  set.kinds_ = 0;
  return set;
}

void FailureOn::set_status(int status, bool on) noexcept {
  const auto bit = static_cast<unsigned>(status - kStatusFirst);
  const std::uint64_t mask = std::uint64_t{1} << (bit % 64);
  if (on) {
    statuses_[bit / 64] |= mask;
  } else {
    statuses_[bit / 64] &= ~mask;
  }
}

bool FailureOn::has_status(int status) const noexcept {
  if (!in_range(status)) return false;
  const auto bit = static_cast<unsigned>(status - kStatusFirst);
  return (statuses_[bit / 64] >> (bit % 64) & 1) != 0;
}

Result<FailureOn> FailureOn::parse(std::span<const std::string_view> items) {
  FailureOn set = nothing();
  for (const std::string_view whole : items) {
    std::string_view item = whole;
    const bool on = !item.starts_with('!');
    if (!on) item.remove_prefix(1);
    if (const auto first = parse_class(item)) {
      for (int status = *first; status < *first + 100; ++status) set.set_status(status, on);
    } else if (const auto kind = parse_kind(item)) {
      const auto mask = static_cast<std::uint8_t>(1U << static_cast<unsigned>(*kind));
      set.kinds_ = static_cast<std::uint8_t>(on ? set.kinds_ | mask : set.kinds_ & ~mask);
    } else if (const auto status = base::parse_u64(item);
               item.size() == 3 && status && in_range(static_cast<int>(*status))) {
      set.set_status(static_cast<int>(*status), on);
    } else {
      return unknown_item(whole);
    }
  }
  return set;
}

Outcome FailureOn::classify_status(int status) const noexcept {
  if (has_status(status)) return Outcome::failure;
  switch (status) {
    case 429:
      return Outcome::throttled;
    case 400:
    case 408:
    case 413:
      return Outcome::neutral;
    default:
      return Outcome::success;
  }
}

Outcome FailureOn::classify_error(const Error& error) const noexcept {
  if (error.code == ErrorCode::cancelled || error.code == ErrorCode::deadline_exceeded)
    return Outcome::cancelled;
  // What the client broke says nothing about the upstream.
  if (error.source == ErrorSource::downstream || error.source == ErrorSource::configuration)
    return Outcome::neutral;
  const std::optional<FailureKind> kind = kind_of(error.code);
  return kind ? classify_kind(*kind) : Outcome::neutral;
}

std::string FailureOn::to_text() const {
  std::string text;
  const auto add = [&text](std::string_view item) {
    if (!text.empty()) text += ' ';
    text += item;
  };
  for (int first = kStatusFirst; first <= kStatusLast; first += 100) {
    int members = 0;
    for (int status = first; status < first + 100; ++status) members += has_status(status) ? 1 : 0;
    // Whichever is shorter: the members, or the class and the exceptions.
    const bool by_class = members > 50;
    if (by_class) add(std::string(1, static_cast<char>('0' + first / 100)) + "xx");
    for (int status = first; status < first + 100; ++status) {
      if (has_status(status) != by_class) add((by_class ? "!" : "") + std::to_string(status));
    }
  }
  for (std::size_t i = 0; i < kFailureKinds; ++i) {
    if (has(static_cast<FailureKind>(i))) add(kKindNames[i]);
  }
  return text;
}

Outcome classify_grpc(int grpc_status) noexcept {
  switch (grpc_status) {
    case 1:  // CANCELLED
      return Outcome::cancelled;
    case 2:   // UNKNOWN
    case 4:   // DEADLINE_EXCEEDED
    case 13:  // INTERNAL
    case 14:  // UNAVAILABLE
    case 15:  // DATA_LOSS
      return Outcome::failure;
    case 8:  // RESOURCE_EXHAUSTED
      return Outcome::throttled;
    default:
      return Outcome::success;
  }
}

}  // namespace weir::resilience
