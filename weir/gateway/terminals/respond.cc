#include "weir/gateway/terminals/respond.h"

#include "weir/gateway/answer.h"
#include "weir/gateway/exchange.h"

namespace weir::gateway {

async::Task<void> RespondTerminal::serve(Exchange& exchange) {
  exchange.own.status = respond_.status;
  exchange.own.body = respond_.body;
  bool typed = false;
  for (const auto& [name, value] : respond_.headers) {
    const http::Name id = http::parse_name(name);
    typed |= id == http::Name::content_type;
    exchange.add_answer_field(name, value, id);
  }
  if (!typed && !respond_.body.empty()) exchange.own.content_type = "text/plain; charset=utf-8";
  co_await send_own_answer(exchange);
}

}  // namespace weir::gateway
