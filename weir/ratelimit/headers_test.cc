// The header fields, byte by byte, and read back by a parser of Structured Fields that knows nothing of the
// writer.
#include "weir/ratelimit/headers.h"

#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "weir/base/random.h"

namespace weir::ratelimit {
namespace {

using namespace std::chrono_literals;

const Policy kClient{.name = "per_client", .limit = 100, .window = 1min};
const Policy kUser{.name = "per_user", .limit = 1000, .window = 24h};

Decision passed(std::uint32_t limit, std::uint32_t remaining, Duration next) {
  Decision d;
  d.allowed = true;
  d.limit = limit, d.remaining = remaining, d.next_after = next;
  return d;
}

Decision refused(std::uint32_t limit, Duration retry) {
  Decision d;
  d.reason = Reason::over_limit;
  d.limit = limit, d.retry_after = retry, d.next_after = retry;
  return d;
}

std::map<std::string, std::string> format(std::vector<LimitReport> reports, HeaderOptions options = {}) {
  std::string buffer;
  std::map<std::string, std::string> all;
  for (const HeaderField& f : format_headers(reports, options, buffer)) all[std::string(f.name)] = f.value;
  return all;
}

using Fields = std::map<std::string, std::string>;

// The contract's example, to the letter.
TEST(Headers, Ietf10) {
  EXPECT_EQ(format({{&kClient, refused(100, 12s)}}),
            (Fields{{"RateLimit-Policy", "\"per_client\";q=100;w=60"},
                    {"RateLimit", "\"per_client\";r=0;t=12"},
                    {"Retry-After", "12"}}));
  EXPECT_EQ(format({{&kClient, passed(100, 50, 29'000'000'001ns)}, {&kUser, passed(1000, 1000, 0s)}}),
            (Fields{{"RateLimit-Policy", "\"per_client\";q=100;w=60, \"per_user\";q=1000;w=86400"},
                    {"RateLimit", "\"per_client\";r=50;t=30, \"per_user\";r=1000"}}));
}

// A bucket of its own size is told by it, with the time in which it fills: together the rate.
TEST(Headers, BucketsTellTheirSize) {
  const auto policy_of = [](std::uint32_t limit, Duration window, std::uint32_t burst) {
    const Policy policy{
        .name = "b", .limit = limit, .window = window, .algorithm = Algorithm::gcra, .burst = burst};
    return format({{&policy, passed(burst == 0 ? limit : burst, 1, 1s)}}).at("RateLimit-Policy");
  };
  EXPECT_EQ(policy_of(60, 1min, 0), "\"b\";q=60;w=60");
  EXPECT_EQ(policy_of(60, 1min, 5), "\"b\";q=5;w=5");
  EXPECT_EQ(policy_of(60, 1min, 600), "\"b\";q=600;w=600");
  EXPECT_EQ(policy_of(50, 1min, 7), "\"b\";q=7;w=9");
  EXPECT_EQ(policy_of(1000, 1s, 10), "\"b\";q=10") << "below a second";
  EXPECT_EQ(policy_of(1, 366 * 24h, 4'000'000), "\"b\";q=4000000;w=31622400");
  EXPECT_EQ(policy_of(0, 1min, 7), "\"b\";q=7;w=60");
}

// The older spellings tell of the tightest limit.
TEST(Headers, OlderStyles) {
  const std::vector<LimitReport> reports = {{&kUser, passed(1000, 700, 5s)},
                                            {&kClient, passed(100, 50, 30s)}};
  EXPECT_EQ(format(reports, {.style = HeaderStyle::ietf7}),
            (Fields{{"RateLimit-Policy", "1000;w=86400, 100;w=60"},
                    {"RateLimit", "limit=100, remaining=50, reset=30"}}));
  EXPECT_EQ(format(reports, {.style = HeaderStyle::ietf6}),
            (Fields{{"RateLimit-Policy", "1000;w=86400, 100;w=60"},
                    {"RateLimit-Limit", "100"},
                    {"RateLimit-Remaining", "50"},
                    {"RateLimit-Reset", "30"}}));
  EXPECT_EQ(
      format(reports, {.style = HeaderStyle::x_ratelimit}),
      (Fields{{"X-RateLimit-Limit", "100"}, {"X-RateLimit-Remaining", "50"}, {"X-RateLimit-Reset", "30"}}));
  EXPECT_EQ(format(reports, {.style = HeaderStyle::none}), Fields{});
}

// A refusing limit is the tightest, whatever is left of the others.
TEST(Headers, TheRefusingLimitIsTheTightest) {
  EXPECT_EQ(format({{&kClient, passed(100, 0, 1s)}, {&kUser, refused(1000, 3s)}},
                   {.style = HeaderStyle::x_ratelimit})["X-RateLimit-Limit"],
            "1000");
}

// Retry-After is rounded up and at least 1; the longest of several; none where waiting cannot help.
TEST(Headers, RetryAfter) {
  EXPECT_EQ(format({{&kClient, refused(100, 1ns)}})["Retry-After"], "1");
  EXPECT_EQ(format({{&kClient, refused(100, 1s)}})["Retry-After"], "1");
  EXPECT_EQ(format({{&kClient, refused(100, 1'000'000'001ns)}})["Retry-After"], "2");
  EXPECT_EQ(format({{&kClient, refused(100, 5s)}, {&kUser, refused(1000, 90s)}})["Retry-After"], "90");
  EXPECT_EQ(format({{&kClient, refused(100, 5s)}}, {.retry_jitter = 2500ms})["Retry-After"], "8");
  Decision never;
  never.reason = Reason::cost_exceeds_limit;
  EXPECT_FALSE(format({{&kClient, refused(100, 5s)}, {&kUser, never}}).contains("Retry-After"));
  EXPECT_FALSE(format({{&kClient, passed(100, 1, 5s)}}).contains("Retry-After"));
  EXPECT_EQ(format({{&kClient, refused(100, 5s)}}, {.style = HeaderStyle::none})["Retry-After"], "5");
}

// Retry-After is never earlier than t (draft-10 section 6.2).
TEST(Headers, RetryAfterIsNotBeforeT) {
  base::Random random(1);
  for (int i = 0; i < 1000; ++i) {
    const auto f =
        format({{&kClient, refused(100, Duration{static_cast<std::int64_t>(1 + random.below(1ULL << 40))})}});
    EXPECT_GE(std::stoll(f.at("Retry-After")),
              std::stoll(f.at("RateLimit").substr(f.at("RateLimit").find("t=") + 2)));
  }
}

// A window below one second has no "w"; one that is not whole seconds is rounded up.
TEST(Headers, WindowIsWholeSeconds) {
  const Policy fast{.name = "fast", .limit = 5, .window = 250ms};
  EXPECT_EQ(format({{&fast, passed(5, 5, 0s)}})["RateLimit-Policy"], "\"fast\";q=5");
  const Policy odd{.name = "odd", .limit = 5, .window = 1500ms};
  EXPECT_EQ(format({{&odd, passed(5, 5, 0s)}})["RateLimit-Policy"], "\"odd\";q=5;w=2");
  const Policy out{.name = "out", .limit = 5, .algorithm = Algorithm::concurrency};
  EXPECT_EQ(format({{&out, passed(5, 5, 0s)}})["RateLimit-Policy"], "\"out\";q=5;qu=\"concurrent-requests\"");
}

// A shadow limit is nobody's business.
TEST(Headers, ShadowLimitsAreNotTold) {
  Policy shadow = kUser;
  shadow.shadow = true;
  EXPECT_EQ(format({{&shadow, passed(1000, 3, 1s)}}), Fields{});
  EXPECT_EQ(format({{&shadow, passed(1000, 3, 1s)}, {&kClient, passed(100, 7, 1s)}})["RateLimit"],
            "\"per_client\";r=7;t=1");
}

// Once the buffer has grown, formatting allocates nothing: its capacity stays and values point into it.
TEST(Headers, ReusesTheBuffer) {
  std::string buffer;
  const LimitReport reports[] = {{&kClient, refused(100, 12s)}};
  format_headers(reports, {}, buffer);
  const char* data = buffer.data();
  const auto fields = format_headers(reports, {}, buffer);
  EXPECT_EQ(buffer.data(), data);
  for (const HeaderField& f : fields)
    EXPECT_TRUE(f.value.data() >= data && f.value.data() < data + buffer.size());
}

// A small strict reader of RFC 9651 Lists of String items with Integer or String parameters.
class Reader {
 public:
  struct Item {
    std::string name;
    std::vector<std::pair<std::string, std::string>> parameters;
  };

  static std::optional<std::vector<Item>> list(std::string_view text) {
    Reader reader(text);
    std::vector<Item> items;
    for (;;) {
      std::optional<Item> item = reader.item();
      if (!item) return std::nullopt;
      items.push_back(*std::move(item));
      if (reader.text_.empty()) return items;
      if (!reader.skip(", ")) return std::nullopt;
    }
  }

 private:
  explicit Reader(std::string_view text) : text_(text) {}

  bool skip(std::string_view what) {
    if (!text_.starts_with(what)) return false;
    text_.remove_prefix(what.size());
    return true;
  }
  std::optional<std::string> quoted() {
    if (!skip("\"")) return std::nullopt;
    std::string out;
    while (!text_.empty()) {
      char c = text_.front();
      text_.remove_prefix(1);
      if (c == '"') return out;
      if (c == '\\') {
        if (text_.empty() || (text_.front() != '"' && text_.front() != '\\')) return std::nullopt;
        c = text_.front();
        text_.remove_prefix(1);
      } else if (c < 0x20 || c > 0x7e) {
        return std::nullopt;
      }
      out.push_back(c);
    }
    return std::nullopt;
  }
  std::optional<std::string> integer() {
    std::size_t n = text_.starts_with('-') ? 1 : 0;
    while (n < text_.size() && text_[n] >= '0' && text_[n] <= '9') ++n;
    if (n == 0 || n > 15) return std::nullopt;
    std::string out(text_.substr(0, n));
    text_.remove_prefix(n);
    return out;
  }
  std::optional<Item> item() {
    Item item;
    std::optional<std::string> name = quoted();
    if (!name) return std::nullopt;
    item.name = *name;
    while (skip(";")) {
      std::string key;
      while (!text_.empty() && text_.front() >= 'a' && text_.front() <= 'z')
        key += text_.front(), text_.remove_prefix(1);
      if (key.empty() || !skip("=")) return std::nullopt;
      const auto value = text_.starts_with('"') ? quoted() : integer();
      if (!value) return std::nullopt;
      item.parameters.emplace_back(key, *value);
    }
    return item;
  }

  std::string_view text_;
};

// Whatever name a policy has and whatever a decision says, the reader gets it back.
TEST(Headers, ReadsBackAsStructuredFields) {
  base::Random random(7);
  for (int i = 0; i < 20'000; ++i) {
    std::vector<Policy> policies(1 + random.below(4));
    std::vector<LimitReport> reports;
    for (Policy& p : policies) {
      p.name.clear();
      for (std::uint64_t n = 1 + random.below(64); n > 0; --n)
        p.name += static_cast<char>(33 + random.below(94));
      p.limit = static_cast<std::uint32_t>(random());
      p.window = Duration{static_cast<std::int64_t>(1'000'000 + random.below(31'622'400'000'000'000))};
      p.algorithm = Algorithm::segmented_window;
      ASSERT_TRUE(validate(p).has_value());
      reports.push_back({&p, passed(p.limit, static_cast<std::uint32_t>(random.below(p.limit + 1ULL)),
                                    Duration{static_cast<std::int64_t>(random.below(1ULL << 55))})});
    }
    const auto fields = format(reports);
    const auto policy = Reader::list(fields.at("RateLimit-Policy"));
    const auto state = Reader::list(fields.at("RateLimit"));
    ASSERT_TRUE(policy && state) << fields.at("RateLimit-Policy");
    ASSERT_EQ(policy->size(), reports.size());
    ASSERT_EQ(state->size(), reports.size());
    for (std::size_t n = 0; n < reports.size(); ++n) {
      EXPECT_EQ((*policy)[n].name, policies[n].name);
      EXPECT_EQ((*state)[n].name, policies[n].name);
      EXPECT_EQ((*policy)[n].parameters.at(0),
                std::pair(std::string("q"), std::to_string(policies[n].limit)));
      EXPECT_EQ((*state)[n].parameters.at(0),
                std::pair(std::string("r"), std::to_string(reports[n].decision.remaining)));
    }
  }
}

}  // namespace
}  // namespace weir::ratelimit
