// Any JSON as the attributes of a context, before a file that reads each of them in every way: a decision with a reason,
// the same when asked again and by explain(); no variant by bucket for what is no unit.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "weir/base/check.h"
#include "weir/experiment/snapshot.h"

namespace {

using namespace weir::experiment;

std::shared_ptr<const Snapshot> rules() {
  const auto tree = parse_json(R"({
    "attributes": {"n": "number", "b": "boolean", "v": "version", "ip": "ip", "t": "time", "l": "list"},
    "layers": [{"name": "l", "unit": "account"}],
    "experiments": [
      {"key": "plain", "hash": "fnv1a", "variants": [{"name": "x", "weight": 50}, {"name": "y", "weight": 50}]},
      {"key": "by_user", "unit": "user_id", "coverage": 50, "variants": [{"name": "x", "weight": 100}]},
      {"key": "layered", "layer": "l", "slots": [[0, 5000]], "sticky": true, "variants": [{"name": "x", "weight": 100}]}],
    "flags": [{"key": "f", "type": "boolean", "default": false, "rules": [
      {"when": {"n": {"between": [1, 3]}, "b": true}, "value": true},
      {"when": {"any": [{"v": {"semver_gte": "1.2.3"}}, {"ip": {"cidr": ["10.0.0.0/8", "2001:db8::/32"]}}]}, "value": true},
      {"when": {"t": {"before": "2026-01-01T00:00:00Z"}}, "value": true},
      {"when": {"l": {"in": ["a", 1, true]}}, "value": true},
      {"when": {"not": {"s": {"matches": "^a.*b$", "contains": ["c", "d"], "ends_with": "e"}}}, "value": true},
      {"when": {"x": {"exists": false}, "s": {"ne": "a"}}, "value": true}]}]})");
  Issues issues;
  auto snapshot = compile(read_native(*tree, issues), issues);
  WEIR_CHECK(snapshot != nullptr);
  return snapshot;
}

bool is_unit(const Value* value) {
  return value != nullptr &&
         (value->is(Value::Kind::number) || (value->is(Value::Kind::text) && !value->text.empty()));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::shared_ptr<const Snapshot> snapshot = rules();
  const auto attributes = parse_json({reinterpret_cast<const char*>(data), size});
  if (!attributes) return 0;
  Context context(*snapshot);
  context.set_all(*attributes);
  for (std::uint32_t i = 0; i < snapshot->size(); ++i) {
    const Decision decision = snapshot->evaluate(EntryId{i}, context);
    const Decision again = snapshot->evaluate(EntryId{i}, context);
    const Decision explained = snapshot->explain(snapshot->key({i}), context).decision;
    WEIR_CHECK(decision.variant == again.variant && decision.variant == explained.variant);
    WEIR_CHECK(decision.reason == again.reason && decision.reason == explained.reason);
  }
  if (!is_unit(attributes->find("targetingKey")))
    WEIR_CHECK(snapshot->evaluate("plain", context).reason != Reason::split);
  return 0;
}
