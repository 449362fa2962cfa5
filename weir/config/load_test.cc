// What a sound file says: every option's forms and defaults.
#include "weir/config/load.h"

#include <gtest/gtest.h>

#include "weir/config/testing.h"

namespace weir::config {
namespace {

using namespace std::chrono_literals;
using testing::case_environment;
using testing::cases;
using testing::load;
using testing::report;

// Loads a text that must be sound; warnings are allowed.
Config sound(std::string_view text) {
  LoadResult result = load(text);
  EXPECT_TRUE(result.config) << text << "\n" << report(result);
  return result.config ? *std::move(result.config) : Config{};
}

// A file with one upstream and one limit, and `route` beside its path.
Route route_with(const std::string& keys, const std::string& path = "/a/*", const std::string& more = "") {
  const Config config =
      sound("listen: :0\nupstreams: {u: {endpoints: [http://h]}}\n" + more +
            "\nrate_limits: {l: {key: client_ip, limit: 1/s}, m: {key: global, limit: 1/s}}\n"
            "routes: [{path: \"" +
            path + "\", upstream: u" + (keys.empty() ? "" : ", " + keys) + "}]\n");
  EXPECT_EQ(config.routes.size(), 1U);
  return config.routes.empty() ? Route{} : config.routes.front();
}

Upstream upstream_with(const std::string& keys) {
  const Config config =
      sound("listen: :0\nupstreams: {u: {endpoints: [http://h]" + (keys.empty() ? "" : ", " + keys) + "}}\n");
  EXPECT_EQ(config.upstreams.size(), 1U);
  return config.upstreams.empty() ? Upstream{} : config.upstreams.front();
}

RateLimit limit_with(const std::string& keys) {
  const Config config = sound("listen: :0\nrate_limits: {l: {" + keys + "}}\n");
  EXPECT_EQ(config.rate_limits.size(), 1U);
  return config.rate_limits.empty() ? RateLimit{} : config.rate_limits.front();
}

// The file that `./dev run` uses loads without a word.
TEST(Load, Quickstart) {
  const LoadResult result = load_file(WEIR_SOURCE_DIR "/examples/quickstart/weir.yaml", system_environment());
  EXPECT_EQ(report(result), "");
  ASSERT_TRUE(result.config);
  const Config& config = *result.config;
  EXPECT_EQ(config.listen.at(0).address.to_text(), "127.0.0.1:8080");
  EXPECT_EQ(config.admin->address.to_text(), "127.0.0.1:9901");
  EXPECT_EQ(config.max_in_flight, 50U);
  ASSERT_EQ(config.upstreams.size(), 3U);
  EXPECT_EQ(config.upstreams[1].name, "orders");
  EXPECT_EQ(config.upstreams[1].endpoints.at(0).address.port, 9002);
  ASSERT_EQ(config.routes.size(), 4U);
  EXPECT_EQ(config.routes[0].rate_limit, std::vector<std::string>{"per_client"});
  EXPECT_TRUE(config.routes[3].rate_limit.empty());
  EXPECT_EQ(config.routes[3].respond->body, "ok");
}

// Every good file of the collection loads.
TEST(Load, EveryGoodFile) {
  for (const std::string& name : cases("good")) {
    const LoadResult result = load_file(name, case_environment());
    EXPECT_TRUE(result.config) << report(result);
    EXPECT_EQ(report(result), "") << name;
  }
}

// What is not written has the contract's default (section 1).
TEST(Load, DefaultsOfTheProcess) {
  const Config config = sound("listen: 127.0.0.1:8080\n");
  EXPECT_EQ(config.files, std::vector<std::string>{"weir.yaml"});
  ASSERT_EQ(config.listen.size(), 1U);
  EXPECT_FALSE(config.admin);
  EXPECT_FALSE(config.health);
  EXPECT_FALSE(config.workers);
  EXPECT_EQ(config.access_log.to, "stdout");
  EXPECT_EQ(config.access_log.sample, 1.0);
  EXPECT_EQ(config.log_level, "info");
  EXPECT_TRUE(config.trusted_proxies.cidrs.empty());
  EXPECT_EQ(config.trusted_proxies.hops, 1U);
  EXPECT_EQ(config.limits.header_bytes, 32U * 1024);
  EXPECT_EQ(config.limits.line_bytes, 8U * 1024);
  EXPECT_EQ(config.limits.target_bytes, 8U * 1024);
  EXPECT_EQ(config.limits.header_count, 100U);
  EXPECT_EQ(config.limits.header_timeout, 10s);
  EXPECT_EQ(config.limits.body_timeout, 15s);
  EXPECT_EQ(config.limits.body_rate_min, 256U);
  EXPECT_EQ(config.limits.idle_timeout, 60s);
  EXPECT_EQ(config.limits.max_body, 64U * 1024 * 1024);
  EXPECT_EQ(config.limits.connections_per_address, 256U);
  EXPECT_EQ(config.max_in_flight, 1024U);
  EXPECT_TRUE(config.upstreams.empty());
  EXPECT_TRUE(config.rate_limits.empty());
  EXPECT_TRUE(config.routes.empty());
}

TEST(Load, DefaultsOfAnUpstream) {
  const Upstream upstream = upstream_with("");
  EXPECT_EQ(upstream.name, "u");
  EXPECT_EQ(upstream.endpoints.at(0).url, "http://h");
  EXPECT_EQ(upstream.endpoints.at(0).address.to_text(), "h:80");
  EXPECT_EQ(upstream.endpoints.at(0).weight, 1U);
  EXPECT_EQ(upstream.connect_timeout, 1s);
  EXPECT_EQ(upstream.first_byte_timeout, 15s);
  EXPECT_EQ(upstream.idle_timeout, 60s);
  EXPECT_FALSE(upstream.timeout);
  ASSERT_TRUE(upstream.circuit_breaker);
  EXPECT_EQ(upstream.circuit_breaker->failures, 5U);
  EXPECT_EQ(upstream.circuit_breaker->open_for, 30s);
  EXPECT_EQ(upstream.circuit_breaker->half_open_probes, 1U);
  EXPECT_EQ(upstream.circuit_breaker->success_threshold, 1U);
  EXPECT_TRUE(upstream.circuit_breaker->failure_on.empty());
  EXPECT_EQ(upstream.balance, Upstream::Balance::least_requests);
  EXPECT_FALSE(upstream.external);
  EXPECT_EQ(upstream.host, Upstream::Host::preserve);
}

TEST(Load, DefaultsOfARoute) {
  const Route route = route_with("");
  EXPECT_EQ(route.name, "/a/*");
  EXPECT_TRUE(route.methods.empty());
  EXPECT_EQ(route.host, "");
  EXPECT_TRUE(route.rate_limit.empty());
  EXPECT_EQ(route.load_shed, Route::LoadShed::process);
  EXPECT_EQ(route.request_buffer, 64U * 1024);
  EXPECT_TRUE(route.allow.empty());
  EXPECT_TRUE(route.deny.empty());
  EXPECT_FALSE(route.strip_prefix);
  EXPECT_EQ(route.rewrite, "");
  EXPECT_FALSE(route.allow_encoded_slash);
  EXPECT_EQ(route.upstream, "u");
  EXPECT_FALSE(route.respond);
}

// `listen` is an address, a list of addresses, or a list of maps; "" is every IPv4 address.
TEST(Load, ListenForms) {
  EXPECT_EQ(sound("listen: \":8080\"").listen.at(0).address.host, "");
  const Config config = sound("listen: [127.0.0.1:1, {address: \"[::1]:2\"}]");
  ASSERT_EQ(config.listen.size(), 2U);
  EXPECT_EQ(config.listen[0].address.to_text(), "127.0.0.1:1");
  EXPECT_EQ(config.listen[1].address.to_text(), "[::1]:2");
  EXPECT_EQ(config.listen[1].at.line, 1U);
  EXPECT_EQ(config.listen[1].at.column, 33U);
  // Port 0 asks for any free port: as often as wanted.
  EXPECT_EQ(sound("listen: [127.0.0.1:0, 127.0.0.1:0]").listen.size(), 2U);
}

TEST(Load, AdminForms) {
  EXPECT_EQ(sound("listen: :0\nadmin: 127.0.0.1:9901").admin->token, "");
  const Config config = sound("listen: :0\nadmin: {listen: 127.0.0.1:9901, token: env:WEIR_TEST_SECRET}");
  EXPECT_EQ(config.admin->address.to_text(), "127.0.0.1:9901");
  EXPECT_EQ(config.admin->token, "hunter2");
}

TEST(Load, WorkersForms) {
  EXPECT_FALSE(sound("listen: :0\nworkers: auto").workers);
  EXPECT_EQ(sound("listen: :0\nworkers: 4").workers, 4U);
}

// A file's path is relative to the file that names it.
TEST(Load, AccessLogForms) {
  EXPECT_EQ(sound("listen: :0\naccess_log: off").access_log.to, "off");
  EXPECT_EQ(sound("listen: :0\naccess_log: stdout").access_log.to, "stdout");
  EXPECT_EQ(sound("listen: :0\naccess_log: access.log").access_log.to, "access.log");
  EXPECT_EQ(sound("listen: :0\naccess_log: /var/log/weir.log").access_log.to, "/var/log/weir.log");
  const Config config = sound("listen: :0\naccess_log: {to: off, sample: 1%, redact: [token]}");
  EXPECT_EQ(config.access_log.to, "off");
  EXPECT_DOUBLE_EQ(config.access_log.sample, 0.01);
  EXPECT_EQ(config.access_log.redact, std::vector<std::string>{"token"});
  const LoadResult elsewhere =
      load_text("conf/weir.yaml", "listen: :0\naccess_log: {to: logs/a.log}", case_environment());
  EXPECT_EQ(elsewhere.config->access_log.to, "conf/logs/a.log");
}

// Every bound may be `off`.
TEST(Load, LimitsOff) {
  const Limits limits = sound(
                            "listen: :0\nlimits: {header_bytes: off, line_bytes: off, target_bytes: off, "
                            "header_count: off, header_timeout: off, "
                            "body_timeout: off, body_rate_min: off, idle_timeout: off, max_body: off, "
                            "connections_per_address: off}")
                            .limits;
  EXPECT_EQ(limits.header_bytes, kUnbounded);
  EXPECT_EQ(limits.line_bytes, kUnbounded);
  EXPECT_EQ(limits.target_bytes, kUnbounded);
  EXPECT_EQ(limits.header_count, kUnbounded);
  EXPECT_FALSE(limits.header_timeout);
  EXPECT_FALSE(limits.body_timeout);
  EXPECT_FALSE(limits.body_rate_min);
  EXPECT_FALSE(limits.idle_timeout);
  EXPECT_FALSE(limits.max_body);
  EXPECT_FALSE(limits.connections_per_address);
}

TEST(Load, LimitsRaised) {
  const Limits limits =
      sound("listen: :0\nlimits: {header_bytes: 1MiB, header_count: 500, body_timeout: 2m, max_body: 0}")
          .limits;
  EXPECT_EQ(limits.header_bytes, 1024U * 1024);
  EXPECT_EQ(limits.header_count, 500U);
  EXPECT_EQ(limits.body_timeout, 2min);
  EXPECT_EQ(limits.max_body, 0U);
  EXPECT_EQ(limits.line_bytes, 8U * 1024);
}

TEST(Load, UpstreamForms) {
  const Upstream upstream = upstream_with(
      "timeouts: {connect: 250ms, idle: 2m}, timeout: 2s, balance: round_robin, external: true, host: "
      "Internal.Example, "
      "circuit_breaker: {failures: 3, open_for: 10s, half_open_probes: 2, success_threshold: 4, failure_on: "
      "[503, \"!501\", reset]}");
  EXPECT_EQ(upstream.connect_timeout, 250ms);
  EXPECT_EQ(upstream.first_byte_timeout, 15s);
  EXPECT_EQ(upstream.idle_timeout, 2min);
  EXPECT_EQ(upstream.timeout, 2s);
  EXPECT_EQ(upstream.balance, Upstream::Balance::round_robin);
  EXPECT_TRUE(upstream.external);
  EXPECT_EQ(upstream.host, Upstream::Host::name);
  EXPECT_EQ(upstream.host_name, "internal.example");
  EXPECT_EQ(upstream.circuit_breaker->failures, 3U);
  EXPECT_EQ(upstream.circuit_breaker->open_for, 10s);
  EXPECT_EQ(upstream.circuit_breaker->half_open_probes, 2U);
  EXPECT_EQ(upstream.circuit_breaker->success_threshold, 4U);
  EXPECT_EQ(upstream.circuit_breaker->failure_on, (std::vector<std::string>{"503", "!501", "reset"}));
  EXPECT_FALSE(upstream_with("circuit_breaker: off").circuit_breaker);
  EXPECT_TRUE(upstream_with("circuit_breaker: {}").circuit_breaker);
  EXPECT_FALSE(upstream_with("timeout: off").timeout);
  EXPECT_EQ(upstream_with("host: upstream").host, Upstream::Host::upstream);
}

// A limit is a rate, or a number beside a window of any length.
TEST(Load, RateLimitForms) {
  RateLimit limit = limit_with("key: client_ip, limit: 100/min");
  EXPECT_EQ(limit.limit, 100U);
  EXPECT_EQ(limit.window, 1min);
  EXPECT_EQ(limit.key_text, "client_ip");
  EXPECT_EQ(limit.algorithm, RateLimit::Algorithm::exact_window);
  EXPECT_EQ(limit.on_missing_key, RateLimit::Missing::use_client_ip);
  EXPECT_FALSE(limit.shadow);

  limit = limit_with(
      "key: [client_ip, \"header:X-Key\"], limit: 7, window: 90s, shadow: true, on_missing_key: deny");
  EXPECT_EQ(limit.limit, 7U);
  EXPECT_EQ(limit.window, 90s);
  EXPECT_EQ(limit.key_text, "client_ip, header:X-Key");
  ASSERT_EQ(limit.key.size(), 2U);
  EXPECT_EQ(limit.key[1].kind, KeyPart::Kind::header);
  EXPECT_EQ(limit.key[1].name, "X-Key");
  EXPECT_TRUE(limit.shadow);
  EXPECT_EQ(limit.on_missing_key, RateLimit::Missing::deny);

  EXPECT_EQ(limit_with("key: global, limit: 0/h").limit, 0U);
  EXPECT_EQ(limit_with("key: global, limit: 0, window: 1s").window, 1s);
  EXPECT_EQ(limit_with("key: global, limit: 1, window: 1ms, on_missing_key: skip").on_missing_key,
            RateLimit::Missing::skip);
}

// Exact up to 1024, segmented above, either by name.
TEST(Load, AlgorithmFollowsTheLimit) {
  using Algorithm = RateLimit::Algorithm;
  EXPECT_EQ(limit_with("key: global, limit: 1024/s").algorithm, Algorithm::exact_window);
  EXPECT_EQ(limit_with("key: global, limit: 1025/s").algorithm, Algorithm::segmented_window);
  EXPECT_EQ(limit_with("key: global, limit: 1/s, algorithm: segmented_window").algorithm,
            Algorithm::segmented_window);
  EXPECT_EQ(limit_with("key: global, limit: 9999/s, algorithm: exact_window").algorithm,
            Algorithm::exact_window);
}

// A key that the route writes replaces the default whole; [] and off clear it.
TEST(Load, DefaultsAreReplacedWhole) {
  const std::string defaults =
      "defaults: {rate_limit: [l], load_shed: off, allow: [10.0.0.0/8], headers: {request: {set: {X-A: b}}}}";
  Route route = route_with("", "/a", defaults);
  EXPECT_EQ(route.rate_limit, std::vector<std::string>{"l"});
  EXPECT_EQ(route.load_shed, Route::LoadShed::off);
  EXPECT_EQ(route.allow.size(), 1U);
  EXPECT_EQ(route.request_headers.set.size(), 1U);

  route = route_with("rate_limit: [m], load_shed: true, allow: [], headers: {response: {remove: [Server]}}",
                     "/a", defaults);
  EXPECT_EQ(route.rate_limit, std::vector<std::string>{"m"});
  EXPECT_EQ(route.load_shed, Route::LoadShed::process);
  EXPECT_TRUE(route.allow.empty());
  EXPECT_TRUE(route.request_headers.set.empty());
  EXPECT_EQ(route.response_headers.remove, std::vector<std::string>{"Server"});

  EXPECT_TRUE(route_with("rate_limit: []", "/a", defaults).rate_limit.empty());
  EXPECT_TRUE(route_with("rate_limit: off", "/a", defaults).rate_limit.empty());
}

TEST(Load, RouteForms) {
  Route route = route_with(
      "methods: [GET, POST], host: \"*.Example\", load_shed: {max_in_flight: 20}, request_buffer: 0, "
      "deny: [192.0.2.1], rewrite: /v2/*, allow_encoded_slash: true");
  EXPECT_EQ(route.name, "GET,POST /a/*");
  EXPECT_EQ(route.host, "*.example");
  EXPECT_EQ(route.load_shed, Route::LoadShed::own);
  EXPECT_EQ(route.max_in_flight, 20U);
  EXPECT_EQ(route.request_buffer, 0U);
  EXPECT_EQ(route.deny.at(0).to_text(), "192.0.2.1/32");
  EXPECT_EQ(route.rewrite, "/v2/*");
  EXPECT_TRUE(route.allow_encoded_slash);
  EXPECT_TRUE(route_with("strip_prefix: true").strip_prefix);
  EXPECT_EQ(route_with("name: my route").name, "my route");
}

TEST(Load, Respond) {
  const Config config = sound(
      "listen: :0\nroutes: [{path: /a, respond: {status: 308, headers: {Location: /new}, body: moved}}, "
      "{path: /b, respond: {}}]");
  ASSERT_EQ(config.routes.size(), 2U);
  EXPECT_EQ(config.routes[0].respond->status, 308);
  EXPECT_EQ(config.routes[0].respond->headers.at(0),
            (std::pair<std::string, std::string>("Location", "/new")));
  EXPECT_EQ(config.routes[0].respond->body, "moved");
  EXPECT_EQ(config.routes[1].respond->status, 200);
  EXPECT_EQ(config.routes[1].respond->body, "");
}

// Plain scalars are taken as they are written, whatever YAML 1.1 would make of them.
TEST(Load, TextIsTakenAsWritten) {
  const Config config = sound(
      "listen: :0\nroutes: [{path: /a, respond: {headers: {X-A: 010, X-B: on, X-C: 1e3, X-D: true}, body: "
      "1_000}}]");
  const auto& headers = config.routes.at(0).respond->headers;
  EXPECT_EQ(headers.at(0).second, "010");
  EXPECT_EQ(headers.at(1).second, "on");
  EXPECT_EQ(headers.at(2).second, "1e3");
  EXPECT_EQ(headers.at(3).second, "true");
  EXPECT_EQ(config.routes.at(0).respond->body, "1_000");
}

// Any scalar may come from the environment or from a file, of which one last line end is dropped.
TEST(Load, ValuesFromOutside) {
  Environment environment = case_environment();
  environment.variable = [](const std::string& name) -> std::optional<std::string> {
    if (name == "PORT") return "127.0.0.1:7";
    if (name == "COUNT") return "12";
    if (name == "WAIT") return "3s";
    if (name == "ON") return "true";
    return std::nullopt;
  };
  environment.read_file = [](const std::string& path) -> Result<std::string> {
    if (path == "conf/body.txt") return std::string("two\nlines\r\n");
    return Error(ErrorCode::not_found, "absent");
  };
  const LoadResult result =
      load_text("conf/weir.yaml",
                "listen: env:PORT\nload_shed: {max_in_flight: env:COUNT}\n"
                "upstreams: {u: {endpoints: [http://h], timeout: env:WAIT, external: env:ON}}\n"
                "routes: [{path: /a, respond: {body: file:body.txt}}]\n",
                environment);
  ASSERT_TRUE(result.config) << report(result);
  EXPECT_EQ(result.config->listen.at(0).address.port, 7);
  EXPECT_EQ(result.config->max_in_flight, 12U);
  EXPECT_EQ(result.config->upstreams.at(0).timeout, 3s);
  EXPECT_TRUE(result.config->upstreams.at(0).external);
  EXPECT_EQ(result.config->routes.at(0).respond->body, "two\nlines");
}

// A dump shows *** in place of free text from outside, everywhere it stands.
TEST(Load, SecretsStayOutOfDumps) {
  const LoadResult result = load_file("good/everything.yaml", case_environment());
  ASSERT_TRUE(result.config);
  EXPECT_EQ(result.config->admin->token, "hunter2");
  EXPECT_EQ(result.config->routes.at(0).request_headers.set.at(1).second, "hunter2");
  const std::string dump = to_json(*result.config);
  EXPECT_EQ(dump.find("hunter2"), std::string::npos);
  EXPECT_NE(dump.find("\"X-Secret\":\"***\""), std::string::npos);
  EXPECT_NE(dump.find("\"token\":\"***\""), std::string::npos);
}

// Included routes follow the file's own; names of both files are one world; positions keep their file.
TEST(Load, Includes) {
  Environment environment = case_environment();
  environment.read_file = [](const std::string& path) -> Result<std::string> {
    if (path == "conf/routes/a.yaml")
      return std::string("routes: [{path: /a, upstream: u}]\ninclude: [deep/d.yaml]\n");
    if (path == "conf/routes/b.yaml")
      return std::string("upstreams: {v: {endpoints: [http://v]}}\nroutes: [{path: /b, upstream: v}]\n");
    if (path == "conf/routes/deep/d.yaml") return std::string("routes: [{path: /d, upstream: v}]\n");
    return Error(ErrorCode::not_found, "absent: " + path);
  };
  environment.glob = [](const std::string& pattern) {
    EXPECT_EQ(pattern, "conf/routes/*.yaml");
    return std::vector<std::string>{"conf/routes/a.yaml", "conf/routes/b.yaml"};
  };
  const LoadResult result =
      load_text("conf/weir.yaml",
                "include: [routes/*.yaml]\nlisten: :0\nupstreams: {u: {endpoints: [http://u]}}\n"
                "routes: [{path: /own, upstream: v}]\n",
                environment);
  ASSERT_TRUE(result.config) << report(result);
  std::string order;
  for (const Route& route : result.config->routes)
    order += route.path + "@" + result.files.at(route.at.file) + " ";
  EXPECT_EQ(order,
            "/own@conf/weir.yaml /a@conf/routes/a.yaml /d@conf/routes/deep/d.yaml /b@conf/routes/b.yaml ");
  EXPECT_EQ(result.config->files, result.files);
}

// Windows' line ends, a byte order mark and JSON are all the same file.
TEST(Load, SpellingsOfTheSameFile) {
  const std::string plain = to_json(sound("listen: 127.0.0.1:80\nworkers: 2\n"));
  EXPECT_EQ(to_json(sound("listen: 127.0.0.1:80\r\nworkers: 2\r\n")), plain);
  EXPECT_EQ(to_json(sound("\xef\xbb\xbflisten: 127.0.0.1:80\nworkers: 2\n")), plain);
  EXPECT_EQ(to_json(sound("{\"listen\": \"127.0.0.1:80\", \"workers\": 2}")), plain);
  EXPECT_EQ(to_json(sound("---\nworkers: 2\nlisten: '127.0.0.1:80'\n...\n")), plain);
}

// Ten thousand routes load in time that nobody notices, alike or not.
TEST(Load, ManyRoutes) {
  std::string text = "listen: :0\nroutes:\n";
  for (int i = 0; i < 10'000; ++i) text += "- {path: /api/v1/r" + std::to_string(i) + ", respond: {}}\n";
  EXPECT_EQ(sound(text).routes.size(), 10'000U);
}

}  // namespace
}  // namespace weir::config
