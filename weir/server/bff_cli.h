// `weir bff ...`: the commands that look at pages from several services, one at a time.
#ifndef WEIR_SERVER_BFF_CLI_H_
#define WEIR_SERVER_BFF_CLI_H_

#include <string>

#include "weir/config/page_tests.h"

namespace CLI {
class App;
}

namespace weir::server {

// Adds the command and its own below `app`; the one that runs sets `code`, which must outlive the parsing.
void add_bff_commands(CLI::App& app, int& code);

// What came of one case: "" when the page was as expected, else a line for each difference.
struct PageTestResult {
  std::string name;
  std::string wrong;
  double took_ms = 0;  // virtual
};
// Runs a case on a network of its own, under `seed`.
PageTestResult run_page_test(const config::Config& config, const config::PageTest& test, std::uint64_t seed);

}  // namespace weir::server

#endif  // WEIR_SERVER_BFF_CLI_H_
