// HTTP/1.1 on the wire, read a second time: what weir writes is judged by code that shares nothing with
// weir/http.
//
// Stricter than a client need be, because it reads only what weir writes: any deviation from the one form
// in which weir writes a message is `malformed`, with a reason. It reads line by line, as bytes come.
#ifndef WEIR_TESTS_SIMULATION_WIRE_H_
#define WEIR_TESTS_SIMULATION_WIRE_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/simulation/peer.h"

namespace weir::simulation {

enum class Got : std::uint8_t {
  message,  // complete
  nothing,  // the connection ended before a byte of it
  cut,      // it ended, or was reset, in the middle
  broken,   // reset before a byte of it
  timed_out,
  malformed,
};

struct WireField {
  std::string name;
  std::string value;
};

struct Head {
  std::string start;
  std::vector<WireField> fields;

  std::size_t count(std::string_view name) const;
  std::string_view value(std::string_view name) const;  // of the first; "" without one
};

enum class Framing : std::uint8_t { none, length, chunked, close };

struct Response {
  int status = 0;
  int version_minor = 1;
  Head head;
  std::string body;
  Framing framing = Framing::none;
  bool closes = false;       // says that the connection ends
  std::vector<int> interim;  // 1xx that came before
  bool head_read = false;
  std::string why;  // it is malformed
};

struct Request {
  std::string method;
  std::string target;
  int version_minor = 1;
  Head head;
  std::string body;
  Framing framing = Framing::none;
  std::size_t length = 0;
  std::string why;
};

// Reads one answer. `method` and `version_minor` are those of the request.
async::Task<Got> read_response(Peer& peer, std::string method, int version_minor, Deadline deadline,
                               Response& into);
// Reads a request's head, then its body.
async::Task<Got> read_request_head(Peer& peer, Deadline deadline, Request& into);
async::Task<Got> read_request_body(Peer& peer, Deadline deadline, Request& into);

}  // namespace weir::simulation

#endif  // WEIR_TESTS_SIMULATION_WIRE_H_
