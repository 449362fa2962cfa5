// `weir explain FILE METHOD URL`: what an idle gateway with that file would decide about a request, and by what numbers.
//
// The file's real plan is compiled and its real stages are asked, on a loop and a network in memory: no socket is opened,
// no service called, no file written. Limits are unused, breakers closed, idempotency records absent; Redis and providers
// whose keys lie behind a URL are not asked. Behind the last stage it says what would be called, and stops.
#ifndef WEIR_SERVER_EXPLAIN_CLI_H_
#define WEIR_SERVER_EXPLAIN_CLI_H_

#include <string>
#include <vector>

#include "weir/config/config.h"

namespace CLI {
class App;
}

namespace weir::server {

struct ExplainOptions {
  std::string method;
  std::string url;                  // or a path alone
  std::vector<std::string> fields;  // "Name: value"
  std::string from = "127.0.0.1";   // who asks
  bool json = false;
};

// The text. Error invalid_argument with a sentence for a request that is none, or a plan that cannot be built.
Result<std::string> explain_request(config::Config config, const ExplainOptions& options);

// `code` is set when the command runs; it must outlive `app`.
void add_explain_command(CLI::App& app, int& code);

}  // namespace weir::server

#endif  // WEIR_SERVER_EXPLAIN_CLI_H_
