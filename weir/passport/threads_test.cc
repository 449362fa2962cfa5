// What threads share: the cache of verified tokens, key rings, revocations. For ThreadSanitizer.
#include <thread>

#include <gtest/gtest.h>

#include "weir/passport/testing.h"

namespace weir::passport {
namespace {

// Four threads check a few tokens while keys are rotated and users revoked: an answer is always one that some order of
// these events explains, and nothing else is seen by the sanitizer.
TEST(PassportThreads, CheckWhileKeysRotateAndUsersAreRevoked) {
  const auto key = testing::make_key(Algorithm::es256, "k");
  const auto extra = testing::make_key(Algorithm::es256, "extra");
  const Provider provider = testing::provider_with({key.key}, {Algorithm::es256});
  const auto revocations = std::make_shared<RevocationList>();
  Authenticator::Options options;
  options.cache_bytes = 64 * 6000;
  options.failures_per_second = 0;
  Authenticator auth(std::make_shared<Verifier>(std::vector<Provider>{provider}, IdentityRules()),
                     revocations, options);
  std::vector<std::string> tokens;
  for (int i = 0; i < 40; ++i)
    tokens.push_back(key.signer.sign(testing::claims_of("user" + std::to_string(i), R"({"iat":1})")).value());
  std::atomic<bool> stop{false};
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (std::size_t i = static_cast<std::size_t>(t); !stop.load(); ++i) {
        const Checked checked = auth.check(tokens[i % tokens.size()], base::IpAddress::v4(1),
                                           TimePoint{std::chrono::hours{1}}, testing::wall());
        const bool good = checked.answer == Checked::Answer::accepted &&
                          checked.identity->subject == "user" + std::to_string(i % tokens.size());
        const bool refused = checked.reject == Reject::unknown_key || checked.reject == Reject::revoked;
        if (!good && !refused) ++wrong;
      }
    });
  for (int round = 0; round < 60; ++round) {
    provider.keys->publish(KeySet({extra.key}));
    provider.keys->publish(KeySet({Key::from_jwk(key.jwk, {}).value(), extra.key}));
    Revocation revocation;
    revocation.kind = Revocation::Kind::sub;
    revocation.value = "user" + std::to_string(round % 10);
    revocation.issued_before = testing::kNow;
    revocation.expires = testing::kNow + 100;
    EXPECT_TRUE(revocations->add(revocation, testing::kNow).has_value());
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong.load(), 0);
  EXPECT_EQ(
      auth.check(tokens[3], base::IpAddress::v4(1), TimePoint{std::chrono::hours{1}}, testing::wall()).reject,
      Reject::revoked);
}

}  // namespace
}  // namespace weir::passport
