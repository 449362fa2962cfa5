// `when`: whether a section is asked for at all.
#ifndef WEIR_BFF_INTERNAL_CONDITION_H_
#define WEIR_BFF_INTERNAL_CONDITION_H_

#include "weir/bff/page.h"

namespace weir::bff::internal {

// Values are compared as texts: a flag is "true" or "false", a number what its digits are. An absent value is equal to
// nothing and in no list.
bool holds(const Condition& condition, const Inputs& inputs);

}  // namespace weir::bff::internal

#endif  // WEIR_BFF_INTERNAL_CONDITION_H_
