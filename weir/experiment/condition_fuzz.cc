// Any JSON as a condition, and any as the attributes it looks at (the text is cut at its first NUL): weir's
// own operators, GrowthBook's, and a condition beside its negation, of which never both hold.
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "weir/base/check.h"
#include "weir/experiment/growthbook.h"
#include "weir/experiment/snapshot.h"

namespace {

using namespace weir::experiment;

// A flag that is true where `when` holds.
EntryDefinition flag(const char* key, Value when) {
  EntryDefinition entry;
  entry.key = key;
  entry.type = FlagType::boolean;
  entry.fallback = Value::of(false);
  RuleDefinition& rule = entry.rules.emplace_back();
  rule.when = std::move(when);
  rule.value = Value::of(true);
  return entry;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::size_t cut = text.find('\0');
  if (cut == std::string_view::npos) return 0;
  const auto when = parse_json(text.substr(0, cut));
  const auto attributes = parse_json(text.substr(cut + 1));
  if (!when || !attributes) return 0;
  Issues issues;
  static_cast<void>(GrowthBook::read(Value::map(), issues)->holds(*when, *attributes));
  Value negated = Value::map();
  negated.set("not", *when);
  Definitions definitions;
  definitions.entries.push_back(flag("yes", *when));
  definitions.entries.push_back(flag("no", std::move(negated)));
  const auto snapshot = compile(std::move(definitions), issues);
  if (snapshot == nullptr) return 0;
  Context context(*snapshot);
  context.set_all(*attributes);
  const bool yes = snapshot->evaluate("yes", context).value->boolean;
  const bool no = snapshot->evaluate("no", context).value->boolean;
  WEIR_CHECK(!when->is(Value::Kind::map) || !(yes && no));
  return 0;
}
