// RFC 9111's rules: by its own examples and tables, and against a slow twin where there is one.
#include "weir/cache/http_rules.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <ctime>
#include <random>

namespace weir::cache {
namespace {

using std::chrono::seconds;

constexpr std::int64_t kNow = 1'750'000'000;  // Sun, 15 Jun 2025 15:06:40 GMT

http::Fields fields_of(std::initializer_list<std::pair<std::string_view, std::string_view>> list) {
  http::Fields fields;
  for (const auto& [name, value] : list) fields.add({name, value, http::parse_name(name), false});
  return fields;
}

AnswerRules judge(std::initializer_list<std::pair<std::string_view, std::string_view>> list, int status = 200,
                  bool authorized = false) {
  AnswerContext context;
  context.authorized = authorized;
  context.now = WallTime{seconds{kNow}};
  return judge_answer(status, fields_of(list), context);
}

// The three forms of RFC 9110 5.6.7 are one moment; anything else is none.
TEST(HttpDate, ThreeFormsAndNothingElse) {
  EXPECT_EQ(parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT", kNow), 784'111'777);
  EXPECT_EQ(parse_http_date("Sunday, 06-Nov-94 08:49:37 GMT", kNow), 784'111'777);
  EXPECT_EQ(parse_http_date("Sun Nov  6 08:49:37 1994", kNow), 784'111'777);
  EXPECT_EQ(parse_http_date("Thu, 01 Jan 1970 00:00:00 GMT", kNow), 0);
  EXPECT_EQ(parse_http_date("Tue, 29 Feb 2000 23:59:60 GMT", kNow), 951'868'800);
  for (const std::string_view bad :
       {"", "0", "-1", "never", "Sun, 06 Nov 1994 08:49:37 UTC", "Sun, 06 Nov 1994 08:49:37",
        "Sun, 6 Nov 1994 08:49:37 GMT", "Sun, 06 nov 1994 08:49:37 GMT", "Sun, 31 Feb 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:49:37 GMT", "Sun, 06 Nov 1994 08:60:37 GMT", "Sun, 06 Nov 19x4 08:49:37 GMT",
        "Sun, 06 Nov 1994 08.49.37 GMT", "Sunday, 06-Nov-1994 08:49:37 GMT", "Sun Nov 6 08:49:37 1994"})
    EXPECT_FALSE(parse_http_date(bad, kNow)) << bad;
  EXPECT_EQ(parse_http_date("Wednesday, 01-Jan-70 00:00:00 GMT", kNow), 3'155'760'000)
      << "2070 is less than fifty years away";
  EXPECT_EQ(parse_http_date("Wednesday, 01-Jan-80 00:00:00 GMT", kNow), 315'532'800) << "2080 is more";
}

// What the C library writes is read back, for moments of two centuries.
TEST(HttpDate, AgreesWithTheCLibrary) {
  std::mt19937_64 random(7);
  for (int i = 0; i < 20'000; ++i) {
    const auto moment = static_cast<std::time_t>(random() % 4'102'444'800ULL);
    std::tm utc{};
    gmtime_r(&moment, &utc);
    std::array<char, 64> text{};
    const std::size_t size = std::strftime(text.data(), text.size(), "%a, %d %b %Y %H:%M:%S GMT", &utc);
    EXPECT_EQ(parse_http_date({text.data(), size}, kNow), moment);
    const std::size_t other = std::strftime(text.data(), text.size(), "%a %b %e %H:%M:%S %Y", &utc);
    EXPECT_EQ(parse_http_date({text.data(), other}, kNow), moment);
  }
}

// Every answer must say by itself how long it is fresh; s-maxage stands over max-age, max-age over Expires.
TEST(JudgeAnswer, ExplicitFreshnessAlone) {
  EXPECT_EQ(judge({}).why, "no-freshness");
  EXPECT_EQ(judge({{"Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT"}}).why, "no-freshness");
  EXPECT_EQ(judge({{"Cache-Control", "public"}}).why, "no-freshness");
  EXPECT_EQ(judge({{"Cache-Control", "max-age=60"}}).lifetime, seconds{60});
  EXPECT_EQ(judge({{"Cache-Control", "max-age=60, s-maxage=10"}}).lifetime, seconds{10});
  EXPECT_EQ(judge({{"Cache-Control", "S-MaxAge = 10 , MAX-AGE=\"60\""}}).lifetime, seconds{10});
  EXPECT_EQ(judge({{"Cache-Control", "max-age=60"}, {"Expires", "Thu, 01 Jan 1970 00:00:00 GMT"}}).lifetime,
            seconds{60});
  EXPECT_EQ(judge({{"Date", "Sun, 15 Jun 2025 15:06:40 GMT"}, {"Expires", "Sun, 15 Jun 2025 15:07:10 GMT"}})
                .lifetime,
            seconds{30});
  EXPECT_EQ(judge({{"Cache-Control", "max-age=60"}, {"Cache-Control", "max-age=5"}}).lifetime, seconds{5});
  EXPECT_EQ(judge({{"Cache-Control", "max-age=99999999999999999999"}}).lifetime,
            seconds{std::int64_t{1} << 31});
}

// A doubt makes an answer stale.
TEST(JudgeAnswer, WhatCannotBeReadIsStale) {
  for (const std::string_view bad :
       {"max-age=x", "max-age=-1", "max-age=1.5", "max-age=", "max-age", "max-age=0"})
    EXPECT_EQ(judge({{"Cache-Control", bad}}).why, "stale") << bad;
  EXPECT_EQ(judge({{"Expires", "0"}}).why, "stale");
  EXPECT_EQ(judge({{"Expires", "Sun, 15 Jun 2025 15:06:40 GMT"}}).why, "stale") << "now is not later";
}

// no-store, private, no-cache (with field names too), a cookie, and statuses of ranges or of nothing.
TEST(JudgeAnswer, WhatIsNeverKept) {
  EXPECT_EQ(judge({{"Cache-Control", "max-age=60, no-store"}}).why, "no-store");
  EXPECT_EQ(judge({{"Cache-Control", "max-age=60, PRIVATE"}}).why, "private");
  EXPECT_EQ(judge({{"Cache-Control", "max-age=60, private=\"X-A, X-B\""}}).why, "private");
  EXPECT_EQ(judge({{"Cache-Control", "max-age=60"}, {"Cache-Control", "no-cache=\"Set-Cookie\""}}).why,
            "no-cache");
  EXPECT_EQ(judge({{"Cache-Control", "max-age=60"}, {"Set-Cookie", "a=b"}}).why, "set-cookie");
  for (const int status : {100, 206, 303, 304, 400, 401, 403, 409, 429, 500, 502, 503})
    EXPECT_EQ(judge({{"Cache-Control", "max-age=60"}}, status).why, "status") << status;
  for (const int status : {200, 203, 204, 300, 301, 302, 307, 308, 404, 405, 410, 414, 451, 501})
    EXPECT_TRUE(judge({{"Cache-Control", "max-age=60"}}, status).store) << status;
  EXPECT_TRUE(judge({{"Cache-Control", "max-age=60, x=\"no-store, private\""}}).store) << "inside a string";
}

// RFC 9111 3.5: with a credential only what says that it may be shared.
TEST(JudgeAnswer, AuthorizationRule) {
  EXPECT_EQ(judge({{"Cache-Control", "max-age=60"}}, 200, true).why, "authorization");
  EXPECT_EQ(judge({{"Expires", "Sun, 15 Jun 2025 16:06:40 GMT"}}, 200, true).why, "authorization");
  for (const std::string_view allows : {"max-age=60, public", "s-maxage=60", "max-age=60, must-revalidate"})
    EXPECT_TRUE(judge({{"Cache-Control", allows}}, 200, true).store) << allows;
  EXPECT_EQ(judge({{"Cache-Control", "public, max-age=60, private"}}, 200, true).why, "private");
}

// RFC 9213: what is said to caches of the provider stands in for what is said to all.
TEST(JudgeAnswer, TargetedField) {
  EXPECT_EQ(judge({{"CDN-Cache-Control", "max-age=600"}, {"Cache-Control", "no-store"}}).lifetime,
            seconds{600});
  EXPECT_EQ(judge({{"CDN-Cache-Control", "no-store"}, {"Cache-Control", "max-age=60"}}).why, "no-store");
  EXPECT_EQ(judge({{"CDN-Cache-Control", "public"}, {"Expires", "Sun, 15 Jun 2025 16:06:40 GMT"}}).why,
            "no-freshness");
  EXPECT_TRUE(judge({{"CDN-Cache-Control", ""}, {"Cache-Control", "max-age=60"}}).store);
}

// RFC 9111 4.2.3: an answer that has lain in another cache is as old as that one says, or as its Date says.
TEST(JudgeAnswer, AgeOnArrival) {
  EXPECT_EQ(judge({{"Cache-Control", "max-age=60"}, {"Age", "10"}}).age, seconds{10});
  EXPECT_EQ(judge({{"Cache-Control", "max-age=60"}, {"Date", "Sun, 15 Jun 2025 15:06:10 GMT"}}).age,
            seconds{30});
  EXPECT_EQ(judge({{"Cache-Control", "max-age=60"}, {"Age", "60"}}).why, "stale");
  EXPECT_EQ(judge({{"Cache-Control", "max-age=60"}, {"Date", "Sun, 15 Jun 2025 15:05:40 GMT"}}).why, "stale");
  EXPECT_EQ(judge({{"Cache-Control", "max-age=60"}, {"Date", "Sun, 15 Jun 2025 18:06:10 GMT"}}).age,
            seconds{0})
      << "a clock that is ahead";
  AnswerContext context;
  context.now = WallTime{seconds{kNow}};
  context.delay = seconds{3};
  EXPECT_EQ(judge_answer(200, fields_of({{"Cache-Control", "max-age=60"}, {"Age", "10"}}), context).age,
            seconds{13});
}

// Names once each, in one order, whatever the lines; `*` and floods are no list.
TEST(Vary, Names) {
  using Names = std::vector<std::string>;
  EXPECT_EQ(vary_names(fields_of({})), Names());
  EXPECT_EQ(vary_names(fields_of({{"Vary", "Accept, accept-language"}, {"vary", "ACCEPT,,"}})),
            (Names{"accept", "accept-language"}));
  EXPECT_FALSE(vary_names(fields_of({{"Vary", "Accept"}, {"Vary", "*"}})));
  std::string many;
  for (int i = 0; i < 33; ++i) many += "a" + std::to_string(i) + ",";
  EXPECT_FALSE(vary_names(fields_of({{"Vary", many}})));
}

// What a client may ask of a cache.
TEST(JudgeRequest, Directives) {
  const auto judge_one = [](std::string_view name, std::string_view value) {
    return judge_request(fields_of({{name, value}}));
  };
  EXPECT_TRUE(judge_request({}).use);
  EXPECT_FALSE(judge_one("Cache-Control", "no-cache").use);
  EXPECT_TRUE(judge_one("Cache-Control", "no-cache").store);
  EXPECT_FALSE(judge_one("Cache-Control", "no-store").store);
  EXPECT_TRUE(judge_one("Cache-Control", "only-if-cached").only_if_cached);
  EXPECT_FALSE(judge_one("Pragma", "no-cache").use);
  EXPECT_TRUE(judge_request(fields_of({{"Pragma", "no-cache"}, {"Cache-Control", "max-age=5"}})).use);
  const RequestRules age = judge_one("Cache-Control", "max-age=5");
  EXPECT_TRUE(is_good_enough(age, seconds{5}, seconds{60}));
  EXPECT_FALSE(is_good_enough(age, seconds{6}, seconds{60}));
  const RequestRules fresh = judge_one("Cache-Control", "min-fresh=10");
  EXPECT_TRUE(is_good_enough(fresh, seconds{50}, seconds{60}));
  EXPECT_FALSE(is_good_enough(fresh, seconds{51}, seconds{60}));
  EXPECT_FALSE(is_good_enough({}, seconds{60}, seconds{60}));
}

// RFC 9110 13.1.2, 13.1.3: weak comparison, `*`, lists; a date only without a tag.
TEST(Conditions, NotModified) {
  const auto match = [](std::string_view name, std::string_view value, std::string_view etag = "\"a\"",
                        std::string_view modified = "Sun, 06 Nov 1994 08:49:37 GMT") {
    return is_not_modified(fields_of({{name, value}}), etag, modified, kNow);
  };
  EXPECT_TRUE(match("If-None-Match", "\"a\""));
  EXPECT_TRUE(match("If-None-Match", "W/\"a\""));
  EXPECT_TRUE(match("if-none-match", "\"b\", \"a\""));
  EXPECT_TRUE(match("If-None-Match", "*"));
  EXPECT_TRUE(match("If-None-Match", "\"b,c\", W/\"x\"", "\"x\""));
  EXPECT_FALSE(match("If-None-Match", "\"b\""));
  EXPECT_FALSE(match("If-None-Match", "\"a", "\"a\""));
  EXPECT_FALSE(match("If-None-Match", "\"a\"", ""));
  EXPECT_TRUE(match("If-Modified-Since", "Sun, 06 Nov 1994 08:49:37 GMT"));
  EXPECT_TRUE(match("If-Modified-Since", "Mon, 07 Nov 1994 08:49:37 GMT"));
  EXPECT_FALSE(match("If-Modified-Since", "Sun, 06 Nov 1994 08:49:36 GMT"));
  EXPECT_FALSE(match("If-Modified-Since", "yesterday"));
  EXPECT_FALSE(match("If-Modified-Since", "Sun, 06 Nov 1994 08:49:37 GMT", "", ""));
  EXPECT_FALSE(is_not_modified(
      fields_of({{"If-None-Match", "\"b\""}, {"If-Modified-Since", "Mon, 07 Nov 1994 08:49:37 GMT"}}),
      "\"a\"", "Sun, 06 Nov 1994 08:49:37 GMT", kNow));
  EXPECT_FALSE(is_not_modified({}, "\"a\"", "", kNow));
}

// No bytes of a field, whatever they are, do anything but say yes or no; the seed is printed.
TEST(Rules, AnyBytes) {
  const std::uint64_t seed = std::random_device{}();
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  std::mt19937_64 random(seed);
  const std::string_view alphabet = "max-age=60,s-maxage \t\"\\;no-storeprivate*W/0123456789GMT:";
  for (int i = 0; i < 50'000; ++i) {
    std::string text;
    for (std::uint64_t n = random() % 40; n > 0; --n) text += alphabet[random() % alphabet.size()];
    const AnswerRules rules =
        judge({{"Cache-Control", text}, {"Expires", text}, {"Age", text}, {"Date", text}});
    EXPECT_TRUE(!rules.store || rules.age < rules.lifetime) << text;
    static_cast<void>(vary_names(fields_of({{"Vary", text}})));
    static_cast<void>(judge_request(fields_of({{"Cache-Control", text}, {"Pragma", text}})));
    static_cast<void>(
        is_not_modified(fields_of({{"If-None-Match", text}, {"If-Modified-Since", text}}), text, text, kNow));
  }
}

}  // namespace
}  // namespace weir::cache
