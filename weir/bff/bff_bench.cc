// What a page costs without a network: the plan alone, and validating and splicing real sizes.
#include <benchmark/benchmark.h>

#include "tests/faults/counting_new.h"
#include "weir/async/scope.h"
#include "weir/bff/memory_fetcher.h"
#include "weir/bff/page.h"

namespace {

using namespace weir;
using namespace std::chrono_literals;

class Nobody final : public bff::Inputs {
 public:
  std::optional<std::string_view> get(bff::Source, std::string_view) const override { return "user_123"; }
  std::string_view subject() const override { return {}; }
};

// Answers at once with the same bytes: what remains is the plan.
class Instant final : public http::Fetcher {
 public:
  explicit Instant(std::string body) : body_(std::move(body)) {}
  async::Task<http::FetchFailure> fetch(const http::FetchRequest&, http::FetchResponse& response) override {
    response.status = 200;
    response.body = body_;
    co_return http::FetchFailure::none;
  }

 private:
  std::string body_;
};

void run(benchmark::State& state, std::size_t sections, std::string body) {
  async::ManualLoop loop;
  const std::size_t bytes = body.size();
  Instant fetcher(std::move(body));
  bff::JsonValidator validator;
  bff::Desk desk{fetcher, loop, validator};
  Nobody inputs;
  bff::PageSpec spec;
  for (std::size_t i = 0; i < sections; ++i) {
    bff::SectionSpec section;
    section.name = "s" + std::to_string(i);
    section.upstream = "u";
    section.target = "/v1/users/{passport.user_id}";
    section.timeout = 100ms;
    spec.sections.push_back(section);
  }
  std::vector<bff::SpecProblem> problems;
  const auto plan = compile(spec, problems);
  bff::Page page;
  const auto one = [&] {
    async::Scope scope;
    scope.spawn(bff::make_page(*plan, inputs, Deadline::never(), desk, page));
    loop.run();
  };
  for (int i = 0; i < 100; ++i) one();
  const std::uint64_t before = weir::testing::heap_of_this_thread().allocations;
  for (auto _ : state) one();
  state.counters["allocations"] =
      static_cast<double>(weir::testing::heap_of_this_thread().allocations - before) /
      static_cast<double>(state.iterations());
  state.counters["bytes"] = static_cast<double>(bytes * sections);
}

// A plan of so many calls, services that answer "1".
void BM_Plan(benchmark::State& state) { run(state, static_cast<std::size_t>(state.range(0)), "1"); }
BENCHMARK(BM_Plan)->Arg(3)->Arg(16)->Arg(64);

std::string typical(std::size_t bytes) {
  std::string json = "[";
  for (int i = 0; json.size() + 100 < bytes; ++i)
    json += (i == 0 ? "{\"id\":" : ",{\"id\":") + std::to_string(1000 + i) +
            ",\"name\":\"A product with a name\",\"price\":12.50,\"tags\":[\"new\",\"sale\"],\"stock\":true}";
  return json + "]";
}

// Three sections, together so many bytes, validated and spliced.
void BM_Splice(benchmark::State& state) {
  run(state, 3, typical(static_cast<std::size_t>(state.range(0)) / 3));
}
BENCHMARK(BM_Splice)->Arg(4700)->Arg(113'000)->Arg(864'000);

}  // namespace

BENCHMARK_MAIN();
