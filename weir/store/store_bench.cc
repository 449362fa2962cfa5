// Durable operations a second: group commit with so many requests under way at once, each a claim and a completion.
#include <filesystem>
#include <future>
#include <vector>

#include <benchmark/benchmark.h>

#include "weir/store/sqlite_store.h"

namespace weir::store {
namespace {

void BM_DurableKeys(benchmark::State& state) {
  std::string folder = (std::filesystem::temp_directory_path() / "weir-bench-XXXXXX").string();
  if (::mkdtemp(folder.data()) == nullptr) return state.SkipWithError("no folder");
  {
    const auto store = SqliteStore::open(folder + "/records.db").value();
    std::uint64_t key = 0;
    for (auto _ : state) {
      for (const Operation::Kind kind : {Operation::Kind::claim, Operation::Kind::complete}) {
        std::vector<std::future<Outcome>> told;
        for (std::int64_t i = 0; i < state.range(0); ++i) {
          Operation operation;
          operation.kind = kind;
          operation.ticket.id =
              passport::idempotency_id("r", "p", std::to_string(key + static_cast<std::uint64_t>(i)));
          operation.ticket.owner = "owner";
          operation.ticket.attempt = 1;
          operation.times.now_ms = 1'790'000'000'000;
          if (kind == Operation::Kind::complete) {
            passport::StoredAnswer answer;
            answer.status = 200;
            answer.body = std::string(1024, 'b');
            operation.answer = std::move(answer);
          }
          auto promise = std::make_shared<std::promise<Outcome>>();
          told.push_back(promise->get_future());
          operation.done = [promise](Outcome outcome) { promise->set_value(std::move(outcome)); };
          store->submit(std::move(operation));
        }
        for (auto& each : told) each.get();
      }
      key += static_cast<std::uint64_t>(state.range(0));
    }
    state.SetItemsProcessed(static_cast<std::int64_t>(key));
  }
  std::filesystem::remove_all(folder);
}
BENCHMARK(BM_DurableKeys)->Arg(1)->Arg(64)->Arg(256)->Arg(1024)->UseRealTime();

}  // namespace
}  // namespace weir::store

BENCHMARK_MAIN();
