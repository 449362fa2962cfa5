// The command line: exit codes, messages, the gateway without a file.
#include <signal.h>

#include <string>
#include <vector>

#include "tests/acceptance/acceptance.h"

namespace weir::testing {
namespace {

Finished weir(std::vector<std::string> arguments, Process::Environment environment = {}) {
  arguments.insert(arguments.begin(), weir_binary());
  return run(std::move(arguments), std::move(environment));
}

constexpr std::string_view kGood = R"(
listen: 127.0.0.1:8080
upstreams: {users: {endpoints: [http://127.0.0.1:9001]}}
rate_limits: {per_client: {key: client_ip, limit: 100/min}}
routes: [{path: /users/*, rate_limit: [per_client], upstream: users}]
)";

// 0 for a valid file, 1 for an invalid one, 2 for misuse.
TEST(Check, HasThreeExitCodes) {
  const TemporaryFolder folder;
  const std::string good = folder.write("good.yaml", kGood);
  const std::string bad = folder.write("bad.yaml", "listen: nowhere\n");
  EXPECT_EQ(weir({"check", good}).exit_code, 0) << weir({"check", good}).err;
  EXPECT_EQ(weir({"check", bad}).exit_code, 1);
  EXPECT_EQ(weir({"check", good, bad}).exit_code, 1);
  EXPECT_EQ(weir({"check", folder.file("missing.yaml")}).exit_code, 1);
  EXPECT_EQ(weir({"check"}).exit_code, 2);
  EXPECT_EQ(weir({"check", "--nonsense", good}).exit_code, 2);
  EXPECT_EQ(weir({"nonsense"}).exit_code, 2);
  EXPECT_EQ(weir({}).exit_code, 2);
}

// All mistakes at once, each with file, line, column and what would be right.
TEST(Check, ReportsEveryMistakeAtOnce) {
  const TemporaryFolder folder;
  const std::string path = folder.write("weir.yaml", R"(listen: 127.0.0.1:8080
lod_shed: {max_in_flight: 5}
upstreams:
  users: {endpoints: [http://127.0.0.1:9001]}
routes:
  - path: /a
    upstrem: users
  - path: /b
    upstream: user
  - path: /c
    rate_limit: [per_client]
    upstream: users
)");
  const Finished finished = weir({"check", path});
  const std::string text = finished.out + finished.err;
  EXPECT_EQ(finished.exit_code, 1);
  EXPECT_NE(text.find("weir.yaml:2:1: "), std::string::npos) << text;
  EXPECT_NE(text.find("load_shed"), std::string::npos) << text;
  EXPECT_NE(text.find("weir.yaml:7:5: "), std::string::npos) << text;
  EXPECT_NE(text.find("did you mean"), std::string::npos) << text;
  EXPECT_NE(text.find("weir.yaml:9:"), std::string::npos) << text;
  EXPECT_NE(text.find("weir.yaml:11:"), std::string::npos) << text;
}

// Keys of the contract that this version does not serve yet are said to be so, never passed over.
TEST(Check, SaysWhatIsNotSupportedYet) {
  const TemporaryFolder folder;
  for (const char* key : {"tls: {}", "proxy_protocol: true"}) {
    const std::string path =
        folder.write("weir.yaml", "listen: [{address: 127.0.0.1:8080, " + std::string(key) +
                                      "}]\nroutes: [{path: /*, respond: {status: 200}}]\n");
    const Finished finished = weir({"check", path});
    EXPECT_EQ(finished.exit_code, 1) << key;
    EXPECT_NE((finished.out + finished.err).find("not yet supported"), std::string::npos)
        << key << finished.err;
  }
}

// A route that only a key of the stranger's own choice limits is worth a warning, and still valid.
TEST(Check, WarnsOfLimitsThatStrangersChoose) {
  const TemporaryFolder folder;
  const std::string path = folder.write("weir.yaml", R"(listen: 127.0.0.1:8080
rate_limits: {per_key: {key: "header:X-Api-Key", limit: 100/min}}
routes: [{path: /*, rate_limit: [per_key], respond: {status: 200}}]
)");
  const Finished finished = weir({"check", path});
  EXPECT_EQ(finished.exit_code, 0) << finished.err;
  EXPECT_NE((finished.out + finished.err).find("per_key"), std::string::npos) << finished.out << finished.err;
}

// A route that an earlier one hides entirely is an error.
TEST(Check, RefusesHiddenRoutes) {
  const TemporaryFolder folder;
  const std::string path = folder.write("weir.yaml", R"(listen: 127.0.0.1:8080
routes:
  - {path: /a/*, respond: {status: 200}}
  - {path: /a/b, respond: {status: 201}}
)");
  EXPECT_EQ(weir({"check", path}).exit_code, 1);
}

// Other files are named where a mistake is theirs, and their relative paths start at their own folder.
TEST(Check, KeepsThePositionsOfIncludedFiles) {
  const TemporaryFolder folder;
  const std::string routes = folder.write("more.yaml", "routes:\n  - {path: /a, respnd: {status: 200}}\n");
  const std::string path = folder.write("weir.yaml", "listen: 127.0.0.1:8080\ninclude: [more.yaml]\n");
  const Finished finished = weir({"check", path});
  EXPECT_EQ(finished.exit_code, 1);
  EXPECT_NE((finished.out + finished.err).find("more.yaml:2:"), std::string::npos) << finished.err;
}

// A scalar may come from the environment; a variable that is not set is a mistake of the file.
TEST(Check, ReadsTheEnvironment) {
  const TemporaryFolder folder;
  const std::string path = folder.write("weir.yaml", R"(listen: env:WEIR_TEST_LISTEN
routes: [{path: /*, respond: {status: 200}}]
)");
  EXPECT_EQ(weir({"check", path}, {{"WEIR_TEST_LISTEN", "127.0.0.1:8080"}}).exit_code, 0);
  const Finished unset = weir({"check", path});
  EXPECT_EQ(unset.exit_code, 1);
  EXPECT_NE((unset.out + unset.err).find("WEIR_TEST_LISTEN"), std::string::npos) << unset.err;
}

// Where a machine reads, the output is JSON.
TEST(Check, SpeaksJson) {
  const TemporaryFolder folder;
  const std::string path = folder.write("weir.yaml", "lisen: 127.0.0.1:8080\n");
  const Finished finished = weir({"check", "--output", "json", path});
  EXPECT_EQ(finished.exit_code, 1);
  std::string_view rest = finished.out;
  ASSERT_FALSE(rest.empty()) << finished.err;
  if (!Json::parse(rest)) {  // one document, or one object a line
    while (!rest.empty()) {
      const std::string_view line = rest.substr(0, rest.find('\n'));
      EXPECT_TRUE(Json::parse(line)) << line;
      rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    }
  }
}

// Every command explains itself, with an example.
TEST(Help, HasAnExampleEverywhere) {
  const Finished all = weir({"--help"});
  EXPECT_EQ(all.exit_code, 0);
  for (const char* command : {"run", "check", "proxy", "reload", "schema", "version"}) {
    EXPECT_NE(all.out.find(command), std::string::npos) << command;
    const Finished finished = weir({command, "--help"});
    EXPECT_EQ(finished.exit_code, 0) << command;
    EXPECT_NE(finished.out.find("xample"), std::string::npos) << finished.out;
    EXPECT_NE(finished.out.find("weir " + std::string(command)), std::string::npos) << finished.out;
  }
}

TEST(Version, IsOneLine) {
  const Finished finished = weir({"version"});
  EXPECT_EQ(finished.exit_code, 0);
  EXPECT_EQ(finished.out.substr(0, 5), "weir ") << finished.out;
}

// The schema is JSON that an editor can use.
TEST(Schema, IsJson) {
  const Finished finished = weir({"schema"});
  EXPECT_EQ(finished.exit_code, 0);
  const std::optional<Json> schema = Json::parse(finished.out);
  ASSERT_TRUE(schema) << finished.out.substr(0, 500);
  EXPECT_TRUE(schema->has("properties"));
}

// `weir proxy` is a whole gateway in one line: limited, shed, with an admin listener.
TEST(Proxy, NeedsNoFile) {
  Origin origin;
  Gate gate;
  origin.on_hold("/hold", gate);
  const std::string port = std::to_string(free_port());
  const std::string admin = std::to_string(free_port());
  Process gateway({weir_binary(), "proxy", "127.0.0.1:" + port, origin.url(), "--limit", "5/h",
                   "--max-in-flight", "1", "--admin", "127.0.0.1:" + admin});
  const auto admin_port = static_cast<std::uint16_t>(std::stoi(admin));
  const auto proxy_port = static_cast<std::uint16_t>(std::stoi(port));
  ASSERT_TRUE(eventually([&] {
    return !gateway.running() || get(admin_port, "/readyz", {{"Host", "127.0.0.1:" + admin}}).status == 200;
  }));
  const Answer first = get(proxy_port, "/some/path");
  EXPECT_EQ(first.status, 200) << first << gateway.err();
  EXPECT_EQ(first.field("RateLimit-Policy"), "\"default\";q=5;w=3600");
  EXPECT_EQ(origin.last().target, "/some/path");
  Client held(proxy_port);
  held.send(request_text("GET", "/hold"));
  ASSERT_TRUE(origin.wait_for_in_flight(1));
  EXPECT_EQ(problem_type(get(proxy_port, "/")), "load-shed");
  gate.open();
  EXPECT_EQ(held.read().status, 200);
  get(proxy_port, "/");
  get(proxy_port, "/");
  EXPECT_EQ(problem_type(get(proxy_port, "/")), "rate-limited");
  gateway.signal(SIGTERM);
  EXPECT_EQ(gateway.wait(), 0) << gateway.err();
}

// Without options nothing is limited, and `:PORT` listens on every address.
TEST(Proxy, IsUnlimitedByDefault) {
  Origin origin;
  const std::uint16_t port = free_port();
  Process gateway(
      {weir_binary(), "proxy", ":" + std::to_string(port), "127.0.0.1:" + std::to_string(origin.port())});
  ASSERT_TRUE(eventually([&] { return !gateway.running() || get(port, "/").status == 200; }))
      << gateway.err();
  Client other(port, "127.0.0.9");
  for (int i = 0; i < 300; ++i) ASSERT_EQ(other.get("/").status, 200);
  EXPECT_FALSE(other.get("/").has("RateLimit"));
  EXPECT_EQ(weir({"proxy", ":1"}).exit_code, 2);
}

// Each decision and the sums, for people and for machines; bad lines with their place; 0, 1 and 2.
TEST(Replay, DecidesWrittenDownCalls) {
  const TemporaryFolder folder;
  const std::string calls = folder.write("calls.jsonl",
                                         "{\"t\":0,\"key\":\"a\"}\n{\"t\":1,\"key\":\"a\"}\n{\"t\":2.5,"
                                         "\"key\":\"a\"}\n{\"t\":60,\"key\":\"a\"}\n");
  const Finished text = weir({"ratelimit", "replay", calls, "--limit", "2/min"});
  EXPECT_EQ(text.exit_code, 0) << text.err;
  EXPECT_EQ(text.out,
            "0 \"a\" cost 1: allowed, 1 left\n"
            "1 \"a\" cost 1: allowed, 0 left\n"
            "2.5 \"a\" cost 1: refused (over_limit), again in 57.5 s\n"
            "60 \"a\" cost 1: allowed, 0 left\n"
            "exact_window 2/min: 4 calls of 1 key, 3 allowed (3 units), 1 refused\n"
            "  most in any 1m: 2 of 2\n"
            "  beside brute force: no difference\n");
  const Finished json = weir({"ratelimit", "replay", calls, "--limit", "2/min", "--algorithm",
                              "gcra,fixed_window", "--output", "json"});
  const std::optional<Json> parsed = Json::parse(json.out);
  ASSERT_TRUE(parsed) << json.out;
  EXPECT_EQ((*parsed)["calls"].number(), 4);
  EXPECT_EQ((*parsed)["results"][0]["algorithm"].text(), "gcra");
  EXPECT_EQ((*parsed)["results"][1]["decisions"][2]["reason"].text(), "over_limit");
  EXPECT_EQ((*parsed)["results"][1]["decisions"][2]["retry_after_s"].number(), 57.5);
  const Finished bad = weir({"ratelimit", "replay",
                             folder.write("bad.jsonl", "{\"t\":0}\n{\"t\":}\n{\"t\":0,\"keys\":\"a\"}\n"),
                             "--limit", "2/min"});
  EXPECT_EQ(bad.exit_code, 1);
  EXPECT_NE(bad.err.find("bad.jsonl:2:6: no JSON value"), std::string::npos) << bad.err;
  EXPECT_NE(bad.err.find("bad.jsonl:3:8: unknown member (did you mean `key`?)"), std::string::npos)
      << bad.err;
  EXPECT_EQ(bad.out, "");
  EXPECT_EQ(weir({"ratelimit", "replay", folder.file("none"), "--limit", "2/min"}).exit_code, 1);
  EXPECT_EQ(weir({"ratelimit", "replay", calls}).exit_code, 2);
  EXPECT_EQ(weir({"ratelimit", "replay", calls, "--limit", "many"}).exit_code, 2);
  EXPECT_EQ(weir({"ratelimit", "replay", calls, "--limit", "2/min", "--algorithm", "sliding"}).exit_code, 2);
  EXPECT_NE(weir({"ratelimit", "replay", "--help"}).out.find("Example"), std::string::npos);
}

}  // namespace
}  // namespace weir::testing
