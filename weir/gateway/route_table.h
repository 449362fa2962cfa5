// RouteTable: from host, path and method to a route; the first route of the file that matches wins.
//
// A trie of path segments: "/a/{id}/*" is three edges, the last a wildcard. A look-up walks the path once,
// collects the best route of every node it passes and takes the one that stands first in the file, so its
// cost does not depend on the number of routes but for those that share a path. Immutable once built;
// thread-safe to read; no allocation.
#ifndef WEIR_GATEWAY_ROUTE_TABLE_H_
#define WEIR_GATEWAY_ROUTE_TABLE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "weir/config/config.h"
#include "weir/http/message.h"

namespace weir::gateway {

class RouteTable {
 public:
  enum class Outcome : std::uint8_t { found, no_route, wrong_method };

  struct Match {
    Outcome outcome = Outcome::no_route;
    std::uint32_t route = 0;    // index, when found
    std::string_view wildcard;  // what "*" stands for, without a leading slash
  };

  RouteTable();
  ~RouteTable();
  RouteTable(RouteTable&&) noexcept;
  RouteTable& operator=(RouteTable&&) noexcept;

  // Some route is for certain hosts only.
  bool uses_hosts() const noexcept { return uses_hosts_; }
  // In the order of the file; `index` counts up.
  void add(std::uint32_t index, const config::Route& route);
  // `host` is the request's authority without port, any case; `path` is canonical. A `preflight` matches
  // routes with `cors`, whatever their methods.
  Match find(std::string_view host, std::string_view path, std::string_view method,
             bool preflight = false) const;
  // The methods of all routes for that host and path, "GET, POST", for Allow.
  std::string allowed(std::string_view host, std::string_view path) const;

 private:
  struct Entry {
    std::uint32_t index;
    std::string host;                  // "", "api.example" or "*.example"
    std::vector<std::string> methods;  // empty: all
    bool cors = false;
  };
  struct Node {
    std::map<std::string, std::unique_ptr<Node>, std::less<>> literal;
    std::unique_ptr<Node> any;    // {name}
    std::vector<Entry> exact;     // routes that end here
    std::vector<Entry> wildcard;  // routes that end here with "/*"
  };

  template <class Visit>
  void walk(const Node& node, std::string_view rest, bool at_root, Visit& visit) const;

  std::unique_ptr<Node> root_;
  bool uses_hosts_ = false;
};

}  // namespace weir::gateway

#endif  // WEIR_GATEWAY_ROUTE_TABLE_H_
