// Writing HTTP/1.1 from the model. Received bytes are never forwarded: start line, fields and framing are
// rendered anew, so that what leaves weir is one well-formed message whatever came in.
//
//   HeadBuffer out;                                         // reused: keeps its capacity
//   append_request_line(out, "GET", "/orders", "a=1");
//   append_field(out, "host", "api.example");
//   for (const Field& f : head.fields) if (!f.hop_by_hop) append_field(out, f.name, f.value);
//   append_framing(out, BodyKind::chunked, 0);
//   end_head(out);
//
// BodyEncoder puts the framing around payload that stays where it is: it names the pieces for one writev and
// is told how many bytes went out.
#ifndef WEIR_HTTP_SERIALIZER_H_
#define WEIR_HTTP_SERIALIZER_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>

#include <sys/uio.h>

#include "weir/base/check.h"
#include "weir/base/put.h"
#include "weir/http/message.h"

namespace weir::http {

// A field value that may be written: visible ASCII, spaces, tabs, obs-text; no control characters (RFC 9110
// 5.5).
bool is_field_value(std::string_view text) noexcept;
// RFC 9110 5.6.2.
bool is_token(std::string_view text) noexcept;

// Bytes of a head. A string that grows without writing zeros first, and whose users say how much they are going to
// write before they write it: a field costs one comparison and two copies (BM_WriteHead). Moved-from is empty.
class HeadBuffer {
 public:
  void clear() noexcept { size_ = 0; }
  bool empty() const noexcept { return size_ == 0; }
  std::size_t size() const noexcept { return size_; }
  const char* data() const noexcept { return data_.get(); }
  std::string_view view() const noexcept { return {data_.get(), size_}; }
  // Makes the buffer longer by `bytes` (some) and says where they stand, still unwritten.
  char* extend(std::size_t bytes) {
    if (capacity_ - size_ < bytes) [[unlikely]]
      grow(bytes);
    char* place = data_.get() + size_;
    size_ += bytes;
    return place;
  }
  void append(std::string_view text);
  // "name: value\r\n", as append_field() below, where it is called: for the loops that write most of a head.
  [[gnu::always_inline]] void add_field(std::string_view name, std::string_view value) {
    WEIR_DCHECK(is_token(name) && is_field_value(value));
    char* at = base::put(extend(name.size() + value.size() + 4), name);
    at[0] = ':', at[1] = ' ';
    at = base::put(at + 2, value);
    at[0] = '\r', at[1] = '\n';
  }
  // Drops bytes that have been dealt with; the rest moves down.
  void erase_front(std::size_t bytes) noexcept;

  HeadBuffer() = default;
  explicit HeadBuffer(std::string_view text) { append(text); }
  HeadBuffer(const HeadBuffer& other) { append(other.view()); }
  HeadBuffer(HeadBuffer&& other) noexcept
      : data_(std::move(other.data_)),
        size_(std::exchange(other.size_, 0)),
        capacity_(std::exchange(other.capacity_, 0)) {}
  HeadBuffer& operator=(HeadBuffer other) noexcept {
    data_.swap(other.data_);
    std::swap(size_, other.size_);
    std::swap(capacity_, other.capacity_);
    return *this;
  }

 private:
  void grow(std::size_t bytes);

  std::unique_ptr<char[]> data_;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
};

// "GET /path?query HTTP/1.1\r\n". `has_query` keeps an empty query's '?'.
void append_request_line(HeadBuffer& out, std::string_view method, std::string_view path,
                         std::string_view query, bool has_query);
// "HTTP/1.1 404 Not Found\r\n"; the registered phrase when `reason` is empty.
void append_status_line(HeadBuffer& out, int status, std::string_view reason = {});
// "name: value\r\n". Name and value must be clean (a token; no CR, LF, NUL): WEIR_DCHECK, since the parsers
// and the configuration only let such through.
void append_field(HeadBuffer& out, std::string_view name, std::string_view value);
void append_field(HeadBuffer& out, std::string_view name, std::uint64_t value);
// Content-Length or Transfer-Encoding; nothing for none and until_close.
void append_framing(HeadBuffer& out, BodyKind kind, std::uint64_t content_length);
void end_head(HeadBuffer& out);

// Puts framing around a body that goes out piece by piece.
//
//   encoder.start(BodyKind::chunked, 0, std::move(head_bytes));  // travels in front of the first payload
//   loop: iovec pieces[BodyEncoder::kPieces];
//         std::size_t n = encoder.gather(payload, last, pieces);  // head, chunk line, payload, CRLF
//         ssize_t sent = writev(fd, pieces, n);
//         std::size_t used = encoder.wrote(sent);                    // payload bytes that have left
//         payload.remove_prefix(used);
//
// `payload` must be the same bytes (or more) as long as they are not used: a chunk whose line has been sent
// is finished first. `last` says that no payload follows the one given. finished() once all has been written.
// A whole small body is copied behind its head: to the kernel one piece is cheaper than two.
// A body of kind length must add up to its length: WEIR_CHECK.
class BodyEncoder {
 public:
  static constexpr std::size_t kPieces = 4;

  // `head` may be empty. It is kept until written, and its capacity can be taken back with take_buffer().
  void start(BodyKind kind, std::uint64_t content_length, HeadBuffer head);
  std::size_t gather(std::string_view payload, bool last, iovec* pieces);
  std::size_t wrote(std::size_t bytes) noexcept;
  bool finished() const noexcept { return finished_; }
  // Nothing of the head or of framing is waiting to be written.
  bool idle() const noexcept;
  // True as soon as one byte of the head has been written: from then on no other answer can be given.
  bool started() const noexcept { return head_sent_ > 0; }
  HeadBuffer take_buffer() noexcept;

 private:
  // What gather() offered last, piece by piece, so that wrote() knows where a partial write stopped.
  struct Offer {
    std::size_t head = 0;
    std::size_t line = 0;
    std::size_t payload = 0;
    std::size_t tail = 0;
  };

  void join(std::string_view payload);
  bool ended() const noexcept;  // no payload beyond what has been used will come
  void open_chunk(std::size_t size) noexcept;
  void check_finished() noexcept;

  BodyKind kind_ = BodyKind::none;
  bool finished_ = true;
  bool last_seen_ = false;   // gather() was told so, and nothing was left over
  bool chunk_open_ = false;  // its line has been made; its payload is not complete
  std::uint8_t line_size_ = 0;
  std::uint8_t line_sent_ = 0;
  std::uint8_t tail_sent_ = 0;  // of "\r\n" "0\r\n\r\n": 2 between chunks, 7 at the end
  std::uint64_t left_ = 0;      // of the body (length)
  std::uint64_t chunk_left_ = 0;
  HeadBuffer head_;
  std::size_t head_sent_ = 0;
  std::size_t joined_ = 0;  // payload that was copied behind the head and not yet reported as used
  Offer offer_;
  std::array<char, 20> line_{};  // 16 hexadecimal digits and CRLF
};

}  // namespace weir::http

#endif  // WEIR_HTTP_SERIALIZER_H_
