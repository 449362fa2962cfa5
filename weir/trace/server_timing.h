// Server-Timing: what a page's parts took, for the browser's own tools.
//
//   std::string value;
//   trace::append_server_timing(value, "user", 12'300us);   // user;dur=12.3
//   trace::append_server_timing(value, "recs", 0us, "stale");
//
// Names become tokens (other characters turn into '_'), descriptions quoted strings. Appends only.
// Source: https://www.w3.org/TR/server-timing/ section 3.
#ifndef WEIR_TRACE_SERVER_TIMING_H_
#define WEIR_TRACE_SERVER_TIMING_H_

#include <string>
#include <string_view>

#include "weir/base/clock.h"

namespace weir::trace {

// One metric, behind a comma when `out` has some. Milliseconds with one decimal place; `description` may be empty.
void append_server_timing(std::string& out, std::string_view name, Duration took,
                          std::string_view description = {});

}  // namespace weir::trace

#endif  // WEIR_TRACE_SERVER_TIMING_H_
