// A service that takes part in traces: what it is called with it continues, what it calls it tells.
//
//   example_trace_service 127.0.0.1:9100
//
// It speaks the protocol of the W3C trace-context test harness: POST /test with [{"url": ..., "arguments": ...}, ...]
// makes it POST each "arguments" to its "url", with a traceparent and tracestate of its own, and answer 200 when all are
// done. `./dev test trace-context --harness DIR` runs a checkout of the harness against it.
//
// Blocking and one request at a time for each connection: the point is weir/trace, not the server around it.
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <iostream>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "weir/base/strings.h"
#include "weir/bff/json.h"
#include "weir/http/parser.h"
#include "weir/http/serializer.h"
#include "weir/http/uri.h"
#include "weir/trace/span_context.h"

namespace {

using namespace weir;

bool send_all(int socket, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

sockaddr_in address_of(std::string_view authority) {
  const auto parts = http::parse_authority(authority);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  if (!parts) return address;
  address.sin_port = htons(parts->port.value_or(80));
  const std::string host(parts->host == "localhost" ? "127.0.0.1" : parts->host);
  ::inet_pton(AF_INET, host.c_str(), &address.sin_addr);
  return address;
}

// POSTs `json` to `url` ("http://host:port/path") and waits for the answer's end.
void call(std::string_view url, std::string_view json, const trace::SpanContext& context,
          std::string_view state) {
  constexpr std::string_view scheme = "http://";
  if (!url.starts_with(scheme)) return;
  url.remove_prefix(scheme.size());
  const std::size_t slash = std::min(url.find('/'), url.size());
  const std::string_view authority = url.substr(0, slash);
  const sockaddr_in address = address_of(authority);
  const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
  if (::connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
    http::HeadBuffer head;
    http::append_request_line(head, "POST", slash == url.size() ? "/" : url.substr(slash), "", false);
    http::append_field(head, "Host", authority);
    http::append_field(head, "Content-Type", "application/json");
    std::array<char, trace::kTraceparentSize> traceparent;
    trace::write_traceparent(context, traceparent.data());
    http::append_field(head, "traceparent", {traceparent.data(), traceparent.size()});
    if (!state.empty()) http::append_field(head, "tracestate", state);
    http::append_field(head, "Connection", "close");
    http::append_framing(head, http::BodyKind::length, json.size());
    http::end_head(head);
    if (send_all(socket, head.view()) && send_all(socket, json)) {
      std::array<char, 4096> bytes;
      while (::recv(socket, bytes.data(), bytes.size(), 0) > 0) {
      }
    }
  }
  ::close(socket);
}

// What the harness asks for: each entry is a call below the caller's span.
void make_calls(const http::RequestHead& head, std::string_view body, base::Random& random) {
  std::vector<std::string_view> traceparents, tracestates;
  for (const http::Field& field : head.fields) {
    if (field.id == http::Name::traceparent) traceparents.push_back(field.value);
    if (field.id == http::Name::tracestate) tracestates.push_back(field.value);
  }
  std::string state;
  const trace::SpanContext caller = trace::read(traceparents, tracestates, state);
  const trace::SpanContext mine =
      caller.valid() ? trace::child_of(caller, random) : trace::new_root(random, true);
  bff::JsonElements entries(body);
  while (entries.next()) {
    std::string url;
    std::string_view arguments = "[]";
    bff::JsonMembers members(entries.value());
    while (members.next()) {
      if (members.is("url")) bff::append_json_scalar(members.value(), url);
      if (members.is("arguments")) arguments = members.value();
    }
    call(url, arguments, trace::child_of(mine, random), state);
  }
}

void serve(int socket) {
  base::Random random(base::random_seed());
  http::RequestParser parser;
  http::RequestHead head;
  std::string bytes;
  bytes.reserve(1 << 20);  // the head's views point into it
  std::array<char, 16 * 1024> buffer;
  for (;;) {
    const http::Parse parsed = bytes.empty() ? http::Parse::need_more : parser.parse(bytes, head);
    if (parsed == http::Parse::error) break;
    const bool whole = parsed == http::Parse::done && bytes.size() >= parser.consumed() + head.content_length;
    if (!whole) {
      const ssize_t got = ::recv(socket, buffer.data(), buffer.size(), 0);
      if (got <= 0 || bytes.size() + static_cast<std::size_t>(got) > bytes.capacity()) break;
      bytes.append(buffer.data(), static_cast<std::size_t>(got));
      parser.reset();
      head.clear();
      continue;
    }
    std::string body = bytes.substr(parser.consumed(), head.content_length);
    bff::JsonValidator validator;
    const bool valid = validator.check(body, 64) == bff::JsonVerdict::valid;
    if (valid) make_calls(head, body, random);
    send_all(socket, valid ? "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                           : "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    break;
  }
  ::close(socket);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return std::cerr << "usage: example_trace_service ADDRESS:PORT\n", 2;
  std::signal(SIGPIPE, SIG_IGN);
  const sockaddr_in address = address_of(argv[1]);
  const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
  const int on = 1;
  ::setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (::bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(listener, 128) != 0)
    return std::cerr << "cannot listen on " << argv[1] << "\n", 1;
  std::cout << "listening on " << argv[1] << std::endl;
  for (;;) {
    const int socket = ::accept(listener, nullptr, nullptr);
    if (socket >= 0) std::thread(serve, socket).detach();
  }
}
