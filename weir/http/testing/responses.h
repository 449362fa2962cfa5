// For tests: answers of upstreams, legitimate ones with what is to be understood, hostile ones with their
// rule.
#ifndef WEIR_HTTP_TESTING_RESPONSES_H_
#define WEIR_HTTP_TESTING_RESPONSES_H_

#include <string>
#include <string_view>
#include <vector>

#include "weir/http/message.h"
#include "weir/http/testing/refused_requests.h"

namespace weir::http::testing {

struct AcceptedResponse {
  std::string_view name;
  std::string bytes;
  std::string head;
  std::string fields = {};
  std::string body = {};
  Method method = Method::get;
  bool closed = false;  // the peer closes behind the last byte; else another message follows
};

struct RefusedResponse {
  std::string_view name;
  std::string bytes;
  Rule rule;  // status is what it would be for a request; a gateway says 502
  Method method = Method::get;
};

// Field lines of a 200.
inline std::string ok(const std::string& fields, const std::string& body = {}) {
  return "HTTP/1.1 200 OK\r\n" + fields + "\r\n" + body;
}
// A status line, and no body to come.
inline std::string status(const std::string& status_line) {
  return status_line + "\r\nContent-Length: 0\r\n\r\n";
}

inline void add_accepted_status_lines(std::vector<AcceptedResponse>& cases) {
  const std::string cl = "Content-Length=0;";
  const std::vector<AcceptedResponse> more = {
      {"200", status("HTTP/1.1 200 OK"), "200 OK 1.1 keep length:0", cl},
      {"404", status("HTTP/1.1 404 Not Found"), "404 Not Found 1.1 keep length:0", cl},
      {"reason empty", status("HTTP/1.1 200 "), "200  1.1 keep length:0", cl},
      {"reason and its space left out", status("HTTP/1.1 200"), "200  1.1 keep length:0", cl},
      {"reason of one letter", status("HTTP/1.1 200 x"), "200 x 1.1 keep length:0", cl},
      {"reason with obs-text", status("HTTP/1.1 200 D\xe9j\xe0 vu"), "200 D\xe9j\xe0 vu 1.1 keep length:0",
       cl},
      {"reason with utf-8", status("HTTP/1.1 200 \xe2\x9c\x93"), "200 \xe2\x9c\x93 1.1 keep length:0", cl},
      {"reason with tab and spaces", status("HTTP/1.1 200  a\tb "), "200  a\tb  1.1 keep length:0", cl},
      {"another reason than registered", status("HTTP/1.1 200 Whatever"), "200 Whatever 1.1 keep length:0",
       cl},
      {"long reason", status("HTTP/1.1 500 " + std::string(500, 'r')),
       "500 " + std::string(500, 'r') + " 1.1 keep length:0", cl},
      {"unregistered code of each class, 2", status("HTTP/1.1 299 x"), "299 x 1.1 keep length:0", cl},
      {"unregistered code of each class, 3", status("HTTP/1.1 399 x"), "399 x 1.1 keep length:0", cl},
      {"unregistered code of each class, 4", status("HTTP/1.1 499 x"), "499 x 1.1 keep length:0", cl},
      {"unregistered code of each class, 5", status("HTTP/1.1 599 x"), "599 x 1.1 keep length:0", cl},
      {"205", status("HTTP/1.1 205 Reset Content"), "205 Reset Content 1.1 keep length:0", cl},
      {"302", "HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n",
       "302 Found 1.1 keep length:0", "Location=/b;Content-Length=0;"},
      {"401 with challenge",
       "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer\r\nContent-Length: 0\r\n\r\n",
       "401 Unauthorized 1.1 keep length:0", "WWW-Authenticate=Bearer;Content-Length=0;"},
      {"407 is for the next hop",
       "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n",
       "407 Proxy Authentication Required 1.1 keep length:0", "-Proxy-Authenticate=Basic;Content-Length=0;"},
      {"426",
       "HTTP/1.1 426 Upgrade Required\r\nUpgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: 0\r\n\r\n",
       "426 Upgrade Required 1.1 keep length:0", "-Upgrade=h2c;-Connection=Upgrade;Content-Length=0;"},
      {"100", "HTTP/1.1 100 Continue\r\n\r\n", "100 Continue 1.1 keep none"},
      {"100 with a field", "HTTP/1.1 100 Continue\r\nX-A: b\r\n\r\n", "100 Continue 1.1 keep none", "X-A=b;"},
      {"102", "HTTP/1.1 102 Processing\r\n\r\n", "102 Processing 1.1 keep none"},
      {"103", "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n", "103 Early Hints 1.1 keep none",
       "Link=</a>; rel=preload;"},
      {"199", "HTTP/1.1 199 x\r\n\r\n", "199 x 1.1 keep none"},
  };
  cases.insert(cases.end(), more.begin(), more.end());
}

inline void add_accepted_framing(std::vector<AcceptedResponse>& cases) {
  const std::string te = "-Transfer-Encoding=chunked;";
  const std::string chunked = "Transfer-Encoding: chunked\r\n";
  const std::vector<AcceptedResponse> more = {
      {"length", ok("Content-Length: 5\r\n", "hello"), "200 OK 1.1 keep length:5", "Content-Length=5;",
       "hello"},
      {"length 0", ok("Content-Length: 0\r\n"), "200 OK 1.1 keep length:0", "Content-Length=0;"},
      {"any bytes", ok("Content-Length: 3\r\n", text("\0\xff\n")), "200 OK 1.1 keep length:3",
       "Content-Length=3;", text("\0\xff\n")},
      {"body that looks like an answer", ok("Content-Length: 19\r\n", "HTTP/1.1 200 OK\r\n\r\n"),
       "200 OK 1.1 keep length:19", "Content-Length=19;", "HTTP/1.1 200 OK\r\n\r\n"},
      {"chunks", ok(chunked, "5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n"), "200 OK 1.1 keep chunked", te, "hello!"},
      {"no chunk", ok(chunked, "0\r\n\r\n"), "200 OK 1.1 keep chunked", te},
      {"chunks with trailer", ok(chunked + "Trailer: X-T\r\n", "1\r\nx\r\n0\r\nX-T: y\r\n\r\n"),
       "200 OK 1.1 keep chunked", te + "-Trailer=X-T;", "x"},
      {"grpc-like trailers", ok(chunked, "0\r\ngrpc-status: 0\r\ngrpc-message:\r\n\r\n"),
       "200 OK 1.1 keep chunked", te},
      {"chunked in capitals", ok("TRANSFER-ENCODING: Chunked\r\n", "1\r\nx\r\n0\r\n\r\n"),
       "200 OK 1.1 keep chunked", "-TRANSFER-ENCODING=Chunked;", "x"},
      {"chunks and close", ok(chunked + "Connection: close\r\n", "1\r\nx\r\n0\r\n\r\n"),
       "200 OK 1.1 close chunked", te + "-Connection=close;", "x"},
      {"chunk extension", ok(chunked, "1;a=b\r\nx\r\n0\r\n\r\n"), "200 OK 1.1 keep chunked", te, "x"},
      {"padded chunk sizes", ok(chunked, "00000001\r\nx\r\n00000000\r\n\r\n"), "200 OK 1.1 keep chunked", te,
       "x"},
      {"until close", ok("", "hello"), "200 OK 1.1 close until_close", "", "hello", Method::get, true},
      {"until close, empty", ok(""), "200 OK 1.1 close until_close", "", "", Method::get, true},
      {"until close, said", ok("Connection: close\r\n", "hello"), "200 OK 1.1 close until_close",
       "-Connection=close;", "hello", Method::get, true},
      {"until close in spite of keep-alive", ok("Connection: keep-alive\r\n", "hello"),
       "200 OK 1.1 close until_close", "-Connection=keep-alive;", "hello", Method::get, true},
      {"event stream", ok("Content-Type: text/event-stream\r\n", "data: 1\n\n"),
       "200 OK 1.1 close until_close", "Content-Type=text/event-stream;", "data: 1\n\n", Method::get, true},
      {"204", "HTTP/1.1 204 No Content\r\n\r\n", "204 No Content 1.1 keep none"},
      {"204 with length 0", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
       "204 No Content 1.1 keep none [0]", "Content-Length=0;"},
      {"204 with a length is not trusted again", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
       "204 No Content 1.1 close none [5]", "Content-Length=5;"},
      {"204 with chunks is not trusted again",
       "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", "204 No Content 1.1 close none", te},
      {"304", "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n", "304 Not Modified 1.1 keep none",
       "ETag=\"a\";"},
      {"304 with the length of the 200", "HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n",
       "304 Not Modified 1.1 keep none [500]", "Content-Length=500;"},
      {"304 with the coding of the 200", "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n",
       "304 Not Modified 1.1 keep none", te},
      {"head", ok(""), "200 OK 1.1 keep none", "", "", Method::head},
      {"head with the length of the get", ok("Content-Length: 500\r\n"), "200 OK 1.1 keep none [500]",
       "Content-Length=500;", "", Method::head},
      {"head with chunks", ok(chunked), "200 OK 1.1 keep none", te, "", Method::head},
      {"head, 404 with length", "HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\n",
       "404 Not Found 1.1 keep none [9]", "Content-Length=9;", "", Method::head},
      {"head on 1.0", "HTTP/1.0 200 OK\r\nContent-Length: 9\r\n\r\n", "200 OK 1.0 close none [9]",
       "Content-Length=9;", "", Method::head},
      {"answer to a post", ok("Content-Length: 2\r\n", "hi"), "200 OK 1.1 keep length:2", "Content-Length=2;",
       "hi", Method::post},
      {"1.0 with length", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", "200 OK 1.0 close length:2",
       "Content-Length=2;", "hi"},
      {"1.0 until close", "HTTP/1.0 200 OK\r\n\r\nhi", "200 OK 1.0 close until_close", "", "hi", Method::get,
       true},
      {"1.0 with keep-alive", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi",
       "200 OK 1.0 keep length:2", "-Connection=keep-alive;Content-Length=2;", "hi"},
      {"1.0 with keep-alive, until close", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nhi",
       "200 OK 1.0 close until_close", "-Connection=keep-alive;", "hi", Method::get, true},
  };
  cases.insert(cases.end(), more.begin(), more.end());
}

inline void add_accepted_response_fields(std::vector<AcceptedResponse>& cases) {
  const std::string head = "200 OK 1.1 keep length:0";
  const auto with = [](const std::string& fields) { return ok(fields + "Content-Length: 0\r\n"); };
  const std::string cl = "Content-Length=0;";
  const std::vector<AcceptedResponse> more = {
      {"close", with("Connection: close\r\n"), "200 OK 1.1 close length:0", "-Connection=close;" + cl},
      {"keep-alive with its field", with("Connection: keep-alive\r\nKeep-Alive: timeout=5, max=100\r\n"),
       head, "-Connection=keep-alive;-Keep-Alive=timeout=5, max=100;" + cl},
      {"two cookies", with("Set-Cookie: a=b; Path=/\r\nSet-Cookie: c=d\r\n"), head,
       "Set-Cookie=a=b; Path=/;Set-Cookie=c=d;" + cl},
      {"nominated field", with("Connection: X-A\r\nX-A: b\r\n"), head, "-Connection=X-A;-X-A=b;" + cl},
      {"nginx's answer",
       "HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Tue, 15 Nov 1994 08:12:31 GMT\r\nContent-Type: "
       "text/html\r\n"
       "Content-Length: 2\r\nLast-Modified: Tue, 15 Nov 1994 08:12:31 GMT\r\nConnection: keep-alive\r\n"
       "ETag: \"637b7d5a-267\"\r\nAccept-Ranges: bytes\r\n\r\nhi",
       "200 OK 1.1 keep length:2",
       "Server=nginx/1.22.1;Date=Tue, 15 Nov 1994 08:12:31 GMT;Content-Type=text/html;Content-Length=2;"
       "Last-Modified=Tue, 15 Nov 1994 08:12:31 "
       "GMT;-Connection=keep-alive;ETag=\"637b7d5a-267\";Accept-Ranges=bytes;",
       "hi"},
      {"value with obs-text", with("X-A: caf\xe9\r\n"), head, "X-A=caf\xe9;" + cl},
      {"empty value", with("X-A:\r\n"), head, "X-A=;" + cl},
      {"name with underscore", with("X_A: b\r\n"), head, "X_A=b;" + cl},
      {"host in an answer means nothing", with("Host: a\r\nHost: b\r\n"), head, "Host=a;Host=b;" + cl},
      {"expect in an answer means nothing", with("Expect: nothing\r\n"), head, "Expect=nothing;" + cl},
      {"100 fields", "HTTP/1.1 200 OK\r\n" + repeat("X: b\r\n", 99) + "Content-Length: 0\r\n\r\n", head,
       repeat("X=b;", 99) + cl},
      {"line of 8192 bytes", with("X-A: " + std::string(8187, 'b') + "\r\n"), head,
       "X-A=" + std::string(8187, 'b') + ";" + cl},
  };
  cases.insert(cases.end(), more.begin(), more.end());
}

inline std::vector<AcceptedResponse> accepted_responses() {
  std::vector<AcceptedResponse> cases;
  add_accepted_status_lines(cases);
  add_accepted_framing(cases);
  add_accepted_response_fields(cases);
  return cases;
}

inline std::vector<RefusedResponse> refused_responses() {
  constexpr Rule kStatus{502, "bad_status", "RFC 9112 4"};
  constexpr Rule kWrongVersion{502, "unsupported_version", "RFC 9112 2.3"};
  const std::string te = "Transfer-Encoding: chunked\r\n";
  return {
      {"empty line first", "\r\nHTTP/1.1 200 OK\r\n\r\n", kVersion},
      {"not http", "<html>hello</html>", kVersion},
      {"http/0.9", "hello\n", kVersion},
      {"leading space", " HTTP/1.1 200 OK\r\n\r\n", kVersion},
      {"ssh", "SSH-2.0-OpenSSH_9.2\r\n", kVersion},
      {"tls alert", text("\x15\x03\x01\x00\x02\x02\x46"), kVersion},
      {"icy", status("ICY 200 OK"), kVersion},
      {"lower-case http", status("http/1.1 200 OK"), kVersion},
      {"http/1.1.1", status("HTTP/1.1.1 200 OK"), kVersion},
      {"http/1", status("HTTP/1 200 OK"), kVersion},
      {"http/1.10", status("HTTP/1.10 200 OK"), kVersion},
      {"http/2 in text", status("HTTP/2.0 200 OK"), kWrongVersion},
      {"http/1.2", status("HTTP/1.2 200 OK"), kWrongVersion},
      {"http/0.9 in text", status("HTTP/0.9 200 OK"), kWrongVersion},
      {"tab behind the version", status("HTTP/1.1\t200 OK"), kVersion},
      {"no status", status("HTTP/1.1"), kVersion},
      {"no status, a space", status("HTTP/1.1 "), kStatus},
      {"two spaces before the status", status("HTTP/1.1  200 OK"), kStatus},
      {"status of two digits", status("HTTP/1.1 20 OK"), kStatus},
      {"status of four digits", status("HTTP/1.1 2000 OK"), kStatus},
      {"status 000", status("HTTP/1.1 000 x"), kStatus},
      {"status 099", status("HTTP/1.1 099 x"), kStatus},
      {"status 600", status("HTTP/1.1 600 x"), kStatus},
      {"status 999", status("HTTP/1.1 999 x"), kStatus},
      {"status negative", status("HTTP/1.1 -20 OK"), kStatus},
      {"status with plus", status("HTTP/1.1 +20 OK"), kStatus},
      {"status is a word", status("HTTP/1.1 OK"), kStatus},
      {"tab behind the status", status("HTTP/1.1 200\tOK"), kStatus},
      {"nul in the reason", status(text("HTTP/1.1 200 O\0K")), {502, "control_in_reason", "RFC 9112 4"}},
      {"escape in the reason", status("HTTP/1.1 200 \x1b[0m"), {502, "control_in_reason", "RFC 9112 4"}},
      {"bare cr in the reason", "HTTP/1.1 200 O\rK\r\n\r\n", kBareCr},
      {"status line ends in lf", "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n", kBareLf},
      {"status line without reason ends in lf", "HTTP/1.1 200\nContent-Length: 0\r\n\r\n", kBareLf},
      {"reason without end",
       "HTTP/1.1 200 " + std::string(100'000, 'a'),
       {502, "line_too_long", "RFC 9110 5.4"}},
      {"101 that nobody asked for",
       "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
       {502, "unasked_upgrade", "RFC 9110 15.2.2"}},
      {"100 with length",
       "HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\nhello",
       {502, "cl_in_1xx", "RFC 9110 8.6"}},
      {"100 with length 0",
       "HTTP/1.1 100 Continue\r\nContent-Length: 0\r\n\r\n",
       {502, "cl_in_1xx", "RFC 9110 8.6"}},
      {"103 with chunks",
       "HTTP/1.1 103 Early Hints\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
       {502, "te_in_1xx", "RFC 9112 6.1"}},
      {"lf everywhere", "HTTP/1.1 200 OK\nContent-Length: 5\n\nhello", kBareLf},
      {"field ends in lf", ok("Content-Length: 5\n", "hello"), kBareLf},
      {"bare cr in a value", ok("X-A: b\rc\r\n"), kBareCr},
      {"fold", ok("X-A: b\r\n c\r\n"), kFold},
      {"space before the first field", ok(" X-A: b\r\n"), kFold},
      {"space before the colon", ok("Content-Length : 5\r\n", "hello"), kSpace},
      {"empty name", ok(": b\r\n"), kEmptyName},
      {"no colon", ok("rubbish\r\n"), kNoColon},
      {"nul in a value", ok(text("X-A: \0\r\n")), kValue},
      {"control in a value", ok("Set-Cookie: a=\x01\r\n"), kValue},
      {"cl and te", ok("Content-Length: 5\r\n" + te, "0\r\n\r\n"), kClAndTe},
      {"te and cl", ok(te + "Content-Length: 5\r\n", "0\r\n\r\n"), kClAndTe},
      {"head with cl and te", ok(te + "Content-Length: 5\r\n"), kClAndTe, Method::head},
      {"304 with cl and te", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n" + te + "\r\n", kClAndTe},
      {"two different cl", ok("Content-Length: 5\r\nContent-Length: 6\r\n", "hello"), kTwoCl},
      {"two equal cl", ok("Content-Length: 5\r\nContent-Length: 5\r\n", "hello"), kTwoCl},
      {"cl list", ok("Content-Length: 5, 5\r\n", "hello"), kCl},
      {"cl negative", ok("Content-Length: -1\r\n"), kCl},
      {"cl with plus", ok("Content-Length: +5\r\n", "hello"), kCl},
      {"cl empty", ok("Content-Length:\r\n"), kCl},
      {"cl hexadecimal", ok("Content-Length: 0x5\r\n"), kCl},
      {"cl 2^64", ok("Content-Length: 18446744073709551616\r\n"), kCl},
      {"te gzip", ok("Transfer-Encoding: gzip\r\n"), kTe},
      {"te gzip, chunked", ok("Transfer-Encoding: gzip, chunked\r\n"), kTe},
      {"te chunked twice", ok("Transfer-Encoding: chunked, chunked\r\n"), kTe},
      {"two te", ok(te + te), kTwoTe},
      {"te identity", ok("Transfer-Encoding: identity\r\n"), kTe},
      {"te on 1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", kTe10},
      {"101 fields", ok(repeat("X: b\r\n", 101)), kFieldsMany},
      {"value without end", "HTTP/1.1 200 OK\r\nX-A: " + std::string(100'000, 'b'), kLineLong},
      {"head over 32 KiB", ok(repeat("X-A: " + std::string(8000, 'a') + "\r\n", 5)), kHeadLarge},
      {"chunk size with 0x", ok(te, "0x5\r\nhello\r\n0\r\n\r\n"), kSize},
      {"chunk size negative", ok(te, "-1\r\n"), kSize},
      {"chunk size overflow", ok(te, "ffffffffffffffff\r\n"), kSizeOverflow},
      {"chunk data too long", ok(te, "5\r\nhello!\r\n0\r\n\r\n"), kChunkEnd},
      {"chunk lines end in lf", ok(te, "5\nhello\n0\n\n"), kSizeLf},
      {"forbidden trailer", ok(te, "0\r\nSet-Cookie: a=b\r\n\r\n"), kTrailer},
      {"trailers without end", ok(te, "0\r\n" + repeat("X-A: " + std::string(200, 'b') + "\r\n", 100)),
       kTrailersMany},
  };
}

}  // namespace weir::http::testing

#endif  // WEIR_HTTP_TESTING_RESPONSES_H_
