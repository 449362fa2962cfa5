// Client: an HTTP/1.1 client that shows exactly what came over the wire.
//
//   Client client(gateway.port());
//   client.send("GET /orders HTTP/1.1\r\nHost: a\r\n\r\n");     // any bytes, in any pieces
//   Answer answer = client.read();                              // exactly one response, not a byte more
//   EXPECT_EQ(answer.status, 200) << answer;
//
// It is written apart from weir/http on purpose: a fault in our parser must not hide itself. It is as strict
// as a client may be and says in `fault` what was wrong. Blocking, with a bound on every wait. One thread.
#ifndef WEIR_TESTS_SUPPORT_CLIENT_H_
#define WEIR_TESTS_SUPPORT_CLIENT_H_

#include <cstdint>
#include <iosfwd>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/support/socket.h"
#include "tests/support/wait.h"

namespace weir::testing {

using Fields = std::vector<std::pair<std::string, std::string>>;

// The first field of that name in any case, or "".
std::string field_of(const Fields& fields, std::string_view name);
std::size_t count_of(const Fields& fields, std::string_view name);

struct Answer {
  int status = 0;  // 0: no answer, see `fault`
  std::string reason;
  std::string version;  // "HTTP/1.1"
  Fields fields;
  std::string body;   // without its framing
  std::string fault;  // "" or what was wrong: "closed", "timeout", "malformed: ..."
  std::string head;   // as received
  bool chunked = false;
  bool until_close = false;

  std::string field(std::string_view name) const { return field_of(fields, name); }
  std::size_t count(std::string_view name) const { return count_of(fields, name); }
  bool has(std::string_view name) const { return count(name) > 0; }
};

std::ostream& operator<<(std::ostream& out, const Answer& answer);

// "GET /a HTTP/1.1\r\nHost: weir.test\r\n...\r\n\r\n". A Host is added when `fields` has none, and a
// Content-Length when there is a body and `fields` frames none.
std::string request_text(std::string_view method, std::string_view target, const Fields& fields = {},
                         std::string_view body = {});

class Client {
 public:
  // Each address of 127.0.0.0/8 is a client of its own.
  explicit Client(std::uint16_t port, const std::string& source = "127.0.0.1");
  bool connected() const noexcept { return static_cast<bool>(socket_); }

  // False when the peer has closed, or takes no bytes for kPatience.
  bool send(std::string_view bytes);
  // One response: head, framing and body. Interim (1xx) answers are answers of their own. `to_head`: the
  // request was a HEAD, so no body follows whatever the fields say.
  Answer read(bool to_head = false);
  // Like read(), skipping 1xx.
  Answer read_final(bool to_head = false);
  // The same in two steps, for bodies that arrive over time.
  Answer read_head(bool to_head = false);
  // More of the body, as soon as there is any; "" at its end (body_done()) or on a fault.
  std::string read_some_body(std::chrono::milliseconds bound = kPatience);
  // Reads on until the body seen so far holds `text`; gives all of it.
  std::string read_body_until(std::string_view text);
  bool body_done() const noexcept { return body_ == Body::none; }
  const std::string& fault() const noexcept { return fault_; }

  // send() and read_final() of one request.
  Answer ask(std::string_view method, std::string_view target, const Fields& fields = {},
             std::string_view body = {});
  Answer get(std::string_view target, const Fields& fields = {}) { return ask("GET", target, fields); }

  // True when the peer closes (or resets) and sends nothing more before that.
  bool ended_by_peer(std::chrono::milliseconds bound = kPatience);
  // Bytes that have arrived and belong to no answer read so far; waits for at least one, or the end.
  std::string read_raw(std::chrono::milliseconds bound = kPatience);
  // True when nothing has arrived by now. Says nothing about what may come.
  bool silent();

  void finish_sending();  // FIN: the peer reads to the end
  void reset();           // RST
  void close();
  int fd() const noexcept { return socket_.get(); }

 private:
  enum class Body { none, length, chunked, until_close };
  enum class Got { bytes, end, timeout };

  Got fill(SteadyTime until);
  bool take_line(std::string& line, SteadyTime until);
  bool parse_head(std::string_view head, Answer& answer);
  bool frame(Answer& answer, bool to_head);
  std::string next_chunk(SteadyTime until);
  std::string fail(std::string why);

  Fd socket_;
  std::string buffer_;
  bool end_seen_ = false;
  Body body_ = Body::none;
  std::uint64_t left_ = 0;  // of the body or the chunk
  bool chunk_open_ = false;
  std::string fault_;
};

// One request on a connection of its own.
Answer ask(std::uint16_t port, std::string_view method, std::string_view target, const Fields& fields = {},
           std::string_view body = {});
Answer get(std::uint16_t port, std::string_view target, const Fields& fields = {});

}  // namespace weir::testing

#endif  // WEIR_TESTS_SUPPORT_CLIENT_H_
