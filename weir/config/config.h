// The typed configuration: what a file says after it has been read, checked and completed with defaults.
//
// Plain data. Every name refers to something that exists (an upstream, a limit), every number is within its
// bounds, every default is filled in: whoever builds a plan from it need not check again. load.h makes it
// from files; schema.h describes every key once, for reading, for messages and for `weir schema`.
#ifndef WEIR_CONFIG_CONFIG_H_
#define WEIR_CONFIG_CONFIG_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "weir/base/clock.h"
#include "weir/base/ip.h"
#include "weir/bff/plan.h"
#include "weir/config/auth.h"

namespace weir::experiment {
class Snapshot;
}

namespace weir::config {

// Where something was written: index into Config::files, line and column from 1.
struct Position {
  std::uint32_t file = 0;
  std::uint32_t line = 0;
  std::uint32_t column = 0;
};

struct HostPort {
  std::string host;  // an IP address in text form, or a name; "" listens everywhere (IPv4)
  std::uint16_t port = 0;
  std::string to_text() const;  // "127.0.0.1:80", "[::1]:80"
};

struct Listen {
  HostPort address;
  Position at;
};

struct Admin {
  HostPort address;
  std::string token;  // a secret; "" refuses every write
  Position at;
};

struct AccessLog {
  std::string to = "stdout";        // "stdout", "off" or a path
  double sample = 1.0;              // share of the lines that are written; errors always are
  std::vector<std::string> redact;  // names of query parameters whose values are not written
};

struct TrustedProxies {
  std::vector<base::Cidr> cidrs;
  std::uint32_t hops = 1;
};

// What `off` stands for where a bound is a plain number: 1 TiB, or as many. Never reached, and sums do not
// overflow.
inline constexpr std::uint64_t kUnbounded = 1ULL << 40;

// An absent bound (`off`) is nullopt; for the first four, kUnbounded.
struct Limits {
  std::uint64_t header_bytes = 32 * 1024;
  std::uint64_t line_bytes = 8 * 1024;
  std::uint64_t target_bytes = 8 * 1024;
  std::uint64_t header_count = 100;
  std::optional<Duration> header_timeout = std::chrono::seconds{10};
  std::optional<Duration> body_timeout = std::chrono::seconds{15};
  std::optional<std::uint64_t> body_rate_min = 256;  // bytes a second over 30 s
  std::optional<Duration> idle_timeout = std::chrono::seconds{60};
  std::optional<std::uint64_t> max_body = 64ULL * 1024 * 1024;
  std::optional<std::uint32_t> connections_per_address = 256;
};

struct Endpoint {
  std::string url;   // as written, for messages and metrics
  bool tls = false;  // https
  std::string ca;    // PEM file; "": the upstream's
  HostPort address;
  std::uint32_t weight = 1;
  Position at;
};

struct CircuitBreaker {
  // Growth of open_for while it does not get well.
  struct OpenBackoff {
    std::uint32_t factor = 2;
    Duration max = std::chrono::minutes{5};
    double jitter = 0.2;
  };
  std::uint32_t failures = 5;  // 0: only the ratios open it
  double failure_ratio = 0;    // 0: off
  std::optional<Duration> slow_call;
  double slow_ratio = 0;  // 0: off
  std::uint32_t min_calls = 20;
  Duration window = std::chrono::seconds{10};
  Duration open_for = std::chrono::seconds{30};
  std::optional<OpenBackoff> open_backoff;
  std::uint32_t half_open_probes = 1;
  std::uint32_t success_threshold = 1;
  bool shadow = false;
  // Empty: weir's default set; else checked words and statuses ("5xx", "503", "timeout").
  std::vector<std::string> failure_on;
  // What answers while it is open: another upstream, or a fixed answer.
  std::optional<std::string> fallback_upstream;
  std::optional<int> fallback_status;
  std::string fallback_body;
  Position fallback_at;
};

struct Retries {
  std::uint32_t attempts = 2;  // after the first
  std::optional<Duration> per_try;
  double budget = 0.2;  // extra calls a request
  std::uint32_t min_per_second = 10;
  Duration backoff = std::chrono::milliseconds{25};
  Duration backoff_max = std::chrono::milliseconds{250};
};

// A second call when the first is late.
struct Hedge {
  double quantile = 0.95;
  std::optional<Duration> after;  // a fixed time in place of the quantile
  Duration floor = std::chrono::milliseconds{5};
  std::vector<std::string> methods{"GET", "HEAD", "OPTIONS"};  // idempotent ones
};

// An endpoint whose calls fail is taken out.
struct Ejection {
  std::uint32_t failures = 5;  // 0: only the share
  double failure_ratio = 0;    // 0: off
  std::uint32_t min_calls = 20;
  Duration eject_for = std::chrono::seconds{30};
  double max_ejected = 0.1;
};

struct HealthCheck {
  std::string path;  // "": a connection is enough
  Duration every = std::chrono::seconds{5};
  Duration timeout = std::chrono::seconds{1};
  std::uint32_t rise = 2;
  std::uint32_t fall = 3;
};

// One source of a key: of a limit, or of a consistent hash. Several make a joined key.
struct KeyPart {
  enum class Kind : std::uint8_t {
    global,
    client_ip,
    header,
    cookie,
    query,
    path,
    method,
    host,
    route,
    passport,
    jwt
  };
  Kind kind = Kind::global;
  std::string name;  // of the header, cookie, query parameter, passport member or claim
};

struct Upstream {
  enum class Balance : std::uint8_t { least_requests, round_robin, hash };
  enum class Host : std::uint8_t { preserve, upstream, name };

