// The fault matrix: every fault, with every need and every way to stand in for it, against the golden file. One healthy
// section stands beside the faulty one: its bytes must be in the page whatever the other does.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <functional>
#include <sstream>

#include "weir/bff/testing/fixture.h"

namespace weir::bff {
namespace {

using namespace std::chrono_literals;
using testing::PageTest;
using testing::section;

using Rule = MemoryFetcher::Rule;

struct Fault {
  std::string_view name;
  std::function<void(Rule&)> make;
};

std::function<void(Rule&)> fails(http::FetchFailure failure) {
  return [failure](Rule& rule) { rule.fail(failure); };
}
std::function<void(Rule&)> says(std::string body, int status = 200) {
  return [body, status](Rule& rule) { rule.reply(body, status); };
}

std::vector<Fault> faults() {
  return {
      {"none", says("{\"v\":1}")},
      {"name does not resolve", fails(http::FetchFailure::unresolved)},
      {"refused", fails(http::FetchFailure::refused)},
      {"SYN black hole", [](Rule& rule) { rule.fail(http::FetchFailure::connect_timeout).after(50ms); }},
      {"slow headers", [](Rule& rule) { rule.after(10s); }},
      {"drips and hangs past its deadline", [](Rule& rule) { rule.hang(); }},
      {"dies in mid-body", fails(http::FetchFailure::broken)},
      {"lies about its length", fails(http::FetchFailure::broken)},
      {"not HTTP", fails(http::FetchFailure::malformed)},
      {"two gigabytes", says("\"" + std::string(1 << 20, 'x') + "\"")},
      {"breaker open", fails(http::FetchFailure::unavailable)},
      {"no descriptors here", fails(http::FetchFailure::overloaded)},
      {"gzip bomb", [](Rule& rule) { rule.reply("\x1f\x8b").field("Content-Encoding", "gzip"); }},
      {"trailing comma", says("{\"v\":1,}")},
      {"double comma", says("[1,,2]")},
      {"leading zero", says("[01]")},
      {"cut word", says("{\"v\":tru}")},
      {"unclosed", says("{\"v\":[1")},
      {"surplus", says("{} {}")},
      {"single quotes", says("{'v':1}")},
      {"lone surrogate", says("[\"\\ud800\"]")},
      {"control in a string", says("[\"a\nb\"]")},
      {"NaN", says("[NaN]")},
      {"not UTF-8", says("[\"\xff\xfe\"]")},
      {"depth bomb", says(std::string(100'000, '['))},
      {"HTML", [](Rule& rule) { rule.reply("<h1>hi</h1>").field("Content-Type", "text/html"); }},
      {"204", says("", 204)},
      {"empty 200", says("")},
      {"301", [](Rule& rule) { rule.reply("", 301).field("Location", "/x"); }},
      {"401", says("{\"e\":1}", 401)},
      {"404", says("{\"e\":1}", 404)},
      {"429", says("{\"e\":1}", 429)},
      {"500", says("{\"e\":1}", 500)},
      {"503", says("<h1>down</h1>", 503)},
  };
}

struct Matrix : PageTest {
  std::string row(const Fault& fault, Need need, std::string_view mode) {
    SectionSpec bad = section("bad");
    bad.need = need;
    bad.on_error = mode == "literal" ? "{\"made\":\"up\"}" : "null";
    bad.omit_on_error = mode == "omit";
    if (mode == "stale") bad.cache_for = 1s, bad.stale_if_error = 1h;
    PageSpec spec;
    spec.sections = {section("one"), bad, section("two")};
    const auto plan = compiled(spec);
    MemoryFetcher fetcher(loop);
    SectionCache kept(cache::Options{}, base::SipKey{1, 2});
    Desk here{fetcher, loop, validator, &kept};
    const std::string one = R"({"a" : 1.0})", two = R"(["\u00e9"])";
    fetcher.on("one").reply(one).after(5ms);
    fetcher.on("two").reply(two).after(15ms);
    fetcher.on("bad").reply("{\"v\":\"old\"}");
    const auto make = [&] {
      async::Scope scope_of_page;
      scope_of_page.spawn(make_page(*plan, inputs, Deadline::never(), here, page));
      for (int i = 0; i < 600 && scope_of_page.running() > 0; ++i) loop.run(), loop.advance(1ms);
      loop.run();
      EXPECT_EQ(scope_of_page.running(), 0U) << fault.name;
    };
    if (mode == "stale") make(), loop.advance(2s);
    fetcher.on("bad") = Rule();
    fault.make(fetcher.on("bad"));
    make();
    if (page.status == 200) {
      // (1) of page.h: valid, and the others' bytes are what they were.
      std::string body = page.body;
      EXPECT_EQ(validator.check(body, 256), JsonVerdict::valid) << fault.name;
      EXPECT_NE(body.find("\"one\":" + one), std::string::npos) << fault.name;
      EXPECT_NE(body.find("\"two\":" + two), std::string::npos) << fault.name;
    }
    std::string text(fault.name);
    constexpr std::string_view needs[] = {"optional", "required", "primary"};
    text.append(" | ").append(needs[static_cast<std::size_t>(need)]).append(" | ").append(mode).append(" | ");
    text.append(std::to_string(page.status)).append(page.complete ? " complete " : " degraded ");
    text.append(page.body.empty() ? "-" : page.body).append(" | ");
    return text.append(report(*plan)).append("\n");
  }
};

// Every row is as the golden file has it. WEIR_UPDATE_GOLDEN=1 writes the file anew, for a person to read through.
TEST_F(Matrix, IsWhatTheGoldenFileSays) {
  std::string got;
  for (const Fault& fault : faults())
    for (const Need need : {Need::optional, Need::required, Need::primary})
      for (const std::string_view mode : {"null", "omit", "literal", "stale"}) got += row(fault, need, mode);
  const std::string path = std::string(WEIR_SOURCE_DIR) + "/weir/bff/testing/matrix.golden";
  if (std::getenv("WEIR_UPDATE_GOLDEN") != nullptr) std::ofstream(path) << got;
  std::ifstream file(path);
  std::stringstream golden;
  golden << file.rdbuf();
  std::istringstream lines(got);
  std::string expected, line;
  std::size_t number = 0;
  while (std::getline(golden, expected)) {
    ++number;
    ASSERT_TRUE(std::getline(lines, line)) << "rows are missing";
    EXPECT_EQ(line, expected) << "line " << number;
  }
  EXPECT_FALSE(std::getline(lines, line)) << "more rows than in the golden file";
  EXPECT_EQ(number, faults().size() * 12);
}

}  // namespace
}  // namespace weir::bff
