// See proxy_state.h. Bytes 0x21 to 0x7e but `%` and `:` stand for themselves; space is a printable ASCII character and
// stands too, everything else is %XX. The encoding is a bijection, so two users share a value only if all four fields
// are the same.
#include "weir/passport/proxy_state.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "weir/base/base64.h"

namespace weir::passport {
namespace {

constexpr std::array<std::string_view, 6> kStatuses{"active", "anonymous", "guest",
                                                    "trial",  "expired",   "suspended"};
constexpr std::array<std::string_view, 6> kPlatforms{"web", "ios", "android", "tv", "desktop", "console"};

template <std::size_t N>
std::string_view member_of(const std::array<std::string_view, N>& set, std::string_view value) {
  const auto found = std::find(set.begin(), set.end(), value);
  return found == set.end() ? std::string_view("other") : *found;
}

void append_field(std::string& out, std::string_view field) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  for (const char c : field) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7f && c != '%' && c != ':') {
      out += c;
    } else {
      out += '%';
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    }
  }
}

}  // namespace

std::string ProxyState::plain() const {
  std::string out;
  append_field(out, status);
  for (const std::string* field : {&sub, &country, &platform}) {
    out += ':';
    append_field(out, *field);
  }
  return out;
}

std::string ProxyState::encode() const { return base::base64_encode(plain()); }

std::string_view normal_country(std::string_view text) noexcept {
  const auto capital = [](char c) { return c >= 'A' && c <= 'Z'; };
  return text.size() == 2 && capital(text[0]) && capital(text[1]) ? text : std::string_view("ZZ");
}

ProxyState ProxyStateRules::derive(const Json& claims) const {
  ProxyState state;
  const Json* status = claims.at(options_.status);
  state.status = status == nullptr ? std::string_view("active") : member_of(kStatuses, status->text());
  for (const ClaimPath& path : options_.sub) {
    const Json* value = claims.at(path);
    if (value == nullptr || !value->is_string()) continue;
    state.sub = value->text();
    break;
  }
  if (const Json* country = claims.at(options_.country)) state.country = normal_country(country->text());
  if (const Json* platform = claims.at(options_.platform))
    state.platform = member_of(kPlatforms, platform->text());
  return state;
}

void DistinctEstimate::add(std::uint64_t hash, TimePoint now) noexcept {
  const Duration::rep at = now.time_since_epoch().count();
  Duration::rep ends = window_ends_.load(std::memory_order_relaxed);
  // One thread turns the window; what others add meanwhile may land in either, which an estimate can bear.
  if (at >= ends &&
      window_ends_.compare_exchange_strong(ends, at + kWindow.count(), std::memory_order_relaxed)) {
    const std::size_t next = 1 - current_.load(std::memory_order_relaxed);
    for (auto& reg : windows_[next]) reg.store(0, std::memory_order_relaxed);
    current_.store(next, std::memory_order_relaxed);
  }
  auto& reg = windows_[current_.load(std::memory_order_relaxed)][hash % kRegisters];
  const auto rank = static_cast<std::uint8_t>(std::countl_zero(hash | (kRegisters - 1)) + 1);
  std::uint8_t seen = reg.load(std::memory_order_relaxed);
  while (seen < rank && !reg.compare_exchange_weak(seen, rank, std::memory_order_relaxed)) {
  }
}

double DistinctEstimate::count(const Registers& registers) noexcept {
  constexpr double m = kRegisters;
  double sum = 0;
  std::size_t zeros = 0;
  for (const auto& reg : registers) {
    const std::uint8_t value = reg.load(std::memory_order_relaxed);
    sum += std::ldexp(1.0, -value);
    zeros += value == 0 ? 1 : 0;
  }
  const double raw = 0.7213 / (1 + 1.079 / m) * m * m / sum;
  // Small counts by the empty registers, as the paper says (section 4).
  return raw <= 2.5 * m && zeros > 0 ? m * std::log(m / static_cast<double>(zeros)) : raw;
}

double DistinctEstimate::estimate() const noexcept {
  return std::max(count(windows_[0]), count(windows_[1]));
}

}  // namespace weir::passport
