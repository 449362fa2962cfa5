#include "weir/metrics/exposition.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <string_view>

#include "weir/base/strings.h"
#include "weir/metrics/registry.h"

namespace weir::metrics {
namespace {

using std::chrono::milliseconds;

// One sample line taken apart: name{label="value",...} number. `le` stands apart from the other labels.
struct Sample {
  std::string name;
  std::string labels;
  std::string le;
  double value = 0;
};

// Takes a metric or label name off the front of `text`; empty when there is none.
std::string take_name(std::string_view& text) {
  std::size_t n = 0;
  while (n < text.size() &&
         (base::is_alpha(text[n]) || text[n] == '_' || text[n] == ':' || (n > 0 && base::is_digit(text[n]))))
    ++n;
  std::string name{text.substr(0, n)};
  text.remove_prefix(n);
  return name;
}

bool take(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

// Takes a quoted label value off the front, escapes kept; nothing when it is not one.
std::optional<std::string> take_quoted(std::string_view& text) {
  if (!take(text, "\"")) return std::nullopt;
  std::size_t n = 0;
  while (n < text.size() && text[n] != '"') {
    if (text[n] == '\\') {
      ++n;
      if (n == text.size() || std::string_view{"\\\"n"}.find(text[n]) == std::string_view::npos)
        return std::nullopt;
    }
    ++n;
  }
  std::string value{text.substr(0, n)};
  text.remove_prefix(n);
  if (!take(text, "\"")) return std::nullopt;
  return value;
}

std::optional<Sample> parse_sample(std::string_view line) {
  Sample sample;
  sample.name = take_name(line);
  if (sample.name.empty()) return std::nullopt;
  if (take(line, "{")) {
    do {
      const std::string label = take_name(line);
      if (label.empty() || !take(line, "=")) return std::nullopt;
      const std::optional<std::string> value = take_quoted(line);
      if (!value) return std::nullopt;
      if (label == "le") {
        sample.le = *value;
      } else {
        sample.labels.append(label).append("=\"").append(*value).append("\",");
      }
    } while (take(line, ","));
    if (!take(line, "}")) return std::nullopt;
  }
  if (!take(line, " ") || line.empty() || line.find(' ') != std::string_view::npos) return std::nullopt;
  char* end = nullptr;
  const std::string number{line};
  sample.value = std::strtod(number.c_str(), &end);
  if (*end != '\0') return std::nullopt;
  return sample;
}

// A checker of the text format, written from its description alone: line grammar, HELP and TYPE once and
// before the samples of their family, families not torn apart, no sample twice, buckets cumulated and equal
// to _count. complaint() returns the first fault, or nothing.
class Checker {
 public:
  std::string complaint(const std::string& text) {
    if (!text.empty() && text.back() != '\n') return "last line is not ended";
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
      const std::string fault = line.starts_with("# ") ? comment(line.substr(2)) : sample(line);
      if (!fault.empty()) return fault + ": " + line;
    }
    return "";
  }

 private:
  std::string comment(std::string_view line) {
    const bool help = take(line, "HELP ");
    if (!help && !take(line, "TYPE ")) return "neither HELP nor TYPE";
    const std::string name = take_name(line);
    if (name.empty() || !take(line, " ")) return "no name";
    if (help) {
      if (!helped_.insert(name).second) return "HELP twice";
      current_ = name;
      return "";
    }
    if (name != current_ || !types_.emplace(name, line).second) return "TYPE out of place";
    return "";
  }

  std::string sample(std::string_view line) {
    const std::optional<Sample> parsed = parse_sample(line);
    if (!parsed) return "not in the grammar";
    const bool histogram = types_[current_] == "histogram";
    const std::string suffix =
        parsed->name.starts_with(current_) ? parsed->name.substr(current_.size()) : std::string{"?"};
    if (histogram ? suffix != "_bucket" && suffix != "_sum" && suffix != "_count" : !suffix.empty())
      return "sample outside its family";
    if (!samples_.insert(parsed->name + parsed->labels + parsed->le).second) return "sample twice";
    if (types_[current_] == "counter" && !current_.ends_with("_total")) return "counter without _total";
    double& last = last_bucket_[current_ + parsed->labels];
    if (suffix == "_bucket") {
      if (parsed->value < last) return "buckets fall";
      last = parsed->value;
    }
    if (suffix == "_count" && parsed->value != last) return "count is not the last bucket";
    return "";
  }

  std::string current_;
  std::map<std::string, std::string> types_;
  std::set<std::string> samples_, helped_;
  std::map<std::string, double> last_bucket_;
};

std::string complaint(const std::string& text) { return Checker{}.complaint(text); }

// The exact text: order, escapes, buckets in seconds.
TEST(Exposition, WritesTheFormatToTheLetter) {
  Registry registry(1);
  const FamilyId requests = registry.counter_family("req_total", "Back\\slash and\nline.", {"route", "code"});
  registry.shard(0).add(registry.counter(requests, {"b", "200"}), 7);
  registry.shard(0).add(registry.counter(requests, {"a\"\\\n", "500"}), 1234567);
  const FamilyId level = registry.gauge_family("level", "Level.");
  const Collector collector = registry.collect(level, [] { return 0.25; });
  registry.counter_family("unused_total", "No series, so not a word of it.");
  EXPECT_EQ(
      format_text(registry.snapshot()),
      "# HELP weir_metrics_series_folded_total Series that found no room and were counted as \"other\".\n"
      "# TYPE weir_metrics_series_folded_total counter\n"
      "weir_metrics_series_folded_total 0\n"
      "# HELP req_total Back\\\\slash and\\nline.\n"
      "# TYPE req_total counter\n"
      "req_total{route=\"a\\\"\\\\\\n\",code=\"500\"} 1234567\n"
      "req_total{route=\"b\",code=\"200\"} 7\n"
      "# HELP level Level.\n"
      "# TYPE level gauge\n"
      "level 0.25\n");
}

TEST(Exposition, WritesHistogramsCumulatedAndInSeconds) {
  Registry registry(1);
  const FamilyId family = registry.histogram_family("took_seconds", "Time.", {"route"});
  const HistogramId id = registry.histogram(family, {"r"});
  registry.shard(0).observe(id, milliseconds{5});
  registry.shard(0).observe(id, milliseconds{6});
  registry.shard(0).observe(id, milliseconds{80});
  registry.shard(0).observe(id, milliseconds{20'000});
  const std::string text = format_text(registry.snapshot());
  const auto has = [&](const std::string& line) { return text.find(line + "\n") != std::string::npos; };
  EXPECT_TRUE(has("took_seconds_bucket{route=\"r\",le=\"0.005\"} 1")) << text;
  EXPECT_TRUE(has("took_seconds_bucket{route=\"r\",le=\"0.01\"} 2")) << text;
  EXPECT_TRUE(has("took_seconds_bucket{route=\"r\",le=\"0.075\"} 2")) << text;
  EXPECT_TRUE(has("took_seconds_bucket{route=\"r\",le=\"0.1\"} 3")) << text;
  EXPECT_TRUE(has("took_seconds_bucket{route=\"r\",le=\"10\"} 3")) << text;
  EXPECT_TRUE(has("took_seconds_bucket{route=\"r\",le=\"+Inf\"} 4")) << text;
  EXPECT_TRUE(has("took_seconds_sum{route=\"r\"} 20.091")) << text;
  EXPECT_TRUE(has("took_seconds_count{route=\"r\"} 4")) << text;
}

TEST(Exposition, WritesOddNumbersAsPrometheusReadsThem) {
  const auto written = [](double value) {
    Family family;
    family.name = "v";
    family.help = "V.";
    family.type = Type::gauge;
    family.series.resize(1);
    family.series[0].value = value;
    const std::string text = format_text({family});
    const std::size_t from = text.rfind("v ") + 2;
    return text.substr(from, text.size() - from - 1);
  };
  EXPECT_EQ(written(std::numeric_limits<double>::infinity()), "+Inf");
  EXPECT_EQ(written(-std::numeric_limits<double>::infinity()), "-Inf");
  EXPECT_EQ(written(std::nan("")), "NaN");
  EXPECT_EQ(written(0), "0");
  EXPECT_EQ(written(-3), "-3");
  EXPECT_EQ(written(9007199254740991.0), "9007199254740991");
  EXPECT_EQ(written(1e300), "1e+300");
  EXPECT_EQ(written(0.1), "0.1");
}

std::string lively_page() {
  Registry registry(2, 50);
  const FamilyId requests = registry.counter_family("demo_requests_total", "Requests.", {"route", "code"});
  const FamilyId took = registry.histogram_family("demo_duration_seconds", "Time to answer.", {"route"});
  const FamilyId plain = registry.histogram_family("demo_wait_seconds", "Time in the queue.");
  const FamilyId level = registry.gauge_family("demo_level", "A level.", {"name"});
  registry.shard(0).observe(registry.histogram(plain), milliseconds{3});
  for (int i = 0; i < 60; ++i) {
    const std::string route = "GET /" + std::to_string(i) + "\"\\\n\xC3\xA9\xFF";
    registry.shard(i % 2).add(registry.counter(requests, {route, "200"}), static_cast<std::uint64_t>(i));
    registry.shard(i % 2).observe(registry.histogram(took, {route}), milliseconds{i * i});
  }
  const Collector collector = registry.collect(level, [](Sink& sink) {
    sink.add({"x"}, 1e-9);
    sink.add({"x"}, -4);
  });
  return format_text(registry.snapshot());
}

// A page with everything on it, odd label values and folded series included, follows the grammar.
TEST(Exposition, FollowsTheGrammar) { EXPECT_EQ(complaint(lively_page()), ""); }

// The checker of this test itself sees what is wrong.
TEST(Exposition, TheCheckerIsNotBlind) {
  EXPECT_NE(complaint("a_total 1"), "");
  EXPECT_NE(complaint("# HELP a_total A.\n# TYPE a_total counter\na_total{x=\"\\q\"} 1\n"), "");
  EXPECT_NE(complaint("# HELP a_total A.\n# TYPE a_total counter\na_total 1\na_total 1\n"), "");
  EXPECT_NE(complaint("# HELP a A.\n# TYPE a counter\na 1\n"), "");
  EXPECT_NE(complaint("# HELP a A.\n# TYPE a gauge\nb 1\n"), "");
  EXPECT_NE(complaint("# HELP a A.\n# TYPE a histogram\na_bucket{le=\"1\"} 2\na_bucket{le=\"+Inf\"} 1\n"),
            "");
  EXPECT_NE(complaint("# HELP a A.\n# TYPE a histogram\na_bucket{le=\"+Inf\"} 1\na_count 2\n"), "");
}

// Where Prometheus' own checker is installed, it has nothing to say either.
TEST(Exposition, SatisfiesPromtool) {
  if (::access("/usr/bin/promtool", X_OK) != 0) return;
  FILE* promtool = ::popen("/usr/bin/promtool check metrics", "w");
  ASSERT_NE(promtool, nullptr);
  const std::string page = lively_page();
  EXPECT_EQ(std::fwrite(page.data(), 1, page.size(), promtool), page.size());
  EXPECT_EQ(::pclose(promtool), 0);
}

}  // namespace
}  // namespace weir::metrics
