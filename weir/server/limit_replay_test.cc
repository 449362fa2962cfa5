// Traces of calls, decided again: what is read, what is said of it, and the picture of it.
#include "weir/server/limit_replay.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include "weir/base/random.h"
#include "weir/server/cli.h"
#include "weir/server/limit_plot.h"

namespace weir::server {
namespace {

using namespace std::chrono_literals;

TraceFile read(const std::string& text) {
  std::istringstream in(text);
  return read_trace(in, "calls");
}

ReplayOptions per_minute(std::string algorithm, std::uint32_t limit) {
  ReplayOptions options;
  options.algorithm = std::move(algorithm);
  options.policy.limit = limit;
  options.policy.window = 1min;
  return options;
}

std::string bytes_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// Times to the nanosecond, keys and costs with their defaults; empty lines count as lines.
TEST(TraceFile, ReadsCalls) {
  const TraceFile file = read(
      "{\"t\": 12.000000001, \"key\": \"a\", \"cost\": "
      "3}\r\n\n{\"t\":0}\n{\"key\":\"a\",\"t\":1700000000.5,\"cost\":0}");
  ASSERT_TRUE(file.faults.empty()) << file.faults.front();
  ASSERT_EQ(file.trace.calls.size(), 3U);
  EXPECT_EQ(file.trace.calls[0].at, 12s + 1ns);
  EXPECT_EQ(file.trace.calls[0].cost, 3U);
  EXPECT_EQ(file.trace.calls[1].cost, 1U);
  EXPECT_EQ(file.trace.calls[1].line, 3U);
  EXPECT_EQ(file.trace.calls[2].at, 1'700'000'000s + 500ms);
  EXPECT_EQ(file.trace.calls[2].key, file.trace.calls[0].key);
  EXPECT_EQ(file.trace.keys, (std::vector<std::string>{"a", ""}));
}

// Each bad line is named by line and column, all of them at once, twenty at most.
TEST(TraceFile, NamesEveryBadLine) {
  const TraceFile file = read(
      "{\"t\":1}\n{\"t\":-1}\n{\"t\":\"1\"}\n{\"t\":1e3}\n{\"t\":1.0000000001}\n{\"t\":99999999999}\n{"
      "\"key\":\"a\"}\n"
      "{\"t\":1,\"key\":7}\n{\"t\":1,\"cost\":-1}\n{\"t\":1,\"cost\":1.5}\n{\"t\":1,\"cost\":4294967296}\n"
      "{\"t\":1,\"kye\":\"a\"}\n{\"t\":1,}\nnonsense\n");
  const std::string kWant[] = {"calls:2:6: `t` is a number",
                               "calls:3:6: `t` is a number",
                               "calls:4:6: `t` is a number",
                               "calls:5:6: `t` is a number",
                               "calls:6:6: `t` is a number",
                               "calls:7:1: `t` is missing",
                               "calls:8:14: `key` is a text",
                               "calls:9:15: `cost` is",
                               "calls:10:15: `cost` is",
                               "calls:11:15: `cost` is",
                               "calls:12:8: unknown member (did you mean `key`?)",
                               "calls:13:8: a name",
                               "calls:14:1: an object"};
  ASSERT_EQ(file.faults.size(), std::size(kWant));
  for (std::size_t i = 0; i < std::size(kWant); ++i)
    EXPECT_EQ(file.faults[i].substr(0, kWant[i].size()), kWant[i]);
  std::string many;
  for (int i = 0; i < 100; ++i) many += "x\n";
  EXPECT_EQ(read(many).faults.size(), TraceFile::kFaultsMost);
}

// The exact window decides as brute force does, whatever the trace; the segmented one never admits without room.
TEST(Replay, TheWindowsKeepTheirPromise) {
  const std::uint64_t seed = base::random_seed();
  std::cout << "seed " << seed << "\n";
  base::Random random(seed);
  Trace trace;
  trace.keys = {"a", "b", "c"};
  Duration t{};
  for (std::uint32_t i = 0; i < 50'000; ++i) {
    t += Duration{static_cast<std::int64_t>(random.below(2'000'000'000))};
    Trace::Call call;
    call.at = t - std::min(t, Duration{static_cast<std::int64_t>(random.below(3'000'000'000))});
    call.key = static_cast<std::uint32_t>(random.below(3));
    call.cost = static_cast<std::uint32_t>(random.below(4));
    call.line = i + 1;
    trace.calls.push_back(call);
  }
  const Result<Replayed> exact = replay(trace, per_minute("automatic", 30));
  ASSERT_TRUE(exact);
  EXPECT_EQ(exact->algorithm, "exact_window");
  EXPECT_EQ(exact->beyond, 0U);
  EXPECT_EQ(exact->with_room, 0U);
  EXPECT_EQ(exact->most_in_window, 30U);
  EXPECT_EQ(exact->allowed + exact->refused + exact->looks, trace.calls.size());
  const Result<Replayed> segmented = replay(trace, per_minute("segmented_window", 30));
  ASSERT_TRUE(segmented);
  EXPECT_EQ(segmented->beyond, 0U);
  EXPECT_GT(segmented->with_room, 0U);
  EXPECT_LE(segmented->most_in_window, 30U);
  for (const char* other : {"gcra", "token_bucket", "fixed_window", "two_counter"}) {
    const Result<Replayed> replayed = replay(trace, per_minute(other, 30));
    ASSERT_TRUE(replayed) << other;
    EXPECT_GT(replayed->beyond, 0U) << other;
    EXPECT_GT(replayed->most_in_window, 30U) << other;
  }
}

// What the series says is what the totals say, moment by moment.
TEST(Replay, SeriesCountsTheWindow) {
  const TraceFile file = read("{\"t\":1}\n{\"t\":2,\"cost\":2}\n{\"t\":61}\n{\"t\":62}\n{\"t\":60}\n");
  const Result<Replayed> replayed = replay(file.trace, per_minute("automatic", 3));
  ASSERT_TRUE(replayed);
  const WindowSeries series = window_series(file.trace, *replayed, 0, 1min);
  EXPECT_EQ(series.most, 3U);
  std::string text;
  for (const WindowSeries::Step& step : series.steps)
    text += std::to_string(step.at / 1s) + ":" + std::to_string(step.units) + " ";
  EXPECT_EQ(text, "1:1 2:3 61:3 62:3 121:2 122:0 ")
      << "the unit of 1 s left at 61 s, where one came; the late call "
         "of 60 s counts as of 62 s";
}

// What the algorithm cannot have is said, not decided.
TEST(Replay, RefusesWhatCannotBe) {
  const TraceFile file = read("{\"t\":1}\n");
  EXPECT_FALSE(replay(file.trace, per_minute("concurrency", 3)));
  EXPECT_FALSE(replay(file.trace, per_minute("sliding", 3)));
  EXPECT_FALSE(replay(file.trace, per_minute("exact_window", 100'000)));
  ReplayOptions options = per_minute("gcra", 3);
  options.policy.window = Duration{0};
  EXPECT_FALSE(replay(file.trace, options));
  EXPECT_TRUE(replay(Trace{}, per_minute("gcra", 3)));
}

// A long series becomes a small picture; names of strangers stay text; an empty one is a picture, too.
TEST(Plot, IsBoundedAndEscaped) {
  WindowSeries series;
  series.name = "<script>&";
  for (int i = 0; i < 200'000; ++i)
    series.steps.push_back({Duration{i * 1ms}, static_cast<std::uint64_t>(i % 97)});
  series.most = 96;
  const std::string svg =
      plot_windows({series}, {.limit = 50, .window = 1min, .to = 200s, .subtitle = "a\nb</text>"});
  EXPECT_LT(svg.size(), 100'000U);
  EXPECT_EQ(svg.find("<script"), std::string::npos);
  EXPECT_EQ(svg.find("b</text><"), std::string::npos);
  EXPECT_NE(svg.find("&lt;script>&amp;"), std::string::npos);
  EXPECT_NE(plot_windows({}, {}).find("</svg>"), std::string::npos);
}

// The picture of weir/ratelimit/README.md is what the command draws, to the byte.
TEST(Plot, TheReadmesPictureIsTheCommands) {
  const std::string folder = std::string(WEIR_SOURCE_DIR) + "/weir/ratelimit/";
  const std::string drawn =
      ::testing::TempDir() + "weir-two-bursts-" + std::to_string(base::random_seed()) + ".svg";
  const std::string trace = folder + "two_bursts.jsonl";
  const char* const argv[] = {"weir",    "ratelimit", "replay",      trace.c_str(), "--limit",
                              "100/min", "--plot",    drawn.c_str(), "--totals"};
  std::ostringstream out;
  std::streambuf* const before = std::cout.rdbuf(out.rdbuf());
  const int code = run_command(static_cast<int>(std::size(argv)), argv);
  std::cout.rdbuf(before);
  EXPECT_EQ(code, 0);
  EXPECT_EQ(bytes_of(drawn), bytes_of(folder + "two_bursts.svg"))
      << "draw it again: weir ratelimit replay weir/ratelimit/two_bursts.jsonl --limit 100/min --plot "
         "weir/ratelimit/two_bursts.svg --totals";
  std::remove(drawn.c_str());
  for (const char* line : {"most in any 1m: 100 of 100", "most in any 1m: 193 of 100",
                           "most in any 1m: 191 of 100", "most in any 1m: 200 of 100"})
    EXPECT_NE(out.str().find(line), std::string::npos) << out.str();
}

}  // namespace
}  // namespace weir::server
