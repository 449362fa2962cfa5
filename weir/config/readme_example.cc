// The example of README.md, compiled and run by the tests.
#include <iostream>

#include "weir/config/load.h"

int main() {
  const char* text = "listen: 127.0.0.1:8080\nroutes: [{path: /users/*, upstrem: users}]\n";
  const auto result = weir::config::load_text("weir.yaml", text, weir::config::system_environment());
  for (const auto& diagnostic : result.diagnostics) std::cout << to_text(diagnostic, result.files) << "\n";
  // weir.yaml:2:27: unknown key `upstrem` (did you mean `upstream`?)
  return result.config ? 1 : 0;  // a mistake, so there is no configuration
}
