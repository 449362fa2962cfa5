// A page in C++, without the gateway: two calls side by side, a third that needs the first one's answer, one deadline.
//
// The services are in memory and time is virtual, so it runs anywhere; a real program brings its own http::Fetcher and
// loop and leaves home() as it is.
#include <iostream>

#include "weir/bff/coalescer.h"
#include "weir/bff/context.h"
#include "weir/bff/memory_fetcher.h"

using namespace weir;
using namespace std::chrono_literals;

struct Request final : bff::Inputs {
  std::optional<std::string_view> get(bff::Source source, std::string_view name) const override {
    if (source == bff::Source::path && name == "id") return "17";
    return std::nullopt;
  }
  std::string_view subject() const override { return "user 17"; }
};

async::Task<void> home(bff::Context& cx) {
  auto user_call = cx.call("users").path("/v1/users/{}", cx.value(bff::Source::path, "id"));
  auto recs_call = cx.call("recs").path("/v1/recs").timeout(150ms).on_error("[]");
  const auto [user, recs] = co_await cx.all(user_call, recs_call);
  if (!user->good()) co_return cx.fail(*user);
  auto orders_call = cx.call("orders").path("/v1/orders?user={}", cx.text(*user, {"id"}));
  const auto [orders] = co_await cx.all(orders_call);
  cx.show("user", *user);
  cx.show("orders", *orders);
  cx.show("recommendations", *recs);
}

int main() {
  async::ManualLoop loop;
  bff::MemoryFetcher services(loop);
  services.on("users").reply(R"({"id":17,"name":"Ann"})").after(20ms);
  services.on("orders", "/v1/orders?user=17").reply(R"([{"total":12.50}])").after(30ms);
  services.on("recs").reply("[1,2,3]").after(400ms);  // too slow: the page goes without
  bff::Coalescer once(services, loop);                // identical calls in flight are one
  bff::JsonValidator validator;
  bff::Desk desk{once, loop, validator};
  Request request;
  bff::Context cx(desk, request, Deadline::after(loop.now(), 500ms));
  async::Scope scope;
  scope.spawn(home(cx));
  for (int ms = 0; ms < 500 && scope.running() > 0; ++ms) loop.advance(1ms), loop.run();
  std::cout << cx.status() << (cx.complete() ? " complete " : " degraded ") << cx.body() << "\n";
  return cx.body() == R"({"user":{"id":17,"name":"Ann"},"orders":[{"total":12.50}],"recommendations":[]})"
             ? 0
             : 1;
}
