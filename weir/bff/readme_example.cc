// The example of README.md, compiled and run by the tests.
#include <iostream>

#include "weir/async/scope.h"
#include "weir/bff/memory_fetcher.h"
#include "weir/bff/page.h"

int main() {
  using namespace weir;
  using namespace std::chrono_literals;
  struct Caller final : bff::Inputs {
    std::optional<std::string_view> get(bff::Source, std::string_view) const override { return "17"; }
    std::string_view subject() const override { return "17"; }
  } caller;
  bff::PageSpec spec;  // two sections; the second needs the first one's answer
  bff::SectionSpec user, orders;
  user.name = "user", user.upstream = "users", user.target = "/v1/users/{passport.user_id}";
  orders.name = "orders", orders.upstream = "orders", orders.target = "/v1/orders?user={user.id}",
  orders.on_error = "[]";
  spec.sections = {user, orders};
  std::vector<bff::SpecProblem> problems;
  const auto plan = bff::compile(spec, problems);

  async::ManualLoop loop;  // virtual time; a program brings its own loop and http::Fetcher
  bff::MemoryFetcher services(loop);
  services.on("users").reply(R"({"id":17,"name":"Ann"})").after(20ms);
  services.on("orders").fail(http::FetchFailure::refused);
  bff::JsonValidator validator;
  bff::Desk desk{services, loop, validator};
  bff::Page page;
  async::Scope scope;
  scope.spawn(bff::make_page(*plan, caller, Deadline::never(), desk, page));
  loop.advance(20ms);
  loop.run();
  std::cout << page.status << " " << page.body << "\n";
  return page.body == R"({"user":{"id":17,"name":"Ann"},"orders":[]})" ? 0 : 1;
}
