// GrowthBook's conditions: MongoDB's query operators over JavaScript's comparisons.
//
// Interpreted on the payload's tree; only regular expressions are compiled beforehand. Semantics are those of
// the public specification 0.8.0 (research of 2026-08): a missing path is null, null compares as 0, unknown
// operators are false.
#ifndef WEIR_EXPERIMENT_INTERNAL_MONGRULE_H_
#define WEIR_EXPERIMENT_INTERNAL_MONGRULE_H_

#include <functional>
#include <string>
#include <string_view>

#include "weir/experiment/value.h"

namespace weir::experiment::internal {

struct Mongrule {
  const Value* saved_groups = nullptr;
  // Whether `pattern` is found in the text; false for a bad pattern.
  std::function<bool(std::string_view pattern, bool insensitive, std::string_view text)> find_pattern;

  // `attributes` is a map (or any value, for elements of arrays).
  bool holds(const Value& attributes, const Value& condition, int depth = 0) const;

 private:
  bool value_holds(const Value& condition, const Value& actual, bool insensitive, int depth) const;
  bool operator_holds(std::string_view op, const Value& actual, const Value& expected, int depth) const;
  bool any_group(const Value& actual, const Value& name) const;
};

// JavaScript's String(value), typeof-like names, and truthiness.
std::string js_text(const Value& value);
bool js_truthy(const Value& value) noexcept;
// "1.2.3-rc.1" as text that compares the way GrowthBook compares versions.
std::string padded_version(const Value& value);

}  // namespace weir::experiment::internal

#endif  // WEIR_EXPERIMENT_INTERNAL_MONGRULE_H_
