// Call: one request to one endpoint and its answer, as a state machine without waiting.
//
// The caller tries (push the request, pull the answer) and, when nothing moves, waits on its own waiter until due().
// The proxy relays with it, a fetch collects with it; both see the same timeouts, framing and failures.
//
//   call.start(std::move(connection), http::Method::get, std::move(head), http::BodyKind::none, 0, now);
//   loop: moved  = call.push(payload, last, now, &used);
//         moved |= call.pull(now);                       // head_ready(), then body().payload()
//         if (call.finished()) ...                       // complete or failed
//         if (!moved) co_await waiter.wait(call.due());  // and call.expire(now) on a timeout
//   call.release();                                      // the connection goes back, or is closed
//
//   (1) The answer is framed as strictly as a request; malformed bytes fail the call and close the connection.
//   (2) A connection is given back only when request and answer are complete, the answer allows it and nothing
//       lies behind it.
//   (3) A failure says whether a byte of the request left and whether a byte of the answer came: what a retry needs.
//
// No allocation of its own once `head` strings and buffers have their capacity. One thread.
#ifndef WEIR_UPSTREAM_CALL_H_
#define WEIR_UPSTREAM_CALL_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "weir/base/deadline.h"
#include "weir/base/error.h"
#include "weir/http/parser.h"
#include "weir/http/serializer.h"
#include "weir/io/buffer.h"
#include "weir/upstream/body_window.h"
#include "weir/upstream/pool.h"

namespace weir::upstream {

struct Timeouts {
  Duration connect = std::chrono::seconds{1};
  Duration first_byte =
      std::chrono::seconds{15};              // from the end of the request to the first byte of the answer
  Duration idle = std::chrono::seconds{60};  // between bytes, either way
};

enum class CallFailure : std::uint8_t {
  none,
  connect_failed,  // refused, unreachable, no descriptor
  connect_timed_out,
  first_byte_timed_out,
  idle_timed_out,
  broken,     // reset or closed before the answer was complete
  malformed,  // the answer is not HTTP; fault() says why
};

class Call {
 public:
  explicit Call(io::BufferPool& buffers) : buffer_(buffers) {}

  void start(std::unique_ptr<Connection> connection, http::Method method, http::HeadBuffer head,
             http::BodyKind kind, std::uint64_t length, const Timeouts& timeouts, TimePoint now);
  bool active() const noexcept { return connection_ != nullptr; }
  void watch(io::EventSink* sink) noexcept {
    if (connection_ != nullptr) connection_->stream().watch(sink);
  }

  // Writes what can be written of the head and of `payload` (the unsent part of the body; `last`: nothing follows it).
  // `used` is how much of `payload` has left. True if anything moved.
  bool push(std::string_view payload, bool last, TimePoint now, std::size_t* used);
  // Reads what can be read. True if anything moved. Does not grow the buffer: see make_room().
  bool pull(TimePoint now);
  // The buffer is full of payload that nobody takes, and pull() stands still: a larger one, up to the pool's bound.
  bool make_room();
  // The answer was 1xx and has been dealt with: read the next head.
  void next_head() noexcept;
  // After the head was copied to wherever it goes: its bytes may be overwritten.
  void head_copied() noexcept { body_.drop_head(); }

  bool connected() const noexcept { return connected_; }
  // Since when; of a reused connection, since start().
  TimePoint connected_at() const noexcept { return connected_at_; }
  bool request_sent() const noexcept { return encoder_.finished(); }
  bool head_ready() const noexcept { return head_ready_; }
  const http::ResponseHead& head() const noexcept { return head_; }
  // Takes the head's fields without copying them. Their views end with head_copied().
  void swap_fields(http::Fields& fields) noexcept { head_.fields.swap(fields); }
  BodyWindow& body() noexcept { return body_; }
  // The answer has been received to its end (payload may still wait in body()).
  bool complete() const noexcept { return head_ready_ && body_.done(); }
  CallFailure failure() const noexcept { return failure_; }
  ErrorCode error() const noexcept { return error_; }
  // More about it, where the transport knows (a certificate's fault); static storage, may be empty.
  std::string_view detail() const noexcept { return detail_; }
  const http::Fault& fault() const noexcept { return fault_; }
  bool finished() const noexcept { return complete() || failure_ != CallFailure::none; }
  bool reused() const noexcept { return reused_; }
  bool any_byte_sent() const noexcept { return encoder_.started(); }
  bool any_byte_received() const noexcept { return received_any_; }

  // When waiting must end, for the phase the call is in, and what happens then.
  Deadline due() const noexcept;
  void expire(TimePoint now) noexcept;

  // Gives the connection back or closes it. What has been received stays readable.
  void release() noexcept;
  // Closes whatever is going on and forgets it; ready for start().
  void reset() noexcept;
  // Capacity of the head's string, for the next call.
  http::HeadBuffer take_buffer() noexcept { return encoder_.take_buffer(); }

 private:
  bool check_connected(TimePoint now) noexcept;
  bool parse_head(TimePoint now);
  bool pull_body(TimePoint now);
  void end_of_input() noexcept;
  void fail(CallFailure failure, ErrorCode error) noexcept;

  std::unique_ptr<Connection> connection_;
  io::Buffer buffer_;
  http::BodyEncoder encoder_;
  http::ResponseParser parser_;
  http::ResponseHead head_;
  http::ParserLimits limits_;
  BodyWindow body_;
  Timeouts timeouts_;
  http::Method method_ = http::Method::get;
  TimePoint progress_{};
  TimePoint connected_at_{};
  CallFailure failure_ = CallFailure::none;
  ErrorCode error_ = ErrorCode::io_error;
  std::string_view detail_;
  http::Fault fault_;
  bool connected_ = false;
  bool head_ready_ = false;
  bool reused_ = false;
  bool received_any_ = false;
  bool write_failed_ = false;  // the peer takes no more of the request; its answer may still be read
};

}  // namespace weir::upstream

#endif  // WEIR_UPSTREAM_CALL_H_
