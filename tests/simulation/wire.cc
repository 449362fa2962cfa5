#include "tests/simulation/wire.h"

#include <algorithm>
#include <cctype>

namespace weir::simulation {
namespace {

constexpr std::size_t kLineMax = 64 * 1024;
constexpr std::string_view kTokenPunctuation = "!#$%&'*+-.^_`|~";  // RFC 9110 5.6.2

bool same(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

bool is_token(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 || kTokenPunctuation.find(static_cast<char>(c)) != std::string_view::npos;
  });
}

bool is_number(std::string_view text) {
  return !text.empty() && text.size() < 16 &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isdigit(c) != 0; });
}

// What the end of the connection means, by whether something of the message had come.
Got ended(Io io, bool began) {
  if (io == Io::timed_out) return Got::timed_out;
  if (began) return Got::cut;
  return io == Io::end ? Got::nothing : Got::broken;
}

async::Task<Got> read_line(Peer& peer, Deadline deadline, bool began, std::string& line, std::string& why) {
  std::size_t searched = 0;
  for (;;) {
    const std::size_t end = peer.in.find("\r\n", searched);
    if (end != std::string::npos) {
      line = peer.in.substr(0, end);
      peer.in.erase(0, end + 2);
      const bool clean =
          std::none_of(line.begin(), line.end(), [](unsigned char c) { return c < 32 || c == 127; });
      if (clean) co_return Got::message;
      why = "a control character in the line: " + line;
      co_return Got::malformed;
    }
    searched = peer.in.empty() ? 0 : peer.in.size() - 1;
    if (peer.in.size() > kLineMax) {
      why = "an endless line";
      co_return Got::malformed;
    }
    const Io io = co_await peer.fill(deadline);
    if (io != Io::ok) co_return ended(io, began || !peer.in.empty());
  }
}

// "Name: value", exactly one space, nothing around it.
bool add_field(std::string_view line, Head& head, std::string& why) {
  const std::size_t colon = line.find(": ");
  if (colon == std::string_view::npos || !is_token(line.substr(0, colon))) {
    why = "no field: " + std::string(line);
    return false;
  }
  const std::string_view value = line.substr(colon + 2);
  if (!value.empty() && (value.front() == ' ' || value.back() == ' ')) {
    why = "white space around a value: " + std::string(line);
    return false;
  }
  head.fields.push_back({std::string(line.substr(0, colon)), std::string(value)});
  return true;
}

async::Task<Got> read_head(Peer& peer, Deadline deadline, Head& head, std::string& why) {
  Got got = co_await read_line(peer, deadline, false, head.start, why);
  while (got == Got::message) {
    std::string line;
    got = co_await read_line(peer, deadline, true, line, why);
    if (got != Got::message || line.empty()) break;
    if (!add_field(line, head, why)) co_return Got::malformed;
  }
  co_return got;
}

// Which framing the fields announce; malformed when they announce two, or one twice.
bool framing_of(const Head& head, Framing& framing, std::size_t& length, std::string& why) {
  const std::size_t lengths = head.count("Content-Length");
  const std::size_t codings = head.count("Transfer-Encoding");
  if (lengths + codings > 1) {
    why = "framed twice";
    return false;
  }
  if (codings == 1) {
    framing = Framing::chunked;
    if (head.value("Transfer-Encoding") == "chunked") return true;
    why = "an unknown coding";
    return false;
  }
  if (lengths == 0) return true;
  framing = Framing::length;
  if (!is_number(head.value("Content-Length"))) {
    why = "Content-Length is no number";
    return false;
  }
  length = std::stoul(std::string(head.value("Content-Length")));
  return true;
}

async::Task<Got> read_exactly(Peer& peer, Deadline deadline, std::size_t bytes, std::string& body) {
  while (bytes > 0) {
    const std::size_t n = std::min(bytes, peer.in.size());
    body.append(peer.in, 0, n);
    peer.in.erase(0, n);
    bytes -= n;
    if (bytes == 0) break;
    const Io io = co_await peer.fill(deadline);
    if (io != Io::ok) co_return ended(io, true);
  }
  co_return Got::message;
}

bool parse_hex(std::string_view line, std::size_t& size) {
  if (line.empty() || line.size() > 8) return false;
  size = 0;
  for (const unsigned char c : line) {
    if (std::isxdigit(c) == 0) return false;
    size = size * 16 + static_cast<std::size_t>(std::isdigit(c) != 0 ? c - '0' : std::tolower(c) - 'a' + 10);
  }
  return true;
}

