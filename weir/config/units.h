// The words of a configuration for durations and rates, for whoever else reads them from people: the command line, the
// admin.
//
//   Result<Duration> hold = config::read_duration("10m");
//   Result<Rate> rate = config::read_rate("100/min");
//
// One spelling of each thing, the one that a file would accept. Pure.
#ifndef WEIR_CONFIG_UNITS_H_
#define WEIR_CONFIG_UNITS_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "weir/base/clock.h"
#include "weir/base/result.h"

namespace weir::config {

struct Rate {
  std::uint64_t count = 0;
  Duration window{};
};

// Error invalid_argument: says what would do, where the intention is plain.
Result<Duration> read_duration(std::string_view text);
Result<Rate> read_rate(std::string_view text);
// "1500ms", "30s", "7d": the largest unit that divides it.
std::string to_text(Duration duration);

}  // namespace weir::config

#endif  // WEIR_CONFIG_UNITS_H_
