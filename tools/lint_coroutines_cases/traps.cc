// What lint_coroutines must find: each line marked so, and no other. Read by its self-test, never compiled.

Task<void> braces(Client& client) {
  co_await client.send(Call{.path = "/", .body = body});       // trap
  auto reply = co_await client.send({"/", body});              // trap
  auto other = co_await client.send(http::Call{path, body});   // trap
  co_await client.send(std::pair<int, std::string>{1, "x"});   // trap
  co_await Waiter{reactor, fd};                                // trap
  co_return Answer{.status = co_await client.status()};        // trap
  if (co_await client.ask(Options{})) {                        // trap
    co_await client.send(
        Call{                                                  // trap
            .path = "/",
        });
  }
  for (auto& item : co_await client.list(Filter{.limit = 3})) use(item);  // trap
  if (auto got = co_await client.ask(Options{3}); got) use(*got);         // trap
  const bool both = ready && co_await client.send(Call{path, body});      // trap
  result = co_await client.ask(Options{3}) ? one : two;                   // trap
  while (ready(Options{1})) co_await client.send(Call{1});                // trap
  if (co_await client.ask({})) use(Options{1});                           // trap
  if (ready) use(1);
  else co_await client.send(Call{1});                                     // trap
  co_yield Item{1, 2};                                                    // trap
  return_value = f(Options{3}, co_await client.next());                   // trap
}

Task<void> lambdas(Client& client) {
  co_await run([shared] { return shared->next(); });            // trap
  co_await run([&] { return 1; });                              // trap
  co_await run([this, x = std::move(x)]() mutable { use(x); }); // trap
  co_await run([shared]() -> Task<int> {                        // trap
    co_return co_await shared->next(Options{1});                // trap
  });
  auto outer = [&]() -> Task<void> {
    co_await client.send(Call{path, body});                     // trap
  };
  co_await when_all(client.get(), [client] { return 1; });      // trap
}

Task<void> conditions(Client& client) {
  if (co_await client.more()) use(client);         // trap
  if (!co_await client.done()) {                   // trap
    use(client);
  } else if (ready && co_await client.more()) {    // trap
    use(client);
  }
  if (got = co_await client.next(); got) use(got);  // trap
  if (co_await client.next() == wanted) use(got);   // trap
  switch (co_await client.kind()) {                // trap
    case 1: co_await client.next();
  }
  while (co_await client.more()) use(client);      // trap
  while (!co_await client.done()) {                // trap
    use(client);
  }
  do {
    use(client);
  } while (co_await client.more());                // trap
  for (int i = 0; co_await client.more(); ++i) {   // trap
    use(i);
  }
  for (; co_await client.more();) use(client);     // trap
}

class Fetcher {
 public:
  virtual Task<Reply> fetch(Request request, Options options = {}) = 0;             // trap
  Task<Reply> fetch_all(Request request, Options options = Options{.retries = 1});  // trap
};

Task<void> after_everything(Client& client) {
  const std::string raw = R"x(co_await f(A{1}); " )x";
  co_await client.send(Call{raw, '{', 1'000});  // trap
}
