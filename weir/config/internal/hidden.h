// Finds routes that can never match, because earlier ones take all their requests.
//
//   HiddenRoutes seen;
//   if (const auto by = seen.add(route)) ...        // index of the route that takes the last of its requests
//
// A route is hidden when earlier ones whose path and host each cover its own take all its methods together.
// What only several paths or hosts cover together is not looked for: a false alarm would refuse a sound file.
//
// Cost of add(): the earlier routes that share its first segment, or begin with a capture or `*`.
#ifndef WEIR_CONFIG_INTERNAL_HIDDEN_H_
#define WEIR_CONFIG_INTERNAL_HIDDEN_H_

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "weir/config/config.h"

namespace weir::config::internal {

// Every path that `later` matches is matched by `earlier`; both are sound patterns.
bool covers_path(std::string_view earlier, std::string_view later);
// The same for hosts; "" is any.
bool covers_host(std::string_view earlier, std::string_view later);

class HiddenRoutes {
 public:
  // The index, counted by calls, of the earlier route that hides this one; nothing when it can match.
  std::optional<std::size_t> add(const Route& route);

 private:
  struct Shape {
    std::string path;
    std::string host;
    std::vector<std::string> methods;
  };

  std::vector<Shape> shapes_;
  std::unordered_map<std::string, std::vector<std::size_t>>
      by_first_;  // "" : those that any first segment may meet
};

}  // namespace weir::config::internal

#endif  // WEIR_CONFIG_INTERNAL_HIDDEN_H_
