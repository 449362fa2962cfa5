#include "weir/gateway/auth.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <utility>

#include "weir/config/schema.h"

namespace weir::gateway {
namespace {

std::chrono::seconds whole_seconds(Duration duration) {
  return std::chrono::duration_cast<std::chrono::seconds>(duration);
}

passport::Profile profile_of(config::AuthProvider::Profile profile) {
  switch (profile) {
    case config::AuthProvider::Profile::generic:
      return passport::Profile::generic;
    case config::AuthProvider::Profile::id_token:
      return passport::Profile::id_token;
    case config::AuthProvider::Profile::rfc9068:
      return passport::Profile::rfc9068;
  }
  return passport::Profile::generic;
}

passport::IdentityRules rules_of(const config::Config& config) {
  passport::PassportWriter::Options passport;
  passport.claims.clear();
  for (const auto& [member, claim] : config.passport.claims) passport.claims.push_back({member, claim});
  passport.optional = config.passport.optional;
  passport.bytes = config.passport.max_size;
  passport.url_alphabet = config.passport.url_alphabet;
  passport::ProxyStateRules::Options state;
  state.status = config.proxy_state.status;
  state.sub = config.proxy_state.sub;
  state.country = config.proxy_state.country;
  state.platform = config.proxy_state.platform;
  passport::IdentityRules rules;
  rules.passport = passport::PassportWriter(std::move(passport));
  rules.proxy_state = passport::ProxyStateRules(std::move(state));
  rules.passport_ttl = whole_seconds(config.passport.ttl);
  return rules;
}

// Everything of the configuration that decides what is believed: the dump, and what it shows as *** or as a path.
std::string fingerprint_of(const config::Config& config) {
  config::Config part;
  part.auth = config.auth;
  part.passport = config.passport;
  part.proxy_state = config.proxy_state;
  std::string text = config::to_json(part);
  if (config.passport.signing) text.append("\n").append(config.passport.signing->key_text);
  for (const config::AuthProvider& provider : config.auth.providers) {
    text.append("\n").append(provider.key_text);
    for (const auto& [hash, claims] : provider.api_keys) text.append("\n").append(hash).append(claims);
  }
  return text;
}

}  // namespace

AuthState::AuthState(base::SipKey seed) : seed_(seed) {}
AuthState::~AuthState() = default;

void AuthState::set_outside(const Clock& clock, KeyFetcher::Get get, Note note) {
  clock_ = &clock;
  note_ = std::move(note);
  fetcher_ = std::make_unique<KeyFetcher>(clock, std::move(get), note_, seed_.k0);
}

void AuthState::start() {
  const std::lock_guard lock(mutex_);
  if (fetcher_ != nullptr && fetches_) fetcher_->start_thread();
}

void AuthState::stop() {
  if (fetcher_ != nullptr) fetcher_->stop();
}

Result<passport::Provider> AuthState::make_provider(const config::AuthProvider& from) {
  passport::Provider provider;
  provider.name = from.name;
  provider.issuer = from.issuer;
  provider.audiences = from.audiences;
  provider.any_audience = from.any_audience;
  for (const std::string& name : from.algorithms)
    if (const auto algorithm = passport::parse_algorithm(name)) provider.algorithms.push_back(*algorithm);
  provider.profile = profile_of(from.profile);
  provider.leeway = whole_seconds(from.leeway);
  provider.require_exp = from.require_exp;
  if (from.max_token_age) provider.max_token_age = whole_seconds(*from.max_token_age);
  provider.roles = from.roles;
  const auto failed = [&](const Error& error) {
    return Error(ErrorCode::invalid_argument, "auth provider " + from.name + ": " + error.detail);
  };
  passport::KeySet::Options keys;
  keys.allowed = provider.algorithms;
  switch (from.keys) {
    case config::AuthProvider::Keys::file: {
      Result<passport::KeySet> set = passport::KeySet::parse(from.key_text, keys);
      if (!set) return failed(set.error());
      provider.keys = std::make_shared<passport::KeyRing>();
      provider.keys->publish(std::move(*set));
      break;
    }
    case config::AuthProvider::Keys::secret: {
      auto key = passport::Key::from_secret(from.key_text, provider.algorithms.front(), "");
      if (!key) return failed(key.error());
      provider.keys = std::make_shared<passport::KeyRing>();
      provider.keys->publish(passport::KeySet({std::move(*key)}));
      break;
    }
    case config::AuthProvider::Keys::url:
    case config::AuthProvider::Keys::discover: {
      if (fetcher_ == nullptr) return failed(Error(ErrorCode::unsupported, "no keys can be fetched here"));
      KeySourceOptions source;
      source.provider = from.name;
      source.url = from.url;
      source.discover = from.keys == config::AuthProvider::Keys::discover;
      source.issuer = from.issuer;
      source.persist = from.persist;
      source.keys = std::move(keys);
      source.schedule.ttl = from.ttl;
      source.schedule.stale_if_error = from.stale_if_error;
      source.schedule.cooldown = from.cooldown;
      provider.keys = fetcher_->source(source);
      fetches_ = true;
      break;
    }
  }
  return provider;
}

Result<std::shared_ptr<const AuthPlan>> AuthState::make(const config::Config& config) {
  auto plan = std::make_shared<AuthPlan>();
  passport::IdentityRules rules = rules_of(config);
  if (config.passport.signing) {
    const config::PassportSigning& signing = *config.passport.signing;
    auto signer = passport::PassportSigner::make(signing.key_text, signing.issuer, rules.passport_ttl);
    if (!signer) return Error(ErrorCode::invalid_argument, "passport signing: " + signer.error().detail);
    plan->signer = rules.signer = *signer;
    plan->signed_passport_header = signing.header;
    plan->signed_passports = std::make_shared<passport::SignedPassports>(*signer);
  }
  std::vector<passport::Provider> providers;
  fetches_ = false;
  for (const config::AuthProvider& from : config.auth.providers) {
    if (from.type == config::AuthProvider::Type::jwt) {
      Result<passport::Provider> provider = make_provider(from);
      if (!provider) return provider.error();
      providers.push_back(std::move(*provider));
      continue;
    }
    std::vector<passport::ApiKeyEntry> entries;
    for (const auto& [hash, claims] : from.api_keys) {
      Result<passport::Json> parsed = passport::Json::parse(claims);
      if (!parsed)
        return Error(ErrorCode::invalid_argument,
                     "auth provider " + from.name + ": " + parsed.error().detail);
      entries.push_back({hash, std::move(*parsed)});
    }
    Result<passport::ApiKeySet> keys = passport::ApiKeySet::make(entries, from.name, from.roles, rules);
    if (!keys)
      return Error(ErrorCode::invalid_argument, "auth provider " + from.name + ": " + keys.error().detail);
    plan->api_keys.push_back({from.name, from.header, std::move(*keys)});
  }
  if (fetches_) plan->fetcher = fetcher_.get();
  passport::Authenticator::Options options;
  options.cache_bytes = config.auth.cache_bytes;
  options.failures_per_second = config.auth.failures_per_second;
  options.seed = seed_;
  // Also without a provider of tokens: it bounds the failures of API keys.
  plan->tokens = std::make_shared<passport::Authenticator>(
      std::make_shared<const passport::Verifier>(std::move(providers), rules), revocations_, options);
  plan->nobody = passport::nobody();
  plan->passport_header = config.passport.header;
  plan->proxy_state_header = config.proxy_state.header;
  plan->country_edge = config.proxy_state.country_edge;
  return std::shared_ptr<const AuthPlan>(std::move(plan));
}

Result<std::shared_ptr<const AuthPlan>> AuthState::build(const config::Config& config) {
  const std::lock_guard lock(mutex_);
  if (config.auth.providers.empty()) return std::shared_ptr<const AuthPlan>();
  std::string fingerprint = fingerprint_of(config);
  if (current_ != nullptr && fingerprint == fingerprint_) return current_;
  Result<std::shared_ptr<const AuthPlan>> made = make(config);
  if (!made) return made;
  current_ = *made;
  fingerprint_ = std::move(fingerprint);
  if (!config.auth.revocations.empty() && config.auth.revocations != revocations_path_)
    load_revocations(config.auth.revocations);
  if (fetches_ && fetcher_ != nullptr) fetcher_->start_thread();
  return made;
}

// One JSON object a line. A line that is none is left out and said: one bad line must not let the others in.
void AuthState::load_revocations(const std::string& path) {
  revocations_path_ = path;
  std::ifstream file(path);
  const std::int64_t now_s =
      clock_ == nullptr
          ? 0
          : std::chrono::duration_cast<std::chrono::seconds>(clock_->wall_now().time_since_epoch()).count();
  std::size_t bad = 0;
  for (std::string line; std::getline(file, line);) {
    if (line.empty()) continue;
    const Result<passport::Json> json = passport::Json::parse(line);
    const Result<passport::Revocation> revocation =
        json ? passport::Revocation::from_json(*json, now_s) : Result<passport::Revocation>(json.error());
    if (!revocation || !revocations_->add(*revocation, now_s)) ++bad;
  }
  if (bad > 0) note_("revocations: " + std::to_string(bad) + " lines of " + path + " are not usable");
}

Result<void> AuthState::revoke(const passport::Revocation& revocation, std::int64_t now_s) {
  if (Result<void> added = revocations_->add(revocation, now_s); !added) return added;
  const std::lock_guard lock(mutex_);
  if (revocations_path_.empty()) return {};
  const int fd = ::open(revocations_path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (fd < 0) return Error::from_errno(errno, "open " + revocations_path_);
  const std::string line = revocation.to_json().to_text() + "\n";
  const bool written =
      ::write(fd, line.data(), line.size()) == static_cast<ssize_t>(line.size()) && ::fsync(fd) == 0;
  const int fault = errno;
  ::close(fd);
  if (!written) return Error::from_errno(fault, "write " + revocations_path_);
  return {};
}

std::shared_ptr<const AuthPlan> AuthState::current() const {
  const std::lock_guard lock(mutex_);
  return current_;
}

std::vector<KeyFetcher::Status> AuthState::key_statuses() const {
  return fetcher_ == nullptr ? std::vector<KeyFetcher::Status>{} : fetcher_->statuses();
}

}  // namespace weir::gateway
