// trace_page: one page made from the live services, in this process, and what each of its calls took.
//
//   PageQuestion question;
//   question.target = "/home/17";
//   const Result<PageTrace> trace = trace_page(config, question);
//   std::cout << waterfall_text(*trace);
//
// The page's own route, upstreams, breakers and timeouts; without what stands before a page (pages_only.h). Blocks until
// the page is there. Errors: invalid_argument (no page at that path, a plan that cannot be built), what a socket says.
#ifndef WEIR_SERVER_PAGE_TRACE_H_
#define WEIR_SERVER_PAGE_TRACE_H_

#include <string>
#include <utility>
#include <vector>

#include "weir/base/result.h"
#include "weir/config/config.h"
#include "weir/server/pages_only.h"

namespace weir::server {

struct PageQuestion {
  std::string method = "GET";
  std::string target;
  std::string host = "localhost";
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  Caller caller;
};

struct PageTrace {
  struct Bar {
    std::string name;    // section, or "GET http://10.0.0.1:80/v1/users/17"
    std::string result;  // "ok", "error http_response_timeout", "200"
    double from_ms = 0;  // from the request's first byte
    double to_ms = 0;
    bool section = false;  // else a call of the section above
    bool called = false;   // false: nothing was asked, from and to mean nothing
    bool good = false;
  };
  std::string method, target;
  std::string trace_id;
  int status = 0;
  bool complete = false;
  double took_ms = 0;
  double deadline_ms = 0;  // of the page, as configured
  std::string sections;    // Weir-Sections
  std::string body;
  std::vector<Bar> bars;  // sections in the file's order, each followed by its calls
};

Result<PageTrace> trace_page(config::Config config, const PageQuestion& question);

std::string waterfall_text(const PageTrace& trace);
std::string waterfall_svg(const PageTrace& trace);
std::string waterfall_json(const PageTrace& trace);

}  // namespace weir::server

#endif  // WEIR_SERVER_PAGE_TRACE_H_
