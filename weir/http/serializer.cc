// Rendering of heads and the framing of bodies.
//
// The encoder sees one virtual stream, head | line | payload | tail | line | payload | tail ..., of which
// gather() names the next stretch and wrote() says how far it went:
//
//   (1) A chunk is opened with the payload at hand. Until a byte of its line has left, it may still grow.
//   (2) The tail of a chunk is a prefix of "\r\n0\r\n\r\n": 2 bytes between chunks, all 7 at the end. A write
//       may stop inside it, and `last` may come later: the sent part is a prefix of both.
//   (3) CRLF goes out with its chunk, never with the next one: an event stream's reader is not kept waiting.
//
// gather() and wrote() are O(1) and allocate nothing. serializer_test.cc cuts every stream at every byte.
#include "weir/http/serializer.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "weir/base/check.h"
#include "weir/http/internal/chars.h"

namespace weir::http {

bool is_field_value(std::string_view text) noexcept {
  const char* end = text.data() + text.size();
  return internal::skip_value(text.data(), end) == end;
}

bool is_token(std::string_view text) noexcept {
  const char* end = text.data() + text.size();
  return !text.empty() && internal::skip(text.data(), end, internal::kTokenChar) == end;
}

void append_request_line(std::string& out, std::string_view method, std::string_view path,
                         std::string_view query, bool has_query) {
  WEIR_DCHECK(is_token(method) && !path.empty());
  out.append(method);
  out.push_back(' ');
  out.append(path);
  if (has_query) {
    out.push_back('?');
    out.append(query);
  }
  out.append(" HTTP/1.1\r\n");
}

void append_status_line(std::string& out, int status, std::string_view reason) {
  WEIR_DCHECK(status >= 100 && status <= 999 && is_field_value(reason));
  char line[] = "HTTP/1.1 000 ";
  line[9] = static_cast<char>('0' + status / 100 % 10);
  line[10] = static_cast<char>('0' + status / 10 % 10);
  line[11] = static_cast<char>('0' + status % 10);
  out.append(line, 13);
  out.append(reason.empty() ? reason_phrase(status) : reason);
  out.append("\r\n", 2);
}

void append_field(std::string& out, std::string_view name, std::string_view value) {
  WEIR_DCHECK(is_token(name) && is_field_value(value));
  // One resize and plain copies have fewer instructions and take longer: resize writes zeros first
  // (BM_WriteHead).
  out.append(name);
  out.append(": ", 2);
  out.append(value);
  out.append("\r\n", 2);
}

void append_field(std::string& out, std::string_view name, std::uint64_t value) {
  char digits[20];  // 2^64 - 1 has 20
  const auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
  append_field(out, name, std::string_view(digits, static_cast<std::size_t>(end - digits)));
}

void append_framing(std::string& out, BodyKind kind, std::uint64_t content_length) {
  if (kind == BodyKind::length)
    append_field(out, "content-length", content_length);
  else if (kind == BodyKind::chunked)
    out.append("transfer-encoding: chunked\r\n");
}

void end_head(std::string& out) { out.append("\r\n", 2); }

namespace {

constexpr std::string_view kTail = "\r\n0\r\n\r\n";
constexpr std::size_t kCrlf = 2;

iovec piece_of(const char* data, std::size_t size) noexcept {
  return {const_cast<char*>(data), size};  // writev only reads
}

// Takes from `bytes` what belongs to a piece of `offered` bytes.
std::size_t take(std::size_t& bytes, std::size_t offered) noexcept {
  const std::size_t taken = std::min(bytes, offered);
  bytes -= taken;
  return taken;
}

}  // namespace

void BodyEncoder::start(BodyKind kind, std::uint64_t content_length, std::string head) {
  kind_ = kind;
  last_seen_ = chunk_open_ = finished_ = false;
  line_size_ = line_sent_ = 0;
  tail_sent_ = kCrlf;
  left_ = kind == BodyKind::length ? content_length : 0;
  chunk_left_ = 0;
  head_ = std::move(head);
  head_sent_ = 0;
  offer_ = {};
  check_finished();
}

bool BodyEncoder::ended() const noexcept {
  switch (kind_) {
    case BodyKind::none:
      return true;
    case BodyKind::length:
      return left_ == 0;
    case BodyKind::chunked:
      return last_seen_ && !chunk_open_ && tail_sent_ == kTail.size();
    case BodyKind::until_close:
      return last_seen_;
  }
  return true;
}

void BodyEncoder::check_finished() noexcept { finished_ = head_sent_ >= head_.size() && ended(); }

void BodyEncoder::open_chunk(std::size_t size) noexcept {
  char* end = std::to_chars(line_.data(), line_.data() + line_.size(), size, 16).ptr;
  *end++ = '\r';
  *end++ = '\n';
  line_size_ = static_cast<std::uint8_t>(end - line_.data());
  line_sent_ = 0;
  tail_sent_ = 0;
  chunk_left_ = size;
  chunk_open_ = true;
}

std::size_t BodyEncoder::gather(std::string_view payload, bool last, iovec* pieces) noexcept {
  std::size_t n = 0;
  offer_ = {};
  if (head_sent_ < head_.size()) {
    offer_.head = head_.size() - head_sent_;
    pieces[n++] = piece_of(head_.data() + head_sent_, offer_.head);
  }
  WEIR_CHECK(kind_ != BodyKind::none || payload.empty());
  WEIR_CHECK(kind_ != BodyKind::length || (payload.size() <= left_ && (!last || payload.size() == left_)));

  if (kind_ == BodyKind::chunked) {
    WEIR_CHECK(payload.empty() || tail_sent_ <= kCrlf);  // nothing follows the last chunk
    // The CRLF of a chunk whose payload is out must be out, too, before the next line (see (2)).
    const bool may_open = tail_sent_ >= kCrlf || (chunk_open_ && line_sent_ == 0);
    if (!payload.empty() && may_open) open_chunk(payload.size());
    if (line_sent_ < line_size_) {
      offer_.line = static_cast<std::size_t>(line_size_ - line_sent_);
      pieces[n++] = piece_of(line_.data() + line_sent_, offer_.line);
    }
    offer_.payload = static_cast<std::size_t>(std::min<std::uint64_t>(payload.size(), chunk_left_));
    last_seen_ = last && offer_.payload == payload.size();
  } else {
    offer_.payload = payload.size();
    last_seen_ = last;
  }
  if (offer_.payload > 0) pieces[n++] = piece_of(payload.data(), offer_.payload);

  if (kind_ == BodyKind::chunked && offer_.payload == chunk_left_) {
    const std::size_t until = last_seen_ ? kTail.size() : kCrlf;
    if (tail_sent_ < until) {
      offer_.tail = until - tail_sent_;
      pieces[n++] = piece_of(kTail.data() + tail_sent_, offer_.tail);
    }
  }
  if (n == 0) check_finished();
  return n;
}

std::size_t BodyEncoder::wrote(std::size_t bytes) noexcept {
  head_sent_ += take(bytes, offer_.head);
  line_sent_ = static_cast<std::uint8_t>(line_sent_ + take(bytes, offer_.line));
  const std::size_t used = take(bytes, offer_.payload);
  tail_sent_ = static_cast<std::uint8_t>(tail_sent_ + take(bytes, offer_.tail));
  WEIR_CHECK(bytes == 0);  // more than was offered
  if (kind_ == BodyKind::length) left_ -= used;
  if (kind_ == BodyKind::chunked) {
    chunk_left_ -= used;
    if (chunk_left_ == 0) chunk_open_ = false;
  }
  const bool all_payload = used == offer_.payload;
  offer_ = {};
  if (!all_payload) last_seen_ = false;  // the caller gives the rest, and says `last` again
  check_finished();
  return used;
}

bool BodyEncoder::idle() const noexcept {
  if (head_sent_ < head_.size()) return false;
  if (chunk_left_ > 0) return line_sent_ == line_size_;
  return tail_sent_ == kCrlf || tail_sent_ == kTail.size();
}

std::string BodyEncoder::take_buffer() noexcept {
  std::string buffer = std::move(head_);
  head_.clear();
  buffer.clear();
  return buffer;
}

}  // namespace weir::http
