// The two headers, byte for byte, and what a reader makes of them.
#include "weir/passport/passport.h"

#include <gtest/gtest.h>

#include "weir/base/base64.h"
#include "weir/base/random.h"
#include "weir/passport/api_keys.h"
#include "weir/passport/testing.h"

namespace weir::passport {
namespace {

using testing::json;
using testing::kNow;
using testing::wall;

std::string decoded(const Passport& passport) { return base::base64_decode(passport.header).value(); }

// sub=user_123 begins eyJ1c2VyX2lkIjoidXNlcl8xMjMi, whatever order the mapping is written in.
TEST(Passport, BeginsWithTheUsersId) {
  const Json claims = json(R"({"email":"a@b.c","sub":"user_123","roles":["admin"]})");
  const Passport passport = PassportWriter().write(claims, {}, 0).value();
  EXPECT_TRUE(passport.header.starts_with("eyJ1c2VyX2lkIjoidXNlcl8xMjMi")) << passport.header;
  EXPECT_EQ(decoded(passport), R"({"user_id":"user_123","email":"a@b.c","roles":["admin"]})");
  PassportWriter::Options options;
  options.claims = {{"email", {"email"}}, {"user_id", {"sub"}}};
  EXPECT_EQ(decoded(PassportWriter(options).write(claims, {}, 0).value()),
            R"({"user_id":"user_123","email":"a@b.c"})");
  options.claims = {{"mail", {"email"}}};
  EXPECT_EQ(decoded(PassportWriter(options).write(claims, {}, 0).value()),
            R"({"user_id":"user_123","mail":"a@b.c"})");
}

// Absent claims are left out; lists, objects and 64-bit integers come through as they are; extras never displace.
TEST(Passport, KeepsShapesAndNumbers) {
  PassportWriter::Options options;
  options.claims = {
      {"user_id", {"sub"}}, {"deep", {"https://x/y", "z"}}, {"gone", {"nowhere"}}, {"null", {"n"}}};
  const Json claims = json(R"({"sub":9007199254740993,"https://x/y":{"z":{"a":[1,"\u00e9"]}},"n":null})");
  const Passport passport =
      PassportWriter(options).write(claims, {{"deep", Json(1.5)}, {"iss", Json("i")}}, 77).value();
  EXPECT_EQ(decoded(passport),
            "{\"user_id\":9007199254740993,\"deep\":{\"a\":[1,\"\xc3\xa9\"]},\"iss\":\"i\",\"exp\":77}");
}

// Too large: optional members go, the last first, and are named; a passport is never cut.
TEST(Passport, DropsOptionalMembersWhenTooLarge) {
  PassportWriter::Options options;
  options.claims = {{"user_id", {"sub"}}, {"groups", {"groups"}}, {"bio", {"bio"}}};
  options.optional = {"groups", "bio"};
  options.bytes = 120;
  const Json claims = json(R"({"sub":"u","groups":["a","b"],"bio":")" + std::string(200, 'x') + "\"}");
  EXPECT_EQ(decoded(PassportWriter(options).write(claims, {}, 0).value()),
            R"({"user_id":"u","groups":["a","b"],"trunc":["bio"]})");
  const Json worse = json(R"({"sub":")" + std::string(200, 'x') + "\"}");
  EXPECT_EQ(PassportWriter(options).write(worse, {}, 0).error().code, ErrorCode::too_large);
}

TEST(Passport, OfNobody) {
  const Passport nobody = Passport::of_nobody();
  EXPECT_EQ(decoded(nobody), R"({"user_id":null,"anon":true,"status":"anonymous"})");
  EXPECT_TRUE(nobody.anonymous());
  EXPECT_EQ(nobody.user_id(), "");
}

// What was written is read; what is not one is refused with the reason, never half read.
TEST(PassportReader, ReadsWhatWasWrittenAndNothingElse) {
  const Json claims = json(R"({"sub":"user_123","roles":["admin"]})");
  const Passport written = PassportWriter().write(claims, {}, kNow + 10).value();
  const Reader reader;
  const Result<Passport> read = reader.read(written.header, wall());
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->user_id(), "user_123");
  EXPECT_TRUE(read->has_role("admin"));
  EXPECT_FALSE(read->has_role("adm"));
  EXPECT_TRUE(reader.read(written.header, wall(kNow + 69)).has_value());
  EXPECT_EQ(reader.read(written.header, wall(kNow + 70)).error().code, ErrorCode::timed_out);
  const auto code = [&](std::string_view text) {
    const Result<Passport> result = reader.read(base::base64_encode(text), wall());
    return result ? ErrorCode::io_error : result.error().code;
  };
  EXPECT_EQ(code(R"({"email":"x","user_id":"u"})"), ErrorCode::malformed);
  EXPECT_EQ(code(R"({"user_id":"u","user_id":"v"})"), ErrorCode::malformed);
  EXPECT_EQ(code(R"({"user_id":["u"]})"), ErrorCode::malformed);
  EXPECT_EQ(code(R"({"user_id":"u","anon":"yes"})"), ErrorCode::malformed);
  EXPECT_EQ(code(R"({"user_id":"u","exp":"soon"})"), ErrorCode::malformed);
  EXPECT_EQ(code("[]"), ErrorCode::malformed);
  EXPECT_EQ(code("{}"), ErrorCode::malformed);
  EXPECT_EQ(reader.read("!!!", wall()).error().code, ErrorCode::malformed);
  EXPECT_EQ(reader.read("", wall()).error().code, ErrorCode::malformed);
  EXPECT_EQ(reader.read(std::string(9000, 'a'), wall()).error().code, ErrorCode::too_large);
  PassportWriter::Options url;
  url.url_alphabet = true;
  EXPECT_TRUE(reader.read(PassportWriter(url).write(claims, {}, 0)->header, wall()).has_value());
}

