#include "weir/upstream/call.h"

#include <array>
#include <utility>

namespace weir::upstream {

void Call::start(std::unique_ptr<Connection> connection, http::Method method, http::HeadBuffer head,
                 http::BodyKind kind, std::uint64_t length, const Timeouts& timeouts, TimePoint now) {
  reset();
  connection_ = std::move(connection);
  reused_ = connected_ = connection_->reused();
  method_ = method;
  timeouts_ = timeouts;
  progress_ = connected_at_ = now;
  encoder_.start(kind, length, std::move(head));
  parser_.reset(method);
}

bool Call::check_connected(TimePoint now) noexcept {
  if (connected_) return true;
  if (!connection_->stream().may_write()) return false;
  const io::IoResult result = connection_->stream().finish_connect();
  if (result.status == io::IoStatus::error) fail(CallFailure::connect_failed, result.error);
  if (result.status != io::IoStatus::ok) return false;
  connected_ = true;
  progress_ = connected_at_ = now;
  return true;
}

bool Call::push(std::string_view payload, bool last, TimePoint now, std::size_t* used) {
  *used = 0;
  if (finished() || write_failed_ || encoder_.finished() || !check_connected(now)) return false;
  io::Stream& stream = connection_->stream();
  bool moved = false;
  while (stream.may_write() && !encoder_.finished()) {
    std::array<iovec, http::BodyEncoder::kPieces> pieces;
    const std::size_t count = encoder_.gather(payload, last, pieces.data());
    if (count == 0) break;
    const io::IoResult result = stream.write({pieces.data(), count});
    if (result.status == io::IoStatus::error) {
      // A peer that takes no more may have answered before it closed. The answer can still be read, and where there is
      // none, reading says that this is the end.
      write_failed_ = true;
      return true;
    }
    if (result.status != io::IoStatus::ok) break;
    const std::size_t taken = encoder_.wrote(result.bytes);
    payload.remove_prefix(taken);
    *used += taken;
    progress_ = now;
    moved = true;
  }
  return moved;
}

bool Call::pull(TimePoint now) {
  if (finished() || !connected_) return false;
  return head_ready_ ? pull_body(now) : parse_head(now);
}

bool Call::parse_head(TimePoint now) {
  io::Stream& stream = connection_->stream();
  bool moved = false;
  for (;;) {
    if (!buffer_.empty()) {
      const http::Parse parsed = parser_.parse(buffer_.bytes(), head_);
      if (parsed == http::Parse::error) {
        fault_ = parser_.fault();
        fail(CallFailure::malformed, ErrorCode::malformed);
        return true;
      }
      if (parsed == http::Parse::done) {
        buffer_.consume(parser_.consumed());
        head_ready_ = true;
        body_.start(buffer_, head_.body, head_.content_length, limits_, true);
        if (body_.decode() == BodyWindow::State::failed) {
          fault_ = body_.fault();
          fail(CallFailure::malformed, ErrorCode::malformed);
        }
        static_cast<void>(finished() || pull_body(now));
        return true;
      }
    }
    if (!stream.may_read()) return moved;
    std::span<char> room = buffer_.room();
    if (room.empty()) {
      buffer_.grow();  // the parser's own bound on the head comes before the large block's end
      room = buffer_.room();
    }
    const io::IoResult result = stream.read(room);
    if (result.status == io::IoStatus::ok) {
      buffer_.added(result.bytes);
      received_any_ = moved = true;
      progress_ = now;
    } else if (result.status == io::IoStatus::would_block) {
      return moved;
    } else {
      fail(CallFailure::broken,
           result.status == io::IoStatus::end ? ErrorCode::connection_closed : result.error);
      return true;
    }
  }
}

bool Call::pull_body(TimePoint now) {
  io::Stream& stream = connection_->stream();
  bool moved = false;
  while (!body_.done() && stream.may_read()) {
    const std::span<char> room = body_.room();
    if (room.empty()) return moved;
    const io::IoResult result = stream.read(room);
    if (result.status == io::IoStatus::would_block) return moved;
    moved = true;
    if (result.status == io::IoStatus::ok) {
      progress_ = now;
      if (body_.added(result.bytes) == BodyWindow::State::failed) {
        fault_ = body_.fault();
        fail(CallFailure::malformed, ErrorCode::malformed);
      }
    } else if (result.status == io::IoStatus::end) {
      end_of_input();
    } else {
      fail(CallFailure::broken, result.error);
    }
    if (failure_ != CallFailure::none) return true;
  }
  return moved;
}

void Call::end_of_input() noexcept {
  if (body_.end_of_input() == BodyWindow::State::failed)
    fail(CallFailure::broken, ErrorCode::connection_closed);
}

bool Call::make_room() { return head_ready_ && !body_.done() && body_.grow(); }

void Call::next_head() noexcept {
  body_.finish();
  head_ready_ = false;
  head_.clear();
  parser_.reset(method_);
}

Deadline Call::due() const noexcept {
  if (finished()) return Deadline::never();
  if (!connected_) return Deadline::after(progress_, timeouts_.connect);
  if (encoder_.finished() && !head_ready_) return Deadline::after(progress_, timeouts_.first_byte);
  return Deadline::after(progress_, timeouts_.idle);
}

void Call::expire(TimePoint now) noexcept {
  if (!due().expired(now)) return;
  if (!connected_)
    fail(CallFailure::connect_timed_out, ErrorCode::timed_out);
  else if (!head_ready_ && encoder_.finished())
    fail(CallFailure::first_byte_timed_out, ErrorCode::timed_out);
  else
    fail(CallFailure::idle_timed_out, ErrorCode::timed_out);
}

void Call::fail(CallFailure failure, ErrorCode error) noexcept {
  failure_ = failure;
  error_ = error;
  if (connection_ != nullptr) detail_ = connection_->stream().fault();
}

void Call::release() noexcept {
  if (connection_ == nullptr) return;
  connection_->stream().watch(nullptr);
  const bool again = complete() && failure_ == CallFailure::none && encoder_.finished() && head_.keep_alive &&
                     body_.surplus().empty() && !write_failed_;
  if (again) {
    EndpointPool& pool = connection_->pool();
    pool.give_back(std::move(connection_));
  } else {
    connection_.reset();
  }
}

void Call::reset() noexcept {
  if (connection_ != nullptr) {
    connection_->stream().watch(nullptr);
    connection_.reset();
  }
  body_.finish();
  buffer_.release();
  head_.clear();
  failure_ = CallFailure::none;
  detail_ = {};
  fault_ = http::Fault{};
  connected_ = head_ready_ = reused_ = received_any_ = write_failed_ = false;
}

}  // namespace weir::upstream
