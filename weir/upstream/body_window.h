// BodyWindow: a message body between the socket and whoever passes it on, in one buffer.
//
// Bytes are read behind what is there, the framing is taken off in place, and the payload that is not passed on yet
// stays one contiguous run, which is what a writev and BodyEncoder want:
//
//   [ kept head | payload, decoded | raw bytes, not decoded | room ]
//               ^ payload_begin_   ^ payload_end_ .. raw_begin_   ^ buffer end
//
//   (1) payload() only grows at its end and shrinks at its front, between calls that move it (room(), grow()).
//   (2) Bytes in front of the body (`keep`) are never touched: the head's views stay good. Growing moves them, so it is
//       for those who no longer need the head.
//   (3) When there is no room, nobody reads: that is the back-pressure. Memory is one block of the pool.
//
// With Content-Length or until-close bodies nothing is ever moved but the tail of a full buffer; chunked payload moves
// down over its chunk lines. Not thread-safe.
#ifndef WEIR_UPSTREAM_BODY_WINDOW_H_
#define WEIR_UPSTREAM_BODY_WINDOW_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "weir/http/parser.h"
#include "weir/io/buffer.h"

namespace weir::upstream {

class BodyWindow {
 public:
  enum class State : std::uint8_t { open, done, failed };

  // The buffer's unread bytes are the start of the body; everything before them is kept when `keep_head`.
  void start(io::Buffer& buffer, http::BodyKind kind, std::uint64_t length, const http::ParserLimits& limits,
             bool keep_head);

  // Where the next bytes go. Empty: pass payload on first, or grow().
  std::span<char> room();
  // `n` bytes were read into room(): decodes them.
  State added(std::size_t n);
  // Decodes what the buffer held at start().
  State decode();
  // The peer ended its side.
  State end_of_input();

  std::string_view payload() const noexcept {
    return {base() + payload_begin_, payload_end_ - payload_begin_};
  }
  void consume(std::size_t n) noexcept { payload_begin_ += n; }

  State state() const noexcept { return state_; }
  bool done() const noexcept { return state_ == State::done; }
  const http::Fault& fault() const noexcept { return decoder_.fault(); }
  // Payload bytes decoded since start().
  std::uint64_t received() const noexcept { return received_; }
  // Bytes behind the end of the body: the next message, or what should not be there.
  std::string_view surplus() const noexcept { return {base() + raw_begin_, raw_end_ - raw_begin_}; }
  // From now on the kept head may be overwritten.
  void drop_head() noexcept { floor_ = 0; }
  // Leaves just the surplus as the buffer's unread bytes.
  void finish() noexcept;
  // To a larger block; false when it is the largest. Only without a kept head.
  bool grow();

 private:
  const char* base() const noexcept;
  char* base() noexcept;

  io::Buffer* buffer_ = nullptr;
  http::BodyDecoder decoder_;
  State state_ = State::done;
  std::size_t floor_ = 0;  // offset of the first byte that may be overwritten
  std::size_t payload_begin_ = 0;
  std::size_t payload_end_ = 0;
  std::size_t raw_begin_ = 0;
  std::size_t raw_end_ = 0;
  std::uint64_t received_ = 0;
};

}  // namespace weir::upstream

#endif  // WEIR_UPSTREAM_BODY_WINDOW_H_
