#include "weir/config/internal/hidden.h"

#include <algorithm>

namespace weir::config::internal {
namespace {

// Takes the next segment off `path` ("/a/b" gives "a", leaving "/b").
std::string_view next_segment(std::string_view& path) {
  const std::size_t end = path.find('/', 1);
  const std::string_view segment = path.substr(1, end == std::string_view::npos ? end : end - 1);
  path.remove_prefix(end == std::string_view::npos ? path.size() : end);
  return segment;
}

bool is_capture(std::string_view segment) { return segment.starts_with('{'); }

// The bucket of a route's first segment: "" when it is not fixed.
std::string first_of(std::string_view path) {
  const std::string_view segment = next_segment(path);
  return is_capture(segment) || segment == "*" ? std::string{} : std::string(segment);
}

}  // namespace

bool covers_path(std::string_view earlier, std::string_view later) {
  // Contract, "Paths": `/a/*` matches /a, /a/ and any depth; `{id}` one segment, which is not empty.
  while (!earlier.empty()) {
    if (earlier == "/*") return true;
    if (later.empty() || later == "/*") return false;
    const std::string_view a = next_segment(earlier);
    const std::string_view b = next_segment(later);
    if (is_capture(a) ? b.empty() : a != b) return false;
  }
  return later.empty();
}

bool covers_host(std::string_view earlier, std::string_view later) {
  if (earlier.empty() || earlier == later) return true;
  if (!earlier.starts_with("*.") || later.starts_with("*.")) return false;
  const std::string_view domain = earlier.substr(1);  // ".example"
  // One label more only: that much every reading of a wildcard takes.
  return later.size() > domain.size() && later.ends_with(domain) &&
         later.substr(0, later.size() - domain.size()).find('.') == std::string_view::npos;
}

std::optional<std::size_t> HiddenRoutes::add(const Route& route) {
  const std::string first = first_of(route.path);
  std::vector<std::size_t> candidates;
  if (const auto loose = by_first_.find(""); loose != by_first_.end()) candidates = loose->second;
  if (const auto same = by_first_.find(first); same != by_first_.end() && !first.empty())
    candidates.insert(candidates.end(), same->second.begin(), same->second.end());
  std::sort(candidates.begin(), candidates.end());
  by_first_[first].push_back(shapes_.size());
  shapes_.push_back({route.path, route.host, route.methods});

  std::vector<std::string> left = route.methods;
  for (const std::size_t index : candidates) {
    const Shape& earlier = shapes_[index];
    if (!covers_path(earlier.path, route.path) || !covers_host(earlier.host, route.host)) continue;
    if (earlier.methods.empty()) return index;
    if (route.methods.empty()) continue;  // methods are an open set: a list never takes all
    std::erase_if(left, [&](const std::string& method) {
      return std::find(earlier.methods.begin(), earlier.methods.end(), method) != earlier.methods.end();
    });
    if (left.empty()) return index;
  }
  return std::nullopt;
}

}  // namespace weir::config::internal
