// Tests of pages: what services do, and the page that must come of it. The file of `weir bff test`.
//
//   config: weir.yaml                       # whose routes are tested; relative to this file
//   cases:
//     - name: recommendations hang
//       get: /home/17?n=3                   # or request: {method, target, headers, body}
//       passport: {user_id: "17"}           # who asks; likewise variants and flags
//       services:
//         users:  {body: {id: 17}}          # whatever is asked for
//         orders: {paths: {/v1/orders: {status: 503, after: 20ms}}}
//         recs:   {fault: hang}
//       expect: {status: 200, complete: false, body: {user: {id: 17}, recs: null}, sections: {recs: error}, within: 500ms}
//
// All mistakes are reported at once, with their places, as those of a configuration are.
#ifndef WEIR_CONFIG_PAGE_TESTS_H_
#define WEIR_CONFIG_PAGE_TESTS_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "weir/base/clock.h"
#include "weir/config/load.h"

namespace weir::config {

enum class ServiceFault : std::uint8_t {
  none,
  refused,     // no connection
  black_hole,  // the connection is never answered
  hang,        // takes the request, says nothing
  drip,        // the head, then a byte each 50 ms
  truncated,   // closes in the middle of the body
  reset,       // resets in the middle of the body
  closed,      // closes without a word
  garbage,     // no HTTP
  oversized,   // says that 2 GiB will come
};
// "black_hole" and so on; nothing for what is none of them.
std::optional<ServiceFault> parse_service_fault(std::string_view text) noexcept;
std::string_view to_string(ServiceFault fault) noexcept;

struct ServiceReply {
  int status = 200;
  std::string body = "null";
  std::vector<std::pair<std::string, std::string>> headers;
  Duration after{};
  ServiceFault fault = ServiceFault::none;
};

struct Service {
  ServiceReply any;
  std::map<std::string, ServiceReply, std::less<>> paths;  // by path and query, or by path alone

  const ServiceReply& reply_to(std::string_view target) const;
};

struct PageTest {
  std::string name;
  Position at;
  std::string method = "GET";
  std::string target;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  std::string passport;                                       // a JSON object; "": nobody is known
  std::vector<std::pair<std::string, std::string>> variants;  // key, variant
  std::vector<std::pair<std::string, std::string>> flags;     // key, JSON
  std::map<std::string, Service> services;                    // by upstream

  std::optional<int> status;
  std::optional<bool> complete;
  std::optional<std::string> page;                            // compact JSON
  std::vector<std::pair<std::string, std::string>> sections;  // name, state
  std::optional<Duration> within;
};

struct PageTests {
  std::string config;  // path, as it is to be opened
  std::vector<PageTest> cases;
  std::vector<Diagnostic> diagnostics;
  std::vector<std::string> files;
  bool good = false;  // no diagnostic is an error
};

PageTests load_page_tests(const std::string& path, const Environment& environment);
// As if a file called `name` held `text`.
PageTests load_page_tests_text(const std::string& name, std::string_view text);

}  // namespace weir::config

#endif  // WEIR_CONFIG_PAGE_TESTS_H_
