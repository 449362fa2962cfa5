// The example of README.md, compiled and run by the tests.
#include <iostream>

#include "weir/config/load.h"

int main() {
  const weir::config::LoadResult result = weir::config::load_text("weir.yaml", R"(
listen: 127.0.0.1:8080
upstreams: {users: {endpoints: [http://127.0.0.1:9001]}}
routes: [{path: /users/*, upstrem: users}]
)",
                                                                  weir::config::system_environment());
  for (const auto& diagnostic : result.diagnostics) std::cout << to_text(diagnostic, result.files) << "\n";
  return result.config ? 1 : 0;  // a mistake, so there is no configuration
}
