// The dictionaries and the field list.
#include "weir/http/message.h"

#include <map>
#include <string>

#include <gtest/gtest.h>

#include "weir/base/random.h"
#include "weir/base/strings.h"
#include "weir/http/internal/chars.h"

namespace weir::http {
namespace {

const std::map<std::string, Name> kNames = {
    {"accept", Name::accept},
    {"accept-encoding", Name::accept_encoding},
    {"age", Name::age},
    {"allow", Name::allow},
    {"authorization", Name::authorization},
    {"cache-control", Name::cache_control},
    {"connection", Name::connection},
    {"content-encoding", Name::content_encoding},
    {"content-length", Name::content_length},
    {"content-type", Name::content_type},
    {"cookie", Name::cookie},
    {"date", Name::date},
    {"expect", Name::expect},
    {"forwarded", Name::forwarded},
    {"host", Name::host},
    {"idempotency-key", Name::idempotency_key},
    {"keep-alive", Name::keep_alive},
    {"location", Name::location},
    {"max-forwards", Name::max_forwards},
    {"origin", Name::origin},
    {"proxy-authenticate", Name::proxy_authenticate},
    {"proxy-authorization", Name::proxy_authorization},
    {"proxy-connection", Name::proxy_connection},
    {"proxy-status", Name::proxy_status},
    {"ratelimit", Name::ratelimit},
    {"ratelimit-policy", Name::ratelimit_policy},
    {"retry-after", Name::retry_after},
    {"server", Name::server},
    {"set-cookie", Name::set_cookie},
    {"te", Name::te},
    {"traceparent", Name::traceparent},
    {"tracestate", Name::tracestate},
    {"trailer", Name::trailer},
    {"transfer-encoding", Name::transfer_encoding},
    {"upgrade", Name::upgrade},
    {"user-agent", Name::user_agent},
    {"vary", Name::vary},
    {"via", Name::via},
    {"www-authenticate", Name::www_authenticate},
    {"x-forwarded-for", Name::x_forwarded_for},
    {"x-forwarded-host", Name::x_forwarded_host},
    {"x-forwarded-proto", Name::x_forwarded_proto},
    {"x-forwarded-port", Name::x_forwarded_port},
    {"x-forwarded-prefix", Name::x_forwarded_prefix},
    {"x-real-ip", Name::x_real_ip},
    {"x-request-id", Name::x_request_id},
};

// Every name is known in small letters, capitals and mixed.
TEST(ParseName, KnowsEveryNameInAnyCase) {
  for (const auto& [text, name] : kNames) {
    std::string capitals;
    std::string mixed;
    for (std::size_t i = 0; i < text.size(); ++i) {
      const char capital = base::is_alpha(text[i]) ? static_cast<char>(text[i] & ~0x20) : text[i];
      capitals += capital;
      mixed += i % 3 == 0 ? capital : text[i];
    }
    EXPECT_EQ(parse_name(text), name) << text;
    EXPECT_EQ(parse_name(capitals), name) << text;
    EXPECT_EQ(parse_name(mixed), name) << text;
  }
}

// Every text that differs from a name in one byte, is shorter or longer, is another name: looked up in a map.
TEST(ParseName, TakesNoOtherTextForAName) {
  const auto expected = [](const std::string& text) {
    const auto found = kNames.find(base::to_lower(text));
    return found == kNames.end() ? Name::other : found->second;
  };
  for (const auto& [text, name] : kNames) {
    for (std::size_t i = 0; i < text.size(); ++i) {
      for (int byte = 0; byte < 256; ++byte) {
        std::string changed = text;
        changed[i] = static_cast<char>(byte);
        ASSERT_EQ(parse_name(changed), expected(changed)) << changed;
      }
      ASSERT_EQ(parse_name(text.substr(0, i)), expected(text.substr(0, i)));
      ASSERT_EQ(parse_name(text.substr(i)), expected(text.substr(i)));
      ASSERT_EQ(parse_name(text.substr(0, i) + "-" + text.substr(i)),
                expected(text.substr(0, i) + "-" + text.substr(i)));
    }
    ASSERT_EQ(parse_name(text + text), Name::other);
  }
  EXPECT_EQ(parse_name(""), Name::other);
  EXPECT_EQ(parse_name(std::string(100, 'a')), Name::other);
}

// Methods are case-sensitive (RFC 9110 9.1).
TEST(ParseMethod, IsCaseSensitive) {
  for (const Method method : {Method::get, Method::head, Method::post, Method::put, Method::delete_,
                              Method::options, Method::trace, Method::patch, Method::connect}) {
    const std::string text(to_string(method));
    EXPECT_EQ(parse_method(text), method);
    EXPECT_EQ(parse_method(base::to_lower(text)), Method::other);
    EXPECT_EQ(parse_method(text + "X"), Method::other);
    EXPECT_EQ(parse_method(text.substr(1)), Method::other);
  }
  EXPECT_EQ(parse_method(""), Method::other);
  EXPECT_EQ(to_string(Method::other), "");
}

// RFC 9110 9.2.2.
TEST(ParseMethod, KnowsWhatMayBeRepeated) {
  for (const Method method :
       {Method::get, Method::head, Method::put, Method::delete_, Method::options, Method::trace})
    EXPECT_TRUE(is_idempotent(method));
  for (const Method method : {Method::post, Method::patch, Method::connect, Method::other})
    EXPECT_FALSE(is_idempotent(method));
}

Field field(std::string_view name, std::string_view value) {
  return {.name = name, .value = value, .id = parse_name(name), .hop_by_hop = false};
}

// Look-ups find the first of a name, and nothing where nothing is.
TEST(Fields, FindsTheFirst) {
  Fields fields;
  EXPECT_EQ(fields.find(Name::host), nullptr);
  EXPECT_EQ(fields.value(Name::host), "");
  fields.add(field("X-A", "1"));
  fields.add(field("Cookie", "a=b"));
  fields.add(field("x-a", "2"));
  fields.add(field("cookie", "c=d"));
  ASSERT_NE(fields.find(Name::cookie), nullptr);
  EXPECT_EQ(fields.value(Name::cookie), "a=b");
  EXPECT_EQ(fields.count(Name::cookie), 2U);
  EXPECT_EQ(fields.count(Name::host), 0U);
  ASSERT_NE(fields.find("x-A"), nullptr);
  EXPECT_EQ(fields.find("x-A")->value, "1");
  ASSERT_NE(fields.find("COOKIE"), nullptr);
  EXPECT_EQ(fields.find("x-b"), nullptr);
  EXPECT_EQ(fields.find("host"), nullptr);
}

// Removal keeps the order of the rest and forgets names that are gone.
TEST(Fields, RemovesInOrder) {
  Fields fields;
  for (const char* name : {"Host", "X-A", "Cookie", "X-B", "Cookie"}) fields.add(field(name, ""));
  fields.remove_if([](const Field& one) { return one.id == Name::cookie; });
  ASSERT_EQ(fields.size(), 3U);
  EXPECT_EQ(fields[0].name, "Host");
  EXPECT_EQ(fields[1].name, "X-A");
  EXPECT_EQ(fields[2].name, "X-B");
  EXPECT_FALSE(fields.has(Name::cookie));
  EXPECT_TRUE(fields.has(Name::host));
  fields.clear();
  EXPECT_TRUE(fields.empty());
  EXPECT_FALSE(fields.has(Name::host));
}

// A set of names holds what was put in and nothing else; Fields knows its names as one.
TEST(NameSet, HoldsWhatWasPutIn) {
  constexpr NameSet kSet{Name::host, Name::x_request_id, Name::other};
  static_assert(kSet.contains(Name::host) && kSet.contains(Name::x_request_id) && kSet.contains(Name::other));
  static_assert(!kSet.contains(Name::accept) && !NameSet{}.contains(Name::other));
  Fields fields;
  EXPECT_FALSE(fields.has_any(kSet));
  fields.add({"Accept", "*/*", Name::accept, false});
  EXPECT_FALSE(fields.has_any(kSet));
  fields.add({"X-Own", "1", Name::other, false});
  EXPECT_TRUE(fields.has_any(kSet));
  fields.remove_if([](const Field& field) { return field.id == Name::other; });
  EXPECT_FALSE(fields.has_any(kSet));
}

// Fields grow, are copied, moved and swapped like any value: the copy is another list, the moved-from is empty.
TEST(Fields, AreAValue) {
  std::vector<std::string> names;
  for (int i = 0; i < 100; ++i) names.push_back("x-" + std::to_string(i));
  Fields fields;
  for (const std::string& name : names) fields.add({name, "v", Name::other, false});
  ASSERT_EQ(fields.size(), 100U);
  for (std::size_t i = 0; i < 100; ++i) EXPECT_EQ(fields[i].name, names[i]);
  Fields copy = fields;
  copy.remove_if([](const Field& field) { return field.name != "x-7"; });
  EXPECT_EQ(copy.size(), 1U);
  EXPECT_EQ(fields.size(), 100U);
  const Fields moved = std::move(fields);
  EXPECT_EQ(moved.size(), 100U);
  EXPECT_TRUE(fields.empty());  // NOLINT(bugprone-use-after-move)
  fields.add({"Host", "a", Name::host, false});
  EXPECT_TRUE(fields.has(Name::host));
  EXPECT_FALSE(fields.has(Name::other));
  copy.swap(fields);
  EXPECT_EQ(copy.value(Name::host), "a");
  EXPECT_EQ(fields.size(), 1U);
}

TEST(ReasonPhrase, IsTheRegisteredOne) {
  EXPECT_EQ(reason_phrase(200), "OK");
  EXPECT_EQ(reason_phrase(413), "Content Too Large");
  EXPECT_EQ(reason_phrase(431), "Request Header Fields Too Large");
  EXPECT_EQ(reason_phrase(299), "");
  EXPECT_EQ(reason_phrase(0), "");
}

// The wide scans stop where a loop over the table stops: every byte value at every offset, in texts of every
// length around the width of a step, each in memory of exactly its size.
TEST(Chars, WideScansAgreeWithTheTable) {
  for (std::size_t size = 0; size <= 40; ++size) {
    for (std::size_t at = 0; at < size; ++at) {
      for (int byte = 0; byte < 256; ++byte) {
        std::vector<char> text(size, 'a');
        text[at] = static_cast<char>(byte);
        const char* begin = text.data();
        const char* end = begin + size;
        ASSERT_EQ(internal::skip_value(begin, end), internal::skip(begin, end, internal::kValueChar)) << byte;
        ASSERT_EQ(internal::skip_name(begin, end), internal::skip(begin, end, internal::kTokenChar)) << byte;
        ASSERT_EQ(internal::skip_target(begin, end), internal::skip(begin, end, internal::kTargetChar))
            << byte;
      }
    }
  }
}

}  // namespace
}  // namespace weir::http
