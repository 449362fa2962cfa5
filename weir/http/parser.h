// Strict HTTP/1.1 parsing (RFC 9112): one mode, no leniency, resumable at every byte.
//
// The caller keeps the bytes of one message head in one contiguous buffer and calls parse() with all of them
// each time more have arrived; the parser remembers how far it has looked, so every byte is scanned once. The
// buffer may move between calls until parse() says done; from then on the views in the head point into the
// bytes of that last call. What follows the head (`consumed()`) belongs to a BodyDecoder.
//
//   RequestParser parser(limits);
//   switch (parser.parse(buffer.bytes(), head)) {
//     case Parse::need_more: ...read more...
//     case Parse::error:     answer parser.fault().status and close
//     case Parse::done:      buffer.consume(parser.consumed())
//   }
//
// Why one mode: two parsers that disagree about where a request ends are the root of request smuggling, so
// anything that some peer might read differently is refused (README.md has the rules,
// testing/refused_requests.h the cases). No allocation once `head.fields` has its capacity. About 190 ns for
// ten headers (http_bench). Not thread-safe.
#ifndef WEIR_HTTP_PARSER_H_
#define WEIR_HTTP_PARSER_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "weir/http/message.h"

namespace weir::http {

// Bounds; defaults are the contract's.
struct ParserLimits {
  std::size_t header_bytes = 32 * 1024;  // the whole head: start line, fields and blank line
  std::size_t line_bytes = 8 * 1024;     // one field line
  std::size_t target_bytes = 8 * 1024;
  std::size_t header_count = 100;
  std::size_t trailer_bytes = 8 * 1024;
  std::size_t trailer_count = 32;
};

enum class Parse : std::uint8_t { need_more, done, error };

// Why a message was refused: the status to answer with (requests), a stable word for logs and tests
// ("cl_and_te", "bare_lf"), and the section that forbids it.
struct Fault {
  int status = 400;
  std::string_view what;     // static storage
  std::string_view section;  // static storage, "RFC 9112 6.1"
};

namespace internal {

// Where a head parser stands between two calls, and what the lines so far have said. All positions are
// offsets, so that the caller's buffer may move.
struct HeadState {
  // clang-format off
  enum class Phase : std::uint8_t {
    start, empty_line_lf, method, target, version,                  // of a request
    status_line, reason, status_lf,                                 // of a response
    field_start, field_name, field_value, field_value_lf, end_lf,   // of both
    done, failed,
  };
  // clang-format on
  Phase phase = Phase::start;
  bool empty_line = false;  // one has been skipped before the request line
  bool has_length = false;  // Content-Length
  bool chunked = false;     // Transfer-Encoding
  bool has_host = false;
  bool expects = false;  // Expect: 100-continue
  bool close = false;    // connection options
  bool keep_alive = false;
  bool nominates = false;     // Connection names a field that is not hop-by-hop by itself
  std::uint16_t options = 0;  // connection options seen
  std::uint8_t version_minor = 1;
  const char* base = nullptr;  // where the bytes were at the last call
  std::size_t at = 0;          // the next byte to look at; all before it are done with
  std::size_t line_start = 0;
  std::size_t method_end = 0;
  std::size_t text_end = 0;  // of the request's target or the answer's reason
  std::size_t colon = 0;     // of the field being read
  std::uint64_t length = 0;  // value of Content-Length
};

}  // namespace internal

class RequestParser {
 public:
  explicit RequestParser(const ParserLimits& limits = {}) noexcept : limits_(limits) {}

  // For the next message. Keeps the limits.
  void reset() noexcept;
  // `head` must be the same object from the first call of a message to its last. After error its method_text,
  // method and target are set if the request line itself was sound; nothing else in it counts.
  Parse parse(std::string_view bytes, RequestHead& head);
  // After done: bytes of the head, blank line (and at most one empty line before it, RFC 9112 2.2) included.
  std::size_t consumed() const noexcept { return consumed_; }
  const Fault& fault() const noexcept { return fault_; }

 private:
  Parse start_line(std::string_view bytes);
  Parse skip_empty_line(std::string_view bytes) noexcept;
  Parse read_method(std::string_view bytes) noexcept;
  Parse read_target(std::string_view bytes) noexcept;
  Parse read_version(std::string_view bytes) noexcept;
  Parse finish(RequestHead& head);
  Parse judge_target(RequestHead& head) noexcept;
  Parse judge_host(RequestHead& head) noexcept;
  Parse wait(std::string_view bytes) noexcept;
  Parse fail(int status, std::string_view what, std::string_view section) noexcept;

