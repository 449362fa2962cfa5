#include "tests/support/client.h"

#include <poll.h>
#include <strings.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <ostream>

namespace weir::testing {
namespace {

bool same_name(std::string_view a, std::string_view b) {
  return a.size() == b.size() && ::strncasecmp(a.data(), b.data(), a.size()) == 0;
}

constexpr std::string_view kTokenMarks = "!#$%&'*+-.^_`|~";

bool is_token(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
           kTokenMarks.find(c) != std::string_view::npos;
  });
}

bool all_digits(std::string_view text) {
  return !text.empty() && text.size() < 19 &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f') return (c | 0x20) - 'a' + 10;
  return -1;
}

SteadyTime after(std::chrono::milliseconds bound) { return std::chrono::steady_clock::now() + bound; }

}  // namespace

std::string field_of(const Fields& fields, std::string_view name) {
  for (const auto& [key, value] : fields)
    if (same_name(key, name)) return value;
  return "";
}

std::size_t count_of(const Fields& fields, std::string_view name) {
  return static_cast<std::size_t>(std::count_if(
      fields.begin(), fields.end(), [&](const auto& field) { return same_name(field.first, name); }));
}

std::ostream& operator<<(std::ostream& out, const Answer& answer) {
  if (!answer.fault.empty()) out << "[" << answer.fault << "] ";
  return out << answer.head << answer.body.substr(0, 2000);
}

std::string request_text(std::string_view method, std::string_view target, const Fields& fields,
                         std::string_view body) {
  std::string text(method);
  text.append(" ").append(target).append(" HTTP/1.1\r\n");
  if (count_of(fields, "Host") == 0) text += "Host: weir.test\r\n";
  for (const auto& [name, value] : fields) text.append(name).append(": ").append(value).append("\r\n");
  const bool framed = count_of(fields, "Content-Length") + count_of(fields, "Transfer-Encoding") > 0;
  if (!body.empty() && !framed)
    text.append("Content-Length: ").append(std::to_string(body.size())).append("\r\n");
  return text.append("\r\n").append(body);
}

Client::Client(std::uint16_t port, const std::string& source) : socket_(connect_to_loopback(port, source)) {}

bool Client::send(std::string_view bytes) {
  const SteadyTime until = after(kPatience);
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0) {
      bytes.remove_prefix(static_cast<std::size_t>(sent));
      continue;
    }
    if (errno != EAGAIN) return false;
    pollfd writable{socket_.get(), POLLOUT, 0};
    if (::poll(&writable, 1, poll_timeout(until)) == 0) return false;
  }
  return true;
}

