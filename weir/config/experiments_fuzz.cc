// Any bytes as the experiments' file: it compiles, or every mistake has a place in it; what compiles can be evaluated
// and explained, and both agree. Broken units get no variant.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "weir/config/load.h"
#include "weir/experiment/snapshot.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace weir;
  const config::ExperimentsResult result =
      config::load_experiments_text("experiments.yaml", {reinterpret_cast<const char*>(data), size});
  bool error = false;
  for (const config::Diagnostic& diagnostic : result.diagnostics) {
    error |= diagnostic.severity == config::Diagnostic::Severity::error;
    if (diagnostic.at.line == 0 || diagnostic.at.column == 0 || diagnostic.at.file >= result.files.size())
      std::abort();
    if (config::to_text(diagnostic, result.files).empty()) std::abort();
  }
  if (error != (result.snapshot == nullptr)) std::abort();
  if (error) return 0;
  const experiment::Snapshot& snapshot = *result.snapshot;
  for (std::string_view unit : {"", "user_1", "\xff"}) {
    experiment::Context context(snapshot);
    if (!unit.empty()) context.set_unit(unit);
    for (std::uint32_t i = 0; i < snapshot.size() && i < 100; ++i) {
      const experiment::Decision decision = snapshot.evaluate(experiment::EntryId{i}, context);
      if (snapshot.explain(snapshot.key({i}), context).decision.variant != decision.variant) std::abort();
      if (decision.reason == experiment::Reason::split && unit != "user_1" && snapshot.payload() == nullptr)
        std::abort();
    }
  }
  return 0;
}
