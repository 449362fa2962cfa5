// `weir experiment ...`: the commands that work on a file of experiments, without a gateway.
#ifndef WEIR_SERVER_EXPERIMENT_CLI_H_
#define WEIR_SERVER_EXPERIMENT_CLI_H_

namespace CLI {
class App;
}

namespace weir::server {

// Adds the command and its own below `app`; the one that runs sets `code`, which must outlive the parsing.
void add_experiment_commands(CLI::App& app, int& code);

}  // namespace weir::server

#endif  // WEIR_SERVER_EXPERIMENT_CLI_H_
