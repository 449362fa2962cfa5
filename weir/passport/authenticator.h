// Authenticator: a token is verified once; afterwards its identity is found by the token's bytes.
//
//   Authenticator auth(verifier, revocations, options);
//   Checked checked = auth.check(token, client_ip, now, wall_now);
//   switch (checked.answer) { case Checked::Answer::accepted: use(*checked.identity); ... }
//
// A hit re-checks what may have changed since: the token's times, its key, revocations. Rules of a route are its
// caller's to check on every request. Failures are remembered apart and briefly, so a flood of bad tokens pushes out no
// good one; each client address may fail `failures_per_second` times, then its unknown tokens are turned away without
// a check, while known ones pass as ever. Two threads that bring one new token check it once.
//
// Thread-safe. A hit is a keyed hash, a probe and a compare under a lock that 64 shards divide: no allocation. Memory is
// bounded by `cache_bytes` plus 2 MiB.
#ifndef WEIR_PASSPORT_AUTHENTICATOR_H_
#define WEIR_PASSPORT_AUTHENTICATOR_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "weir/base/clock.h"
#include "weir/base/hash.h"
#include "weir/base/ip.h"
#include "weir/passport/revocation.h"
#include "weir/passport/verifier.h"

namespace weir::passport {

struct Checked {
  enum class Answer : std::uint8_t {
    accepted,
    rejected,           // `reject` says why
    too_many_failures,  // this address has used up its failures; try again after `retry_after`
  };
  Answer answer = Answer::rejected;
  Reject reject = Reject::none;
  std::shared_ptr<const Identity> identity;  // when accepted
  const Provider* provider = nullptr;  // when rejected by a known one; lives as long as the authenticator
  std::string kid;                     // then
  Duration retry_after{};
  bool cached = false;
};

class Authenticator {
 public:
  struct Options {
    std::size_t cache_bytes = 64ULL * 1024 * 1024;
    std::size_t token_bytes = 4 * 1024;  // longer ones are verified every time
    Duration remember_failures = std::chrono::seconds{5};
    std::uint32_t failures_per_second = 50;  // of one address (IPv4 /32, IPv6 /64); 0: no limit
    base::SipKey seed;                       // random in production
  };

  Authenticator(std::shared_ptr<const Verifier> verifier, std::shared_ptr<const RevocationList> revocations,
                Options options);
  ~Authenticator();

  Checked check(std::string_view token, const base::IpAddress& client, TimePoint now, WallTime wall);
  // Counts a failure that was found elsewhere (an unknown API key). False if the address has no more.
  bool may_fail(const base::IpAddress& client, TimePoint now, Duration* retry_after);
  void count_failure(const base::IpAddress& client, TimePoint now);
  // Forgets a remembered failure, once the reason has gone (a key has been fetched).
  void forget_failure(std::string_view token);

  const Verifier& verifier() const noexcept { return *verifier_; }

  struct Stats {
    std::uint64_t hits = 0, misses = 0, evictions = 0;
    std::size_t entries = 0, bytes = 0;
  };
  Stats stats() const;
  const DistinctEstimate& proxy_states() const noexcept { return proxy_states_; }

 private:
  class Cache;
  class Failures;
  class Addresses;

  Checked check_miss(std::string_view token, const base::Hash128& hash, const base::IpAddress& client,
                     TimePoint now, WallTime wall);

  const std::shared_ptr<const Verifier> verifier_;
  const std::shared_ptr<const RevocationList> revocations_;
  const Options options_;
  const std::unique_ptr<Cache> cache_;
  const std::unique_ptr<Failures> failures_;
  const std::unique_ptr<Addresses> addresses_;
  DistinctEstimate proxy_states_;
};

}  // namespace weir::passport

#endif  // WEIR_PASSPORT_AUTHENTICATOR_H_
