// FlatJson: one JSON object of plain members, where every fault has its place.
//
// For what people and scripts write by hand in one line: the body of an admin's request, a line of a trace. Strict RFC
// 8259: UTF-8, one object and nothing behind it, no name twice; members are texts, numbers, true, false or null. A number
// keeps its digits, so that nothing passes through a double.
//
//   Result<FlatJson> body = FlatJson::parse(text);
//   if (!body) return refuse(body.error().detail);    // "1:17: a name twice: \"limit\""
//   const FlatJson::Member* limit = body->find("limit");
//
// At most kBytes of text. Linear; pure.
#ifndef WEIR_SERVER_FLAT_JSON_H_
#define WEIR_SERVER_FLAT_JSON_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "weir/base/result.h"

namespace weir::server {

class FlatJson {
 public:
  static constexpr std::size_t kBytes = 64 * 1024;
  static constexpr std::size_t kMembers = 64;

  enum class Kind : std::uint8_t { text, number, boolean, null };

  struct Place {
    std::uint32_t line = 1;    // from 1
    std::uint32_t column = 1;  // from 1, in bytes
    std::string to_text() const { return std::to_string(line) + ":" + std::to_string(column); }
  };

  struct Member {
    std::string name;
    Kind kind = Kind::null;
    std::string text;  // of a text what it says; of a number its digits; "true" or "false"
    Place at;          // of the name
    Place value_at;

    // A whole number without sign or fraction, up to 2^64 - 1.
    std::optional<std::uint64_t> whole() const;
  };

  // Error malformed or too_large; the detail begins with "line:column: ". `line` is the number of the text's first line.
  static Result<FlatJson> parse(std::string_view text, std::uint32_t line = 1);

  const Member* find(std::string_view name) const;
  const std::vector<Member>& members() const noexcept { return members_; }

 private:
  class Reader;
  std::vector<Member> members_;
};

}  // namespace weir::server

#endif  // WEIR_SERVER_FLAT_JSON_H_
