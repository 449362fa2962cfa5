// The access log: one line a request, whatever became of it.
#include <signal.h>

#include <filesystem>
#include <vector>

#include "tests/acceptance/acceptance.h"

namespace weir::testing {
namespace {

class AccessLog : public ::testing::Test {
 protected:
  static std::string configuration(const Origin& origin) {
    return with(R"(
      upstreams: {users: {endpoints: [$ORIGIN]}}
      rate_limits: {closed: {key: global, limit: 0, window: 1m}}
      routes:
        - {name: users, path: /users/*, upstream: users}
        - {name: closed, path: /closed, rate_limit: [closed], upstream: users}
        - {name: fixed, path: /fixed, respond: {status: 204}}
    )",
                {{"ORIGIN", origin.url()}});
  }
  Json line_of(const Answer& answer) const {
    const std::string id = answer.field("X-Request-Id");
    return gateway.wait_for_log([&](const Json& line) { return line["id"].text() == id; });
  }

  Origin origin;
  Gateway gateway{configuration(origin)};
};

// The members that the contract names come first, in its order, and say what happened.
TEST_F(AccessLog, NamesItsMembersInOrder) {
  const Json line = line_of(gateway.get("/users/./42?secret=1"));
  const std::vector<std::string> wanted{"time",  "id",     "method",   "path",     "route",      "status",
                                        "stage", "reason", "upstream", "attempts", "duration_us"};
  const std::vector<std::string> names = line.names();
  ASSERT_GE(names.size(), wanted.size());
  EXPECT_EQ(std::vector<std::string>(names.begin(), names.begin() + static_cast<long>(wanted.size())),
            wanted);
  EXPECT_EQ(line["method"].text(), "GET");
  EXPECT_EQ(line["path"].text().substr(0, 9), "/users/42");
  EXPECT_EQ(line["route"].text(), "users");
  EXPECT_EQ(line["status"].number(), 200);
  EXPECT_EQ(line["stage"].text(), "upstream");
  EXPECT_EQ(line["reason"].text(), "-");
  EXPECT_EQ(line["upstream"].text(), "users");
  EXPECT_EQ(line["attempts"].number(), 1);
  EXPECT_GT(line["duration_us"].number(), 0);
  EXPECT_FALSE(line["time"].text().empty());
}

// Refusals name the stage that refused and why; no attempt was made.
TEST_F(AccessLog, NamesTheRefusal) {
  const Json limited = line_of(gateway.get("/closed"));
  EXPECT_EQ(limited["status"].number(), 429);
  EXPECT_EQ(limited["route"].text(), "closed");
  EXPECT_EQ(limited["stage"].text(), "ratelimit");
  EXPECT_EQ(limited["reason"].text(), "rate-limited");
  EXPECT_EQ(limited["attempts"].number(), 0);
  const Json missing = line_of(gateway.get("/nowhere"));
  EXPECT_EQ(missing["status"].number(), 404);
  EXPECT_EQ(missing["reason"].text(), "no-route");
}

// One line for each request, also over one connection, also for HEAD and for requests that cannot be read.
TEST_F(AccessLog, HasOneLineARequest) {
  Client client(gateway.port());
  for (int i = 0; i < 50; ++i) client.ask(i % 2 == 0 ? "GET" : "HEAD", i % 3 == 0 ? "/fixed" : "/users/1");
  client.send("nonsense\r\n\r\n");
  client.read();
  ASSERT_TRUE(eventually([&] { return gateway.access_log().size() >= 51; }));
  client.close();
  gateway.terminate();
  EXPECT_EQ(gateway.access_log().size(), 51U);
}

// Bytes that would break a line are escaped; each line stays one JSON object.
TEST_F(AccessLog, EscapesWhatStrangersWrite) {
  const Answer answer = gateway.get("/users/%22%0a%7B?a=\"b\\");
  EXPECT_EQ(answer.status, 200) << answer;
  EXPECT_TRUE(line_of(answer)["path"].text().starts_with("/users/"));
  EXPECT_EQ(gateway.access_log().size(), 1U);
}

// After a rotation SIGUSR1 makes weir write to the new file.
TEST_F(AccessLog, IsReopenedOnSigusr1) {
  line_of(gateway.get("/fixed"));
  const std::string rotated = gateway.folder().file("access.log.1");
  std::filesystem::rename(gateway.access_log_path(), rotated);
  gateway.process().signal(SIGUSR1);
  ASSERT_TRUE(eventually([&] { return std::filesystem::exists(gateway.access_log_path()); }));
  const Answer after = gateway.get("/fixed");
  EXPECT_EQ(line_of(after)["status"].number(), 204);
  EXPECT_EQ(read_file(rotated).find(after.field("X-Request-Id")), std::string::npos);
}

// All lines are in the file when the process has ended.
TEST_F(AccessLog, IsWholeAfterTheEnd) {
  Client client(gateway.port());
  for (int i = 0; i < 200; ++i) EXPECT_EQ(client.get("/fixed").status, 204);
  client.close();
  EXPECT_EQ(gateway.terminate(), 0);
  EXPECT_EQ(gateway.access_log().size(), 200U);
}

// The log may go to standard output, where lines of nothing else stand, or nowhere.
TEST(AccessLogTargets, AreStandardOutputOrNone) {
  const TemporaryFolder folder;
  for (const bool on : {true, false}) {
    const std::uint16_t port = free_port();
    const std::string path = folder.write(
        "weir.yaml", "listen: 127.0.0.1:" + std::to_string(port) + (on ? "" : "\naccess_log: off") +
                         "\nroutes: [{path: /*, respond: {status: 200}}]\n");
    Process gateway({weir_binary(), "run", path});
    ASSERT_TRUE(eventually([&] { return !gateway.running() || get(port, "/").status == 200; }))
        << gateway.err();
    EXPECT_EQ(get(port, "/last").status, 200);
    gateway.signal(SIGTERM);
    EXPECT_EQ(gateway.wait(), 0) << gateway.err();
    const std::string out = gateway.out();
    EXPECT_EQ(out.find("\"/last\"") != std::string::npos, on) << out;
    std::size_t lines = 0;
    for (std::size_t from = 0, end; (end = out.find('\n', from)) != std::string::npos;
         from = end + 1, ++lines)
      EXPECT_TRUE(Json::parse(out.substr(from, end - from))) << out.substr(from, end - from);
    EXPECT_EQ(lines > 0, on);
  }
}

// A query parameter that is to be redacted never reaches the log; the request itself keeps it.
TEST(AccessLogTargets, RedactParameters) {
  Origin origin;
  const std::uint16_t port = free_port();
  const TemporaryFolder folder;
  const std::string path =
      folder.write("weir.yaml", with(R"(
    listen: 127.0.0.1:$PORT
    access_log: {to: access.log, redact: [token]}
    upstreams: {origin: {endpoints: [$ORIGIN]}}
    routes: [{path: /*, upstream: origin}]
  )",
                                     {{"PORT", std::to_string(port)}, {"ORIGIN", origin.url()}}));
  Process gateway({weir_binary(), "run", path});
  ASSERT_TRUE(eventually([&] { return !gateway.running() || get(port, "/").status == 200; }))
      << gateway.err();
  EXPECT_EQ(get(port, "/a?token=hush-hush&b=1").status, 200);
  EXPECT_EQ(origin.last().target, "/a?token=hush-hush&b=1");
  gateway.signal(SIGTERM);
  EXPECT_EQ(gateway.wait(), 0) << gateway.err();
  const std::string log = read_file(folder.file("access.log"));
  EXPECT_NE(log.find("/a"), std::string::npos) << log;
  EXPECT_EQ(log.find("hush-hush"), std::string::npos) << log;
}

}  // namespace
}  // namespace weir::testing
