// The access log's line: one JSON object for every exchange, whatever became of it.
//
// Members in this order: time id method path route status stage reason upstream attempts duration_us, then client
// upstream_us bytes_in bytes_out user_agent, with auth (why a credential was refused) before it. Paths are canonical and without query, so nothing secret that travels in
// a query is written. Every text is escaped: a line is one valid JSON object whatever the client sent.
#ifndef WEIR_GATEWAY_ACCESS_LOG_H_
#define WEIR_GATEWAY_ACCESS_LOG_H_

#include <string_view>

#include "weir/gateway/exchange.h"

namespace weir::gateway {

// The line, without a line feed, in the worker's buffer: good until the next one is rendered.
std::string_view render_access_line(Exchange& exchange, Duration took);

}  // namespace weir::gateway

#endif  // WEIR_GATEWAY_ACCESS_LOG_H_
