#include "weir/bff/template.h"

#include <gtest/gtest.h>

#include <map>

#include "weir/base/random.h"
#include "weir/bff/json.h"

namespace weir::bff {
namespace {

class Table final : public Values {
 public:
  std::optional<Value> get(const Reference& reference) const override {
    std::string key = std::to_string(static_cast<int>(reference.source)) + reference.name;
    for (const std::string& step : reference.path) key.append("/").append(step);
    const auto found = values.find(key);
    if (found == values.end()) return std::nullopt;
    Value value;
    value.text = found->second;
    value.json = reference.source == Source::section || reference.source == Source::item;
    return value;
  }
  Table& set(Source source, const std::string& name, std::string value) {
    values[std::to_string(static_cast<int>(source)) + name] = std::move(value);
    return *this;
  }
  std::map<std::string, std::string> values;
};

std::string filled(std::string_view text, const Table& table, Template::Kind kind = Template::Kind::target) {
  const Result<Template> made = Template::parse(text, kind);
  if (!made) return "error " + made.error().detail;
  std::string out;
  switch (made->fill(table, out)) {
    case Filled::ok:
      return out;
    case Filled::absent:
      return "absent";
    case Filled::unsafe:
      break;
  }
  return "unsafe";
}

// Values come from every source, percent-encoded whatever they hold.
TEST(Template, EncodesEveryValue) {
  Table table;
  table.set(Source::passport, "user_id", "user_123").set(Source::section, "user/id", "42");
  table.set(Source::query, "q", "a/b?c=d&e#f é")
      .set(Source::path, "id", "x y")
      .set(Source::header, "x-a.b", "h");
  table.set(Source::section, "user/name", R"("O\u0027Neil\/..")").set(Source::flag, "dark_mode", "true");
  EXPECT_EQ(filled("/v1/users/{passport.user_id}", table), "/v1/users/user_123");
  EXPECT_EQ(filled("/v1/orders?user={user.id}", table), "/v1/orders?user=42");
  EXPECT_EQ(filled("/s?q={req.query.q}", table), "/s?q=a%2Fb%3Fc%3Dd%26e%23f%20%C3%A9");
  EXPECT_EQ(filled("/s/{req.query.q}/t", table), "/s/a%2Fb%3Fc%3Dd%26e%23f%20%C3%A9/t");
  EXPECT_EQ(filled("/{req.path.id}/{user.name}", table), "/x%20y/O%27Neil%2F..");
  EXPECT_EQ(filled("/a?h={req.header.x-a.b}&f={flag.dark_mode}", table), "/a?h=h&f=true");
  EXPECT_EQ(filled("/{{literal}}", table), "/{literal}");
}

// "??" stands in for what is absent, null or of no use; without it there is no call.
TEST(Template, TakesTheFallbackForWhatIsAbsent) {
  Table table;
  table.set(Source::query, "empty", "").set(Source::section, "user/list", "[1]");
  EXPECT_EQ(filled("/v1/recs?n={req.query.n ?? 10}", table), "/v1/recs?n=10");
  EXPECT_EQ(filled("/v1/recs?n={req.query.n ?? \"a b\"}", table), "/v1/recs?n=a%20b");
  EXPECT_EQ(filled("/v1/recs?n={req.query.n ?? ''}", table), "/v1/recs?n=");
  EXPECT_EQ(filled("/v1/recs?n={req.query.n}", table), "absent");
  EXPECT_EQ(filled("/v1/recs?n={req.query.empty}", table), "/v1/recs?n=");
  EXPECT_EQ(filled("/v1/recs/{req.query.empty}", table), "absent")
      << "an empty segment names another resource";
  EXPECT_EQ(filled("/v1/recs/{req.query.empty ?? 0}", table), "/v1/recs/0");
  EXPECT_EQ(filled("/v1/recs?n={user.list ?? 3}", table), "/v1/recs?n=3") << "a list has no text";
}

// A value that would be "." or ".." as a segment, alone or put together, is refused: it cannot be encoded away.
TEST(Template, RefusesValuesThatWouldChangeThePath) {
  Table table;
  table.set(Source::query, "dot", ".").set(Source::query, "dots", "..").set(Source::query, "three", "...");
  EXPECT_EQ(filled("/users/{req.query.dots}", table), "unsafe");
  EXPECT_EQ(filled("/users/{req.query.dots}/x", table), "unsafe");
  EXPECT_EQ(filled("/users/{req.query.dot}{req.query.dot}", table), "unsafe");
  EXPECT_EQ(filled("/users/.{req.query.dot}?a=1", table), "unsafe");
  EXPECT_EQ(filled("/users/a{req.query.dots}", table), "/users/a..");
  EXPECT_EQ(filled("/users/{req.query.three}", table), "/users/...");
  EXPECT_EQ(filled("/users?p={req.query.dots}", table), "/users?p=..");
}

// In JSON a text is escaped inside its string, and a reference that is the whole string is the value itself.
TEST(Template, FillsJson) {
  Table table;
  table.set(Source::query, "q", "a\"b\\\n")
      .set(Source::section, "user/id", "42")
      .set(Source::section, "user/tags", "[1, 2]");
  table.set(Source::section, "user/name", R"("x\"y")");
  const auto json = [&](std::string_view text) { return filled(text, table, Template::Kind::json); };
  EXPECT_EQ(json(R"({"q":"{req.query.q}"})"), R"({"q":"a\"b\\\u000a"})");
  EXPECT_EQ(json(R"({"id":"{user.id}","t":"{user.tags}","n":"{user.name}"})"),
            R"({"id":42,"t":[1, 2],"n":"x\"y"})");
  EXPECT_EQ(json(R"({"m":"id {user.id} of {user.name}"})"), R"({"m":"id 42 of x\"y"})");
  EXPECT_EQ(json(R"({"m":"\"{user.id}\""})"), R"({"m":"\"42\""})");
  EXPECT_EQ(json(R"({"m":"{req.query.none ?? x}"})"), R"({"m":"x"})");
  EXPECT_EQ(json(R"({"m":"{req.query.none}"})"), "absent");
  EXPECT_EQ(json(R"({"a":{"b":{}},"c":["{user.id}"]})"), R"({"a":{"b":{}},"c":[42]})");
}

