#include "weir/gateway/stages/ratelimit.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "weir/http/uri.h"
#include "weir/ratelimit/headers.h"
#include "weir/ratelimit/key.h"

namespace weir::gateway {
namespace {

std::string_view ip_key(Exchange& exchange) {
  const base::IpAddress& ip = exchange.client;
  const ratelimit::IpKey key({ip.bytes().data(), ip.is_v4() ? 4U : 16U});
  return exchange.arena.keep(key.view());
}

// RFC 6265 4.2.1: "a=1; b=2". The first of that name.
std::string_view cookie(const http::Fields& fields, std::string_view name) {
  for (const http::Field& field : fields) {
    if (field.id != http::Name::cookie) continue;
    for (std::string_view pair : base::split(field.value, ';')) {
      pair = base::trim(pair);
      const std::size_t equals = pair.find('=');
      if (equals != std::string_view::npos && pair.substr(0, equals) == name) return pair.substr(equals + 1);
    }
  }
  return {};
}

}  // namespace

std::span<const Problem> RateLimitStage::refusals() const noexcept {
  static constexpr std::array kRefusals{Problem::rate_limited};
  return kRefusals;
}

RateLimitStage::RateLimitStage(std::vector<Limit> limits, std::string route)
    : limits_(std::move(limits)), route_(std::move(route)) {
  if (limits_.size() != 1) return;
  ratelimit::LimitReport report;
  report.policy = &limits_.front().policy;
  report.decision.allowed = true;
  report.decision.limit = report.policy->limit;
  std::string buffer;
  for (const ratelimit::HeaderField& field : ratelimit::format_headers({&report, 1}, {}, buffer)) {
    if (field.name == "RateLimit-Policy") policy_field_ = field.value;
    if (field.name == "RateLimit") item_ = field.value.substr(0, field.value.rfind(";r=") + 3);
  }
}

RateLimitStage::Key RateLimitStage::part_of(Exchange& exchange, const config::KeyPart& part,
                                            std::string_view* text) const {
  using Kind = config::KeyPart::Kind;
  switch (part.kind) {
    case Kind::global:
      *text = "*";
      break;
    case Kind::client_ip:
      *text = ip_key(exchange);
      break;
    case Kind::header:
      if (const http::Field* field = exchange.request.fields.find(part.name)) *text = field->value;
      break;
    case Kind::cookie:
      *text = cookie(exchange.request.fields, part.name);
      break;
    case Kind::query:
      *text = http::query_parameter(exchange.request.query, part.name).value_or("");
      break;
    case Kind::path:
      *text = exchange.path;
      break;
    case Kind::method:
      *text = exchange.request.method_text;
      break;
    case Kind::host: {
      char* lower = exchange.arena.allocate(exchange.request.authority.size());
      for (std::size_t i = 0; i < exchange.request.authority.size(); ++i)
        lower[i] = base::ascii_lower(exchange.request.authority[i]);
      *text = {lower, exchange.request.authority.size()};
      break;
    }
    case Kind::route:
      *text = route_;
      break;
  }
  return text->empty() ? Key::missing : Key::present;
}

RateLimitStage::Key RateLimitStage::key_of(Exchange& exchange, const Limit& limit,
                                           std::string_view* key) const {
  if (limit.options.key.size() == 1) return part_of(exchange, limit.options.key.front(), key);
  std::string joined;
  for (const config::KeyPart& part : limit.options.key) {
    std::string_view text;
    if (part_of(exchange, part, &text) == Key::missing) return Key::missing;
    ratelimit::append_key_part(joined, text);
  }
  *key = exchange.arena.keep(joined);
  return Key::present;
}

Verdict RateLimitStage::admit(Exchange& exchange) {
  // Nearly every route has one limit; the arrays for all that are possible would take longer to clear than it to decide.
  return limits_.size() == 1 ? decide<1>(exchange) : decide<ratelimit::kChargesMax>(exchange);
}

template <std::size_t kMost>
Verdict RateLimitStage::decide(Exchange& exchange) {
  std::array<ratelimit::Charge, kMost> charges;
  std::array<ratelimit::LimitReport, kMost> reports;
  std::array<ratelimit::Decision, kMost> decisions;
  std::size_t count = 0;
  for (const Limit& limit : limits_) {
    std::string_view key;
    if (key_of(exchange, limit, &key) == Key::missing) {
      using Missing = config::RateLimit::Missing;
      if (limit.options.on_missing_key == Missing::skip) continue;
      if (limit.options.on_missing_key == Missing::deny) {
        exchange.refuse(name(), Problem::rate_limited, "the request has no key for this limit");
        return Verdict::refuse;
      }
      // Those without a key are counted by address, apart from any key that looks like one.
      key = exchange.arena.concat({std::string_view("\0ip", 3), ip_key(exchange)});
    }
    charges[count].limiter = limit.limiter.get();
    charges[count].key = key;
    reports[count].policy = &limit.policy;
    ++count;
  }
  if (count == 0) return Verdict::proceed;
  const bool admitted = ratelimit::allow_all(exchange.now, {charges.data(), count}, {decisions.data(), count},
                                             ratelimit::Want::headers);
  for (std::size_t i = 0; i < count; ++i) reports[i].decision = decisions[i];
  describe(exchange, {reports.data(), count});
  if (admitted) return Verdict::proceed;
  exchange.refuse(name(), Problem::rate_limited);
  return Verdict::refuse;
}

void RateLimitStage::describe(Exchange& exchange, std::span<const ratelimit::LimitReport> reports) const {
  if (reports.size() == 1 && reports.front().decision.allowed && !item_.empty()) {
    const ratelimit::Decision& decision = reports.front().decision;
    std::array<char, 64> text;
    char* at = std::to_chars(text.data(), text.data() + 20, decision.remaining).ptr;
    if (decision.next_after > Duration::zero()) {
      at = std::copy_n(";t=", 3, at);
      at = std::to_chars(at, at + 20, std::chrono::ceil<std::chrono::seconds>(decision.next_after).count())
               .ptr;
    }
    const std::string_view numbers(text.data(), static_cast<std::size_t>(at - text.data()));
    exchange.add_answer_field("RateLimit-Policy", policy_field_, http::Name::ratelimit_policy);
    exchange.add_answer_field("RateLimit", exchange.arena.concat({item_, numbers}), http::Name::ratelimit);
    return;
  }
  for (const ratelimit::HeaderField& field : ratelimit::format_headers(reports, {}, exchange.worker.scratch))
    exchange.add_answer_field(field.name, exchange.arena.keep(field.value), http::parse_name(field.name));
}

}  // namespace weir::gateway
