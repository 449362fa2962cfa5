// Remembered tokens: what a hit re-checks, what failures cost, and that memory stays within its bound.
#include "weir/passport/authenticator.h"

#include <gtest/gtest.h>

#include "weir/passport/testing.h"

namespace weir::passport {
namespace {

using testing::claims_of;
using testing::json;
using testing::kNow;
using testing::make_key;
using testing::wall;

constexpr TimePoint kStart{std::chrono::hours{1}};
const base::IpAddress kClient = base::IpAddress::v4(0x0a000001);

struct Bench {
  explicit Bench(Authenticator::Options options = Authenticator::Options())
      : key(make_key(Algorithm::es256, "k")),
        provider(testing::provider_with({key.key}, {Algorithm::es256})),
        revocations(std::make_shared<RevocationList>()),
        auth(std::make_shared<Verifier>(std::vector<Provider>{provider}, IdentityRules()), revocations,
             options) {}

  std::string token(std::string_view sub, std::string_view more = "{}") {
    return key.signer.sign(claims_of(sub, more)).value();
  }
  Checked check(std::string_view token, std::int64_t now_s = kNow, base::IpAddress from = kClient) {
    return auth.check(token, from, kStart + std::chrono::seconds{now_s - kNow}, wall(now_s));
  }

  testing::TestKey key;
  Provider provider;
  std::shared_ptr<RevocationList> revocations;
  Authenticator auth;
};

// The second time the identity is the same object; the passport is written anew at half of its life.
TEST(Authenticator, VerifiesOnce) {
  Bench it;
  const std::string token = it.token("user_123");
  const Checked first = it.check(token);
  ASSERT_EQ(first.answer, Checked::Answer::accepted);
  EXPECT_FALSE(first.cached);
  const Checked second = it.check(token);
  EXPECT_TRUE(second.cached);
  EXPECT_EQ(second.identity, first.identity);
  EXPECT_TRUE(it.check(token, kNow + 149).cached);
  const Checked later = it.check(token, kNow + 150);
  EXPECT_FALSE(later.cached);
  EXPECT_NE(later.identity->passport.header, first.identity->passport.header);
}

// liboauth2, CWE-613: a remembered token still ends when it ends.
TEST(Authenticator, HitsRecheckTimes) {
  Bench it;
  const std::string token = it.token("u", R"({"exp":1790000010})");
  EXPECT_EQ(it.check(token).answer, Checked::Answer::accepted);
  EXPECT_EQ(it.check(token, kNow + 39).answer, Checked::Answer::accepted);
  EXPECT_EQ(it.check(token, kNow + 40).reject, Reject::expired);
  EXPECT_EQ(it.check(token, kNow + 41).reject, Reject::expired);
}

// A key that leaves the set takes its remembered tokens along at once (Envoy's cache kept them).
TEST(Authenticator, HitsRecheckKeys) {
  Bench it;
  const std::string token = it.token("u");
  EXPECT_EQ(it.check(token).answer, Checked::Answer::accepted);
  const auto other = make_key(Algorithm::es256, "other");
  it.provider.keys->publish(KeySet({other.key}));
  EXPECT_EQ(it.check(token).reject, Reject::unknown_key);
  it.provider.keys->publish(KeySet({Key::from_jwk(it.key.jwk, {}).value(), other.key}));
  EXPECT_EQ(it.check(token).answer, Checked::Answer::accepted)
      << "an unknown key is not remembered as a failure";
}

// Revoking by token, user, session or key counts for remembered tokens at once, and for no others.
TEST(Authenticator, HitsRecheckRevocations) {
  const auto revoke_then_check = [](std::string_view revocation) {
    Bench it;
    const std::string bad = it.token("u", R"({"jti":"j1","sid":"s1","iat":1789999999})");
    const std::string good = it.token("v", R"({"jti":"j2","sid":"s2","iat":1789999999})");
    EXPECT_EQ(it.check(bad).answer, Checked::Answer::accepted);
    EXPECT_EQ(it.check(good).answer, Checked::Answer::accepted);
    EXPECT_TRUE(it.revocations->add(Revocation::from_json(json(revocation), kNow).value(), kNow).has_value());
    const bool good_stays = it.check(good).answer == Checked::Answer::accepted;
    return it.check(bad).reject == Reject::revoked && it.check(bad).reject == Reject::revoked ? good_stays
                                                                                              : false;
  };
  EXPECT_TRUE(revoke_then_check(R"({"jti":"j1"})"));
  EXPECT_TRUE(revoke_then_check(R"({"jti":"j1","iss":"https://id.example"})"));
  EXPECT_TRUE(revoke_then_check(R"({"sub":"u"})"));
  EXPECT_TRUE(revoke_then_check(R"({"sid":"s1"})"));
  EXPECT_FALSE(revoke_then_check(R"({"jti":"j1","iss":"https://other.example"})"));
  EXPECT_FALSE(revoke_then_check(R"({"kid":"k"})")) << "a key's revocation hits all of its tokens";
  EXPECT_FALSE(revoke_then_check(R"({"sub":"u","issued_before":1789999999})"))
      << "issued at that very second";
  EXPECT_FALSE(revoke_then_check(R"({"jti":"j1","expires":1790000000})")) << "ended";
}

TEST(Revocation, RefusesWhatIsNone) {
  for (const std::string_view text :
       {"{}", "[]", R"({"jti":""})", R"({"jti":7})", R"({"jti":"a","sub":"b"})", R"({"jwt":"a"})",
        R"({"jti":"a","expires":"soon"})", R"({"jti":"a","expires":-1})"})
    EXPECT_FALSE(Revocation::from_json(json(text), kNow).has_value()) << text;
  const Revocation all =
      Revocation::from_json(json(R"({"sub":"u","iss":"i","issued_before":5,"expires":9})"), kNow).value();
  EXPECT_EQ(Revocation::from_json(all.to_json(), kNow).value(), all);
}

// Fifty failures a second of one address, then 429 for unknown tokens; known ones and other addresses pass.
TEST(Authenticator, BoundsFailuresOfAnAddress) {
  Bench it;
  const std::string known = it.token("known");
  const std::string fresh = it.token("fresh");
  EXPECT_EQ(it.check(known).answer, Checked::Answer::accepted);
  for (int i = 0; i < 50; ++i) ASSERT_EQ(it.check("x" + std::to_string(i)).reject, Reject::not_compact) << i;
  const Checked refused = it.check("y");
  EXPECT_EQ(refused.answer, Checked::Answer::too_many_failures);
  EXPECT_GT(refused.retry_after, Duration::zero());
  EXPECT_LE(refused.retry_after, std::chrono::milliseconds{20});
  EXPECT_EQ(it.check(fresh).answer, Checked::Answer::too_many_failures);
  EXPECT_TRUE(it.check(known).cached);
  EXPECT_EQ(it.check(fresh, kNow, base::IpAddress::v4(0x0a000002)).answer, Checked::Answer::accepted);
  EXPECT_EQ(it.auth.check("z", kClient, kStart + refused.retry_after, wall()).answer,
            Checked::Answer::rejected)
      << "who waits so long is looked at again";
}

// One address cannot fail more than 50 times in any second, counted against a list of all its failures.
TEST(Authenticator, FailureLimitHoldsInEverySecond) {
  Bench it;
  std::vector<TimePoint> failures;
  TimePoint now = kStart;
  for (int i = 0; i < 3000; ++i) {
    now += std::chrono::milliseconds{3};
    if (it.auth.check("a" + std::to_string(i), kClient, now, wall()).answer == Checked::Answer::rejected)
      failures.push_back(now);
  }
  // A bucket that holds one second's worth and refills at that rate lets twice that through in the first second.
  for (std::size_t i = 100; i < failures.size(); ++i)
    EXPECT_GT(failures[i] - failures[i - 100], std::chrono::milliseconds{990});
  EXPECT_GT(failures.size(), 400U);
}

// A failure is remembered for a while, so a flood of one bad token costs no signature checks; it counts all the same.
TEST(Authenticator, RemembersFailures) {
  Bench it;
  std::string bad = it.token("u");
  bad[bad.size() - 3] = bad[bad.size() - 3] == 'A' ? 'B' : 'A';
  EXPECT_EQ(it.check(bad).reject, Reject::bad_signature);
  EXPECT_EQ(it.check(bad).reject, Reject::bad_signature);
  EXPECT_EQ(it.auth.stats().entries, 0U);
}

// However many tokens come, the bytes stay within the bound, and a token in use outlives a flood of others.
TEST(Authenticator, StaysWithinItsBytes) {
  Authenticator::Options options;
  options.cache_bytes = 64 * 8 * 1024;
  Bench it(options);
  const std::string hot = it.token("hot");
  for (int i = 0; i < 2000; ++i) {
    EXPECT_EQ(it.check(it.token("user" + std::to_string(i))).answer, Checked::Answer::accepted);
    if (i % 4 == 0) {
      EXPECT_EQ(it.check(hot).answer, Checked::Answer::accepted);
    }
    EXPECT_LE(it.auth.stats().bytes, options.cache_bytes);
  }
  EXPECT_TRUE(it.check(hot).cached);
  EXPECT_GT(it.auth.stats().evictions, 1000U);
}

// A token over 4 KiB is accepted and not kept.
TEST(Authenticator, DoesNotKeepLongTokens) {
  Bench it;
  const std::string token = it.token("u", R"({"pad":")" + std::string(4000, 'x') + "\"}");
  EXPECT_EQ(it.check(token).answer, Checked::Answer::accepted);
  EXPECT_EQ(it.check(token).answer, Checked::Answer::accepted);
  EXPECT_EQ(it.auth.stats().entries, 0U);
}

}  // namespace
}  // namespace weir::passport