// Whatever a value holds, the target stays one path and one query, and the JSON stays JSON.
TEST(Template, HoldsAgainstAnyValue) {
  base::Random random(5);
  for (int i = 0; i < 5000; ++i) {
    std::string value;
    for (std::uint64_t n = random.below(12); n > 0; --n)
      value.push_back(static_cast<char>(random.below(256)));
    Table table;
    table.set(Source::query, "v", value);
    const std::string target = filled("/a/{req.query.v}/b?c={req.query.v ?? x}", table);
    if (target.starts_with('/')) {
      EXPECT_EQ(std::count(target.begin(), target.end(), '/'), 3) << target;
      EXPECT_EQ(std::count(target.begin(), target.end(), '?'), 1) << target;
      EXPECT_EQ(target.find_first_of("#& \r\n\"\\"), std::string::npos) << target;
    }
    const std::string json =
        filled(R"({"a":"x{req.query.v}","b":"{req.query.v}"})", table, Template::Kind::json);
    EXPECT_EQ(check_json_slowly(json, 9), JsonVerdict::valid) << json;
  }
}

// What is wrong is said with its place.
TEST(Template, SaysWhatIsWrong) {
  const auto error = [](std::string_view text) {
    return Template::parse(text, Template::Kind::target).error().detail;
  };
  EXPECT_EQ(error("users"), "at 0: a path starts with '/'");
  EXPECT_EQ(error("/a/{user.id"), "at 3: a '{' without its '}'");
  EXPECT_EQ(error("/a/user.id}"), "at 10: a '}' without its '{'");
  EXPECT_EQ(error("/a/{}"), "at 3: an empty name in ''");
  EXPECT_EQ(error("/a/{user..id}"), "at 3: an empty name in 'user..id'");
  EXPECT_EQ(error("/a/{req.cookie.x}"), "at 3: req has path, query and header, not 'req.cookie.x'");
  EXPECT_EQ(error("/a/{passport}"), "at 3: a name is missing behind 'passport'");
  EXPECT_EQ(error("/a/{user.id ?? }"), "at 3: nothing stands behind ??");
  EXPECT_EQ(error("/a/{user.id ?? \"x}"), "at 3: the text behind ?? has no closing quote");
  EXPECT_EQ(error("/a/../b"), "at 0: a path has no '.' or '..' segments");
  EXPECT_EQ(error("/a b"), "at 2: a character that a URI cannot hold: percent-encode it");
}

}  // namespace
}  // namespace weir::bff
