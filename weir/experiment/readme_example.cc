// The example of README.md, compiled and run by the tests.
#include <cstdio>

#include "weir/experiment/engine.h"

namespace ex = weir::experiment;

int main() {
  const auto file = ex::parse_json(R"({"experiments": [{"key": "checkout_button", "hash": "fnv1a",
    "when": {"country": {"in": ["US", "CA"]}},
    "variants": [{"name": "control", "weight": 50}, {"name": "treatment", "weight": 50}]}]})");
  ex::Issues issues;
  ex::Engine engine(ex::compile(ex::read_native(*file, issues), issues));

  const auto snapshot = engine.snapshot();
  ex::Context context(*snapshot);
  context.set_unit("user_1");
  context.set("country", "CA");
  const ex::Decision d = snapshot->evaluate("checkout_button", context);
  std::printf("%.*s, bucket %d\n", int(d.variant.size()), d.variant.data(), d.bucket);
  return d.variant == "treatment" && d.bucket == 93 ? 0 : 1;
}
