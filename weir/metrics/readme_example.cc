// The example of README.md, compiled and run by the tests.
#include <iostream>

#include "weir/metrics/exposition.h"
#include "weir/metrics/registry.h"

int main() {
  using namespace std::chrono_literals;
  weir::metrics::Registry registry(1);  // one shard for each thread that counts
  const auto refusals = registry.counter_family("shop_refusals_total", "Requests refused.", {"reason"});
  const auto durations = registry.histogram_family("shop_request_duration_seconds", "Time to answer.");
  const auto limited = registry.counter(refusals, {"rate-limited"});
  const auto took = registry.histogram(durations);
  const auto open = registry.gauge_family("shop_open", "1 while the shop is open.");
  const auto collector =
      registry.collect(open, [] { return 1.0; });  // read at scrape, while `collector` lives

  registry.shard(0).add(limited);
  registry.shard(0).observe(took, 12ms);
  const std::string text = weir::metrics::format_text(registry.snapshot());
  std::cout << text;
  return text.find("shop_refusals_total{reason=\"rate-limited\"} 1\n") != std::string::npos ? 0 : 1;
}
