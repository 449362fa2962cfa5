#include <algorithm>

#include "weir/bff/internal/condition.h"

namespace weir::bff::internal {

bool holds(const Condition& condition, const Inputs& inputs) {
  const std::optional<std::string_view> value = inputs.get(condition.value.source, condition.value.name);
  const bool listed = value && std::find(condition.operands.begin(), condition.operands.end(), *value) !=
                                   condition.operands.end();
  switch (condition.op) {
    case Condition::Operator::eq:
    case Condition::Operator::in:
      return listed;
    case Condition::Operator::ne:
    case Condition::Operator::not_in:
      return !listed;
    case Condition::Operator::exists:
      break;
  }
  return value.has_value() == (condition.operands.empty() || condition.operands.front() == "true");
}

}  // namespace weir::bff::internal
