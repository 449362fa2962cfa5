// bench_origin: the service of origin.h as a program of its own.
//
//   bench_origin 127.0.0.1:9000 [--body 200]
#include "bench/proxy/origin.h"

int main(int argc, char** argv) {
  using namespace weir::bench;
  if (argc != 2 && !(argc == 4 && std::string_view(argv[2]) == "--body"))
    usage("usage: bench_origin ADDRESS:PORT [--body BYTES]\n");
  raise_descriptor_limit();
  const int epoll = new_epoll();
  const Origin origin(epoll, parse_address(argv[1]), argc == 4 ? parse_number(argv[3]) : 200);
  for (;;) turn(epoll, -1);
}
