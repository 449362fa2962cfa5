#include "weir/gateway/stages/passport.h"

#include <algorithm>
#include <array>

#include "weir/gateway/plan.h"
#include "weir/gateway/remote_answer.h"

namespace weir::gateway {
namespace {

using passport::Checked;
using passport::Reject;

// RFC 6750 3: which of its errors, or none for a request without a credential.
constexpr std::string_view kPlain = "Bearer realm=\"weir\"";
constexpr std::string_view kInvalidToken = "Bearer realm=\"weir\", error=\"invalid_token\"";
constexpr std::string_view kInvalidRequest = "Bearer realm=\"weir\", error=\"invalid_request\"";

constexpr Duration kKeysRetry = std::chrono::seconds{5};

bool contains(const std::vector<std::string>& list, std::string_view word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

}  // namespace

PassportStage::PassportStage(std::shared_ptr<const AuthPlan> auth, config::RouteAuth rules,
                             bool forward_token, Slot<AwaitedKey> awaited)
    : auth_(std::move(auth)), rules_(std::move(rules)), forward_token_(forward_token), awaited_(awaited) {
  insufficient_ = "Bearer realm=\"weir\", error=\"insufficient_scope\"";
  if (rules_.scopes.empty()) return;
  insufficient_ += ", scope=\"";
  for (const std::string& scope : rules_.scopes) {
    if (!insufficient_.ends_with('"')) insufficient_ += ' ';
    for (const char c : scope)  // RFC 6749 3.3: neither quote nor backslash belongs into a scope
      if (c > 0x20 && c < 0x7f && c != '"' && c != '\\') insufficient_ += c;
  }
  insufficient_ += '"';
}

std::span<const Problem> PassportStage::refusals() const noexcept {
  static constexpr std::array kRefusals{Problem::bad_request,       Problem::unauthenticated,
                                        Problem::token_invalid,     Problem::insufficient_scope,
                                        Problem::too_many_failures, Problem::keys_unavailable,
                                        Problem::internal};
  return kRefusals;
}

PassportStage::Credential PassportStage::find_credential(const Exchange& exchange) const {
  Credential credential;
  const http::Fields& fields = exchange.request.fields;
  std::size_t sources = 0;
  if (fields.has(http::Name::authorization)) {
    sources = fields.count(http::Name::authorization);
    const std::string_view value = fields.value(http::Name::authorization);
    constexpr std::string_view kScheme = "bearer";
    const std::size_t space = value.find(' ');
    credential.found = true;
    credential.other_scheme =
        space == std::string_view::npos || !base::iequals(value.substr(0, space), kScheme);
    if (!credential.other_scheme) credential.token = base::trim(value.substr(space));
  }
  for (const AuthPlan::ApiKeys& keys : auth_->api_keys) {
    for (const http::Field& field : fields) {
      if (!base::iequals(field.name, keys.header)) continue;
      ++sources;
      credential.found = true;
      credential.other_scheme = false;
      credential.api_keys = &keys;
      credential.token = field.value;
    }
  }
  credential.several = sources > 1;
  return credential;
}

Verdict PassportStage::admit(Exchange& exchange) {
  const Credential credential = find_credential(exchange);
  if (credential.several) {
    exchange.own.close = true;
    return refuse(exchange, Problem::bad_request, kInvalidRequest, "more than one credential");
  }
  if (!credential.found) {
    if (rules_.require == config::Require::optional) return accept(exchange, auth_->nobody);
    return refuse(exchange, Problem::unauthenticated, kPlain, {});
  }
  if (credential.other_scheme)
    return refuse(exchange, Problem::token_invalid, kInvalidToken, "not a bearer token");
  if (credential.api_keys != nullptr) return check_api_key(exchange, credential);
  return check_token(exchange, credential.token, awaited_.index != 0xff);
}

Verdict PassportStage::check_api_key(Exchange& exchange, const Credential& credential) {
  if (std::shared_ptr<const passport::Identity> identity = credential.api_keys->keys.find(credential.token))
    return accept(exchange, std::move(identity));
  Duration wait{};
  if (!auth_->tokens->may_fail(exchange.client, exchange.now, &wait)) {
    exchange.set_retry_after(wait);
    return refuse(exchange, Problem::too_many_failures, {}, {});
  }
  auth_->tokens->count_failure(exchange.client, exchange.now);
  return reject(exchange, Reject::unknown_api_key);
}

Verdict PassportStage::check_token(Exchange& exchange, std::string_view token, bool may_wait) {
  Checked checked = auth_->tokens->check(token, exchange.client, exchange.now, exchange.worker.wall_now());
  switch (checked.answer) {
    case Checked::Answer::accepted:
      return accept(exchange, std::move(checked.identity));
    case Checked::Answer::too_many_failures:
      exchange.set_retry_after(checked.retry_after);
      return refuse(exchange, Problem::too_many_failures, {}, {});
    case Checked::Answer::rejected:
      break;
  }
  if (checked.reject == Reject::unknown_key && may_wait && auth_->fetcher != nullptr) {
    AwaitedKey awaited;
    awaited.token = token;
    awaited.provider = checked.provider;
    awaited.kid = std::move(checked.kid);
    exchange.keep(awaited_, std::move(awaited));
    return Verdict::proceed;  // KeyWaitStage decides
  }
  return reject(exchange, checked.reject);
}

Verdict PassportStage::reject(Exchange& exchange, Reject why) {
  exchange.record.why = to_string(why);
  exchange.notes.add<Note::Kind::auth>(static_cast<std::uint32_t>(AuthCode::rejected), 0).set_text({});
  if (why == Reject::no_keys) {
    exchange.set_retry_after(kKeysRetry);
    return refuse(exchange, Problem::keys_unavailable, {}, {});
  }
  if (why == Reject::passport_too_large) return refuse(exchange, Problem::internal, {}, {});
  return refuse(exchange, Problem::token_invalid, kInvalidToken, to_string(why));
}

Verdict PassportStage::accept(Exchange& exchange, std::shared_ptr<const passport::Identity> identity) {
  const AuthCode code = identity->anonymous ? AuthCode::anonymous : AuthCode::accepted;
  exchange.notes.add<Note::Kind::auth>(static_cast<std::uint32_t>(code), 0).set_text(identity->provider);
  if (!identity->anonymous) {
    if (!rules_.providers.empty() && !contains(rules_.providers, identity->provider))
      return refuse(exchange, Problem::token_invalid, kInvalidToken,
                    "the route does not take this provider's tokens");
    const auto has_scope = [&](const std::string& scope) { return identity->has_scope(scope); };
    const auto has_role = [&](const std::string& role) { return identity->has_role(role); };
    const bool scopes = std::all_of(rules_.scopes.begin(), rules_.scopes.end(), has_scope);
    const bool roles =
        rules_.roles.empty() || std::any_of(rules_.roles.begin(), rules_.roles.end(), has_role);
    if (!scopes || !roles) return refuse(exchange, Problem::insufficient_scope, insufficient_, {});
  }
  exchange.identity = std::move(identity);
  tell_upstreams(exchange);
  if (!forward_token_) drop_credential(exchange);
  return Verdict::proceed;
}

Verdict PassportStage::refuse(Exchange& exchange, Problem problem, std::string_view challenge,
                              std::string_view detail) {
  if (!challenge.empty())
    exchange.add_answer_field("WWW-Authenticate", challenge, http::Name::www_authenticate);
  exchange.refuse(name(), problem, detail);
  return Verdict::refuse;
}

void PassportStage::tell_upstreams(Exchange& exchange) const {
  const passport::Identity& identity = *exchange.identity;
  exchange.set_identity_field(auth_->passport_header, identity.passport.header);
  exchange.proxy_state = identity.proxy_state;
  if (!auth_->country_edge.empty() && exchange.peer_trusted && !identity.country_claimed) {
    const http::Field* edge = exchange.request.fields.find(auth_->country_edge);
    const std::string_view country =
        passport::normal_country(edge == nullptr ? std::string_view{} : edge->value);
    if (country != identity.proxy_fields.country) {
      passport::ProxyState state = identity.proxy_fields;
      state.country = country;
      exchange.proxy_state = exchange.arena.keep(state.encode());
    }
  }
  exchange.set_identity_field(auth_->proxy_state_header, exchange.proxy_state);
  if (auth_->signer == nullptr) return;
  std::string_view token = identity.signed_passport;
  if (token.empty())
    token = exchange.arena.keep(*auth_->signed_passports->of(identity.passport, exchange.worker.wall_now()));
  exchange.set_identity_field(auth_->signed_passport_header, token);
}

void PassportStage::drop_credential(Exchange& exchange) const {
  http::Fields& fields = exchange.request.fields;
  const auto is_credential = [&](const http::Field& field) {
    if (field.id == http::Name::authorization) return true;
    return std::any_of(auth_->api_keys.begin(), auth_->api_keys.end(),
                       [&](const AuthPlan::ApiKeys& keys) { return base::iequals(field.name, keys.header); });
  };
  fields.remove_if(is_credential);
}

bool KeyWaitStage::needs_waiting(const Exchange& exchange) const noexcept {
  return const_cast<Exchange&>(exchange).get(awaited_) != nullptr;
}

async::Task<Verdict> KeyWaitStage::admit_async(Exchange& exchange) {
  const AwaitedKey awaited = *exchange.get(awaited_);
  exchange.drop(awaited_);
  RemoteAnswer<bool> answer(exchange);
  const KeyFetcher::Ask asked =
      check_.auth_->fetcher->ask(*awaited.provider->keys, awaited.kid, answer.promise());
  if (asked == KeyFetcher::Ask::no) co_return check_.reject(exchange, Reject::unknown_key);
  bool fetched = false;
  if (asked == KeyFetcher::Ask::waiting) {
    const Deadline deadline = exchange.deadline.shrunk_to(exchange.worker.reactor.now() + kPatience);
    while (!answer.ready() && !exchange.downstream->gone()) {
      const io::Wake wake = co_await exchange.waiter->wait(deadline);
      if (wake != io::Wake::event) break;
    }
    fetched = answer.take().value_or(false);
  }
  if (fetched) co_return check_.check_token(exchange, awaited.token, false);
  // The provider does not answer: the token may be good, so it is not called bad.
  co_return check_.reject(exchange, Reject::no_keys);
}

}  // namespace weir::gateway
