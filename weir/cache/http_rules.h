// What HTTP allows a shared cache: RFC 9111, as functions of heads.
//
// Pure: no store, no clock. The gateway's cache stage asks here whether an answer may be kept and for how long, whether
// a kept one may be used for a request, and whether a conditional request is answered by 304.
//
//   const AnswerRules rules = judge_answer(200, fields, {.authorized = true, .delay = 12ms, .now = wall_now});
//   if (rules.store) cache.put(key, answer, bytes, now, {.fresh = rules.lifetime - rules.age});
//
// Only explicit freshness counts (s-maxage, max-age, Expires): nothing is guessed from Last-Modified (4.2.2 lets a cache
// do without). What cannot be read makes an answer stale, never fresh (4.2.1). One pass over the fields; the lists of
// names allocate.
#ifndef WEIR_CACHE_HTTP_RULES_H_
#define WEIR_CACHE_HTTP_RULES_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "weir/base/clock.h"
#include "weir/http/message.h"

namespace weir::cache {

// Seconds since 1970 of an HTTP-date in any of its three forms (RFC 9110 5.6.7); nothing when it is none.
// `now`: for the two-digit years of the second form.
std::optional<std::int64_t> parse_http_date(std::string_view text, std::int64_t now);

// Cache-Control of a request or an answer (RFC 9111 5.2). Arguments are seconds; one that is no number counts as 0, and
// of several the smallest counts.
struct CacheControl {
  bool any = false;  // there was a directive
  bool no_store = false;
  bool no_cache = false;  // with field names as well: the strict reading (5.2.2.4)
  bool is_private = false;
  bool is_public = false;
  bool must_revalidate = false;
  bool only_if_cached = false;
  std::optional<std::int64_t> max_age;
  std::optional<std::int64_t> s_maxage;
  std::optional<std::int64_t> min_fresh;

  // Adds what one field line says.
  void add(std::string_view line);
};

struct AnswerContext {
  bool authorized = false;  // the request came with a credential (3.5)
  Duration delay{};         // from the request's leaving to the answer's head
  WallTime now{};           // when the head came
};

struct AnswerRules {
  bool store = false;
  // Why not, one word; "" when it is stored.
  std::string_view why;
  Duration lifetime{};  // freshness_lifetime (4.2.1)
  Duration age{};       // corrected_initial_age (4.2.3); less than lifetime where `store` holds
};

// Whether a shared cache may store the answer of a GET (3), and how long it is fresh. Answers that set a cookie are
// never stored. CDN-Cache-Control (RFC 9213) stands in for Cache-Control and Expires where it says anything.
AnswerRules judge_answer(int status, const http::Fields& fields, const AnswerContext& context);

// The names in Vary, lower case, sorted, each once. Nothing when one is `*`, or there are more than 32.
std::optional<std::vector<std::string>> vary_names(const http::Fields& fields);

// What a request asks of a cache.
struct RequestRules {
  bool store = true;            // false: its answer must not be kept (no-store)
  bool use = true;              // false: a kept answer will not do (no-cache, Pragma; RFC 9111 5.4)
  bool only_if_cached = false;  // 504 rather than asking
  std::optional<Duration> age_max;
  Duration fresh_for{};
};
RequestRules judge_request(const http::Fields& fields);

// A kept answer of that age and lifetime will do for the request.
bool is_good_enough(const RequestRules& request, Duration age, Duration lifetime);

// The request's If-None-Match, or without one its If-Modified-Since, says that the client has this very answer (RFC
// 9110 13.2.2; weak comparison). `modified`: its Last-Modified, "" for none.
bool is_not_modified(const http::Fields& request, std::string_view etag, std::string_view modified,
                     std::int64_t now);
// There is one of the two.
bool is_conditional(const http::Fields& request);

}  // namespace weir::cache

#endif  // WEIR_CACHE_HTTP_RULES_H_