  std::string name;
  std::vector<Endpoint> endpoints;  // at least one
  Duration connect_timeout = std::chrono::seconds{1};
  Duration first_byte_timeout = std::chrono::seconds{15};
  Duration idle_timeout = std::chrono::seconds{60};
  std::optional<Duration> timeout;  // a call's total; none when proxying
  std::optional<CircuitBreaker> circuit_breaker = CircuitBreaker{};
  Balance balance = Balance::least_requests;
  KeyPart hash_key;  // when balance == hash
  std::optional<Retries> retries;
  std::optional<Hedge> hedge;
  std::optional<Ejection> ejection;
  std::optional<HealthCheck> health_check;
  std::optional<Duration> slow_start;
  std::string ca;  // PEM file of authorities for https endpoints; "": the system's
  bool external = false;
  Host host = Host::preserve;
  std::string host_name;  // when host == name
  Position at;
};

// One source of a limit's key. Several make a joined key.
struct RateLimit {
  enum class Algorithm : std::uint8_t {
    exact_window,
    segmented_window,
    gcra,
    token_bucket,
    fixed_window,
    concurrency,
  };
  enum class Missing : std::uint8_t { use_client_ip, skip, deny };
  enum class Store : std::uint8_t { local, redis };
  enum class BackendError : std::uint8_t { local, allow, deny };
  // Another limit for some, by what `from` says of the request.
  struct Tier {
    std::string name;
    std::uint64_t limit = 0;
    Duration window{};
  };

