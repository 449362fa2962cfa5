// Any JSON as a definition file, native or GrowthBook's: it compiles or says why not; what compiles can be
// evaluated and explained, and both agree.
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "weir/base/check.h"
#include "weir/experiment/growthbook.h"
#include "weir/experiment/snapshot.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace weir::experiment;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  auto tree = parse_json(text);
  if (!tree) return 0;
  Issues issues;
  Definitions definitions;
  if (is_growthbook(*tree))
    definitions.growthbook = GrowthBook::read(std::move(*tree), issues);
  else
    definitions = read_native(*tree, issues);
  const auto snapshot = compile(std::move(definitions), issues);
  WEIR_CHECK((snapshot == nullptr) == issues.any_error());
  if (snapshot == nullptr) return 0;
  for (std::string_view unit : {"", "user_1", "\xff"}) {
    Context context(*snapshot);
    if (!unit.empty()) context.set_unit(unit);
    for (std::uint16_t slot = 0; slot < snapshot->attributes().size(); ++slot)
      if (snapshot->attributes().name(slot) != Context::kTargetingKey && slot % 2 == 0)
        context.set(snapshot->attributes().name(slot), "1.2.3");
    for (std::uint32_t i = 0; i < snapshot->size() && i < 100; ++i) {
      const Decision decision = snapshot->evaluate(EntryId{i}, context);
      WEIR_CHECK(snapshot->explain(snapshot->key({i}), context).decision.variant == decision.variant);
    }
  }
  return 0;
}
