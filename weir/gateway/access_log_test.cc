// One valid JSON object a line, whatever the client sent.
#include "weir/gateway/access_log.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "weir/gateway/testing.h"

namespace weir::gateway {
namespace {

using std::chrono::microseconds;
using testing::Desk;

constexpr std::string_view kFixed = "routes: [{name: r, path: /*, respond: {status: 200, body: ok}}]";

// Names of an object's members in their order; stops the test where the text is no JSON object of strings
// and numbers.
std::vector<std::string> members(std::string_view text) {
  std::vector<std::string> names;
  std::size_t at = 0;
  const auto take = [&](char c) {
    const bool there = at < text.size() && text[at] == c;
    EXPECT_TRUE(there) << "no " << c << " at " << at << " of " << text;
    ++at;
    return there;
  };
  const auto string = [&] {
    std::string value;
    take('"');
    while (at < text.size() && text[at] != '"') {
      EXPECT_GE(static_cast<unsigned char>(text[at]), 0x20) << text;
      if (text[at] == '\\') ++at;
      value += text[at++];
    }
    take('"');
    return value;
  };
  if (!take('{')) return names;
  for (;;) {
    names.push_back(string());
    take(':');
    if (at < text.size() && text[at] == '"')
      string();
    else
      while (at < text.size() && (base::is_digit(text[at]) || text[at] == '-')) ++at;
    if (at >= text.size() || text[at] != ',') break;
    ++at;
  }
  take('}');
  EXPECT_EQ(at, text.size()) << text;
  return names;
}

const std::vector<std::string> kNames{
    "time",     "id",       "method",      "path",   "route",       "status",   "stage",     "reason",
    "upstream", "attempts", "duration_us", "client", "upstream_us", "bytes_in", "bytes_out", "user_agent"};

// The contract's members first, in its order; times in UTC with milliseconds.
TEST(AccessLog, Members) {
  Desk desk(kFixed);
  desk.receive("GET /a/../b?secret=1 HTTP/1.1\r\nHost: a\r\nX-Request-Id: id-1\r\nUser-Agent: curl\r\n\r\n");
  desk.run();
  const std::string line(render_access_line(desk.exchange, microseconds{1234}));
  EXPECT_EQ(members(line), kNames);
  EXPECT_TRUE(line.starts_with("{\"time\":\"2025-12-")) << line;
  EXPECT_NE(
      line.find(".000Z\",\"id\":\"id-1\",\"method\":\"GET\",\"path\":\"/b\",\"route\":\"r\",\"status\":200,"
                "\"stage\":\"-\",\"reason\":\"-\",\"upstream\":\"-\",\"attempts\":0,\"duration_us\":1234,"
                "\"client\":\"192.0.2.1\","),
      std::string::npos)
      << line;
  EXPECT_NE(line.find("\"user_agent\":\"curl\"}"), std::string::npos) << line;
  EXPECT_EQ(line.find("secret"), std::string::npos) << "queries are not written";
}

// A client that went is 499; a refusal names its stage and reason.
TEST(AccessLog, GoneAndRefused) {
  Desk desk(kFixed);
  desk.receive("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  desk.exchange.refuse("access", Problem::forbidden);
  desk.exchange.record.status = 403;
  std::string line(render_access_line(desk.exchange, Duration{0}));
  EXPECT_NE(line.find("\"status\":403,\"stage\":\"access\",\"reason\":\"forbidden\""), std::string::npos)
      << line;
  desk.exchange.record.client_gone = true;
  line = render_access_line(desk.exchange, Duration{0});
  EXPECT_NE(line.find("\"status\":499"), std::string::npos) << line;
}

// Quotes, backslashes, bytes that are no UTF-8, and texts without end: still one valid object, and one of
// bounded size.
TEST(AccessLog, AnythingAClientSends) {
  Desk desk(kFixed);
  base::Random random(11);
  for (int round = 0; round < 500; ++round) {
    std::string agent;
    for (std::uint64_t n = random.below(round % 50 == 0 ? 6000 : 60); n > 0; --n) {
      char c = static_cast<char>(random.below(256));
      if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = "\"\\\t/"[random.below(4)];
      agent += c;
    }
    agent = "x" + agent + "x";
    desk.receive("GET /%22%5b HTTP/1.1\r\nHost: a\r\nUser-Agent: " + agent + "\r\n\r\n");
    const std::string line(render_access_line(desk.exchange, microseconds{1}));
    ASSERT_EQ(members(line), kNames);
    ASSERT_LT(line.size(), 64U * 1024);
    desk.exchange.end();
  }
}

// docs/reference.md explains every member of a line, in its order.
TEST(AccessLog, ReferenceNamesEveryMember) {
  std::ifstream file(WEIR_SOURCE_DIR "/docs/reference.md");
  const std::string page{std::istreambuf_iterator<char>(file), {}};
  std::size_t at = page.find("## The access log");
  ASSERT_NE(at, std::string::npos);
  for (const std::string& name : kNames) {
    at = page.find("\n| `" + name + "` |", at);
    ASSERT_NE(at, std::string::npos) << name;
  }
}

}  // namespace
}  // namespace weir::gateway
