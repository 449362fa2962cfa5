// Json: a small strict reader (RFC 8259) for answers and log lines. Keeps the order of members, since the
// contract names one, and refuses a name that comes twice. Recursion is bounded.
//
//   std::optional<Json> problem = Json::parse(answer.body);
//   EXPECT_EQ((*problem)["type"].text(), "urn:weir:problem:rate-limited");
#ifndef WEIR_TESTS_SUPPORT_JSON_H_
#define WEIR_TESTS_SUPPORT_JSON_H_

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace weir::testing {

class Json {
 public:
  enum class Kind { absent, null, boolean, number, string, array, object };

  // Nothing when `text` is not exactly one JSON value.
  static std::optional<Json> parse(std::string_view text);

  Kind kind() const noexcept { return kind_; }
  bool is_null() const noexcept { return kind_ == Kind::null; }
  // Of a string: its text; of a number or boolean: as written.
  const std::string& text() const noexcept { return text_; }
  double number() const;  // NaN when it is none
  bool has(std::string_view name) const;
  // A Json of kind absent when there is no such member or item.
  const Json& operator[](std::string_view name) const;
  const Json& operator[](std::size_t index) const;
  std::size_t size() const noexcept { return items_.size(); }
  std::vector<std::string> names() const;  // of an object's members, in order

 private:
  friend class JsonReader;
  Kind kind_ = Kind::absent;
  std::string text_;
  std::vector<std::string> names_;  // parallel to items_ in an object
  std::vector<Json> items_;
};

}  // namespace weir::testing

#endif  // WEIR_TESTS_SUPPORT_JSON_H_
