// Answers on their way to the client: what weir adds to every one, and weir's own.
#ifndef WEIR_GATEWAY_ANSWER_H_
#define WEIR_GATEWAY_ANSWER_H_

#include "weir/async/task.h"
#include "weir/gateway/downstream.h"
#include "weir/gateway/exchange.h"

namespace weir::gateway {

// Puts the exchange's answer fields (they replace those of the same name), the route's edits and Via on `head`.
void finish_answer_head(Exchange& exchange, AnswerHead& head);

// Makes a 304 of the head of a 200: the fields that a 304 has, no body (RFC 9110 15.4.5).
void make_not_modified(AnswerHead& head);

// Renders exchange.own and sends it; the body is left out for HEAD and for statuses that have none. Returns when all
// is handed to the network, or the client is gone.
async::Task<void> send_own_answer(Exchange& exchange);

// Writes until everything of a started answer has left or the client is gone, with the client's time limits.
async::Task<void> drain_answer(Exchange& exchange, std::string_view payload);

}  // namespace weir::gateway

#endif  // WEIR_GATEWAY_ANSWER_H_
