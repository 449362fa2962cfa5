// Auth: a plan's providers, ready for use, and what of them lives longer than the plan.
//
// AuthState belongs to State: revocations, key rings and the cache of verified tokens go on through a reload as long as
// the configuration of `auth`, `passport` and `proxy_state` stays the same; else the next plan starts with an empty
// cache, so nothing that another configuration has accepted is believed.
#ifndef WEIR_GATEWAY_AUTH_H_
#define WEIR_GATEWAY_AUTH_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "weir/base/clock.h"
#include "weir/base/hash.h"
#include "weir/base/result.h"
#include "weir/config/config.h"
#include "weir/gateway/key_fetcher.h"
#include "weir/passport/api_keys.h"
#include "weir/passport/authenticator.h"
#include "weir/passport/passport_signer.h"

namespace weir::gateway {

// A plan's part. Immutable but for what is inside the authenticator; shared by all workers.
struct AuthPlan {
  struct ApiKeys {
    std::string provider;
    std::string header;
    passport::ApiKeySet keys;
  };
  std::shared_ptr<passport::Authenticator> tokens;  // null when no provider hands out tokens
  std::vector<ApiKeys> api_keys;
  std::shared_ptr<const passport::Identity> nobody;
  std::string passport_header, proxy_state_header, country_edge;
  KeyFetcher* fetcher = nullptr;  // null when all keys are at hand
  // Null where passports are not signed.
  std::shared_ptr<const passport::PassportSigner> signer;
  std::string signed_passport_header;
  // The signed passports of those who have no token that ends (API keys, nobody), made anew at half of their time.
  std::shared_ptr<passport::SignedPassports> signed_passports;
};

class AuthState {
 public:
  using Note = KeyFetcher::Note;

  explicit AuthState(base::SipKey seed);
  ~AuthState();

  // What fetches keys and where it says what happened; without it, providers with a URL cannot be built. Before the
  // first plan.
  void set_outside(const Clock& clock, KeyFetcher::Get get, Note note);
  // Error invalid_argument with the provider's name for keys that cannot be used.
  Result<std::shared_ptr<const AuthPlan>> build(const config::Config& config);
  // The fetcher's thread runs from now on.
  void start();
  // Joins the fetcher's thread: before the workers' reactors go.
  void stop();

  passport::RevocationList& revocations() noexcept { return *revocations_; }
  // Adds it, and writes the file where one is configured. Error io_error when that failed: it counts all the same.
  Result<void> revoke(const passport::Revocation& revocation, std::int64_t now_s);
  // The plan that is in use, for metrics; may be null.
  std::shared_ptr<const AuthPlan> current() const;
  std::vector<KeyFetcher::Status> key_statuses() const;

 private:
  Result<passport::Provider> make_provider(const config::AuthProvider& from);
  Result<std::shared_ptr<const AuthPlan>> make(const config::Config& config);
  void load_revocations(const std::string& path);

  const base::SipKey seed_;
  const std::shared_ptr<passport::RevocationList> revocations_ = std::make_shared<passport::RevocationList>();
  std::unique_ptr<KeyFetcher> fetcher_;
  const Clock* clock_ = nullptr;
  Note note_ = [](const std::string&) {};
  mutable std::mutex mutex_;
  std::string fingerprint_;
  std::shared_ptr<const AuthPlan> current_;
  std::string revocations_path_;
  bool fetches_ = false;
};

}  // namespace weir::gateway

#endif  // WEIR_GATEWAY_AUTH_H_
