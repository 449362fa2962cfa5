// A tree of path segments, each route where its path ends.
//
// A new route walks down with its own segments: a literal step and, where there is one, the step of a
// capture. Routes with `/*` on the way and routes that end where it ends are the ones whose path covers it;
// hosts and methods decide among them. covers_path() says the same of two patterns alone; scalars_test.cc
// holds the two to each other and to trying every path.
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

void HiddenRoutes::insert(std::string_view path, std::size_t index) {
  std::size_t node = 0;
  while (!path.empty() && path != "/*") {
    const std::string_view segment = next_segment(path);
    std::size_t& next =
        is_capture(segment) ? nodes_[node].capture : nodes_[node].literals[std::string(segment)];
    if (next == 0) next = nodes_.size();
    node = next;
    if (node == nodes_.size()) nodes_.emplace_back();
  }
  (path.empty() ? nodes_[node].exact : nodes_[node].open).push_back(index);
}

void HiddenRoutes::collect(std::size_t node, std::string_view path, std::vector<std::size_t>& found) const {
  const Node& here = nodes_[node];
  found.insert(found.end(), here.open.begin(), here.open.end());
  if (path == "/*") return;
  if (path.empty()) {
    found.insert(found.end(), here.exact.begin(), here.exact.end());
    return;
  }
  // Recursion as deep as a path has segments: at most 512 (a pattern is at most 1024 bytes long).
  const std::string_view segment = next_segment(path);
  if (!segment.empty() && here.capture != 0) collect(here.capture, path, found);
  // A capture's own text is no literal of any node: literals never cover it.
  if (const auto next = here.literals.find(std::string(segment)); next != here.literals.end())
    collect(next->second, path, found);
}

std::optional<HiddenRoutes::Hider> HiddenRoutes::add(const Route& route) {
  std::vector<std::size_t> candidates;
  collect(0, route.path, candidates);
  std::sort(candidates.begin(), candidates.end());
  insert(route.path, shapes_.size());
  shapes_.push_back({route.host, route.methods});

  std::vector<std::string> left = route.methods;
  for (const std::size_t index : candidates) {
    const Shape& earlier = shapes_[index];
    if (!covers_host(earlier.host, route.host)) continue;
    if (earlier.methods.empty()) return Hider{index, true};
    if (route.methods.empty()) continue;  // methods are an open set: a list never takes all
    const bool untouched = left.size() == route.methods.size();
    std::erase_if(left, [&](const std::string& method) {
      return std::find(earlier.methods.begin(), earlier.methods.end(), method) != earlier.methods.end();
    });
    if (left.empty()) return Hider{index, untouched};
  }
  return std::nullopt;
}

}  // namespace weir::config::internal
