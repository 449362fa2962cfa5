// Which route a request takes: the first of the file that matches host, path and method.
#include "weir/gateway/route_table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "weir/base/random.h"
#include "weir/base/strings.h"

namespace weir::gateway {
namespace {

using Outcome = RouteTable::Outcome;

struct Row {
  std::string path;
  std::vector<std::string> methods;
  std::string host;
};

RouteTable table_of(const std::vector<Row>& rows) {
  RouteTable table;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    config::Route route;
    route.path = rows[i].path;
    route.methods = rows[i].methods;
    route.host = rows[i].host;
    table.add(static_cast<std::uint32_t>(i), route);
  }
  return table;
}

// The route's index, or -1 for none, -2 for the wrong method.
int found(const RouteTable& table, std::string_view path, std::string_view method = "GET",
          std::string_view host = "a") {
  const RouteTable::Match match = table.find(host, path, method);
  if (match.outcome == Outcome::found) return static_cast<int>(match.route);
  return match.outcome == Outcome::no_route ? -1 : -2;
}

// "/a" is exact; "/a/*" matches "/a", "/a/" and any depth; "/*" everything.
TEST(RouteTable, ExactAndWildcard) {
  const RouteTable exact = table_of({{"/a", {}, ""}});
  EXPECT_EQ(found(exact, "/a"), 0);
  EXPECT_EQ(found(exact, "/a/"), -1);
  EXPECT_EQ(found(exact, "/a/b"), -1);
  EXPECT_EQ(found(exact, "/ab"), -1);
  EXPECT_EQ(found(exact, "/"), -1);

  const RouteTable below = table_of({{"/a/*", {}, ""}});
  for (const char* path : {"/a", "/a/", "/a/b", "/a/b/c"}) EXPECT_EQ(found(below, path), 0) << path;
  for (const char* path : {"/", "/ab", "/b/a"}) EXPECT_EQ(found(below, path), -1) << path;

  const RouteTable all = table_of({{"/*", {}, ""}});
  for (const char* path : {"/", "/a", "/a/b", "*"}) EXPECT_EQ(found(all, path), 0) << path;
}

// What "*" stands for, without a leading slash.
TEST(RouteTable, WildcardText) {
  const RouteTable table = table_of({{"/a/*", {}, ""}, {"/*", {}, ""}});
  EXPECT_EQ(table.find("h", "/a", "GET").wildcard, "");
  EXPECT_EQ(table.find("h", "/a/", "GET").wildcard, "");
  EXPECT_EQ(table.find("h", "/a/b/c", "GET").wildcard, "b/c");
  EXPECT_EQ(table.find("h", "/x/y", "GET").wildcard, "x/y");
}

// "{id}" is one segment, never empty.
TEST(RouteTable, Parameters) {
  const RouteTable table =
      table_of({{"/v1/{id}/x", {}, ""}, {"/v1/{id}", {}, ""}, {"/v2/{a}/{b}/*", {}, ""}});
  EXPECT_EQ(found(table, "/v1/7/x"), 0);
  EXPECT_EQ(found(table, "/v1/7"), 1);
  EXPECT_EQ(found(table, "/v1/"), -1);
  EXPECT_EQ(found(table, "/v1//x"), -1);
  EXPECT_EQ(found(table, "/v1/7/y"), -1);
  EXPECT_EQ(found(table, "/v2/1/2"), 2);
  EXPECT_EQ(found(table, "/v2/1/2/3/4"), 2);
  EXPECT_EQ(found(table, "/v2/1"), -1);
}

// The file's order decides, not how special a pattern is.
TEST(RouteTable, FirstMatchWins) {
  const RouteTable table =
      table_of({{"/a/*", {}, ""}, {"/a/b", {}, ""}, {"/{x}/b", {}, ""}, {"/c/b", {}, ""}});
  EXPECT_EQ(found(table, "/a/b"), 0);
  EXPECT_EQ(found(table, "/c/b"), 2);
}

// Right path, wrong method: 405 with every method that would do, but only if no later route takes it.
TEST(RouteTable, Methods) {
  const RouteTable table =
      table_of({{"/a", {"GET", "HEAD"}, ""}, {"/a", {"POST"}, ""}, {"/b", {"GET"}, ""}, {"/b", {}, ""}});
  EXPECT_EQ(found(table, "/a", "POST"), 1);
  EXPECT_EQ(found(table, "/a", "DELETE"), -2);
  EXPECT_EQ(table.allowed("a", "/a"), "GET, HEAD, POST");
  EXPECT_EQ(found(table, "/b", "BREW"), 3);
  EXPECT_EQ(found(table, "/c", "GET"), -1);
  EXPECT_EQ(found(table, "/a", "get"), -2) << "methods are case-sensitive";
}

// A host is compared in any case; "*.example" needs at least one label before it.
TEST(RouteTable, Hosts) {
  const RouteTable table = table_of({{"/a", {}, "api.example"}, {"/a", {}, "*.example"}, {"/a", {}, ""}});
  EXPECT_EQ(found(table, "/a", "GET", "api.example"), 0);
  EXPECT_EQ(found(table, "/a", "GET", "API.Example"), 0);
  EXPECT_EQ(found(table, "/a", "GET", "www.example"), 1);
  EXPECT_EQ(found(table, "/a", "GET", "a.b.example"), 1);
  EXPECT_EQ(found(table, "/a", "GET", "example"), 2);
  EXPECT_EQ(found(table, "/a", "GET", ".example"), 2);
  EXPECT_EQ(found(table, "/a", "GET", "xexample"), 2);
  EXPECT_EQ(found(table, "/a", "GET", ""), 2);
}

// OPTIONS * is a path of its own, or goes to "/*".
TEST(RouteTable, Asterisk) {
  const RouteTable none = table_of({{"/a", {}, ""}});
  EXPECT_EQ(found(none, "*", "OPTIONS"), -1);
  const RouteTable table = table_of({{"/*", {"GET"}, ""}});
  EXPECT_EQ(found(table, "*", "OPTIONS"), -2);
  EXPECT_EQ(table.allowed("a", "*"), "GET");
}

// --- the slow twin: each route's pattern against the path, segment by segment

std::vector<std::string> segments_of(std::string_view path) {
  std::vector<std::string> segments;
  for (const std::string_view segment : base::split(path.substr(1), '/')) segments.emplace_back(segment);
  return segments;
}

bool matches(const std::string& pattern, const std::string& path) {
  if (pattern == "/*") return true;
  std::vector<std::string> want = segments_of(pattern);
  const std::vector<std::string> got = segments_of(path);
  const bool wildcard = want.back() == "*";
  if (wildcard) want.pop_back();
  if (got.size() < want.size() || (!wildcard && got.size() != want.size())) return false;
  for (std::size_t i = 0; i < want.size(); ++i) {
    if (want[i].starts_with("{") ? got[i].empty() : want[i] != got[i]) return false;
  }
  return true;
}

int naive(const std::vector<Row>& rows, const std::string& path, const std::string& method) {
  bool known = false;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (!matches(rows[i].path, path)) continue;
    known = true;
    const auto& methods = rows[i].methods;
    if (methods.empty() || std::find(methods.begin(), methods.end(), method) != methods.end())
      return static_cast<int>(i);
  }
  return known ? -2 : -1;
}

