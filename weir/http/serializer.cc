// Rendering of heads and the framing of bodies.
//
// The encoder sees one virtual stream, head | line | payload | tail | line | payload | tail ..., of which
// gather() names the next stretch and wrote() says how far it went:
//
//   (1) A chunk is opened with the payload at hand. Until a byte of its line has left, it may still grow.
//   (2) The tail of a chunk is a prefix of "\r\n0\r\n\r\n": 2 bytes between chunks, all 7 at the end. A write
//       may stop inside it, and `last` may come later: the sent part is a prefix of both.
//   (3) CRLF goes out with its chunk, never with the next one: an event stream's reader is not kept waiting.
//   (4) A whole body of at most kJoinMax bytes is copied behind its head while the head is unsent, and counts as used
//       with the first write: its bytes need not stay.
//
// gather() and wrote() are O(1) and allocate nothing. serializer_test.cc cuts every stream at every byte.
#include "weir/http/serializer.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
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

void HeadBuffer::append(std::string_view text) {
  if (!text.empty()) base::put(extend(text.size()), text);
}

void HeadBuffer::erase_front(std::size_t bytes) noexcept {
  size_ -= bytes;
  if (size_ > 0) std::memmove(data_.get(), data_.get() + bytes, size_);
}

// Doubling, from a size that most heads never leave.
void HeadBuffer::grow(std::size_t bytes) {
  constexpr std::size_t kFirst = 1024;
  const std::size_t capacity = std::max({kFirst, 2 * capacity_, size_ + bytes});
  std::unique_ptr<char[]> larger(new char[capacity]);
  if (size_ > 0) std::memcpy(larger.get(), data_.get(), size_);
  data_ = std::move(larger);
  capacity_ = capacity;
}

void append_request_line(HeadBuffer& out, std::string_view method, std::string_view path,
                         std::string_view query, bool has_query) {
  WEIR_DCHECK(is_token(method) && !path.empty());
  constexpr std::string_view kVersion = " HTTP/1.1\r\n";
  char* at =
      out.extend(method.size() + 1 + path.size() + (has_query ? 1 + query.size() : 0) + kVersion.size());
  at = base::put(at, method);
  *at++ = ' ';
  at = base::put(at, path);
  if (has_query) {
    *at++ = '?';
    at = base::put(at, query);
  }
  base::put(at, kVersion);
}

void append_status_line(HeadBuffer& out, int status, std::string_view reason) {
  WEIR_DCHECK(status >= 100 && status <= 999 && is_field_value(reason));
  constexpr std::string_view kVersion = "HTTP/1.1 ";
  if (reason.empty()) reason = reason_phrase(status);
  char* at = base::put(out.extend(kVersion.size() + 4 + reason.size() + 2), kVersion);
  *at++ = static_cast<char>('0' + status / 100 % 10);
  *at++ = static_cast<char>('0' + status / 10 % 10);
  *at++ = static_cast<char>('0' + status % 10);
  *at++ = ' ';
  at = base::put(at, reason);
  at[0] = '\r', at[1] = '\n';
}

void append_field(HeadBuffer& out, std::string_view name, std::string_view value) {
  out.add_field(name, value);
}

void append_field(HeadBuffer& out, std::string_view name, std::uint64_t value) {
  char digits[20];  // 2^64 - 1 has 20
  const auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
  append_field(out, name, std::string_view(digits, static_cast<std::size_t>(end - digits)));
}

void append_framing(HeadBuffer& out, BodyKind kind, std::uint64_t content_length) {
  if (kind == BodyKind::length)
    append_field(out, "content-length", content_length);
  else if (kind == BodyKind::chunked)
    append_field(out, "transfer-encoding", "chunked");
}

void end_head(HeadBuffer& out) {
  char* at = out.extend(2);
  at[0] = '\r', at[1] = '\n';
}

namespace {

constexpr std::string_view kTail = "\r\n0\r\n\r\n";
constexpr std::size_t kCrlf = 2;
constexpr std::size_t kJoinMax = 1024;  // copying so much costs less than a second piece of a system call

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

void BodyEncoder::start(BodyKind kind, std::uint64_t content_length, HeadBuffer head) {
  kind_ = kind;
  last_seen_ = chunk_open_ = finished_ = false;
  line_size_ = line_sent_ = 0;
  tail_sent_ = kCrlf;
  left_ = kind == BodyKind::length ? content_length : 0;
  chunk_left_ = 0;
  head_ = std::move(head);
  head_sent_ = joined_ = 0;
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

// (4). Only while no byte of the head has left: then nothing can have been offered as a piece of its own and taken in
// part.
void BodyEncoder::join(std::string_view payload) {
  const bool whole = kind_ == BodyKind::length && payload.size() == left_ && payload.size() <= kJoinMax;
  if (!whole || payload.empty() || head_sent_ != 0 || joined_ != 0 || head_.empty()) return;
  head_.append(payload);
  joined_ = payload.size();
}

std::size_t BodyEncoder::gather(std::string_view payload, bool last, iovec* pieces) {
  std::size_t n = 0;
  offer_ = {};
  WEIR_CHECK(kind_ != BodyKind::none || payload.empty());
  WEIR_CHECK(kind_ != BodyKind::length || (payload.size() <= left_ && (!last || payload.size() == left_)));
  join(payload);
  payload.remove_prefix(joined_);
  if (head_sent_ < head_.size()) {
    offer_.head = head_.size() - head_sent_;
    pieces[n++] = piece_of(head_.data() + head_sent_, offer_.head);
  }

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
  std::size_t used = take(bytes, offer_.payload);
  tail_sent_ = static_cast<std::uint8_t>(tail_sent_ + take(bytes, offer_.tail));
  WEIR_CHECK(bytes == 0);  // more than was offered
  const bool all_payload = used == offer_.payload;
  used += std::exchange(joined_, 0);
  if (kind_ == BodyKind::length) left_ -= used;
  if (kind_ == BodyKind::chunked) {
    chunk_left_ -= used;
    if (chunk_left_ == 0) chunk_open_ = false;
  }
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

HeadBuffer BodyEncoder::take_buffer() noexcept {
  HeadBuffer buffer = std::move(head_);
  buffer.clear();
  return buffer;
}

}  // namespace weir::http
