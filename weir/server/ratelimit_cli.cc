#include "weir/server/ratelimit_cli.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <fstream>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "weir/base/strings.h"
#include "weir/config/units.h"
#include "weir/server/limit_plot.h"
#include "weir/server/limit_replay.h"

namespace weir::server {
namespace {

constexpr int kFailed = 1;
constexpr int kUsage = 2;

struct Arguments {
  std::string file;
  std::string limit;
  std::vector<std::string> algorithms;
  std::uint32_t burst = 0;
  std::uint32_t segments = 60;
  bool count_rejected = false;
  bool totals = false;
  std::string key;
  std::string plot;
  std::string output = "text";
};

std::string seconds(Duration time) {
  constexpr std::int64_t kSecond = 1'000'000'000;
  std::string text = std::to_string(time.count() / kSecond);
  const std::string digits = std::to_string(kSecond + time.count() % kSecond).substr(1);
  const std::size_t last = digits.find_last_not_of('0');
  return last == std::string::npos ? text : text + "." + digits.substr(0, last + 1);
}

std::string json_text(std::string_view text) {
  std::string out = "\"";
  base::append_json_escaped(out, text);
  return out.append("\"");
}

// A line for each call, and what each algorithm made of all of them.
void print_text(const Trace& trace, const std::vector<Replayed>& all, const Arguments& arguments,
                const ratelimit::Policy& policy) {
  for (const Replayed& one : all) {
    for (std::size_t i = 0; i < trace.calls.size() && !arguments.totals; ++i) {
      const Trace::Call& call = trace.calls[i];
      const ratelimit::Decision& decision = one.decisions[i];
      std::cout << seconds(call.at) << " " << json_text(trace.keys[call.key]) << " cost " << call.cost
                << ": ";
      if (decision.allowed && one.algorithm == kTwoCounter)
        std::cout << "allowed\n";
      else if (decision.allowed)
        std::cout << "allowed, " << decision.remaining << " left\n";
      else if (decision.waiting_helps())
        std::cout << "refused (" << ratelimit::to_string(decision.reason) << "), again in "
                  << seconds(decision.retry_after) << " s\n";
      else
        std::cout << "refused (" << ratelimit::to_string(decision.reason) << ")\n";
    }
    std::cout << one.algorithm << " " << arguments.limit << ": " << trace.calls.size() << " calls of "
              << trace.keys.size() << (trace.keys.size() == 1 ? " key, " : " keys, ") << one.allowed
              << " allowed (" << one.units << " units), " << one.refused << " refused";
    if (one.looks > 0) std::cout << ", " << one.looks << " only looked";
    std::cout << "\n  most in any " << config::to_text(policy.window) << ": " << one.most_in_window << " of "
              << policy.limit << "\n  beside brute force: ";
    if (one.beyond == 0 && one.with_room == 0)
      std::cout << "no difference\n";
    else
      std::cout << one.beyond << " allowed without room, " << one.with_room << " refused with room\n";
  }
}

void print_json(const Trace& trace, const std::vector<Replayed>& all, const Arguments& arguments,
                const ratelimit::Policy& policy) {
  std::cout << "{\"limit\":" << policy.limit << ",\"window_s\":" << seconds(policy.window)
            << ",\"calls\":" << trace.calls.size() << ",\"keys\":" << trace.keys.size() << ",\"results\":[";
  for (const Replayed& one : all) {
    std::cout << (&one == &all.front() ? "\n{" : ",\n{") << "\"algorithm\":" << json_text(one.algorithm)
              << ",\"allowed\":" << one.allowed << ",\"refused\":" << one.refused
              << ",\"looks\":" << one.looks << ",\"units\":" << one.units
              << ",\"most_in_window\":" << one.most_in_window << ",\"allowed_without_room\":" << one.beyond
              << ",\"refused_with_room\":" << one.with_room;
    if (!arguments.totals) std::cout << ",\"decisions\":[";
    for (std::size_t i = 0; i < trace.calls.size() && !arguments.totals; ++i) {
      const Trace::Call& call = trace.calls[i];
      const ratelimit::Decision& decision = one.decisions[i];
      std::cout << (i == 0 ? "\n" : ",\n") << "{\"line\":" << call.line << ",\"t\":" << seconds(call.at)
                << ",\"key\":" << json_text(trace.keys[call.key]) << ",\"cost\":" << call.cost
                << ",\"allowed\":" << (decision.allowed ? "true" : "false") << ",\"reason\":\""
                << ratelimit::to_string(decision.reason) << "\"";
      if (one.algorithm != kTwoCounter)
        std::cout << ",\"remaining\":" << decision.remaining
                  << ",\"retry_after_s\":" << seconds(decision.retry_after);
      std::cout << "}";
    }
    std::cout << (arguments.totals ? "}" : "]}");
  }
  std::cout << "]}\n";
}

int write_plot(const Trace& trace, const std::vector<Replayed>& all, const Arguments& arguments,
               const ratelimit::Policy& policy) {
  std::uint32_t key = busiest_key(trace);
  if (!arguments.key.empty()) {
    const auto found = std::find(trace.keys.begin(), trace.keys.end(), arguments.key);
    if (found == trace.keys.end()) {
      const std::vector<std::string_view> views(trace.keys.begin(), trace.keys.end());
      const std::string_view near = base::closest(arguments.key, views);
      std::cerr << "weir: the trace has no key " << json_text(arguments.key)
                << (near.empty() ? "" : " (did you mean " + json_text(near) + "?)") << "\n";
      return kFailed;
    }
    key = static_cast<std::uint32_t>(found - trace.keys.begin());
  }
  PlotOptions options;
  options.limit = policy.limit;
  options.window = policy.window;
  std::vector<WindowSeries> series;
  for (const Replayed& one : all) series.push_back(window_series(trace, one, key, policy.window));
  std::size_t calls = 0;
  bool any = false;
  for (const Trace::Call& call : trace.calls) {
    if (call.key != key) continue;
    ++calls;
    options.from = any ? std::min(options.from, call.at) : call.at;
    options.to = std::max(options.to, call.at);
    any = true;
  }
  options.to += policy.window / 2;  // so that one sees the last ones leave
  // From zero when the first call is near it.
  if (options.from < policy.window) options.from = Duration{0};
  options.subtitle = std::to_string(calls) + " calls of key " +
                     (trace.keys.empty() ? "\"\"" : json_text(trace.keys[key])) + ", limit " +
                     arguments.limit;
  std::ofstream out(arguments.plot, std::ios::binary | std::ios::trunc);
  out << plot_windows(series, options);
  out.close();
  if (!out) {
    std::cerr << "weir: cannot write " << arguments.plot << "\n";
    return kFailed;
  }
  return 0;
}

// Without a choice: what the limit would be in a gateway; for a picture, all that a reader may want to compare.
std::vector<std::string> chosen(const Arguments& arguments) {
  if (!arguments.algorithms.empty()) return arguments.algorithms;
  if (arguments.plot.empty()) return {"automatic"};
  return {"exact_window", "segmented_window", "gcra", std::string(kTwoCounter), "fixed_window"};
}

int replay_file(const Arguments& arguments) {
  const Result<config::Rate> rate = config::read_rate(arguments.limit);
  if (!rate || rate->count > UINT32_MAX) {
    std::cerr << "weir: --limit: " << (rate ? "goes up to 4294967295" : rate.error().detail) << "\n";
    return kUsage;
  }
  ReplayOptions options;
  options.policy.limit = static_cast<std::uint32_t>(rate->count);
  options.policy.window = rate->window;
  options.policy.burst = arguments.burst;
  options.policy.segments = arguments.segments;
  options.policy.count_rejected = arguments.count_rejected;
  std::ifstream stream;
  if (arguments.file != "-") {
    stream.open(arguments.file);
    if (!stream) {
      std::cerr << "weir: cannot read " << arguments.file << "\n";
      return kFailed;
    }
  }
  const TraceFile file = read_trace(arguments.file == "-" ? std::cin : stream, arguments.file);
  for (const std::string& fault : file.faults) std::cerr << fault << "\n";
  if (!file.faults.empty()) return kFailed;
  std::vector<Replayed> all;
  for (const std::string& algorithm : chosen(arguments)) {
    options.algorithm = algorithm;
    Result<Replayed> one = replay(file.trace, options);
    if (!one) {
      std::cerr << "weir: " << algorithm << ": " << one.error().detail << "\n";
      return kUsage;
    }
    all.push_back(std::move(*one));
  }
  if (arguments.output == "json")
    print_json(file.trace, all, arguments, options.policy);
  else
    print_text(file.trace, all, arguments, options.policy);
  return arguments.plot.empty() ? 0 : write_plot(file.trace, all, arguments, options.policy);
}

}  // namespace

void add_ratelimit_commands(CLI::App& app, int& code) {
  CLI::App* ratelimit = app.add_subcommand("ratelimit", "Try out rate limits");
  ratelimit->require_subcommand(1);
  const auto arguments = std::make_shared<Arguments>();  // lives as long as the callback
  CLI::App* command = ratelimit->add_subcommand(
      "replay", "What a limit would have decided about written-down calls, beside brute force");
  command->footer(
      "FILE has one call a line: {\"t\": 12.5, \"key\": \"client-7\", \"cost\": 1}; t in seconds, key and "
      "cost may be "
      "left out.\nExample:\n  weir ratelimit replay calls.jsonl --limit 100/min --plot calls.svg --totals");
  command->add_option("FILE", arguments->file, "The calls; - reads them from the standard input")->required();
  command->add_option("--limit", arguments->limit, "Units a window: 100/min, 10/s")->required();
  command
      ->add_option("--algorithm", arguments->algorithms,
                   "Several with commas; by default what a file would get, with --plot the five that differ")
      ->delimiter(',')
      ->check(CLI::IsMember({"automatic", "exact_window", "segmented_window", "gcra", "token_bucket",
                             "fixed_window", "two_counter"}));
  command->add_option("--burst", arguments->burst,
                      "Size of the bucket (gcra, token_bucket); the limit by default");
  command->add_option("--segments", arguments->segments, "Parts of a segmented window")
      ->capture_default_str();
  command->add_flag("--count-rejected", arguments->count_rejected,
                    "Refused calls count, too (the two windows)");
  command->add_flag("--totals", arguments->totals, "Not each decision, only the sums");
  command->add_option("--plot", arguments->plot, "Draws the units of every trailing window to this SVG file");
  command->add_option("--key", arguments->key, "Whose windows are drawn; the key with most calls by default");
  command->add_option("--output", arguments->output, "text or json")->check(CLI::IsMember({"text", "json"}));
  command->callback([arguments, &code] { code = replay_file(*arguments); });
}

}  // namespace weir::server
