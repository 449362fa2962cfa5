// What lint_coroutines must leave alone. Read by its self-test, never compiled.

struct Call {
  std::string path;
  std::string body{};
  int tries = 0;
};

enum class Kind { first, second };

Task<void> named(Client& client) {
  Call call{.path = "/", .body = body};
  auto reply = co_await client.send(std::move(call));
  auto step = [shared] { return shared->next(); };
  auto next = co_await run(std::move(step));
  auto task = client.send(Call{.path = "/"});
  co_await std::move(task);
  Answer answer{co_await client.status()};
  http::Answer second{co_await client.status(), 3};
  std::vector<int> numbers{co_await client.next(), 1};
  co_return Answer{.status = 200};
}

Task<void> constructed(Client& client) {
  co_await sleep_for(std::chrono::milliseconds{5});
  co_await client.get(std::string{"/"}, std::string_view{path}, Duration{3}, std::uint32_t{7});
  co_await client.fail(Error{ErrorCode::timed_out});
  co_await client.fail(weir::Error{ErrorCode::timed_out, "late"});
}

Task<void> blocks(Client& client) {
  if (const bool ready = co_await client.ready()) {
    Options options{3};
    use(options);
  } else {
    use(Options{4});
  }
  while (auto item = co_await client.next()) {
    use(Options{item});
  }
  for (int i = 0; i < 3; ++i) {
    co_await client.next();
  }
  while (ready(Options{1})) co_await client.next();
  for (Options options{1}; ready(options);)
    if (auto* ready = co_await client.ready()) use(Options{2});
  if (ready(Options{1})) {
    use(Options{1});
  } else if (std::optional<int> ready = co_await client.ready(); ready) {
    use(Options{1});
  } else
    co_await client.next();
  do {
    use(Options{1});
  } while (client.more());
  switch (auto kind = co_await client.kind(); kind) {
    case Kind::first: {
      use(Options{5});
      break;
    }
    case Kind::second: use(Options{6}); break;
  }
  try {
    co_await client.next();
  } catch (const std::exception& fault) {
    use(Options{1});
  }
  co_await run([] { return 1; });
  co_await run(
      []() -> Task<int> {
        Options options{1};
        co_return co_await other(options);
      });
  // co_await client.send(Call{1}); in a comment
  /* co_await client.send(Call{2}); */
  log("co_await client.send(Call{3});");
  [[maybe_unused]] const auto kept = co_await client.next();
  table[index] = co_await client.next();
  co_await client.set(table[index]);
  for (;;) {
    const bool more = co_await client.more();
    if (!more) break;
  }
  while (more) co_await client.next();
  do co_await client.next();
  while (more);
  for (auto first = co_await client.next(); first; first = co_await client.next()) use(first);
  for (int i = 0; i < 3; ++i) co_await client.next();
  for (auto& item : co_await client.list()) use(item);
  while (run([]() -> Task<int> { co_return co_await other(); })) use(client);
  co_await client.send(Call{"/"});  // coroutine-lint: a constructor since it took over the buffer
}

#define SEND(x) co_await client.send(Call{x})

Task<void> declared(Client& client, Deadline deadline = Deadline::never(), int tries = 3);
void not_a_task(Options options = {});
Task<int> wait(Duration at_most = std::chrono::seconds{1});

auto make() -> Task<std::vector<int>> {
  std::vector<int> all{1, 2};
  co_return all;
}

constexpr std::array<int, 2> kPair{1, 2};
