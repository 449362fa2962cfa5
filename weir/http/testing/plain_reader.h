// For tests: the slow, obvious twin of the parsers. It sees the whole input at once, looks for "\r\n\r\n",
// splits at "\r\n" and compares text, one rule after the other, with nothing shared with the code under test.
// No bounds, no reasons: a message or none.
#ifndef WEIR_HTTP_TESTING_PLAIN_READER_H_
#define WEIR_HTTP_TESTING_PLAIN_READER_H_

#include <cctype>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <arpa/inet.h>

namespace weir::http::testing {

struct PlainMessage {
  std::string first, second, third;  // of the start line
  std::vector<std::pair<std::string, std::string>> fields;
  std::string framing;  // "none", "length", "chunked", "until_close"
  std::string body;
  std::size_t used = 0;
};

namespace plain {

inline std::string lower(std::string text) {
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return text;
}
inline bool all(std::string_view text, const char* allowed) {
  return text.find_first_not_of(allowed) == std::string_view::npos;
}
inline constexpr const char* kToken =
    "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
inline bool token(std::string_view text) { return !text.empty() && all(text, kToken); }
inline bool value(std::string_view text) {
  for (const char c : text) {
    const int byte = static_cast<unsigned char>(c);
    if ((byte < 32 && byte != 9) || byte == 127) return false;
  }
  return true;
}
inline std::string strip(std::string text) {
  while (!text.empty() && (text[0] == ' ' || text[0] == '\t')) text.erase(0, 1);
  while (!text.empty() && (text[text.size() - 1] == ' ' || text[text.size() - 1] == '\t'))
    text.erase(text.size() - 1);
  return text;
}
inline std::vector<std::string> split(const std::string& text, const std::string& at) {
  std::vector<std::string> parts;
  std::size_t from = 0;
  for (std::size_t to = text.find(at); to != std::string::npos; to = text.find(at, from)) {
    parts.push_back(text.substr(from, to - from));
    from = to + at.size();
  }
  parts.push_back(text.substr(from));
  return parts;
}

// Lines without CR or LF inside; the terminator must stand in `text` behind the last of them.
inline bool field_lines(const std::vector<std::string>& lines,
                        std::vector<std::pair<std::string, std::string>>& fields) {
  for (const std::string& one : lines) {
    const std::size_t colon = one.find(':');
    if (colon == std::string::npos || !token(one.substr(0, colon)) || !value(one.substr(colon + 1)))
      return false;
    fields.emplace_back(one.substr(0, colon), strip(one.substr(colon + 1)));
  }
  return true;
}

inline std::vector<std::string> all_of(const PlainMessage& message, const std::string& name) {
  std::vector<std::string> values;
  for (const auto& [field, text] : message.fields)
    if (lower(field) == name) values.push_back(text);
  return values;
}

// chunk-ext by its grammar, eating from the left: *( ";" BWS name [ BWS "=" BWS ( token / quoted ) ] BWS )
inline bool extensions(std::string text) {
  const auto spaces = [&] {
    bool any = false;
    while (!text.empty() && (text[0] == ' ' || text[0] == '\t')) any = true, text.erase(0, 1);
    return any;
  };
  const auto word = [&] {
    std::size_t n = 0;
    while (n < text.size() && token(text.substr(n, 1))) ++n;
    text.erase(0, n);
    return n > 0;
  };
  while (!text.empty()) {
    if (text[0] != ';') return false;
    text.erase(0, 1);
    spaces();
    if (!word()) return false;
    bool trailing = spaces();
    if (!text.empty() && text[0] == '=') {
      text.erase(0, 1);
      spaces();
      if (!text.empty() && text[0] == '"') {
        std::size_t end = 1;
        while (end < text.size() && text[end] != '"') end += text[end] == '\\' ? 2 : 1;
        if (end >= text.size()) return false;
        text.erase(0, end + 1);
      } else if (!word()) {
        return false;
      }
      trailing = spaces();
    }
    if (trailing && text.empty()) return false;
  }
  return true;
}

inline bool dechunk(std::string_view bytes, PlainMessage& message) {
  std::size_t at = message.used;
  for (;;) {
    const std::size_t end = bytes.find("\r\n", at);
    if (end == std::string_view::npos) return false;
    const std::string line(bytes.substr(at, end - at));
    if (!value(line)) return false;
    const std::size_t semicolon = line.find(';');
    const std::string size = line.substr(0, semicolon);
    if (size.empty() || size.size() > 16 || !all(size, "0123456789abcdefABCDEF")) return false;
    if (semicolon != std::string::npos && !extensions(line.substr(semicolon))) return false;
    const unsigned long long n = std::stoull(size, nullptr, 16);
    at = end + 2;
    if (n == 0) break;
    if (n > bytes.size() || bytes.size() - at < n + 2) return false;
    message.body += bytes.substr(at, n);
    at += n;
    if (bytes.substr(at, 2) != "\r\n") return false;
    at += 2;
  }
  std::vector<std::pair<std::string, std::string>> trailers;
  for (;;) {
    const std::size_t end = bytes.find("\r\n", at);
    if (end == std::string_view::npos) return false;
    const std::string line(bytes.substr(at, end - at));
    at = end + 2;
    if (line.empty()) break;
    if (!value(line) || !field_lines({line}, trailers)) return false;
  }
  for (const auto& [name, text] : trailers) {
    for (const char* bad : {"content-length",
                            "transfer-encoding",
                            "host",
                            "connection",
                            "te",
                            "trailer",
                            "upgrade",
                            "keep-alive",
                            "proxy-connection",
                            "authorization",
                            "proxy-authorization",
                            "www-authenticate",
                            "cookie",
                            "proxy-authenticate",
                            "set-cookie",
                            "content-type",
                            "content-encoding",
                            "cache-control",
                            "expect",
                            "max-forwards",
                            "forwarded",
                            "x-forwarded-for",
                            "x-forwarded-host",
                            "x-forwarded-proto",
                            "x-forwarded-port",
                            "x-forwarded-prefix",
                            "x-real-ip",
                            "idempotency-key"})
      if (lower(name) == bad) return false;
  }
  message.used = at;
  return true;
}

inline bool host_ok(std::string host) {
  std::size_t port = host.rfind(':');
  if (!host.empty() && host[0] == '[') {
    const std::size_t end = host.find(']');
    in6_addr address;
    if (end == std::string::npos || inet_pton(AF_INET6, host.substr(1, end - 1).c_str(), &address) != 1)
      return false;
    port = host.find(':', end);
    if (host.substr(end + 1, 1) != "" && host.substr(end + 1, 1) != ":") return false;
  } else if (!all(host.substr(0, port),
                  "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") ||
             host.substr(0, port).empty()) {
    return false;
  }
  if (port == std::string::npos) return true;
  const std::string digits = host.substr(port + 1);
  return !digits.empty() && digits.size() <= 5 && all(digits, "0123456789") && std::stoi(digits) <= 65535;
}

// Everything of both sides but the start line. `kind`: what follows when no framing is said.
inline bool framing(std::string_view bytes, PlainMessage& message, bool one_1, const std::string& kind,
                    bool bodiless) {
  const auto lengths = all_of(message, "content-length");
  const auto codings = all_of(message, "transfer-encoding");
  if (lengths.size() + codings.size() > 1) return false;
  if (!codings.empty() && (!one_1 || lower(codings[0]) != "chunked")) return false;
  if (!lengths.empty() && (lengths[0].empty() || lengths[0].size() > 19 || !all(lengths[0], "0123456789")))
    return false;
  if (!lengths.empty() && lengths[0].size() == 19 && lengths[0] > "9223372036854775807") return false;
  if (!lengths.empty() && lengths[0].size() > 1 && lengths[0][0] == '0') return false;
  for (const std::string& one : all_of(message, "connection"))
    for (const std::string& option : split(one, ","))
      if (!strip(option).empty() && !token(strip(option))) return false;
  message.framing = bodiless ? "none" : !codings.empty() ? "chunked" : !lengths.empty() ? "length" : kind;
  if (message.framing == "chunked") return dechunk(bytes, message);
  if (message.framing == "length") {
    const unsigned long long n = std::stoull(lengths[0]);
    if (bytes.size() - message.used < n) return false;
    message.body = bytes.substr(message.used, n);
    message.used += n;
  } else if (message.framing == "until_close") {
    message.body = bytes.substr(message.used);
    message.used = bytes.size();
  }
  return true;
}

inline std::optional<PlainMessage> head(std::string_view bytes, std::size_t skip,
                                        std::vector<std::string>& lines) {
  const std::size_t end = bytes.find("\r\n\r\n", skip);
  if (end == std::string_view::npos) return std::nullopt;
  lines = split(std::string(bytes.substr(skip, end - skip)), "\r\n");
  for (const std::string& one : lines)
    if (one.find_first_of(std::string_view("\r\n\0", 3)) != std::string::npos) return std::nullopt;
  PlainMessage message;
  message.used = end + 4;
  return message;
}

}  // namespace plain

// The request at the front of `bytes` if it is complete and beyond reproach.
inline std::optional<PlainMessage> plain_request(std::string_view bytes) {
  using namespace plain;
  std::vector<std::string> lines;
  auto message = head(bytes, bytes.substr(0, 2) == "\r\n" ? 2 : 0, lines);
  if (!message) return std::nullopt;
  const auto words = split(lines[0], " ");
  if (words.size() != 3 || !token(words[0]) || words[0].size() > 32) return std::nullopt;
  message->first = words[0];
  message->second = words[1];
  message->third = words[2];
  const std::string& target = words[1];
  for (const char c : target)
    if (c < 33 || c > 126 || c == '#') return std::nullopt;
  if (words[2] != "HTTP/1.1" && words[2] != "HTTP/1.0") return std::nullopt;
  lines.erase(lines.begin());
  if (!field_lines(lines, message->fields)) return std::nullopt;

  const auto hosts = all_of(*message, "host");
  if (hosts.size() > 1 || (hosts.empty() && words[2] == "HTTP/1.1")) return std::nullopt;
  if (!hosts.empty() && !host_ok(hosts[0])) return std::nullopt;
  if (target.empty()) return std::nullopt;
  if (words[0] == "CONNECT") {
    const std::size_t port = target.rfind(':');
    if (!host_ok(target) || port == std::string::npos || target.find(']', port) != std::string::npos)
      return std::nullopt;
  } else if (target == "*") {
    if (words[0] != "OPTIONS") return std::nullopt;
  } else if (target[0] != '/') {
    const std::string small = lower(target);
    const std::size_t scheme = small.rfind("http://", 0) == 0 ? 7 : small.rfind("https://", 0) == 0 ? 8 : 0;
    if (scheme == 0) return std::nullopt;
    const std::string authority = target.substr(scheme, target.find_first_of("/?", scheme) - scheme);
    if (!host_ok(authority) || (!hosts.empty() && lower(hosts[0]) != lower(authority))) return std::nullopt;
  }
  for (const std::string& one : all_of(*message, "expect"))
    if (lower(one) != "100-continue") return std::nullopt;
  if (!framing(bytes, *message, words[2] == "HTTP/1.1", "none", false)) return std::nullopt;
  if (words[0] == "TRACE" && (message->framing == "chunked" || !message->body.empty())) return std::nullopt;
  return message;
}

// The answer at the front of `bytes`, whose sender has closed behind them.
inline std::optional<PlainMessage> plain_response(std::string_view bytes, bool to_head = false) {
  using namespace plain;
  std::vector<std::string> lines;
  auto message = head(bytes, 0, lines);
  if (!message) return std::nullopt;
  const std::string& line = lines[0];
  message->first = line.substr(0, 8);
  if (message->first != "HTTP/1.1" && message->first != "HTTP/1.0") return std::nullopt;
  if (line.size() < 12 || line[8] != ' ' || !all(line.substr(9, 3), "0123456789")) return std::nullopt;
  message->second = line.substr(9, 3);
  const int status = std::stoi(message->second);
  if (status < 100 || status > 599 || status == 101) return std::nullopt;
  if (line.size() > 12 && (line[12] != ' ' || !value(line))) return std::nullopt;
  message->third = line.size() > 12 ? line.substr(13) : "";
  lines.erase(lines.begin());
  if (!field_lines(lines, message->fields)) return std::nullopt;
  if (status < 200 && !all_of(*message, "content-length").empty()) return std::nullopt;
  if (status < 200 && !all_of(*message, "transfer-encoding").empty()) return std::nullopt;
  const bool bodiless = to_head || status < 200 || status == 204 || status == 304;
  if (!framing(bytes, *message, message->first == "HTTP/1.1", "until_close", bodiless)) return std::nullopt;
  return message;
}

}  // namespace weir::http::testing

#endif  // WEIR_HTTP_TESTING_PLAIN_READER_H_