// The files that readers in other languages are tested with say the same as the code.
TEST(PassportReader, AgreesWithTheVectors) {
  const Json file = Json::parse(testing::read_file(WEIR_SOURCE_DIR "/weir/passport/testdata/passports.json"),
                                Json::Limits())
                        .value();
  for (const Json& item : file.items()) {
    const Result<Passport> read =
        Reader().read(item.find("header")->text(), wall(*item.find("now")->integer()));
    EXPECT_EQ(read.has_value(), item.find("valid")->boolean()) << item.to_text();
    if (read) {
      EXPECT_EQ(read->members, *item.find("members")) << item.to_text();
    }
  }
}

std::string proxy_state(std::string_view claims) { return ProxyStateRules().derive(json(claims)).plain(); }

// active, user_123, US, web gives YWN0aXZlOnVzZXJfMTIzOlVTOndlYg==.
TEST(ProxyState, IsWhatTheContractSays) {
  const Json claims = json(R"({"status":"active","sub":"user_123","country":"US","platform":"web"})");
  EXPECT_EQ(ProxyStateRules().derive(claims).encode(), "YWN0aXZlOnVzZXJfMTIzOlVTOndlYg==");
  EXPECT_EQ(ProxyState().plain(), "anonymous::ZZ:other");
}

// Values outside the closed sets fall into one; absent ones have their default.
TEST(ProxyState, NormalisesIntoClosedSets) {
  EXPECT_EQ(proxy_state("{}"), "active::ZZ:other");
  EXPECT_EQ(proxy_state(R"({"status":"weird","country":"USA","platform":"fridge"})"), "other::ZZ:other");
  EXPECT_EQ(proxy_state(R"({"status":7,"country":"us","platform":["web"]})"), "other::ZZ:other");
  for (const std::string_view status : {"active", "anonymous", "guest", "trial", "expired", "suspended"})
    EXPECT_TRUE(proxy_state("{\"status\":\"" + std::string(status) + "\"}").starts_with(status));
  for (const std::string_view platform : {"web", "ios", "android", "tv", "desktop", "console"})
    EXPECT_TRUE(proxy_state("{\"platform\":\"" + std::string(platform) + "\"}").ends_with(platform));
}

// The first of sub.from that is a text: a subscription if there is one, else the subject.
TEST(ProxyState, SubIsTheFirstOfItsList) {
  EXPECT_EQ(proxy_state(R"({"sub":"u","plan":"gold"})"), "active:gold:ZZ:other");
  EXPECT_EQ(proxy_state(R"({"sub":"u","plan":"gold","subscription":"vip"})"), "active:vip:ZZ:other");
  EXPECT_EQ(proxy_state(R"({"sub":"u","plan":3})"), "active:u:ZZ:other");
}

