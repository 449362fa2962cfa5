// `weir ratelimit ...`: the commands about rate limits that need no gateway.
#ifndef WEIR_SERVER_RATELIMIT_CLI_H_
#define WEIR_SERVER_RATELIMIT_CLI_H_

namespace CLI {
class App;
}

namespace weir::server {

// Adds the command and its own below `app`; the one that runs sets `code`, which must outlive the parsing.
void add_ratelimit_commands(CLI::App& app, int& code);

}  // namespace weir::server

#endif  // WEIR_SERVER_RATELIMIT_CLI_H_
