#include "weir/gateway/stages/sanitize.h"

#include <algorithm>
#include <array>

#include "weir/gateway/experiments.h"
#include "weir/gateway/plan.h"

namespace weir::gateway {
namespace {

// Rebuilt by weir; a spelling that only some servers fold into the real one ("X_Forwarded_For") must not survive.
constexpr std::array<std::string_view, 9> kRebuilt{
    "forwarded",          "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-forwarded-port",
    "x-forwarded-prefix", "x-real-ip",       "x-request-id",     "traceparent"};

// Servers that turn fields into environment variables (CGI, WSGI, Rack) read `_` and `.` as `-`, some everything else
// that is no letter or digit (CVE-2025-64484, CVE-2026-88011 of other gateways).
char folded(char c) noexcept {
  c = base::ascii_lower(c);
  return base::is_alpha(c) || base::is_digit(c) ? c : '-';
}

// `owned` is folded.
bool folds_to(std::string_view name, std::string_view owned) {
  if (name.size() != owned.size()) return false;
  for (std::size_t i = 0; i < name.size(); ++i)
    if (folded(name[i]) != owned[i]) return false;
  return true;
}

bool is_foreign_spelling(const http::Field& field) {
  if (field.id != http::Name::other) return false;  // the usual spelling: judged below by its id
  const char first = folded(field.name.front());
  if (first != 'x' && first != 'f' && first != 't') return false;
  return std::any_of(kRebuilt.begin(), kRebuilt.end(),
                     [&](std::string_view owned) { return folds_to(field.name, owned); });
}

constexpr http::NameSet kForwarding{http::Name::forwarded,        http::Name::x_forwarded_for,
                                    http::Name::x_forwarded_host, http::Name::x_forwarded_proto,
                                    http::Name::x_forwarded_port, http::Name::x_forwarded_prefix,
                                    http::Name::x_real_ip};
// What SanitizeStage may have to drop: these, and any name that it has to read.
constexpr http::NameSet kSuspects = [] {
  http::NameSet names = kForwarding;
  names.add(http::Name::other);
  return names;
}();

// All values of one field, joined as a list: "a, b". RFC 9110 5.3.
std::string_view joined(Exchange& exchange, http::Name name) {
  const http::Fields& fields = exchange.request.fields;
  if (!fields.has(name)) return {};
  if (fields.count(name) == 1) return fields.value(name);
  std::string all;
  for (const http::Field& field : fields)
    if (field.id == name) all.append(all.empty() ? "" : ", ").append(field.value);
  return exchange.arena.keep(all);
}

std::string_view joined_with(Exchange& exchange, std::string_view before, std::string_view added) {
  return before.empty() ? added : exchange.arena.concat({before, ", ", added});
}

// RFC 7239 4: an IPv6 address and anything that is not a token goes in quotes.
std::string_view forwarded_element(Exchange& exchange, std::string_view host, std::string_view proto) {
  const bool v4 = exchange.peer.is_v4();
  const bool named = !host.empty();
  using namespace std::string_view_literals;
  return exchange.arena.concat({v4 ? "for="sv : "for=\"["sv, exchange.peer_text, v4 ? ""sv : "]\""sv,
                                named ? ";host=\""sv : ""sv, host, named ? "\""sv : ""sv, ";proto="sv,
                                proto});
}

// Cold: nobody sends such fields but who wants to know, or to pretend.
[[gnu::noinline, gnu::cold]] bool drop_owned(Exchange& exchange, const http::Field& field) noexcept {
  if (!base::iequals(field.name, kExplainHeader)) return true;
  const auto& admin = exchange.plan->plan->config.admin;
  if (admin && !admin->token.empty() && base::equal_secrets(field.value, admin->token))
    exchange.explain = true;
  return true;
}

}  // namespace

void find_explain(Exchange& exchange) noexcept {
  for (const http::Field& field : exchange.request.fields) static_cast<void>(drop_owned(exchange, field));
}

OwnedNames::OwnedNames(std::span<const std::string> configured)
    : folded_{"x-passport", "x-proxy-state", "x-experiments", "x-flags", "x-weir-explain"} {
  for (const std::string& name : configured) {
    std::string text;
    for (const char c : name) text += folded(c);
    if (std::find(folded_.begin(), folded_.end(), text) == folded_.end()) folded_.push_back(std::move(text));
  }
  for (const std::string& name : folded_) sizes_ |= std::uint64_t{1} << (name.size() & 63);
}

bool OwnedNames::is_one_of_them(std::string_view name) const noexcept {
  return std::any_of(folded_.begin(), folded_.end(),
                     [&](const std::string& owned) { return folds_to(name, owned); });
}

void find_client(Exchange& exchange) {
  const config::TrustedProxies& trusted = exchange.plan->plan->config.trusted_proxies;
  const auto trusts = [&](const base::IpAddress& ip) {
    return std::any_of(trusted.cidrs.begin(), trusted.cidrs.end(),
                       [&](const base::Cidr& c) { return c.contains(ip); });
  };
  exchange.client = exchange.peer;
  exchange.peer_trusted = trusts(exchange.peer);
  if (!exchange.peer_trusted || !exchange.request.fields.has(http::Name::x_forwarded_for)) return;
  // Each trusted proxy appended whom it saw: walk from the right, over at most `hops` entries, as long as whoever
  // wrote the entry is trusted.
  std::string_view list = joined(exchange, http::Name::x_forwarded_for);
  for (std::uint32_t hop = 0; hop < trusted.hops && !list.empty(); ++hop) {
    const std::size_t comma = list.rfind(',');
    const std::string_view entry =
        base::trim(comma == std::string_view::npos ? list : list.substr(comma + 1));
    list = comma == std::string_view::npos ? std::string_view{} : list.substr(0, comma);
    const Result<base::IpAddress> ip = base::IpAddress::parse(entry);
    if (!ip) return;  // not an address: the last one that was stands
    exchange.client = *ip;
    if (!trusts(*ip)) return;
  }
}

Verdict SanitizeStage::admit(Exchange& exchange) {
  http::Fields& fields = exchange.request.fields;
  const bool keep = exchange.peer_trusted;
  const std::string_view seen_for = keep ? joined(exchange, http::Name::x_forwarded_for) : std::string_view{};
  const std::string_view seen_forwarded = keep ? joined(exchange, http::Name::forwarded) : std::string_view{};
  const std::string_view seen_host = keep ? fields.value(http::Name::x_forwarded_host) : std::string_view{};
  const std::string_view seen_proto = keep ? fields.value(http::Name::x_forwarded_proto) : std::string_view{};

  if (keeps_override_)
    if (const http::Field* field = fields.find(kOverrideHeader)) exchange.override_text = field->value;
  const auto is_dropped = [&](const http::Field& field) {
    if (is_foreign_spelling(field)) return true;
    if (field.id == http::Name::other && owned_.owns(field.name)) return drop_owned(exchange, field);
    if (!kForwarding.contains(field.id)) return false;
    const bool passes_through = field.id == http::Name::x_forwarded_port ||
                                field.id == http::Name::x_forwarded_prefix ||
                                field.id == http::Name::x_real_ip;
    return !(keep && passes_through);
  };
  if (fields.has_any(kSuspects)) fields.remove_if(is_dropped);

  const std::string_view proto = exchange.secure ? "https" : "http";
  const std::string_view host = exchange.request.authority;
  fields.add({"X-Forwarded-For", joined_with(exchange, seen_for, exchange.peer_text),
              http::Name::x_forwarded_for, false});
  fields.add(
      {"X-Forwarded-Proto", seen_proto.empty() ? proto : seen_proto, http::Name::x_forwarded_proto, false});
  if (!host.empty() || !seen_host.empty())
    fields.add(
        {"X-Forwarded-Host", seen_host.empty() ? host : seen_host, http::Name::x_forwarded_host, false});
  fields.add({"Forwarded", joined_with(exchange, seen_forwarded, forwarded_element(exchange, host, proto)),
              http::Name::forwarded, false});
  return Verdict::proceed;
}

}  // namespace weir::gateway