Client::Got Client::fill(SteadyTime until) {
  if (end_seen_ || !socket_) return Got::end;
  pollfd readable{socket_.get(), POLLIN, 0};
  if (::poll(&readable, 1, poll_timeout(until)) == 0) return Got::timeout;
  std::array<char, 16 * 1024> bytes{};
  const ssize_t got = ::recv(socket_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
  if (got < 0 && errno == EAGAIN) return Got::bytes;
  if (got <= 0) {
    end_seen_ = true;
    return Got::end;
  }
  buffer_.append(bytes.data(), static_cast<std::size_t>(got));
  return Got::bytes;
}

std::string Client::fail(std::string why) {
  fault_ = std::move(why);
  body_ = Body::none;
  return "";
}

// A line with its CRLF taken off.
bool Client::take_line(std::string& line, SteadyTime until) {
  for (;;) {
    const std::size_t end = buffer_.find('\n');
    if (end != std::string::npos) {
      if (end == 0 || buffer_[end - 1] != '\r') return fail("malformed: bare LF"), false;
      line = buffer_.substr(0, end - 1);
      buffer_.erase(0, end + 1);
      return true;
    }
    const Got got = fill(until);
    if (got == Got::end) return fail("closed"), false;
    if (got == Got::timeout) return fail("timeout"), false;
  }
}

Answer Client::read_head(bool to_head) {
  Answer answer;
  fault_.clear();
  body_ = Body::none;
  const SteadyTime until = after(kPatience);
  while (buffer_.find("\r\n\r\n") == std::string::npos) {
    const Got got = fill(until);
    if (got == Got::bytes) continue;
    answer.fault = got == Got::timeout ? "timeout" : "closed";
    if (!buffer_.empty()) answer.fault += " inside a head: " + buffer_.substr(0, 500);
    fault_ = answer.fault;
    return answer;
  }
  const std::size_t size = buffer_.find("\r\n\r\n") + 4;
  answer.head = buffer_.substr(0, size);
  buffer_.erase(0, size);
  if (!parse_head(answer.head, answer) || !frame(answer, to_head)) {
    answer.fault = fault_;
    answer.status = 0;
  }
  return answer;
}

bool Client::parse_head(std::string_view head, Answer& answer) {
  const auto malformed = [&](const char* what) { return fail(std::string("malformed: ") + what), false; };
  const std::string_view line = head.substr(0, head.find("\r\n"));
  if (line.size() < 13 || !line.starts_with("HTTP/1.") || line[8] != ' ' || line[12] != ' ' ||
      !all_digits(line.substr(9, 3)) || line.find_first_of("\r\n") != std::string_view::npos)
    return malformed("status line");
  answer.version = line.substr(0, 8);
  answer.status = std::stoi(std::string(line.substr(9, 3)));
  answer.reason = line.substr(13);
  head.remove_prefix(line.size() + 2);
  while (head.size() > 2) {
    const std::string_view field = head.substr(0, head.find("\r\n"));
    const std::size_t colon = field.find(':');
    if (colon == std::string_view::npos || !is_token(field.substr(0, colon))) return malformed("field name");
    std::string_view value = field.substr(colon + 1);
    while (value.starts_with(' ')) value.remove_prefix(1);
    if (value.find_first_of(std::string_view("\r\n\0", 3)) != std::string_view::npos)
      return malformed("field value");
    answer.fields.emplace_back(field.substr(0, colon), value);
    head.remove_prefix(field.size() + 2);
  }
  return true;
}

// How the body ends: RFC 9112 6.3, and refusing whatever two readers could understand in two ways.
bool Client::frame(Answer& answer, bool to_head) {
  const std::size_t lengths = answer.count("Content-Length");
  const std::size_t codings = answer.count("Transfer-Encoding");
  if (lengths + codings > 1) return fail("malformed: framed more than once"), false;
  const bool bodiless = to_head || answer.status / 100 == 1 || answer.status == 204 || answer.status == 304;
  if (codings == 1) {
    if (!same_name(answer.field("Transfer-Encoding"), "chunked")) return fail("malformed: coding"), false;
    answer.chunked = true;
  } else if (lengths == 1) {
    if (!all_digits(answer.field("Content-Length"))) return fail("malformed: length"), false;
    left_ = std::stoull(answer.field("Content-Length"));
  }
  if (bodiless) return true;
  if (answer.chunked) {
    body_ = Body::chunked;
    left_ = 0;
    chunk_open_ = false;
  } else if (lengths == 1) {
    body_ = left_ > 0 ? Body::length : Body::none;
  } else {
    answer.until_close = true;
    body_ = Body::until_close;
  }
  return true;
}

std::string Client::read_some_body(std::chrono::milliseconds bound) {
  const SteadyTime until = after(bound);
  if (body_ == Body::none) return "";
  if (body_ == Body::chunked) return next_chunk(until);
  while (buffer_.empty()) {
    const Got got = fill(until);
    if (got == Got::timeout) return fault_ = "timeout", "";
    if (got == Got::end && body_ == Body::until_close) return body_ = Body::none, "";
    if (got == Got::end) return fail("closed inside a body");
  }
  const std::size_t size = body_ == Body::length
                               ? static_cast<std::size_t>(std::min<std::uint64_t>(left_, buffer_.size()))
                               : buffer_.size();
  std::string piece = buffer_.substr(0, size);
  buffer_.erase(0, size);
  if (body_ == Body::length && (left_ -= size) == 0) body_ = Body::none;
  return piece;
}

// What has arrived of the current chunk; at the last chunk its trailers are read, too.
std::string Client::next_chunk(SteadyTime until) {
  std::string line;
  if (!chunk_open_) {
    if (!take_line(line, until)) return "";
    const std::string digits = line.substr(0, line.find(';'));
    if (digits.empty() || digits.size() > 15) return fail("malformed: chunk size");
    left_ = 0;
    for (const char c : digits) {
      if (hex_value(c) < 0) return fail("malformed: chunk size");
      left_ = left_ * 16 + static_cast<std::uint64_t>(hex_value(c));
    }
    if (left_ == 0) {
      do {
        if (!take_line(line, until)) return "";
      } while (!line.empty());
      body_ = Body::none;
      return "";
    }
    chunk_open_ = true;
  }
  while (buffer_.empty()) {
    const Got got = fill(until);
    if (got == Got::timeout) return fault_ = "timeout", "";
    if (got == Got::end) return fail("closed inside a chunk");
  }
  std::string piece =
      buffer_.substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(left_, buffer_.size())));
  buffer_.erase(0, piece.size());
  left_ -= piece.size();
  if (left_ == 0) {
    if (!take_line(line, until)) return "";
    if (!line.empty()) return fail("malformed: chunk end");
    chunk_open_ = false;
  }
  return piece;
}

std::string Client::read_body_until(std::string_view text) {
  std::string seen;
  while (seen.find(text) == std::string::npos) {
    const std::string piece = read_some_body();
    if (piece.empty()) break;
    seen += piece;
  }
  return seen;
}

Answer Client::read(bool to_head) {
  Answer answer = read_head(to_head);
  while (body_ != Body::none && fault_.empty()) answer.body += read_some_body();
  if (!fault_.empty()) answer.fault = fault_;
  return answer;
}

Answer Client::read_final(bool to_head) {
  for (;;) {
    Answer answer = read(to_head);
    if (answer.status / 100 != 1) return answer;
  }
}

Answer Client::ask(std::string_view method, std::string_view target, const Fields& fields,
                   std::string_view body) {
  if (!connected()) {
    Answer refused;
    refused.fault = "connection refused";
    return refused;
  }
  send(
      request_text(method, target, fields, body));  // if it fails, an early answer may still be there to read
  return read_final(method == "HEAD");
}

bool Client::ended_by_peer(std::chrono::milliseconds bound) {
  const SteadyTime until = after(bound);
  while (buffer_.empty()) {
    const Got got = fill(until);
    if (got != Got::bytes) return got == Got::end;
  }
  return false;
}

std::string Client::read_raw(std::chrono::milliseconds bound) {
  const SteadyTime until = after(bound);
  while (buffer_.empty() && fill(until) == Got::bytes) {
  }
  return std::exchange(buffer_, {});
}

bool Client::silent() {
  fill(std::chrono::steady_clock::now());
  return buffer_.empty() && !end_seen_;
}

void Client::finish_sending() { ::shutdown(socket_.get(), SHUT_WR); }
void Client::reset() { reset_connection(socket_); }
void Client::close() { socket_.close(); }

Answer ask(std::uint16_t port, std::string_view method, std::string_view target, const Fields& fields,
           std::string_view body) {
  Client client(port);
  return client.ask(method, target, fields, body);
}

Answer get(std::uint16_t port, std::string_view target, const Fields& fields) {
  return ask(port, "GET", target, fields);
}

}  // namespace weir::testing
