// Finds routes that can never match, because earlier ones take all their requests.
//
//   HiddenRoutes seen;
//   if (const auto by = seen.add(route)) ...
//
// A route is hidden when earlier ones whose path and host each cover its own take all its methods together.
// What only several paths or hosts cover together is not looked for: a false alarm would refuse a sound file.
//
// Earlier routes stand in a tree by their segments, so add() looks only at those whose path covers the new
// one.
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
  struct Hider {
    std::size_t index = 0;  // of the route that takes the last of the requests, counted by calls of add()
    bool alone = true;      // it takes them all; else those before it take some
  };

  // Who hides this route; nothing when it can match.
  std::optional<Hider> add(const Route& route);

 private:
  struct Shape {
    std::string host;
    std::vector<std::string> methods;
  };
  // One position in paths: where every segment up to here has been read.
  struct Node {
    std::unordered_map<std::string, std::size_t> literals;  // next nodes, by index
    std::size_t capture = 0;                                // next node for any one segment; 0: none
    std::vector<std::size_t> open;                          // routes that end here with `/*`
    std::vector<std::size_t> exact;                         // routes that end here
  };

  void insert(std::string_view path, std::size_t index);
  // Routes that cover what is left of `path` from `node` on.
  void collect(std::size_t node, std::string_view path, std::vector<std::size_t>& found) const;

  std::vector<Shape> shapes_;
  std::vector<Node> nodes_{1};
};

}  // namespace weir::config::internal

#endif  // WEIR_CONFIG_INTERNAL_HIDDEN_H_