  std::string name;
  std::vector<KeyPart> key;  // at least one
  std::string key_text;      // as written, for admin and messages
  std::uint64_t limit = 0;   // 0 denies all
  Duration window{};
  Algorithm algorithm = Algorithm::exact_window;
  std::uint32_t burst = 0;      // gcra, token_bucket; 0: the limit
  bool count_rejected = false;  // refused requests count, too
  bool shadow = false;          // counts and reports, never refuses
  Missing on_missing_key = Missing::use_client_ip;
  Store store = Store::local;
  BackendError on_backend_error = BackendError::local;
  std::string cost_header;  // of the answer; "": every request costs one
  std::optional<KeyPart> tier_from;
  std::vector<Tier> tiers;
  Position at;
};

// State that several gateways share.
struct Redis {
  std::string url;          // redis://[user:password@]host[:port][/database]; the password is a secret
  std::uint32_t nodes = 1;  // gateways that share it
  Duration timeout = std::chrono::milliseconds{5};
  Position at;
};

// How clients are told where they stand.
struct RateLimitHeaders {
  enum class Style : std::uint8_t { draft10, draft7, draft6, x_ratelimit, none };
  Style style = Style::draft10;
  Duration retry_jitter{};  // at most so much is added to Retry-After
};

struct Respond {
  int status = 200;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
};

// A header rewrite: removals first, then set (replacing every field of that name).
struct HeaderEdit {
  std::vector<std::pair<std::string, std::string>> set;
  std::vector<std::string> remove;
};

// Where an attribute of experiments comes from.
struct AttributeSource {
  enum class Kind : std::uint8_t { passport, header, cookie, query, client_ip, method, path, host };
  std::string attribute;
  Kind kind = Kind::passport;
  std::string name;  // of the member, header, cookie or parameter
};

struct Experiments {
  enum class Anonymous : std::uint8_t { cookie, address, off };

  std::string file;
  std::vector<AttributeSource> attributes;
  Anonymous anonymous = Anonymous::cookie;
  std::string cookie = "weir_unit";
  std::string sticky_cookie = "weir_sticky";
  std::string secret;             // "": one is made at every start
  std::string exposures = "off";  // "off", "stdout" or a path
  // The file as it was when the configuration was read; later versions of it come by load_experiments().
  std::shared_ptr<const experiment::Snapshot> snapshot;
  std::uint64_t fingerprint = 0;  // of that text: whether a later look at the file finds another one
  Position at;
};

// What the variant of an experiment changes on a route.
struct VariantEffect {
  std::string experiment;
  std::string variant;
  std::optional<std::string> upstream;
  HeaderEdit request_headers;
  HeaderEdit response_headers;  // its `remove` stays empty
};

// Answers that are kept and given again (RFC 9111).
struct RouteCache {
  std::uint64_t max_body = 1024 * 1024;  // of an answer that is kept
  bool by_user = false;                  // one answer for each user, not for each proxy state
};

struct Cors {
  std::vector<std::string> origins;  // "*", "https://app.example", "https://*.example"
  std::vector<std::string> methods{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"};
  std::optional<std::vector<std::string>> headers;  // none: whatever a preflight asks for
  std::vector<std::string> expose;
  bool credentials = false;
  Duration max_age = std::chrono::minutes{10};
};

// Shares of a semaphore's places that are kept for those who matter.
struct ShedShares {
  double critical = 0;  // only for critical requests
  double normal = 0;    // not for low ones, on top
};

// What a route does wrong on purpose.
struct Faults {
  struct Abort {
    int status = 503;
    double share = 1;  // of the requests, 0 to 1
  };
  struct Delay {
    Duration lasts{};
    double share = 1;
  };
  std::optional<Abort> abort;  // at least one of the two
  std::optional<Delay> delay;
  std::string header;              // only requests with this field; "": all
  std::uint32_t max_active = 100;  // delayed at a time
};

struct Route {
  enum class LoadShed : std::uint8_t { process, own, off };

