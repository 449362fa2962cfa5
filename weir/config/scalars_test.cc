// The small languages, each against hand-picked texts and, where there is an obvious slow way, against that.
#include "weir/config/internal/scalars.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "weir/base/random.h"
#include "weir/config/internal/hidden.h"
#include "weir/config/testing.h"

namespace weir::config::internal {
namespace {

using namespace std::chrono_literals;

template <class T>
std::string suggested(const Parsed<T>& parsed) {
  return parsed.value ? "(fits)" : parsed.suggestion;
}

// A duration is digits and one unit of ms, s, m, h, d; what is nearly one is respelled.
TEST(Scalars, Durations) {
  EXPECT_EQ(parse_duration("250ms").value, 250ms);
  EXPECT_EQ(parse_duration("2s").value, 2s);
  EXPECT_EQ(parse_duration("1m").value, 1min);
  EXPECT_EQ(parse_duration("24h").value, 24h);
  EXPECT_EQ(parse_duration("7d").value, 168h);
  EXPECT_EQ(parse_duration("0s").value, 0s);
  for (const char* bad : {"", "s", "-1s", "+1s", "1S", "1us", "1ns", "1 s", "1.5s", "1m30s", "1w", "0x1s",
                          "99999999999999999999s",
                          "9223372036855s"
                          "000d"})
    EXPECT_FALSE(parse_duration(bad)) << bad;
  EXPECT_EQ(suggested(parse_duration("30")), "30s");
  EXPECT_EQ(suggested(parse_duration("5 minutes")), "5m");
  EXPECT_EQ(suggested(parse_duration("1.5s")), "1500ms");
  EXPECT_EQ(suggested(parse_duration("0.5h")), "30m");
  EXPECT_EQ(suggested(parse_duration("2.25d")), "54h");
  EXPECT_EQ(suggested(parse_duration("soon")), "");
}

// Printing a duration and reading it again gives the same.
TEST(Scalars, DurationTextReadsBack) {
  base::Random random(1);
  for (int i = 0; i < 10'000; ++i) {
    const Duration duration =
        std::chrono::milliseconds{random.below(std::uint64_t{1} << (1 + random.below(40)))};
    EXPECT_EQ(parse_duration(duration_text(duration)).value, duration) << duration_text(duration);
  }
  EXPECT_EQ(duration_text(90s), "90s");
  EXPECT_EQ(duration_text(60s), "1m");
  EXPECT_EQ(duration_text(0s), "0ms");
}

TEST(Scalars, Sizes) {
  EXPECT_EQ(parse_size("512").value, 512U);
  EXPECT_EQ(parse_size("64KiB").value, 65'536U);
  EXPECT_EQ(parse_size("1MiB").value, 1'048'576U);
  EXPECT_EQ(parse_size("2GiB").value, 2'147'483'648U);
  for (const char* bad :
       {"", "KiB", "1kib", "1KB", "1k", "1 KiB", "1.5MiB", "-1", "99999999999GiB", "1TiB", "1B"})
    EXPECT_FALSE(parse_size(bad)) << bad;
  EXPECT_EQ(suggested(parse_size("64 kb")), "64KiB");
  EXPECT_EQ(suggested(parse_size("512B")), "512");
  EXPECT_EQ(size_text(65'536), "64KiB");
  EXPECT_EQ(size_text(1000), "1000");
}

TEST(Scalars, Rates) {
  const auto rate = parse_rate("100/min");
  ASSERT_TRUE(rate);
  EXPECT_EQ(rate.value->count, 100U);
  EXPECT_EQ(rate.value->window, 1min);
  EXPECT_EQ(parse_rate("10/s").value->window, 1s);
  EXPECT_EQ(parse_rate("5000/h").value->window, 1h);
  EXPECT_EQ(parse_rate("0/d").value->window, 24h);
  for (const char* bad :
       {"", "100", "/s", "100/", "100/m", "100/ms", "1.5/s", "-1/s", "100/5s", "100 /s", "100/s/s"})
    EXPECT_FALSE(parse_rate(bad)) << bad;
  EXPECT_EQ(suggested(parse_rate("100/m")), "100/min");
  EXPECT_EQ(suggested(parse_rate("100 / sec")), "100/s");
}

TEST(Scalars, Percents) {
  EXPECT_DOUBLE_EQ(*parse_percent("100%").value, 1.0);
  EXPECT_DOUBLE_EQ(*parse_percent("0%").value, 0.0);
  EXPECT_DOUBLE_EQ(*parse_percent("12.5%").value, 0.125);
  for (const char* bad : {"", "%", "1", "0.5", "101%", "100.1%", "-1%", "1e1%", ".5%", "1.%", "nan%", "1 %"})
    EXPECT_FALSE(parse_percent(bad)) << bad;
}

TEST(Scalars, ListenAddresses) {
  EXPECT_EQ(parse_listen("127.0.0.1:8080").value->to_text(), "127.0.0.1:8080");
  EXPECT_EQ(parse_listen("[::1]:80").value->to_text(), "[::1]:80");
  EXPECT_EQ(parse_listen(":8080").value->to_text(), ":8080");
  EXPECT_EQ(parse_listen(":0").value->port, 0);
  for (const char* bad :
       {"", ":", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", "::1:80", "[::1]", "[]:80",
        "[127.0.0.1]:80", "1.2.3:80", "host:80", "127.0.0.1:080000", " :80", "[::1%lo]:80"})
    EXPECT_FALSE(parse_listen(bad)) << bad;
}

TEST(Scalars, EndpointUrls) {
  EXPECT_EQ(parse_url("http://127.0.0.1:9001").value->to_text(), "127.0.0.1:9001");
  EXPECT_EQ(parse_url("http://Users.internal").value->to_text(), "users.internal:80");
  EXPECT_EQ(parse_url("http://[::1]").value->to_text(), "[::1]:80");
  EXPECT_EQ(parse_url("http://my_service:1").value->to_text(), "my_service:1");
  EXPECT_EQ(parse_url("https://a").value->port, 443);
  EXPECT_EQ(parse_url("https://a:8443").value->port, 8443);
  for (const char* bad : {"", "http://", "http://a:", "http://a:0", "http://a/", "http://a?x", "http://a#x",
                          "http://u@a", "http://1.2.3", "http://256.0.0.1", "http://a..b", "http://-a",
                          "http://a b", "HTTP://a", "http://a:80:80", "http://::1"})
    EXPECT_FALSE(parse_url(bad)) << bad;
}

TEST(Scalars, Patterns) {
  for (const char* good :
       {"/", "/*", "/a", "/a/", "/a/*", "/a/{id}", "/a/{id}/b/*", "/a-b_c.d~e", "/a%20b", "/@!$&'()+,;=:"})
    EXPECT_TRUE(parse_pattern(good)) << good;
  for (const char* bad : {"",        "a",       "//",    "/a//b",    "/./a", "/..",  "/a*",  "/*/a", "/{}",
                          "/{1}",    "/{a}{b}", "/x{a}", "/{a}/{a}", "/a b", "/%4",  "/%zz", "/%2e", "/%61",
                          "/%c3%a9", "/a?b",    "/a#b",  "/a\\b",    "/%00", "/%5C", "/%2A"})
    EXPECT_FALSE(parse_pattern(bad)) << bad;
  EXPECT_EQ(suggested(parse_pattern("users/*")), "/users/*");
  EXPECT_EQ(suggested(parse_pattern("/%c3%a9")), "/%C3%A9");
  EXPECT_EQ(suggested(parse_pattern("/%7euser")), "/~user");
  EXPECT_FALSE(parse_pattern("/" + std::string(2000, 'a')));
}

TEST(Scalars, LimitKeys) {
  EXPECT_EQ(parse_limit_key("client_ip").value->kind, KeyPart::Kind::client_ip);
  EXPECT_EQ(parse_limit_key("header:X-Api-Key").value->name, "X-Api-Key");
  EXPECT_EQ(parse_limit_key("cookie:session").value->kind, KeyPart::Kind::cookie);
  EXPECT_EQ(parse_limit_key("query:api_key").value->kind, KeyPart::Kind::query);
  EXPECT_EQ(parse_limit_key("passport.user_id").value->name, "user_id");
  EXPECT_EQ(parse_limit_key("jwt.sub").value->kind, KeyPart::Kind::jwt);
  for (const char* bad : {"", "ip", "header", "header:", "header:a b", "cookie:", "Client_ip", "path:x"})
    EXPECT_FALSE(parse_limit_key(bad)) << bad;
}

TEST(Scalars, Failures) {
  for (const char* good :
       {"5xx", "4xx", "500", "!501", "!5xx", "connect", "timeout", "reset", "malformed", "!reset"})
    EXPECT_TRUE(parse_failure(good)) << good;
  for (const char* bad : {"", "!", "5XX", "6xx", "099", "600", "50", "5000", "error", "!!500", "xxx"})
    EXPECT_FALSE(parse_failure(bad)) << bad;
}

// Whatever is suggested would be accepted: seeded texts made of the languages' own pieces.
TEST(Scalars, SuggestionsFit) {
  base::Random random(3);
  const std::vector<std::string> pieces{"1",   "30",  "0.5",  " ",   "s",  "sec", "KB",     "kib", "M",
                                        "/",   "min", "m",    ":",   "80", "a",   ".",      "*",   "{x}",
                                        "%41", "//",  "http", "://", "[",  "]",   "ip",     "x",   "_",
                                        "GET", "get", "-",    "5",   "XX", "!",   "header", "d",   "%"};
  const auto check = [](const auto& parse, const std::string& text) {
    const auto parsed = parse(text);
    if (parsed || parsed.suggestion.empty()) return 0;
    EXPECT_TRUE(parse(parsed.suggestion)) << text << " -> " << parsed.suggestion;
    return 1;
  };
  int suggested = 0;
  for (int round = 0; round < 50'000; ++round) {
    std::string text;
    for (std::uint64_t i = random.below(5) + 1; i > 0; --i) text += pieces[random.below(pieces.size())];
    suggested += check(parse_number, text) + check(parse_percent, text) + check(parse_duration, text) +
                 check(parse_size, text) + check(parse_rate, text) + check(parse_listen, text) +
                 check(parse_url, text) + check(parse_pattern, text) + check(parse_rewrite, text) +
                 check(parse_method, text) + check(parse_limit_key, text) + check(parse_failure, text);
    suggested += check([](std::string_view t) { return parse_host(t, true); }, text);
  }
  EXPECT_GT(suggested, 1'000);
}

// --- what a pattern covers, against trying every path ---

// The pattern as a regular expression: slow and obvious.
std::string slow_pattern(const std::string& pattern) {
  if (pattern == "/*") return "^/.*$";
  const bool open = pattern.ends_with("/*");
  std::string expression = "^";
  for (std::size_t i = 0; i < pattern.size() - (open ? 2 : 0); ++i) {
    if (pattern[i] != '{') {
      expression += pattern[i];
      continue;
    }
    i = pattern.find('}', i);
    expression += "[^/]+";
  }
  return expression + (open ? "(/.*)?$" : "$");
}

bool matches(const std::string& pattern, const std::string& path) {
  static std::map<std::string, testing::Regex> patterns;
  return patterns.try_emplace(pattern, slow_pattern(pattern)).first->second.matches(path);
}

std::vector<std::string> all_texts(const std::vector<std::string>& segments, int depth) {
  std::vector<std::string> all{""};
  std::vector<std::string> level{""};
  for (int i = 0; i < depth; ++i) {
    std::vector<std::string> next;
    for (const std::string& prefix : level)
      for (const std::string& segment : segments) next.push_back(prefix + "/" + segment);
    all.insert(all.end(), next.begin(), next.end());
    level = next;
  }
  return all;
}

// covers_path(a, b) is true exactly when no path matches b and not a; every pair of patterns of up to two
// segments, every path of up to four.
TEST(Hidden, CoversPathIsWhatTryingEveryPathSays) {
  std::vector<std::string> patterns;
  for (const std::string& stem : all_texts({"a", "b", "{x}"}, 2)) {
    if (!stem.empty()) patterns.push_back(stem);
    patterns.push_back(stem + "/");
    patterns.push_back(stem + "/*");
  }
  std::vector<std::string> paths;
  for (const std::string& stem : all_texts({"a", "b", "c"}, 3)) {
    if (!stem.empty()) paths.push_back(stem);
    paths.push_back(stem + "/");
  }
  std::vector<std::vector<bool>> table;
  for (const std::string& pattern : patterns) {
    std::vector<bool>& row = table.emplace_back();
    for (const std::string& path : paths) row.push_back(matches(pattern, path));
  }
  for (std::size_t a = 0; a < patterns.size(); ++a) {
    for (std::size_t b = 0; b < patterns.size(); ++b) {
      bool covered = true;
      for (std::size_t i = 0; i < paths.size(); ++i) covered = covered && (!table[b][i] || table[a][i]);
      EXPECT_EQ(covers_path(patterns[a], patterns[b]), covered) << patterns[a] << " over " << patterns[b];
    }
  }
}

TEST(Hidden, CoversHost) {
  EXPECT_TRUE(covers_host("", "api.example"));
  EXPECT_TRUE(covers_host("*.example", "*.example"));
  EXPECT_TRUE(covers_host("*.example", "api.example"));
  EXPECT_FALSE(covers_host("*.example", "example"));
  EXPECT_FALSE(covers_host("*.example", "v1.api.example"));  // some take one label only: no alarm
  EXPECT_FALSE(covers_host("*.example", "*.api.example"));
  EXPECT_FALSE(covers_host("api.example", ""));
  EXPECT_FALSE(covers_host("*.example", ""));
}

// The tree finds what comparing with every earlier route finds: all lists of two patterns, and seeded longer
// ones.
TEST(Hidden, TreeFindsWhatComparingAllFinds) {
  std::vector<std::string> patterns;
  for (const std::string& stem : all_texts({"a", "b", "{x}"}, 2)) {
    if (!stem.empty()) patterns.push_back(stem);
    patterns.push_back(stem + "/");
    patterns.push_back(stem + "/*");
  }
  const auto check = [](const std::vector<std::string>& list) {
    HiddenRoutes seen;
    for (std::size_t i = 0; i < list.size(); ++i) {
      Route route;
      route.path = list[i];
      const auto hider = seen.add(route);
      const auto slow =
          std::find_if(list.begin(), list.begin() + static_cast<std::ptrdiff_t>(i),
                       [&](const std::string& earlier) { return covers_path(earlier, list[i]); });
      const bool hidden = slow != list.begin() + static_cast<std::ptrdiff_t>(i);
      ASSERT_EQ(hider.has_value(), hidden) << list[i] << " after " << list.front();
      if (hidden) {
        ASSERT_EQ(hider->index, static_cast<std::size_t>(slow - list.begin()));
      }
    }
  };
  for (const std::string& first : patterns)
    for (const std::string& second : patterns) check({first, second});
  base::Random random(7);
  for (int round = 0; round < 2'000; ++round) {
    std::vector<std::string> list;
    for (int i = 0; i < 8; ++i) list.push_back(patterns[random.below(patterns.size())]);
    check(list);
  }
}

// A route that is called hidden gets no request: seeded lists of routes, every request of a small world
// tried.
TEST(Hidden, WhatIsHiddenGetsNoRequest) {
  const std::uint64_t seed = 20260101;
  base::Random random(seed);
  const std::vector<std::string> paths{"/", "/a", "/a/", "/a/b", "/b", "/b/c/d", "/c"};
  const std::vector<std::string> patterns{"/*", "/a/*", "/a", "/{x}", "/b/*", "/a/b", "/a/{x}", "/c"};
  const std::vector<std::string> methods{"GET", "POST", "PUT"};
  const std::vector<std::string> hosts{"", "*.example", "api.example"};
  const std::vector<std::string> asked_hosts{"other", "api.example", "www.example"};
  int hidden = 0;
  for (int round = 0; round < 2'000; ++round) {
    HiddenRoutes seen;
    std::vector<Route> routes;
    for (int i = 0; i < 5; ++i) {
      Route route;
      route.path = patterns[random.below(patterns.size())];
      route.host = hosts[random.below(hosts.size())];
      for (const std::string& method : methods)
        if (random.chance(1, 2)) route.methods.push_back(method);
      if (route.methods.size() == methods.size()) route.methods.clear();
      routes.push_back(route);
      const auto takes = [&](const Route& r, const std::string& path, const std::string& method,
                             const std::string& host) {
        const bool host_fits = r.host.empty() || r.host == host ||
                               (r.host.starts_with("*.") && host.ends_with(r.host.substr(1)));
        return host_fits && matches(r.path, path) &&
               (r.methods.empty() || std::count(r.methods.begin(), r.methods.end(), method) > 0);
      };
      if (!seen.add(route)) continue;
      ++hidden;
      for (const std::string& path : paths)
        for (const std::string& method :
             {std::string("GET"), std::string("POST"), std::string("PUT"), std::string("QUERY")})
          for (const std::string& host : asked_hosts) {
            const auto first = std::find_if(routes.begin(), routes.end(),
                                            [&](const Route& r) { return takes(r, path, method, host); });
            EXPECT_NE(first, routes.end() - 1)
                << "seed " << seed << " round " << round << " " << method << " " << host << path;
          }
    }
  }
  EXPECT_GT(hidden, 500);
}

}  // namespace
}  // namespace weir::config::internal
