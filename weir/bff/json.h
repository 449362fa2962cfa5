// JSON as bytes: validated once, strictly, then only looked into and copied, never parsed into objects and printed again.
//
// A page is made by putting the services' own bytes side by side, so key order and the text of numbers stay what they
// were. That is safe only because every section is validated as a whole first: one invalid byte in one section would
// otherwise spoil everybody's page.
//
//   JsonValidator validator;                        // one a worker: keeps its memory
//   if (validator.check(body, 256) == JsonVerdict::valid) {
//     JsonMembers members(body);
//     while (members.next()) use(members.key(), members.value());
//   }
//
// The readers (members, elements, find) take valid JSON and do not check it again. Where a key occurs twice the first
// one counts. Everything is linear in the text that is looked at; nothing allocates but the validator and the texts
// that are appended to.
#ifndef WEIR_BFF_JSON_H_
#define WEIR_BFF_JSON_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace weir::bff {

enum class JsonVerdict : std::uint8_t { valid, invalid, too_deep };

// RFC 8259 to the letter, UTF-8 included. Nesting deeper than `depth_max` is too_deep.
class JsonValidator {
 public:
  static constexpr std::size_t kFastFrom = 64;  // bytes; below, both are one

  JsonValidator();
  JsonValidator(JsonValidator&&) noexcept;
  JsonValidator& operator=(JsonValidator&&) noexcept;
  ~JsonValidator();

  // `text` may grow in capacity (the parser reads up to 64 bytes behind its end), never in size.
  JsonVerdict check(std::string& text, std::size_t depth_max);

 private:
  struct Parser;
  std::unique_ptr<Parser> parser_;
};

// The same verdict, byte by byte and without a library: for numbers beyond 64 bits, which the fast parser refuses, and
// as its twin in tests.
JsonVerdict check_json_slowly(std::string_view text, std::size_t depth_max) noexcept;

// The members of an object, in their order. No members for anything that is no object.
class JsonMembers {
 public:
  explicit JsonMembers(std::string_view object) noexcept;
  bool next() noexcept;
  std::string_view key() const noexcept { return key_; }      // between its quotes, escapes as they stand
  std::string_view value() const noexcept { return value_; }  // without surrounding space
  bool is(std::string_view name) const noexcept;              // the key, unescaped, is `name`

 private:
  std::string_view rest_;
  std::string_view key_;
  std::string_view value_;
};

// The elements of an array, in their order. None for anything that is no array.
class JsonElements {
 public:
  explicit JsonElements(std::string_view array) noexcept;
  bool next() noexcept;
  std::string_view value() const noexcept { return value_; }

 private:
  std::string_view rest_;
  std::string_view value_;
};

std::string_view trim_json(std::string_view text) noexcept;
bool is_json_object(std::string_view json) noexcept;
bool is_json_array(std::string_view json) noexcept;
// Each step is a member's name, or an index (decimal digits) in an array. Nothing when a step does not exist: never a
// value of the same name elsewhere.
std::optional<std::string_view> find_json(std::string_view json, std::span<const std::string> path) noexcept;
// A string unescaped, a number or a boolean as it is written. False for null, objects and arrays.
bool append_json_scalar(std::string_view json, std::string& out);
// With quotes; bytes that are not UTF-8 become U+FFFD.
void append_json_string(std::string& out, std::string_view text);

}  // namespace weir::bff

#endif  // WEIR_BFF_JSON_H_
