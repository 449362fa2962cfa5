// Downstream: the client's side of one exchange, whatever protocol carries it.
//
// Stages and terminals see a request's body and an answer's head and payload; framing, connection handling and the
// protocol's own rules stay behind this interface (server/http1_connection.h; later HTTP/2 streams). Nothing here
// waits: operations try, and the exchange's waiter wakes when trying again makes sense.
#ifndef WEIR_GATEWAY_DOWNSTREAM_H_
#define WEIR_GATEWAY_DOWNSTREAM_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "weir/http/message.h"
#include "weir/http/parser.h"

namespace weir::gateway {

// The head of an answer as it should reach the client. Views must live until start_answer() returns.
struct AnswerHead {
  int status = 200;
  std::string_view reason;  // "" for the registered phrase
  // Fields that are hop-by-hop or framing are not sent, whoever put them here: those are the transport's.
  http::Fields fields;
  http::BodyKind body = http::BodyKind::none;  // until_close when the length is not known
  std::uint64_t content_length = 0;            // of the body, or what a HEAD or 304 answer says about it
  bool says_length = false;                    // body none, but Content-Length is to be said

  // Empty again, with the capacity of its fields.
  void clear() noexcept {
    status = 200;
    reason = {};
    fields.clear();
    body = http::BodyKind::none;
    content_length = 0;
    says_length = false;
  }
};

// Sees an upstream's answer pass by on its way to the client, whole, whatever the client's speed.
class AnswerTee {
 public:
  // The head as the upstream sent it (what is hop by hop may still be there), before weir's own fields; `framing` is how
  // the body arrives. True: the client has this answer already; `answer` has been made a 304, and the body is for the
  // tee alone.
  virtual bool head(AnswerHead& answer, http::BodyKind framing) = 0;
  virtual void body(std::string_view bytes) = 0;
  // Called once, when the body has come to its proper end; never for one that was cut.
  virtual void complete() = 0;

 protected:
  ~AnswerTee() = default;
};

enum class BodyState : std::uint8_t {
  open,    // more is to come
  done,    // complete
  failed,  // malformed or too large: body_fault()
  gone,    // the client is gone
};

class Downstream {
 public:
  // --- request body ---
  // Decoded bytes that wait. Good until the next read_body() or consume_body().
  virtual std::string_view body_bytes() const noexcept = 0;
  virtual void consume_body(std::size_t n) noexcept = 0;
  // Tries to read more; `moved` is set when something arrived. Sends 100 Continue first if the client waits for it.
  virtual BodyState read_body(bool* moved) = 0;
  virtual BodyState body_state() const noexcept = 0;
  virtual const http::Fault& body_fault() const noexcept = 0;
  // Payload bytes received so far.
  virtual std::uint64_t body_received() const noexcept = 0;

  // --- answer ---
  // An interim answer (103 and the like); dropped for clients that cannot take one.
  virtual void send_interim(int status, const http::Fields& fields) = 0;
  // Renders the head; it travels with the first payload. Once per exchange.
  virtual void start_answer(const AnswerHead& head) = 0;
  // Writes what can be written of head and payload; `last`: nothing follows. Returns how much payload was taken.
  virtual std::size_t write_answer(std::string_view payload, bool last) = 0;
  // The answer, with its end, has been handed to the network.
  virtual bool answer_finished() const noexcept = 0;
  // start_answer() was called: no other answer can be given.
  virtual bool answer_started() const noexcept = 0;
  // The answer cannot be completed: the client must see that it was cut.
  virtual void abort_answer() noexcept = 0;
  // Bytes of the answer handed to the network, head and framing included.
  virtual std::uint64_t bytes_sent() const noexcept = 0;
  // Something of the answer waits for the client to take it.
  virtual bool write_blocked() const noexcept = 0;

  // --- the client itself ---
  // Broken for certain. A client that has only closed its sending side may still read: half_closed().
  virtual bool gone() const noexcept = 0;
  virtual bool half_closed() const noexcept = 0;

 protected:
  ~Downstream() = default;
};

}  // namespace weir::gateway

#endif  // WEIR_GATEWAY_DOWNSTREAM_H_
