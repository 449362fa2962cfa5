#include "weir/gateway/to_upstream.h"

#include <algorithm>

#include "weir/base/strings.h"

namespace weir::gateway {

std::string_view upstream_path(Exchange& exchange) {
  const config::Route& route = exchange.route->options;
  if (!route.rewrite.empty()) {
    const std::string_view rewrite = route.rewrite;
    if (!rewrite.ends_with('*')) return rewrite;
    return exchange.arena.concat({rewrite.substr(0, rewrite.size() - 1), exchange.wildcard});
  }
  if (route.strip_prefix) return exchange.arena.concat({"/", exchange.wildcard});
  return exchange.path;
}

bool is_edited(const config::HeaderEdit& edit, std::string_view name) noexcept {
  return std::any_of(edit.remove.begin(), edit.remove.end(),
                     [&](const auto& n) { return base::iequals(n, name); }) ||
         std::any_of(edit.set.begin(), edit.set.end(),
                     [&](const auto& s) { return base::iequals(s.first, name); });
}

}  // namespace weir::gateway
