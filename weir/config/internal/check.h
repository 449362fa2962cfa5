// A tree of nodes checked against the descriptor table: what comes out is typed, within bounds and known by
// name.
//
// One walk for all files and all parts: unknown keys, missing keys, wrong types, bounds, words, `env:` and
// `file:`. A value that is wrong is reported and left out, so that readers go on with the rest and all
// mistakes appear at once. What needs more than one value (references, uniqueness, hidden routes) is the
// readers' (read_*.cc).
#ifndef WEIR_CONFIG_INTERNAL_CHECK_H_
#define WEIR_CONFIG_INTERNAL_CHECK_H_

#include <string>
#include <string_view>
#include <vector>

#include "weir/config/internal/descriptors.h"
#include "weir/config/internal/document.h"
#include "weir/config/internal/forms.h"
#include "weir/config/internal/report.h"
#include "weir/config/load.h"

namespace weir::config::internal {

inline constexpr std::size_t kMaxOutsideBytes = 64 * 1024 * 1024;  // of all `file:` values together

struct Member;

struct Value : Scalar {  // form 0: the value was wrong and is left out
  Position at;           // of the value
  Position key_at;       // of its key; of the value itself in a list
  std::string text;      // scalars: as written, or what env: and file: gave
  std::string source;    // "env:NAME" or "file:PATH" when the text came from there: never to be shown then
  std::vector<Member> entries;  // kMap; wrong ones are there, with form 0
  std::vector<Value> items;     // kList; wrong ones are not
  bool partial = false;         // kList: wrong items were left out; the root: it is no map

  const Value* find(std::string_view key) const noexcept;
  bool is(Forms f) const noexcept { return form == f; }
};

struct Member {
  std::string key;
  Value value;
};

// For messages: the text between backquotes, or where it came from.
std::string shown(const Value& value);

// `path` as seen from the file `from`: unchanged when absolute.
std::string relative_to(std::string_view from, std::string_view path);

struct CheckContext {
  const Environment& environment;
  const std::vector<std::string>& files;
  Report& report;
  std::size_t& outside_bytes;  // read through `file:` so far
};

// The whole of a file. `root` may be null: an empty one.
Value check_root(const Node* root, std::uint32_t file, const CheckContext& context);

// Reports keys that a map at `path` must have and does not.
void check_required(const Value& map, std::string_view path, Position at, Report& report);

}  // namespace weir::config::internal

#endif  // WEIR_CONFIG_INTERNAL_CHECK_H_
