#include <iostream>

#include "weir/server/server.h"

int main() {
  using namespace weir;
  config::LoadResult file = config::load_text("weir.yaml", R"(
listen: 127.0.0.1:0
workers: 1
access_log: off
log: {level: off}
routes: [{path: /hello, respond: {status: 200, body: hello}}]
)",
                                              config::system_environment());
  if (!file.config) return 1;
  server::Log log;
  server::Server gateway(server::ServerOptions{}, log);
  const Result<void> started = gateway.start(std::move(*file.config));
  if (!started) return std::cerr << started.error().to_text() << "\n", 1;
  std::cout << "serving on " << gateway.listening().front().to_text() << "\n";
  gateway.drain();
  gateway.wait();
  return 0;
}
