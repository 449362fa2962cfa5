// cache: an answer that is at hand is given at once; one that is not is fetched once and kept.
//
// RFC 9111 for GET and HEAD (weir/cache/http_rules.h says what may be kept and used), over the process's ResponseCache.
// Stands behind experiment and before load_shed: a hit has been authorised and limited like any request and holds no
// place. What is kept is what the upstream said; weir's own fields are put on each delivery.
//
//   (1) The key holds everything that the answer may depend on by weir's doing: route, upstream, scheme, host, path,
//       query, proxy state, variants and flags, and the user where the route says `scope: user` or the upstream says
//       `Vary: X-Passport` (or Authorization). So nobody gets another segment's answer, whatever the upstream forgot.
//   (2) Every part of a key is joined with its length: no two requests have one key by accident or by choice.
//   (3) One request a key goes to the upstream, the others wait, at most kPatience, and hold nothing meanwhile.
//   (4) An unsafe request that was not refused ends what is kept for its host and path (RFC 9111 4.4), also on routes
//       that keep nothing themselves.
//
// CacheWaitStage stands right behind, under the same name: it is where followers wait. A hit allocates nothing.
#ifndef WEIR_GATEWAY_STAGES_CACHE_H_
#define WEIR_GATEWAY_STAGES_CACHE_H_

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "weir/cache/http_rules.h"
#include "weir/gateway/exchange.h"
#include "weir/gateway/response_cache.h"
#include "weir/gateway/stage.h"

namespace weir::gateway {

class CacheMiss;

// What an exchange keeps of the cache.
struct HeldCache {
  enum class Forward : std::uint8_t { none, bypass, request, uri_miss, vary_miss };
  std::shared_ptr<const CachedAnswer> hit;  // while its bytes are sent
  std::unique_ptr<CacheMiss> miss;          // what sees the upstream's answer
  Forward forward = Forward::none;          // why the upstream is asked
  bool follows = false;                     // somebody else is asking
  bool told = false;                        // Cache-Status is on the answer
};
using CacheSlot = Slot<HeldCache>;

struct CacheOptions {
  std::shared_ptr<ResponseCache> cache;  // null: only `vary`
  std::string route;
  std::string upstream;        // the route's, by name
  std::uint64_t body_max = 0;  // of an answer that is kept
  bool by_user = false;
  std::vector<std::string> vary;  // names that the route adds to Vary, as written
  CacheSlot held;
};

class CacheStage final : public Stage {
 public:
  explicit CacheStage(CacheOptions options);
  std::string_view name() const noexcept override { return "cache"; }
  std::span<const Problem> refusals() const noexcept override;
  Verdict admit(Exchange& exchange) override;
  void answered(Exchange& exchange, const AnswerHead& head) noexcept override;
  void settle(Exchange& exchange) noexcept override;

 private:
  friend class CacheWaitStage;
  friend class CacheMiss;

  // The key as far as it is known before an answer's Vary is; in the worker's scratch.
  std::string& primary_key(Exchange& exchange) const;
  // What is kept for the request; the key that was looked for last stays in the worker's scratch.
  std::shared_ptr<const CachedAnswer> look_up(Exchange& exchange, HeldCache& held, bool* passes) const;
  void give(Exchange& exchange, HeldCache& held, std::shared_ptr<const CachedAnswer> answer,
            bool collapsed) const;
  // Asks for it by himself, and keeps what comes.
  void fetch(Exchange& exchange, HeldCache& held, std::string key, bool passes, bool store,
             ResponseCache::Lead lead) const;
  void add_vary(Exchange& exchange, const AnswerHead& head) const;

  const CacheOptions options_;
  std::vector<std::string> keyed_names_;  // of `vary`, lower case, those that are not in every key
  std::string vary_text_;
};

class CacheWaitStage final : public AsyncStage {
 public:
  static constexpr Duration kPatience = std::chrono::seconds{10};
  static constexpr int kRounds = 3;  // leaders that may go before a follower asks by himself

  CacheWaitStage(CacheStage& check, CacheSlot held) : check_(check), held_(held) {}
  std::string_view name() const noexcept override { return "cache"; }
  bool needs_waiting(const Exchange& exchange) const noexcept override;
  Verdict admit(Exchange&) override { return Verdict::proceed; }
  async::Task<Verdict> admit_async(Exchange& exchange) override;

 private:
  CacheStage& check_;
  const CacheSlot held_;
};

// For routes that keep nothing, where another route keeps answers of the same paths: invariant (4).
class InvalidateStage final : public Stage {
 public:
  explicit InvalidateStage(std::shared_ptr<ResponseCache> cache) : cache_(std::move(cache)) {}
  std::string_view name() const noexcept override { return "cache"; }
  Verdict admit(Exchange&) override { return Verdict::proceed; }
  void answered(Exchange& exchange, const AnswerHead& head) noexcept override;
  void settle(Exchange& exchange) noexcept override;

 private:
  const std::shared_ptr<ResponseCache> cache_;
};

}  // namespace weir::gateway

#endif  // WEIR_GATEWAY_STAGES_CACHE_H_
