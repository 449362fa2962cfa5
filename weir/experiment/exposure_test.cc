// Exposures: once in a window, for whom and what; counted, bounded; and the check that counts follow the
// weights.
#include "weir/experiment/exposure.h"

#include <random>

#include "weir/experiment/analysis.h"
#include "weir/experiment/testing.h"

namespace weir::experiment {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view kTwo = R"({"experiments": [
  {"key": "a", "variants": [{"name": "x", "weight": 50}, {"name": "y", "weight": 50}]},
  {"key": "b", "coverage": 0, "variants": [{"name": "x", "weight": 100}]}],
  "flags": [{"key": "f", "type": "boolean", "default": true}]})";

struct Fixture {
  std::shared_ptr<const Snapshot> snapshot = testing::compiled(kTwo);
  std::vector<std::string> lines;
  ExposureRecorder recorder;
  TimePoint now{1h};

  explicit Fixture(ExposureRecorder::Options options = {})
      : recorder(options, base::SipKey{1, 2},
                 [this](const Exposure& exposure) { append_json_line(lines.emplace_back(), exposure); }) {}

  void show(std::string_view unit) {
    std::vector<Decision> decisions;
    for (std::string_view key : {"a", "b", "f"}) decisions.push_back(testing::decide(*snapshot, key, unit));
    recorder.record(unit, decisions, now, WallTime{1s});
    recorder.outcome(0, decisions, unit == "broken" ? 503 : 200, 10ms);
  }
};

// A unit's variant is written once in a window, and again when a window without it has passed.
TEST(Exposure, OnceInAWindow) {
  Fixture fixture;
  for (int i = 0; i < 10; ++i) fixture.show("user_1");
  ASSERT_EQ(fixture.lines.size(), 1U);
  EXPECT_EQ(fixture.lines[0].substr(0, 44), R"({"time_ms":1000,"experiment":"a","variant":")");
  fixture.show("user_2");
  EXPECT_EQ(fixture.lines.size(), 2U);
  fixture.now += 23h;
  fixture.show("user_1");
  EXPECT_EQ(fixture.lines.size(), 2U);
  fixture.now += 1h + 1ns;  // the second window; the first is remembered
  fixture.show("user_1");
  EXPECT_EQ(fixture.lines.size(), 2U);
  fixture.now += 48h;
  fixture.show("user_1");
  EXPECT_EQ(fixture.lines.size(), 3U);
}

// The same unit with another variant is another exposure; a new snapshot with the same variants is none.
TEST(Exposure, VariantsNotAddressesAreRemembered) {
  Fixture fixture;
  fixture.show("user_1");
  fixture.snapshot = testing::compiled(kTwo);
  fixture.show("user_1");
  EXPECT_EQ(fixture.lines.size(), 1U);
  Decision other = testing::decide(*fixture.snapshot, "a", "user_1");
  for (std::uint64_t u = 0; other.variant == testing::variant(*fixture.snapshot, "a", "user_1"); ++u)
    other = testing::decide(*fixture.snapshot, "a", simulated_unit(1, u));
  fixture.recorder.record("user_1", {&other, 1}, fixture.now, WallTime{});
  EXPECT_EQ(fixture.lines.size(), 2U);
}

// Counts by variant: units, requests, errors, mean time. Who is not in it, and flags, are not counted.
TEST(Exposure, Counts) {
  Fixture fixture;
  for (std::uint64_t u = 0; u < 1'000; ++u) fixture.show(simulated_unit(2, u));
  for (int i = 0; i < 5; ++i) fixture.show("broken");
  std::uint64_t units = 0;
  std::uint64_t errors = 0;
  for (const auto& count : fixture.recorder.counts()) {
    EXPECT_EQ(count.experiment, "a");
    EXPECT_NEAR(count.mean_seconds, 0.01, 1e-9);
    units += count.units;
    errors += count.errors;
  }
  EXPECT_EQ(fixture.recorder.counts()[0].split, fixture.recorder.counts()[0].units);
  EXPECT_EQ(units, 1'001U);
  EXPECT_EQ(errors, 5U);
}

// Past its bound nothing more is remembered: such exposures are written each time, and counted.
TEST(Exposure, BoundedMemory) {
  Fixture fixture({.window = 24h, .units_max = 1'600});
  for (std::uint64_t u = 0; u < 5'000; ++u) fixture.show(simulated_unit(3, u));
  EXPECT_EQ(fixture.lines.size(), 5'000U);
  EXPECT_GT(fixture.recorder.unremembered(), 1'000U);
}

// Sound counts do not alarm, whenever they are looked at; a share that is off by a few points does, and soon.
TEST(Exposure, SampleRatio) {
  const std::uint64_t seed = 20'260'101;
  std::mt19937_64 random(seed);
  const std::vector<double> shares{0.5, 0.3, 0.2};
  int alarms = 0;
  for (int run = 0; run < 500; ++run) {
    std::vector<std::uint64_t> counts(3);
    bool alarmed = false;
    for (int i = 0; i < 5'000; ++i) {
      const auto dice = random() % 10;
      ++counts[dice < 5 ? 0 : dice < 8 ? 1 : 2];
      if (i % 50 == 0) alarmed |= sample_ratio(counts, shares).mismatch;
    }
    alarms += alarmed;
  }
  EXPECT_LE(alarms, 3);  // 0.1 % each; more than 3 of 500 has a chance of 0.2 %
  const std::vector<std::uint64_t> off{5'300, 4'700};
  const std::vector<double> halves{0.5, 0.5};
  EXPECT_TRUE(sample_ratio(off, halves).mismatch);
  const std::vector<std::uint64_t> few{3, 0};
  EXPECT_FALSE(sample_ratio(few, halves).mismatch);
}

}  // namespace
}  // namespace weir::experiment
