// Any JSON as a GrowthBook payload, and any as the attributes (the text is cut at its first NUL): it is read or refused,
// every key is decided, and twice the same.
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

#include "weir/base/check.h"
#include "weir/experiment/growthbook.h"
#include "weir/experiment/snapshot.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace weir::experiment;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::size_t cut = text.find('\0');
  if (cut == std::string_view::npos) return 0;
  auto payload = parse_json(text.substr(0, cut));
  const auto attributes = parse_json(text.substr(cut + 1));
  if (!payload || !attributes) return 0;
  Issues issues;
  Definitions definitions;
  definitions.growthbook = GrowthBook::read(std::move(*payload), issues);
  const auto snapshot = compile(std::move(definitions), issues);
  WEIR_CHECK((snapshot == nullptr) == issues.any_error());
  if (snapshot == nullptr) return 0;
  Context context(*snapshot);
  context.set_all(*attributes);
  for (std::uint32_t i = 0; i < snapshot->size() && i < 100; ++i) {
    const Decision first = snapshot->evaluate(EntryId{i}, context);
    const Decision second = snapshot->evaluate(EntryId{i}, context);
    WEIR_CHECK(first.value == second.value && first.variant == second.variant &&
               first.reason == second.reason);
  }
  return 0;
}