  ParserLimits limits_;
  Fault fault_;
  std::size_t consumed_ = 0;
  internal::HeadState state_;
};

class ResponseParser {
 public:
  explicit ResponseParser(const ParserLimits& limits = {}) noexcept : limits_(limits) {}

  // `request` is the method that is answered: a HEAD's answer has no body (RFC 9110 6.4.1, RFC 9112 6.3).
  void reset(Method request) noexcept;
  // A 1xx head is reported like any other, with body none; the caller resets and parses on.
  Parse parse(std::string_view bytes, ResponseHead& head);
  std::size_t consumed() const noexcept { return consumed_; }
  const Fault& fault() const noexcept { return fault_; }

 private:
  Parse status_line(std::string_view bytes) noexcept;
  Parse read_reason(std::string_view bytes) noexcept;
  Parse finish(std::string_view bytes, ResponseHead& head) noexcept;
  Parse wait(std::string_view bytes) noexcept;
  Parse fail(std::string_view what, std::string_view section) noexcept;

  ParserLimits limits_;
  Fault fault_;
  Method request_ = Method::get;
  std::size_t consumed_ = 0;
  internal::HeadState state_;
};

// The body behind a head: takes the framing off.
//
//   BodyDecoder decoder;
//   decoder.start(head.body, head.content_length, limits);
//   for (;;) {
//     BodyDecoder::Step step = decoder.next(buffer.bytes());
//     use(step.data); buffer.consume(step.consumed);      // data lies inside the consumed bytes
//     if (step.state != BodyDecoder::State::data) break;  // need_more, done or error
//   }
//
// Zero-copy: `data` is a view into the input. Chunk extensions are checked and dropped; trailers are checked
// (framing, routing and identity fields are refused there, RFC 9110 6.5.1) and dropped.
class BodyDecoder {
 public:
  enum class State : std::uint8_t {
    data,       // `data` is not empty; call again
    need_more,  // all input used
    done,       // the body has ended; what follows is the next message
    error,
  };
  struct Step {
    State state = State::need_more;
    std::size_t consumed = 0;
    std::string_view data;
  };

  void start(BodyKind kind, std::uint64_t content_length, const ParserLimits& limits = {}) noexcept;
  Step next(std::string_view bytes) noexcept;
  // The peer has closed: done for until_close, error (fault "truncated") for a body that should have gone on.
  State end_of_input() noexcept;

  bool done() const noexcept { return done_; }
  // Bytes still due by Content-Length; 0 for other kinds.
  std::uint64_t remaining() const noexcept { return kind_ == BodyKind::length ? left_ : 0; }
  BodyKind kind() const noexcept { return kind_; }
  const Fault& fault() const noexcept { return fault_; }

 private:
  // clang-format off
  enum class Chunk : std::uint8_t {
    size, size_lf, data, data_cr, data_lf,
    // chunk-ext (RFC 9112 7.1.1), by what came before
    ext_start, ext_name, ext_after_name, ext_value, ext_token, ext_quoted, ext_escape, ext_after_quoted,
    ext_after_value,
    trailer_start, trailer_name, trailer_value, trailer_lf, end_lf,
  };
  // clang-format on

  Step next_chunk(std::string_view bytes) noexcept;
  bool read_size(char c) noexcept;
  bool read_extension(char c) noexcept;
  bool read_trailer(char c) noexcept;
  bool is_allowed_trailer() const noexcept;
  bool refuse(std::string_view what, std::string_view section, int status = 400) noexcept;

  BodyKind kind_ = BodyKind::none;
  Chunk chunk_ = Chunk::size;
  bool done_ = true;
  bool failed_ = false;
  std::uint8_t size_digits_ = 0;
  std::uint8_t name_size_ = 0;         // of the trailer being read; stops at the end of name_
  std::uint16_t extension_bytes_ = 0;  // of this chunk
  std::uint64_t left_ = 0;             // of the body (length) or of the chunk (chunked)
  std::uint64_t overhead_ = 0;         // extension bytes not yet paid for by data
  std::size_t trailer_bytes_ = 0;
  std::size_t trailer_lines_ = 0;
  std::array<char, 24> name_{};  // longer than every name that is refused
  std::size_t trailer_bytes_max_ = 0;
  std::size_t trailer_count_max_ = 0;
  Fault fault_;
};

}  // namespace weir::http

#endif  // WEIR_HTTP_PARSER_H_
