// What `weir diff` says about two configurations.
#include "weir/server/diff_cli.h"

#include <gtest/gtest.h>

#include "weir/config/load.h"

namespace weir::server {
namespace {

config::Config load(const std::string& text) {
  config::LoadResult result = config::load_text("weir.yaml", text, config::system_environment());
  for (const config::Diagnostic& d : result.diagnostics) ADD_FAILURE() << to_text(d, result.files);
  return std::move(*result.config);
}

const std::string kBase =
    "listen: 127.0.0.1:8080\n"
    "rate_limits: {per_client: {key: client_ip, limit: 100/min}}\n"
    "upstreams: {users: {endpoints: [http://127.0.0.1:9001]}}\n";

// How a file is written makes no difference: order of keys, defaults that are named, units.
TEST(Diff, ComparesWhatIsMeant) {
  const std::string routes = "routes: [{name: u, path: /u/*, upstream: users, rate_limit: [per_client]}]\n";
  const std::string otherwise =
      "routes:\n  - {upstream: users, name: u, rate_limit: [per_client], path: /u/*}\n"
      "upstreams: {users: {timeouts: {connect: 1000ms}, endpoints: [http://127.0.0.1:9001]}}\n"
      "rate_limits: {per_client: {key: client_ip, limit: 100, window: 60s}}\n"
      "listen: 127.0.0.1:8080\n";
  EXPECT_EQ(diff_text(load(kBase + routes), load(otherwise)), "no difference\n");
}

// A value that changes is named by its path; what is added or taken away is one line; state is told by name.
TEST(Diff, NamesChangesAndState) {
  const config::Config before =
      load(kBase + "routes: [{name: u, path: /u/*, upstream: users, rate_limit: [per_client]}]\n");
  const config::Config after = load(
      "listen: 127.0.0.1:8080\n"
      "rate_limits: {per_client: {key: client_ip, limit: 200/min}, fresh: {key: global, limit: 5/s}}\n"
      "upstreams: {orders: {endpoints: [http://127.0.0.1:9002]}}\n"
      "routes:\n"
      "  - {name: o, path: /o/*, upstream: orders, rate_limit: [fresh], load_shed: {max_in_flight: 5}}\n"
      "  - {name: u, path: /u/*, upstream: orders, rate_limit: [per_client]}\n");
  const std::string text = diff_text(before, after);
  EXPECT_NE(text.find("~ rate_limits.per_client.limit: 100 -> 200\n"), std::string::npos) << text;
  EXPECT_NE(text.find("+ rate_limits.fresh: {"), std::string::npos) << text;
  EXPECT_NE(text.find("- upstreams.users: {"), std::string::npos) << text;
  EXPECT_NE(text.find("+ routes[o]: {"), std::string::npos) << text;
  EXPECT_NE(text.find("~ routes[u].upstream: \"users\" -> \"orders\"\n"), std::string::npos) << text;
  EXPECT_NE(text.find("limit per_client: kept\n"), std::string::npos) << text;
  EXPECT_NE(text.find("limit fresh: new\n"), std::string::npos) << text;
  EXPECT_NE(text.find("semaphore of route o: new\n"), std::string::npos) << text;
  EXPECT_NE(text.find("breaker users: gone\n"), std::string::npos) << text;
  const std::string json = diff_json(before, after);
  EXPECT_NE(json.find(R"({"path": "rate_limits.per_client.limit", "old": 100, "new": 200})"),
            std::string::npos)
      << json;
  EXPECT_NE(json.find(R"({"what": "breaker", "name": "users", "fate": "gone"})"), std::string::npos) << json;
}

// The first route that matches wins: another order is another meaning.
TEST(Diff, SeesTheOrderOfRoutes) {
  const std::string a = "  - {name: a, path: /a/*, upstream: users}\n";
  const std::string b = "  - {name: b, path: /b/*, upstream: users}\n";
  EXPECT_EQ(diff_text(load(kBase + "routes:\n" + a + b), load(kBase + "routes:\n" + b + a)).substr(0, 54),
            "~ routes (order): [\"a\",\"b\"] -> [\"b\",\"a\"]\nstate:\n  limi");
}

}  // namespace
}  // namespace weir::server
