#include "weir/gateway/route_table.h"

#include <algorithm>

#include "weir/base/strings.h"

namespace weir::gateway {
namespace {

bool host_matches(std::string_view pattern, std::string_view host) {
  if (pattern.empty()) return true;
  if (!pattern.starts_with("*.")) return base::iequals(pattern, host);
  const std::string_view suffix = pattern.substr(1);  // ".example": at least one label before it
  return host.size() > suffix.size() && base::iequals(host.substr(host.size() - suffix.size()), suffix);
}

bool method_matches(const std::vector<std::string>& methods, std::string_view method) {
  return methods.empty() || std::find(methods.begin(), methods.end(), method) != methods.end();
}

// The segment at the front of `rest` (which starts with '/') and what follows it.
std::pair<std::string_view, std::string_view> next_segment(std::string_view rest) {
  rest.remove_prefix(1);
  const std::size_t slash = rest.find('/');
  if (slash == std::string_view::npos) return {rest, {}};
  return {rest.substr(0, slash), rest.substr(slash)};
}

}  // namespace

RouteTable::RouteTable() : root_(std::make_unique<Node>()) {}
RouteTable::~RouteTable() = default;
RouteTable::RouteTable(RouteTable&&) noexcept = default;
RouteTable& RouteTable::operator=(RouteTable&&) noexcept = default;

void RouteTable::add(std::uint32_t index, const config::Route& route) {
  Entry entry{index, route.host, route.methods, route.cors.has_value()};
  uses_hosts_ |= !route.host.empty();
  Node* node = root_.get();
  std::string_view rest = route.path;
  if (rest == "*") {  // OPTIONS *: a path of its own
    node->literal.try_emplace("*", std::make_unique<Node>()).first->second->exact.push_back(std::move(entry));
    return;
  }
  while (!rest.empty()) {
    const auto [segment, after] = next_segment(rest);
    if (segment == "*" && after.empty()) {
      node->wildcard.push_back(std::move(entry));
      return;
    }
    if (segment.size() > 2 && segment.front() == '{' && segment.back() == '}') {
      if (node->any == nullptr) node->any = std::make_unique<Node>();
      node = node->any.get();
    } else {
      auto& child = node->literal[std::string(segment)];
      if (child == nullptr) child = std::make_unique<Node>();
      node = child.get();
    }
    rest = after;
  }
  node->exact.push_back(std::move(entry));
}

// Visits every list of entries whose pattern matches, with what is left for the wildcard.
template <class Visit>
void RouteTable::walk(const Node& node, std::string_view rest, bool at_root, Visit& visit) const {
  // "/a/*" matches "/a", "/a/" and anything below; "/*" matches everything.
  if (!node.wildcard.empty()) visit(node.wildcard, rest.empty() ? rest : rest.substr(1));
  if (rest.empty()) {
    if (!at_root) visit(node.exact, std::string_view{});
    return;
  }
  const auto [segment, after] = next_segment(rest);
  if (const auto child = node.literal.find(segment); child != node.literal.end())
    walk(*child->second, after, false, visit);
  if (node.any != nullptr && !segment.empty()) walk(*node.any, after, false, visit);
}

RouteTable::Match RouteTable::find(std::string_view host, std::string_view path, std::string_view method,
                                   bool preflight) const {
  Match match;
  bool path_known = false;
  auto visit = [&](const std::vector<Entry>& entries, std::string_view wildcard) {
    for (const Entry& entry : entries) {  // ascending: stop at the first that matches
      if (!host_matches(entry.host, host)) continue;
      path_known = true;
      if (!method_matches(entry.methods, method) && !(preflight && entry.cors)) continue;
      if (match.outcome != Outcome::found || entry.index < match.route)
        match.outcome = Outcome::found, match.route = entry.index, match.wildcard = wildcard;
      return;
    }
  };
  if (path == "*") {
    if (const auto star = root_->literal.find("*"); star != root_->literal.end())
      visit(star->second->exact, {});
    if (match.outcome != Outcome::found) visit(root_->wildcard, {});
  } else {
    walk(*root_, path, true, visit);
  }
  if (match.outcome != Outcome::found && path_known) match.outcome = Outcome::wrong_method;
  return match;
}

std::string RouteTable::allowed(std::string_view host, std::string_view path) const {
  std::vector<std::string> methods;
  auto visit = [&](const std::vector<Entry>& entries, std::string_view) {
    for (const Entry& entry : entries) {
      if (!host_matches(entry.host, host)) continue;
      for (const std::string& method : entry.methods)
        if (std::find(methods.begin(), methods.end(), method) == methods.end()) methods.push_back(method);
    }
  };
  walk(*root_, path, true, visit);
  std::sort(methods.begin(), methods.end());
  std::string text;
  for (const std::string& method : methods) text.append(text.empty() ? "" : ", ").append(method);
  return text;
}

}  // namespace weir::gateway
