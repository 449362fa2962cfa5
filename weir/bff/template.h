// Template: a path or a JSON body with values to be filled in.
//
//   "/v1/users/{passport.user_id}"          a member of the caller's passport
//   "/v1/orders?user={user.id}"             a value out of another section's answer: makes this one wait for it
//   "/v1/recs?n={req.query.n ?? 10}"        a query parameter, and what stands in for an absent one
//
// Names: req.path.NAME, req.query.NAME, req.header.NAME, passport.NAME, variant.KEY, flag.KEY, item and item.PATH
// (inside for_each), else SECTION.PATH. "{{" and "}}" stand for braces.
//
//   (1) In a target every value is percent-encoded (RFC 6570 simple expansion), whatever it holds: a value cannot add a
//       segment, a parameter or a fragment. A value that is empty, "." or ".." as a path segment cannot be encoded away,
//       so it counts as unsafe and the call is not made.
//   (2) In JSON a text becomes an escaped string; a place that is one reference alone ("{user.id}" in quotes) takes the
//       value as it stands, number or object.
//   (3) Nothing else is computed: no expressions, no conditions.
//
// Immutable after parsing; filling in appends to a string and allocates nothing else.
#ifndef WEIR_BFF_TEMPLATE_H_
#define WEIR_BFF_TEMPLATE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "weir/base/result.h"

namespace weir::bff {

enum class Source : std::uint8_t { path, query, header, passport, variant, flag, item, section };

struct Reference {
  Source source = Source::section;
  std::string name;                     // of the parameter, header, member or section
  std::vector<std::string> path;        // into a section's or an item's JSON; empty: all of it
  std::optional<std::string> fallback;  // behind "??"
  std::uint32_t section = 0;            // index, once a plan has resolved it
  std::uint32_t offset = 0;             // where it stands in the text, for messages
};

// "user.id" and the like, without braces and fallback. Error invalid_argument says what is wrong.
Result<Reference> parse_reference(std::string_view text);

// Where values come from while one page is made.
class Values {
 public:
  // The text of a source that is not JSON (already decoded), or the raw JSON of an item or section at the reference's
  // path (`json` is set). Nothing when it is absent.
  struct Value {
    std::string_view text;
    bool json = false;
  };
  virtual std::optional<Value> get(const Reference& reference) const = 0;

 protected:
  ~Values() = default;
};

enum class Filled : std::uint8_t { ok, absent, unsafe };

class Template {
 public:
  enum class Kind : std::uint8_t { target, json };

  Template() = default;
  // A target starts with '/'. Errors name the offset: "at 12: ...".
  static Result<Template> parse(std::string_view text, Kind kind);

  // Appends the text to `out`. Absent: a value is missing and has no fallback; `which`, if given, points to it.
  Filled fill(const Values& values, std::string& out, const Reference** which = nullptr) const;

  const std::vector<Reference>& references() const noexcept { return references_; }
  std::vector<Reference>& references() noexcept { return references_; }
  const std::string& text() const noexcept { return text_; }

 private:
  struct Part {
    std::string literal;  // goes first
    std::int32_t reference = -1;
    bool in_path = false;  // target: before the '?'
    bool whole = false;    // json: the reference with the quotes around it is the whole value
  };
  bool append_value(const Values::Value& value, const Part& part, std::string& out) const;

  Kind kind_ = Kind::target;
  std::string text_;
  std::vector<Part> parts_;
  std::vector<Reference> references_;
};

}  // namespace weir::bff

#endif  // WEIR_BFF_TEMPLATE_H_
