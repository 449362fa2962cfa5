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
#include <utility>
#include <vector>

#include "weir/config/internal/descriptors.h"
#include "weir/config/internal/document.h"
#include "weir/config/internal/scalars.h"
#include "weir/config/load.h"

namespace weir::config::internal {

struct Value {
  const Row* row = nullptr;
  Forms form = 0;            // the one that matched
  Position at;               // of the value
  Position key_at;           // of its key; of the value itself in a list
  bool secret = false;       // came from env: or file:; never shown
  std::string text;          // scalars: as written, or what env: and file: gave
  std::uint64_t number = 0;  // kNumber, kSize; kRate: the count; kBool, kTrue: 1 or 0
  double share = 0;          // kPercent
  Duration duration{};       // kDuration; kRate: the window
  std::vector<std::pair<std::string, Value>> entries;  // kMap
  std::vector<Value> items;                            // kList
  bool damaged = false;                                // something inside was wrong and left out

  const Value* find(std::string_view key) const noexcept;
  bool is(Forms f) const noexcept { return form == f; }
};

class Diagnostics {
 public:
  void error(Position at, std::string message, std::string suggestion = {});
  void warning(Position at, std::string message, std::string suggestion = {});
  bool any_error() const noexcept;
  std::vector<Diagnostic>& list() noexcept { return list_; }

 private:
  std::vector<Diagnostic> list_;
};

// "did you mean `word`?", "" for "".
std::string did_you_mean(std::string_view word);
std::string did_you_mean(std::string_view word, const std::vector<std::string_view>& candidates);

// `path` as seen from the file `from`: unchanged when absolute.
std::string relative_to(std::string_view from, std::string_view path);

struct CheckContext {
  const Environment& environment;
  const std::vector<std::string>& files;
  Diagnostics& diagnostics;
};

// The value of the row whose path is "" (the whole file). `root` may be null: an empty file.
Value check_root(const Node* root, std::uint32_t file, const CheckContext& context);

// Keys that the root must have and `root` lacks; asked once all files are merged.
void check_required(const Value& map, std::string_view path, Position at, Diagnostics& diagnostics);

// "a duration such as 250ms or 2s, 1ms to 1h, or `off`": for messages.
std::string expectation(const Row& row);

}  // namespace weir::config::internal

#endif  // WEIR_CONFIG_INTERNAL_CHECK_H_
