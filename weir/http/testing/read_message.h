// For tests: reads whole messages out of bytes that arrive in pieces, as a connection does, and renders what
// was understood as one line of text. Every piece arrives in a fresh buffer of exactly the right size, so
// that a view kept across a move or a read behind the end is an AddressSanitizer finding.
#ifndef WEIR_HTTP_TESTING_READ_MESSAGE_H_
#define WEIR_HTTP_TESTING_READ_MESSAGE_H_

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "weir/http/message.h"
#include "weir/http/parser.h"

namespace weir::http::testing {

enum class Outcome : std::uint8_t { incomplete, complete, refused };

struct Reading {
  Outcome outcome = Outcome::incomplete;
  int status = 0;        // refused
  std::string what;      // refused
  std::string section;   // refused
  std::string head;      // summary, once the head is complete
  std::string fields;    // "name=value;" each, hop-by-hop ones marked with '-'
  std::string body;      // decoded so far
  std::size_t used = 0;  // bytes consumed in all; what follows is another message

  bool operator==(const Reading&) const = default;
};

inline std::string body_text(BodyKind kind, std::uint64_t length) {
  switch (kind) {
    case BodyKind::none:
      return "none";
    case BodyKind::length:
      return "length:" + std::to_string(length);
    case BodyKind::chunked:
      return "chunked";
    case BodyKind::until_close:
      return "until_close";
  }
  return "?";
}

inline std::string fields_text(const Fields& fields) {
  std::string text;
  for (const Field& field : fields) {
    if (field.hop_by_hop) text += '-';
    text.append(field.name).append("=").append(field.value).append(";");
  }
  return text;
}

// "GET /a?b @example.com 1.1 keep none"
inline std::string summary(const RequestHead& head) {
  std::string text(head.method_text);
  text.append(" ").append(head.path);
  if (head.has_query) text.append("?").append(head.query);
  text.append(" @").append(head.authority);
  text.append(head.version_minor == 1 ? " 1.1" : " 1.0");
  text.append(head.keep_alive ? " keep " : " close ");
  text.append(body_text(head.body, head.content_length));
  if (head.expect_continue) text.append(" expect");
  return text;
}

// "200 OK 1.1 keep length:5"; the length that was said, where it is not that of a body, in brackets.
inline std::string summary(const ResponseHead& head) {
  std::string text = std::to_string(head.status);
  text.append(" ").append(head.reason);
  text.append(head.version_minor == 1 ? " 1.1" : " 1.0");
  text.append(head.keep_alive ? " keep " : " close ");
  text.append(body_text(head.body, head.content_length));
  if (head.said_length && head.body != BodyKind::length)
    text += " [" + std::to_string(*head.said_length) + "]";
  return text;
}

// A connection that reads one message. Parser and Head are RequestParser and RequestHead, or the other pair.
template <class Parser, class Head>
class MessageReader {
 public:
  MessageReader(Parser parser, const ParserLimits& limits) : parser_(std::move(parser)), limits_(limits) {}

  void arrive(std::string_view bytes) {
    if (reading_.outcome != Outcome::incomplete) return;
    auto moved = std::make_unique<char[]>(held_ + bytes.size());
    if (held_ > 0) std::copy_n(buffer_.get(), held_, moved.get());
    std::copy_n(bytes.data(), bytes.size(), moved.get() + held_);
    buffer_ = std::move(moved);
    held_ += bytes.size();
    if (!head_done_) read_head();
    if (head_done_ && reading_.outcome == Outcome::incomplete) read_body();
  }
  void close() {
    if (!head_done_ || reading_.outcome != Outcome::incomplete) return;
    if (decoder_.end_of_input() == BodyDecoder::State::done) reading_.outcome = Outcome::complete;
  }
  const Reading& reading() const { return reading_; }

 private:
  void refuse(const Fault& fault) {
    reading_.outcome = Outcome::refused;
    reading_.status = fault.status;
    reading_.what = fault.what;
    reading_.section = fault.section;
    reading_.used = 0;  // how far framing was read before a fault depends on the cuts
  }
  void drop(std::size_t n) {
    auto moved = std::make_unique<char[]>(held_ - n);
    std::copy_n(buffer_.get() + n, held_ - n, moved.get());
    buffer_ = std::move(moved);
    held_ -= n;
    reading_.used += n;
  }
  void read_head() {
    const Parse verdict = parser_.parse(std::string_view(buffer_.get(), held_), head_);
    if (verdict == Parse::error) return refuse(parser_.fault());
    if (verdict == Parse::need_more) return;
    head_done_ = true;
    reading_.head = summary(head_);
    reading_.fields = fields_text(head_.fields);
    decoder_.start(head_.body, head_.content_length, limits_);
    drop(parser_.consumed());
  }
  void read_body() {
    for (;;) {
      const BodyDecoder::Step step = decoder_.next(std::string_view(buffer_.get(), held_));
      reading_.body += step.data;
      if (step.state == BodyDecoder::State::error) return refuse(decoder_.fault());
      drop(step.consumed);
      if (step.state == BodyDecoder::State::done) reading_.outcome = Outcome::complete;
      if (step.state != BodyDecoder::State::data) return;
    }
  }

  Parser parser_;
  ParserLimits limits_;
  Head head_;
  BodyDecoder decoder_;
  bool head_done_ = false;
  std::unique_ptr<char[]> buffer_ = std::make_unique<char[]>(0);
  std::size_t held_ = 0;
  Reading reading_;
};

// `cuts`: positions, ascending, at which the bytes are cut.
inline Reading read_request(std::string_view bytes, const std::vector<std::size_t>& cuts = {},
                            const ParserLimits& limits = {}) {
  MessageReader<RequestParser, RequestHead> reader(RequestParser(limits), limits);
  std::size_t from = 0;
  for (const std::size_t cut : cuts) {
    reader.arrive(bytes.substr(from, cut - from));
    from = cut;
  }
  reader.arrive(bytes.substr(from));
  return reader.reading();
}

// `closed`: the peer closes behind the last byte.
inline Reading read_response(std::string_view bytes, Method method = Method::get, bool closed = false,
                             const std::vector<std::size_t>& cuts = {}, const ParserLimits& limits = {}) {
  ResponseParser parser(limits);
  parser.reset(method);
  MessageReader<ResponseParser, ResponseHead> reader(parser, limits);
  std::size_t from = 0;
  for (const std::size_t cut : cuts) {
    reader.arrive(bytes.substr(from, cut - from));
    from = cut;
  }
  reader.arrive(bytes.substr(from));
  if (closed) reader.close();
  return reader.reading();
}

// The ways to cut n bytes: once at every place, and everywhere. Long inputs (bounds of kilobytes) are cut at
// every 97th place and at the last 64, which keeps the square in check.
inline std::vector<std::vector<std::size_t>> all_cuts(std::size_t n) {
  std::vector<std::vector<std::size_t>> ways;
  std::vector<std::size_t> everywhere;
  const std::size_t step = n > 2000 ? 97 : 1;
  for (std::size_t i = 1; i < n; ++i) {
    if (step > 1 && i % step != 0 && i + 64 < n) continue;
    ways.push_back({i});
    everywhere.push_back(i);
  }
  ways.push_back(everywhere);
  return ways;
}

}  // namespace weir::http::testing

#endif  // WEIR_HTTP_TESTING_READ_MESSAGE_H_