// Random tables of few words, so that everything collides with everything.
TEST(RouteTable, AsTheNaiveMatcher) {
  const std::vector<std::string> words{"a", "b", "{x}", "ab"};
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    base::Random random(seed);
    std::vector<Row> rows;
    for (std::uint64_t n = 1 + random.below(12); n > 0; --n) {
      Row row;
      for (std::uint64_t depth = random.below(4); depth > 0; --depth)
        row.path += "/" + words[random.below(words.size())];
      if (random.chance(1, 3)) row.path += "/*";
      if (row.path.empty()) row.path = "/";
      if (random.chance(1, 3)) row.methods = {random.chance(1, 2) ? "GET" : "POST"};
      rows.push_back(row);
    }
    const RouteTable table = table_of(rows);
    for (int i = 0; i < 200; ++i) {
      std::string path;
      for (std::uint64_t depth = 1 + random.below(4); depth > 0; --depth)
        path += std::string("/") + (random.chance(1, 8) ? "" : words[random.below(words.size())]);
      const std::string method = random.chance(1, 2) ? "GET" : "POST";
      ASSERT_EQ(found(table, path, method), naive(rows, path, method))
          << "seed " << seed << ": " << method << " " << path;
    }
  }
}

}  // namespace
}  // namespace weir::gateway