// No extensions, no trailers: weir writes neither.
async::Task<Got> read_chunks(Peer& peer, Deadline deadline, std::string& body, std::string& why) {
  for (;;) {
    std::string line;
    Got got = co_await read_line(peer, deadline, true, line, why);
    if (got != Got::message) co_return got;
    std::size_t size = 0;
    if (!parse_hex(line, size)) {
      why = "a chunk of size '" + line + "'";
      co_return Got::malformed;
    }
    if (size > 0) {
      got = co_await read_exactly(peer, deadline, size, body);
      if (got != Got::message) co_return got;
    }
    got = co_await read_line(peer, deadline, true, line, why);
    if (got != Got::message) co_return got;
    if (!line.empty()) {
      why = "behind a chunk: " + line;
      co_return Got::malformed;
    }
    if (size == 0) co_return Got::message;
  }
}

async::Task<Got> read_to_end(Peer& peer, Deadline deadline, std::string& body) {
  for (;;) {
    body.append(peer.in);
    peer.in.clear();
    const Io io = co_await peer.fill(deadline);
    if (io == Io::end) co_return Got::message;
    if (io != Io::ok) co_return ended(io, true);
  }
}

// "HTTP/1.1 200 OK"
bool parse_status_line(Response& into) {
  const std::string& line = into.head.start;
  if (line.size() < 13 || !line.starts_with("HTTP/1.1 ") || line[12] != ' ') return false;
  if (!is_number(std::string_view(line).substr(9, 3))) return false;
  into.status = std::stoi(line.substr(9, 3));
  return into.status >= 100 && into.status <= 599;
}

}  // namespace

std::size_t Head::count(std::string_view name) const {
  return static_cast<std::size_t>(
      std::count_if(fields.begin(), fields.end(), [&](const WireField& f) { return same(f.name, name); }));
}

std::string_view Head::value(std::string_view name) const {
  for (const WireField& field : fields)
    if (same(field.name, name)) return field.value;
  return {};
}

async::Task<Got> read_response(Peer& peer, std::string method, int version_minor, Deadline deadline,
                               Response& into) {
  for (;;) {
    into.head = Head();
    const Got got = co_await read_head(peer, deadline, into.head, into.why);
    if (got != Got::message) co_return got;
    if (!parse_status_line(into)) {
      into.why = "no status line: " + into.head.start;
      co_return Got::malformed;
    }
    if (into.status >= 200) break;
    if (version_minor == 0 || into.status == 101 || into.head.count("Content-Length") != 0) {
      into.why = "an interim answer that may not be: " + into.head.start;
      co_return Got::malformed;
    }
    into.interim.push_back(into.status);
  }
  into.head_read = true;
  into.closes = same(into.head.value("Connection"), "close");
  std::size_t length = 0;
  if (!framing_of(into.head, into.framing, length, into.why)) co_return Got::malformed;
  // RFC 9112 6.3, RFC 9110 8.6.
  const bool bodiless = method == "HEAD" || into.status == 204 || into.status == 304;
  if (into.status == 204 && into.framing != Framing::none) {
    into.why = "a 204 with a length";
    co_return Got::malformed;
  }
  if (bodiless) co_return Got::message;
  if (into.framing == Framing::length) co_return co_await read_exactly(peer, deadline, length, into.body);
  if (into.framing == Framing::chunked && version_minor == 0) {
    into.why = "chunks to a client of HTTP/1.0";
    co_return Got::malformed;
  }
  if (into.framing == Framing::chunked) co_return co_await read_chunks(peer, deadline, into.body, into.why);
  into.framing = Framing::close;
  if (version_minor == 0 && into.closes) co_return co_await read_to_end(peer, deadline, into.body);
  into.why = "a body without framing";
  co_return Got::malformed;
}

async::Task<Got> read_request_head(Peer& peer, Deadline deadline, Request& into) {
  const Got got = co_await read_head(peer, deadline, into.head, into.why);
  if (got != Got::message) co_return got;
  const std::string& line = into.head.start;
  const std::size_t first = line.find(' ');
  const std::size_t last = line.rfind(' ');
  if (first == std::string::npos || first == last || line.find(' ', first + 1) != last ||
      line.substr(last + 1) != "HTTP/1.1" || !is_token(line.substr(0, first))) {
    into.why = "no request line: " + line;
    co_return Got::malformed;
  }
  into.method = line.substr(0, first);
  into.target = line.substr(first + 1, last - first - 1);
  if (!framing_of(into.head, into.framing, into.length, into.why)) co_return Got::malformed;
  if (into.head.count("Host") != 1) {
    into.why = "Host is not there once";
    co_return Got::malformed;
  }
  co_return Got::message;
}

async::Task<Got> read_request_body(Peer& peer, Deadline deadline, Request& into) {
  if (into.framing == Framing::chunked) co_return co_await read_chunks(peer, deadline, into.body, into.why);
  if (into.framing == Framing::length)
    co_return co_await read_exactly(peer, deadline, into.length, into.body);
  co_return Got::message;
}

}  // namespace weir::simulation
