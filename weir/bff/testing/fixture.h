// For tests of pages: inputs from a table, a loop whose time moves by hand, services in memory.
#ifndef WEIR_BFF_TESTING_FIXTURE_H_
#define WEIR_BFF_TESTING_FIXTURE_H_

#include <gtest/gtest.h>

#include <map>

#include "weir/async/scope.h"
#include "weir/bff/memory_fetcher.h"
#include "weir/bff/page.h"

namespace weir::bff::testing {

class TableInputs final : public Inputs {
 public:
  std::optional<std::string_view> get(Source source, std::string_view name) const override {
    const auto found = values.find({source, std::string(name)});
    if (found == values.end()) return std::nullopt;
    return found->second;
  }
  std::string_view subject() const override { return who; }

  std::map<std::pair<Source, std::string>, std::string> values;
  std::string who = "alice";
};

inline SectionSpec section(std::string name, std::string target = {}) {
  SectionSpec spec;
  spec.name = name;
  spec.upstream = name;
  spec.target = target.empty() ? "/" + name : std::move(target);
  spec.timeout = std::chrono::milliseconds{100};
  return spec;
}

struct PageTest : ::testing::Test {
  std::shared_ptr<const Plan> compiled(PageSpec spec) {
    std::vector<SpecProblem> problems;
    auto plan = compile(std::move(spec), problems);
    for (const SpecProblem& problem : problems) ADD_FAILURE() << problem.key << ": " << problem.message;
    return plan;
  }
  // Runs the page for so long, in steps of a millisecond.
  void run(const Plan& plan, Duration time = std::chrono::seconds{1}) {
    done = false;
    scope.emplace();
    scope->spawn(make(plan));
    loop.run();
    for (Duration passed{}; passed < time && !done; passed += std::chrono::milliseconds{1}) {
      loop.advance(std::chrono::milliseconds{1});
      loop.run();
    }
  }
  async::Task<void> make(const Plan& plan) {
    began = loop.now();
    co_await make_page(plan, inputs, Deadline::never(), desk, page);
    ended = loop.now();
    done = true;
  }
  std::string report(const Plan& plan) const {
    std::string text;
    page.append_sections(plan, text);
    return text;
  }

  async::ManualLoop loop;
  MemoryFetcher services{loop};
  JsonValidator validator;
  SectionCache cache{cache::Options{}, base::SipKey{1, 2}};
  Desk desk{services, loop, validator, &cache};
  TableInputs inputs;
  Page page;
  bool done = false;
  TimePoint began{}, ended{};
  std::optional<async::Scope> scope;
};

}  // namespace weir::bff::testing

#endif  // WEIR_BFF_TESTING_FIXTURE_H_
