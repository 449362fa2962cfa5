// Http1Connection: one client's HTTP/1 connection, from accept to close.
//
// Reads heads, makes exchanges of them, serves one at a time in order (pipelined requests wait in the buffer) and is the
// Downstream of each. What an exchange needs (parser, body window, encoder, the exchange itself) is taken from the
// worker while there is something to do, so that an idle connection is this object, a stream and one small frame:
// below 1 KiB.
//
//   (1) An answer is begun only after the request's head was understood; after a fault the connection closes.
//   (2) What a close would destroy is waited for: after an answer with unread input weir closes its side, reads on for a
//       moment (kLingerBytes, kLingerTime) and only then lets go, since a reset would take the answer with it.
//   (3) Draining: idle connections close at once, busy ones after their answer, which says so.
#ifndef WEIR_SERVER_HTTP1_CONNECTION_H_
#define WEIR_SERVER_HTTP1_CONNECTION_H_

#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "weir/async/frame_pool.h"
#include "weir/async/task.h"
#include "weir/base/intrusive_list.h"
#include "weir/gateway/downstream.h"
#include "weir/gateway/exchange.h"
#include "weir/http/parser.h"
#include "weir/http/serializer.h"
#include "weir/io/buffer.h"
#include "weir/io/waiter.h"
#include "weir/upstream/body_window.h"

namespace weir::server {

class WorkerCore;

// What a connection needs only while it has a request.
struct ActiveRequest {
  explicit ActiveRequest(gateway::Worker& worker) : exchange(worker) {}
  http::RequestParser parser;
  gateway::Exchange exchange;
  upstream::BodyWindow body;
  http::BodyEncoder encoder;
  http::HeadBuffer interim;  // 1xx heads that wait to be written
};

class Http1Connection final : public gateway::Downstream, public base::ListNode<>, public async::Pooled {
 public:
  Http1Connection(WorkerCore& core, std::unique_ptr<io::Stream> stream);
  ~Http1Connection();

  // Serves until the connection ends; then destroys it.
  static async::Task<void> run(std::unique_ptr<Http1Connection> connection);
  // The worker is draining: an idle connection wakes and closes.
  void drain() noexcept { waiter_.notify(); }

  // --- gateway::Downstream ---
  std::string_view body_bytes() const noexcept override;
  void consume_body(std::size_t n) noexcept override;
  gateway::BodyState read_body(bool* moved) override;
  gateway::BodyState body_state() const noexcept override { return body_state_; }
  const http::Fault& body_fault() const noexcept override { return body_fault_; }
  std::uint64_t body_received() const noexcept override;
  void send_interim(int status, const http::Fields& fields) override;
  void start_answer(const gateway::AnswerHead& head) override;
  std::size_t write_answer(std::string_view payload, bool last) override;
  bool answer_finished() const noexcept override;
  bool answer_started() const noexcept override { return answer_started_; }
  void abort_answer() noexcept override;
  std::uint64_t bytes_sent() const noexcept override { return bytes_sent_; }
  bool write_blocked() const noexcept override { return blocked_; }
  bool gone() const noexcept override { return write_failed_ || stream_->broken(); }
  bool half_closed() const noexcept override { return stream_->hung_up(); }

 private:
  enum class Head : std::uint8_t { request, fault, closed, more };

  enum class Input : std::uint8_t { byte, none, ended };
  Input look();
  Deadline idle_deadline() const;
  Head parse_head();
  async::Task<Head> read_head();
  async::Task<void> serve_request();
  async::Task<void> linger();

  void begin_exchange();
  bool route_request();
  bool refuse_fault(const http::Fault& fault);
  void start_body();
  void note_body(bool* moved);
  void end_exchange();
  void write_log(Duration took);
  bool flush_interim();
  bool may_keep_alive() const noexcept;

  WorkerCore& core_;
  std::unique_ptr<io::Stream> stream_;
  io::Waiter waiter_;
  io::Buffer in_;
  std::unique_ptr<ActiveRequest> active_;
  base::IpAddress peer_;
  std::array<char, base::IpAddress::kTextMax> peer_text_;
  std::uint8_t peer_text_size_ = 0;
  http::Fault body_fault_;
  std::uint64_t bytes_sent_ = 0;
  std::uint64_t body_max_ = 0;
  gateway::BodyState body_state_ = gateway::BodyState::done;
  bool keep_alive_ = true;
  bool answer_started_ = false;
  bool answer_close_delimited_ = false;
  bool continue_due_ = false;  // the client waits for 100 Continue
  bool blocked_ = false;
  bool write_failed_ = false;
  bool aborted_ = false;
};

}  // namespace weir::server

#endif  // WEIR_SERVER_HTTP1_CONNECTION_H_
