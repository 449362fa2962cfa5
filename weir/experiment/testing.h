// For tests of this part: a snapshot from JSON text, and decisions in one line.
#ifndef WEIR_EXPERIMENT_TESTING_H_
#define WEIR_EXPERIMENT_TESTING_H_

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>

#include "weir/experiment/growthbook.h"
#include "weir/experiment/snapshot.h"

namespace weir::experiment::testing {

inline Value json(std::string_view text) {
  JsonLimits limits;
  limits.bytes = 16 * 1024 * 1024;
  Result<Value> value = parse_json(text, limits);
  EXPECT_TRUE(value) << text.substr(0, 200);
  return value ? *value : Value{};
}

inline Definitions definitions(std::string_view text, Issues& issues) {
  return read_native(json(text), issues);
}

inline std::shared_ptr<const Snapshot> compiled(std::string_view text) {
  Issues issues;
  Definitions all = definitions(text, issues);
  auto snapshot = compile(std::move(all), issues);
  EXPECT_FALSE(issues.any_error()) << issues.first_error();
  return snapshot != nullptr && !issues.any_error() ? snapshot : empty_snapshot();
}

// The first error of that text; "" when it loads.
inline std::string fault_of(std::string_view text) {
  Issues issues;
  Definitions all = definitions(text, issues);
  const auto snapshot = compile(std::move(all), issues);
  EXPECT_EQ(snapshot == nullptr, issues.any_error());
  return issues.first_error();
}

inline Decision decide(const Snapshot& snapshot, std::string_view key, std::string_view unit,
                       const Value& attributes = Value::map()) {
  Context context(snapshot);
  context.set_all(attributes);
  if (!unit.empty()) context.set_unit(unit);
  return snapshot.evaluate(key, context);
}

// "treatment", "" when none.
inline std::string variant(const Snapshot& snapshot, std::string_view key, std::string_view unit) {
  return std::string(decide(snapshot, key, unit).variant);
}

}  // namespace weir::experiment::testing

#endif  // WEIR_EXPERIMENT_TESTING_H_