  std::string name;                     // unique; default "GET,POST /orders/*"
  std::string path;                     // "/a", "/a/*", "/*", "/v1/{id}/x"
  std::vector<std::string> methods;     // empty: all
  std::string host;                     // "", "api.example" or "*.example", lower case
  std::vector<std::string> rate_limit;  // names of limits; defaults merged in
  LoadShed load_shed = LoadShed::process;
  enum class Priority : std::uint8_t { low, normal, critical };
  std::uint32_t max_in_flight = 0;  // when load_shed == own
  ShedShares shed_shares;           // likewise
  Priority priority = Priority::normal;
  bool hold_headers = false;  // the place comes free with the answer's head
  std::uint64_t request_buffer = 64 * 1024;
  std::vector<base::Cidr> allow;  // empty: everyone
  std::vector<base::Cidr> deny;
  HeaderEdit request_headers;
  HeaderEdit response_headers;
  bool strip_prefix = false;
  std::string rewrite;  // "" or "/v2/*"
  bool allow_encoded_slash = false;
  RouteAuth auth;
  bool forward_token = false;  // the credential goes on to the upstream
  RouteIdempotency idempotency;
  std::vector<std::string> experiments;  // keys
  std::vector<VariantEffect> variants;   // of experiments in the list above
  std::vector<std::string> flags;        // keys
  std::optional<Cors> cors;
  std::optional<RouteCache> cache;  // with `upstream` only
  std::vector<std::string> vary;    // names added to the answers' Vary
  std::optional<Faults> faults;         // needs an upstream or a page
  std::optional<std::string> upstream;  // exactly one of upstream, respond, bff and serve
  std::optional<Respond> respond;
  std::optional<bff::PageSpec> bff;  // compiles
  std::string serve;                 // "", or "experiments"
  Position at;
};

// What of requests is told to a collector of traces.
struct Tracing {
  std::optional<HostPort> otlp;  // none: nothing is sent
  std::string otlp_url;
  std::string otlp_path = "/v1/traces";
  bool otlp_tls = false;
  std::vector<std::pair<std::string, std::string>> headers;  // to the collector
  std::vector<std::pair<std::string, std::string>>
      resource;                                        // attributes of this process, beside service.name
  Duration timeout = std::chrono::seconds{10};         // of one request to the collector
  Duration export_timeout = std::chrono::seconds{30};  // of a batch, with all its repetitions
  std::uint32_t queue = 2048;                          // spans that wait, on each worker
  std::uint32_t batch = 512;
  bool parent_based = true;  // a trusted caller's decision is kept
  double sample = 0.01;
  Duration slow = std::chrono::seconds{1};
  Duration delay = std::chrono::seconds{5};  // until a batch that is not full is sent
  bool json = false;                         // else protobuf
  std::string service = "weir";
  std::vector<base::Cidr> trust;
};

// Decision records that each worker keeps.
struct Explain {
  std::uint32_t recent = 256;  // of requests that passed; 0: none
  std::uint32_t kept = 512;    // of refused, of failed and of slow ones, each; 0: none
  Duration slow = std::chrono::milliseconds{1000};
  friend bool operator==(const Explain&, const Explain&) = default;
};

struct Config {
  std::vector<std::string> files;  // as named; Position::file points here

  std::vector<Listen> listen;  // at least one
  std::optional<Admin> admin;
  std::optional<HostPort> health;
  std::optional<std::uint32_t> workers;  // none: one per core that the cgroup gives
  AccessLog access_log;
  std::string log_level = "info";  // trace debug info warn error off
  TrustedProxies trusted_proxies;
  Limits limits;
  std::uint32_t max_in_flight = 1024;  // load_shed of the process
  ShedShares shed_shares;
  std::string priority_header;  // of trusted peers; "": none
  std::string priority_claim;   // "": none
  std::uint64_t cache_bytes = 64ULL * 1024 * 1024;  // of all answers that are kept
  Explain explain;
  std::optional<Tracing> tracing;
  std::vector<Upstream> upstreams;
  std::vector<RateLimit> rate_limits;
  RateLimitHeaders rate_limit_headers;
  std::optional<Redis> redis;
  Auth auth;
  Passport passport;
  ProxyState proxy_state;
  Idempotency idempotency;
  std::optional<Experiments> experiments;
  std::vector<Route> routes;  // first match wins

  // Free text that came from `env:` or `file:` (tokens, header values, bodies): to_json() writes *** in its
  // place.
  std::vector<std::string> secrets;
};

}  // namespace weir::config

#endif  // WEIR_CONFIG_CONFIG_H_