// No claim can shift a field or write a control character.
TEST(ProxyState, EncodesWhatWouldBreakTheForm) {
  EXPECT_EQ(proxy_state(R"({"sub":"free:US:web"})"), "active:free%3AUS%3Aweb:ZZ:other");
  EXPECT_EQ(proxy_state(R"({"sub":"100%\r\n\u00e9"})"), "active:100%25%0D%0A%C3%A9:ZZ:other");
}

// Two different states never encode alike: over many random fields, equal texts mean equal fields.
TEST(ProxyState, IsInjective) {
  const std::uint64_t seed = base::random_seed();
  SCOPED_TRACE(seed);
  base::Random random(seed);
  std::map<std::string, ProxyState> seen;
  constexpr std::string_view kAlphabet = "a:%2Z\x01\xc3";
  for (int i = 0; i < 20'000; ++i) {
    ProxyState state;
    for (std::string* field : {&state.status, &state.sub, &state.country, &state.platform}) {
      field->clear();
      for (std::uint64_t n = random.below(4); n > 0; --n) *field += kAlphabet[random.below(kAlphabet.size())];
    }
    const std::string plain = state.plain();
    EXPECT_EQ(std::count(plain.begin(), plain.end(), ':'), 3);
    const auto [at, fresh] = seen.emplace(plain, state);
    if (!fresh) {
      EXPECT_EQ(at->second, state);
    }
  }
}

// The estimate is within a tenth over four orders of magnitude, and a window later it is small again.
TEST(ProxyState, EstimatesDistinctValues) {
  const TimePoint start{std::chrono::hours{1}};
  for (const int count : {10, 1000, 20'000}) {
    DistinctEstimate estimate;
    for (int round = 0; round < 3; ++round)
      for (int i = 0; i < count; ++i) estimate.add(base::siphash13({1, 2}, std::to_string(i)), start);
    EXPECT_NEAR(estimate.estimate(), count, count * 0.1);
    for (int window = 1; window <= 2; ++window) estimate.add(1, start + window * DistinctEstimate::kWindow);
    EXPECT_LT(estimate.estimate(), 5);
  }
}

// A key in a header stands for the claims of its entry; all else is nobody.
TEST(ApiKeys, FindByHash) {
  const std::vector<ApiKeyEntry> entries{
      {api_key_hash("secret-1"), json(R"({"sub":"robot_1","scope":"read write","roles":["job"]})")},
      {api_key_hash("secret-2"), json(R"({"sub":"robot_2","plan":"gold"})")}};
  const ApiKeySet keys = ApiKeySet::make(entries, "machines", {"roles"}, IdentityRules()).value();
  const auto robot = keys.find("secret-1");
  ASSERT_NE(robot, nullptr);
  EXPECT_EQ(robot->subject, "robot_1");
  EXPECT_TRUE(robot->has_scope("write"));
  EXPECT_TRUE(robot->has_role("job"));
  EXPECT_TRUE(decoded(robot->passport).starts_with(R"({"user_id":"robot_1")"));
  EXPECT_EQ(keys.find("secret-2")->proxy_fields.plain(), "active:gold:ZZ:other");
  EXPECT_EQ(keys.find("secret-3"), nullptr);
  EXPECT_EQ(keys.find(""), nullptr);
  EXPECT_EQ(keys.find(api_key_hash("secret-1")), nullptr) << "the file's content is no key";
}

TEST(ApiKeys, RefuseEntriesThatCannotBeUsed) {
  const auto error = [](std::vector<ApiKeyEntry> entries) {
    const Result<ApiKeySet> set = ApiKeySet::make(entries, "m", {"roles"}, IdentityRules());
    return set ? std::string() : set.error().detail;
  };
  EXPECT_NE(error({{"abc", json(R"({"sub":"x"})")}}).find("key 1"), std::string::npos);
  EXPECT_NE(error({{std::string(64, 'g'), json(R"({"sub":"x"})")}}), "");
  EXPECT_NE(error({{api_key_hash("a"), json("{}")}}), "");
  EXPECT_NE(error({{api_key_hash("a"), json(R"({"sub":"x"})")}, {api_key_hash("a"), json(R"({"sub":"y"})")}}),
            "");
}

}  // namespace
}  // namespace weir::passport
