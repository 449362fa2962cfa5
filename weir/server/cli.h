// The command line: `weir run FILE` and the rest. Also for programs that add stages of their own:
//
//   int main(int argc, char** argv) {
//     weir::gateway::PlanOptions options;
//     options.custom_stages.push_back({"sanitize", make_my_stage});
//     return weir::server::run_command(argc, argv, options);
//   }
#ifndef WEIR_SERVER_CLI_H_
#define WEIR_SERVER_CLI_H_

#include "weir/gateway/plan.h"

namespace weir::server {

// Exit code: 0 success, 1 what was asked could not be done (said on stderr), 2 wrong usage.
int run_command(int argc, const char* const* argv, const gateway::PlanOptions& options = {});

}  // namespace weir::server

#endif  // WEIR_SERVER_CLI_H_
