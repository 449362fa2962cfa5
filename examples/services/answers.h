// What the demo services say: a JSON answer for each path, and the faults that a caller may order.
//
// The query decides how the service behaves, so that a gateway's limits can be seen at work:
//   sleep=MS     waits so long before it answers (at most 60 s)
//   status=NNN   answers with that status (200 to 599)
//   bytes=N      answers with N bytes (at most 1 MiB) instead of JSON
//
// Pure: a request goes in, an answer comes out. Who serves them is demo_service.cc's business.
#ifndef WEIR_EXAMPLES_SERVICES_ANSWERS_H_
#define WEIR_EXAMPLES_SERVICES_ANSWERS_H_

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "weir/http/message.h"

namespace weir::examples {

// What is kept of a request once its bytes are gone.
struct Request {
  explicit Request(const http::RequestHead& head);

  std::string method;
  std::string path;
  std::string query;
  std::vector<std::pair<std::string, std::string>> seen;  // fields worth showing: ids, forwarding, identity
  bool head_only = false;
  bool keep_alive = true;
};

struct Reply {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::uint64_t fresh = 0;             // seconds for which caches may keep it; 0: it does not say
  std::chrono::milliseconds after{0};  // how long to wait before it is sent
};

// `service` is the name that the answer gives itself.
Reply answer(std::string_view service, const Request& request);

// The whole message, ready to be written. A HEAD's answer names the length and ends with its head.
std::string to_message(const Reply& reply, const Request& request);

}  // namespace weir::examples

#endif  // WEIR_EXAMPLES_SERVICES_ANSWERS_H_
