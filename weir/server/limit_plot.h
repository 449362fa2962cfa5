// A picture of what limits let through: units admitted within the window before each moment, a panel an algorithm over one
// axis of time, and in each the limit as a line. What is above the line is drawn in the line's colour.
//
//   std::string svg = plot_windows(series, {.limit = 100, .window = 60s, .subtitle = "600 calls of one key"});
//
// SVG 1.1 that needs nothing from outside; text is text. The same input gives the same bytes on every machine: positions
// are whole hundredths of a pixel, computed in integers. At most four points a half pixel of each panel, however long the
// series is. Pure.
#ifndef WEIR_SERVER_LIMIT_PLOT_H_
#define WEIR_SERVER_LIMIT_PLOT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "weir/base/clock.h"
#include "weir/server/limit_replay.h"

namespace weir::server {

struct PlotOptions {
  std::uint64_t limit = 0;
  Duration window{};
  Duration from{}, to{};  // what is drawn; `to` is made later than `from` if it is not
  std::string subtitle;   // any text
};

// In the order of `series`, top down.
std::string plot_windows(const std::vector<WindowSeries>& series, const PlotOptions& options);

}  // namespace weir::server

#endif  // WEIR_SERVER_LIMIT_PLOT_H_
