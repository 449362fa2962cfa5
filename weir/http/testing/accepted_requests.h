// For tests: legitimate requests, with what is to be understood: head summary, fields ('-' = not to be
// forwarded) and body, as testing/read_message.h renders them.
#ifndef WEIR_HTTP_TESTING_ACCEPTED_REQUESTS_H_
#define WEIR_HTTP_TESTING_ACCEPTED_REQUESTS_H_

#include <string>
#include <string_view>
#include <vector>

#include "weir/http/testing/refused_requests.h"

namespace weir::http::testing {

struct AcceptedRequest {
  std::string_view name;
  std::string bytes;
  std::string head;
  std::string fields = "Host=a;";
  std::string body = {};
};

inline void add_accepted_lines(std::vector<AcceptedRequest>& cases) {
  const std::vector<AcceptedRequest> more = {
      {"get", get(""), "GET / @a 1.1 keep none"},
      {"head", line("HEAD / HTTP/1.1"), "HEAD / @a 1.1 keep none"},
      {"post without content", line("POST /a HTTP/1.1"), "POST /a @a 1.1 keep none"},
      {"put", line("PUT /a HTTP/1.1"), "PUT /a @a 1.1 keep none"},
      {"delete", line("DELETE /a/1 HTTP/1.1"), "DELETE /a/1 @a 1.1 keep none"},
      {"patch", line("PATCH /a/1 HTTP/1.1"), "PATCH /a/1 @a 1.1 keep none"},
      {"trace", line("TRACE / HTTP/1.1"), "TRACE / @a 1.1 keep none"},
      {"options of a path", line("OPTIONS /a HTTP/1.1"), "OPTIONS /a @a 1.1 keep none"},
      {"options of the server", line("OPTIONS * HTTP/1.1"), "OPTIONS * @a 1.1 keep none"},
      {"connect", line("CONNECT a:443 HTTP/1.1"), "CONNECT  @a 1.1 keep none"},
      {"connect to ipv6", line("CONNECT [::1]:443 HTTP/1.1"), "CONNECT  @a 1.1 keep none"},
      {"unknown method", line("BREW /pot HTTP/1.1"), "BREW /pot @a 1.1 keep none"},
      {"webdav method", line("PROPFIND /d HTTP/1.1"), "PROPFIND /d @a 1.1 keep none"},
      {"method in lower case is another method", line("get / HTTP/1.1"), "get / @a 1.1 keep none"},
      {"method with a hyphen", line("M-SEARCH * HTTP/1.1").replace(9, 1, "/"), "M-SEARCH / @a 1.1 keep none"},
      {"method of all marks", line("!#$%&'*+-.^_`|~ / HTTP/1.1"), "!#$%&'*+-.^_`|~ / @a 1.1 keep none"},
      {"method of 32 bytes", line(std::string(32, 'M') + " / HTTP/1.1"),
       std::string(32, 'M') + " / @a 1.1 keep none"},
      {"one empty line first", "\r\n" + get(""), "GET / @a 1.1 keep none"},
      {"query", line("GET /a?b=c HTTP/1.1"), "GET /a?b=c @a 1.1 keep none"},
      {"empty query", line("GET /a? HTTP/1.1"), "GET /a? @a 1.1 keep none"},
      {"query with question marks", line("GET /a?b?c=? HTTP/1.1"), "GET /a?b?c=? @a 1.1 keep none"},
      {"query with slashes", line("GET /?u=http://b/c HTTP/1.1"), "GET /?u=http://b/c @a 1.1 keep none"},
      {"query with raw marks of browsers", line("GET /?a[]={\"b\":'c'}|^`\\ HTTP/1.1"),
       "GET /?a[]={\"b\":'c'}|^`\\ @a 1.1 keep none"},
      {"percent escapes", line("GET /a%20b%2Fc?d=%00 HTTP/1.1"), "GET /a%20b%2Fc?d=%00 @a 1.1 keep none"},
      {"a broken escape is the path's affair", line("GET /a%zz HTTP/1.1"), "GET /a%zz @a 1.1 keep none"},
      {"dot segments are the path's affair", line("GET /a/../b HTTP/1.1"), "GET /a/../b @a 1.1 keep none"},
      {"two slashes", line("GET //a//b HTTP/1.1"), "GET //a//b @a 1.1 keep none"},
      {"path with a colon and at", line("GET /u:p@b/c HTTP/1.1"), "GET /u:p@b/c @a 1.1 keep none"},
      {"path parameters", line("GET /a;v=1/b,c HTTP/1.1"), "GET /a;v=1/b,c @a 1.1 keep none"},
      {"path with sub-delims", line("GET /!$&'()*+,;= HTTP/1.1"), "GET /!$&'()*+,;= @a 1.1 keep none"},
      {"target of 8192 bytes", line("GET /" + std::string(8191, 'a') + " HTTP/1.1"),
       "GET /" + std::string(8191, 'a') + " @a 1.1 keep none"},
      {"absolute target", line("GET http://a/b?c HTTP/1.1"), "GET /b?c @a 1.1 keep none"},
      {"absolute target, scheme in capitals", line("GET HTTP://a/b HTTP/1.1"), "GET /b @a 1.1 keep none"},
      {"absolute https target", line("GET https://a/ HTTP/1.1"), "GET / @a 1.1 keep none"},
      {"absolute target without path", line("GET http://a HTTP/1.1"), "GET / @a 1.1 keep none"},
      {"absolute target without path, with query", line("GET http://a?b HTTP/1.1"),
       "GET /?b @a 1.1 keep none"},
      {"absolute target, host in other case", line("GET http://A/ HTTP/1.1"), "GET / @a 1.1 keep none"},
      {"absolute target with port", "GET http://a:8080/ HTTP/1.1\r\nHost: a:8080\r\n\r\n",
       "GET / @a:8080 1.1 keep none", "Host=a:8080;"},
      {"absolute options of the server", line("OPTIONS http://a HTTP/1.1"), "OPTIONS * @a 1.1 keep none"},
      {"absolute options of the root", line("OPTIONS http://a/ HTTP/1.1"), "OPTIONS / @a 1.1 keep none"},
      {"absolute options with query", line("OPTIONS http://a?b HTTP/1.1"), "OPTIONS /?b @a 1.1 keep none"},
      {"absolute target on 1.0 without host", "GET http://b/c HTTP/1.0\r\n\r\n", "GET /c @b 1.0 close none",
       ""},
      {"http/1.0", "GET / HTTP/1.0\r\nHost: a\r\n\r\n", "GET / @a 1.0 close none"},
      {"http/1.0 without host", "GET / HTTP/1.0\r\n\r\n", "GET / @ 1.0 close none", ""},
      {"http/1.0 with keep-alive", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
       "GET / @ 1.0 keep none", "-Connection=keep-alive;"},
      {"http/1.0 with Keep-Alive", "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
       "GET / @ 1.0 keep none", "-Connection=Keep-Alive;"},
      {"http/1.0 with keep-alive and close", "GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n",
       "GET / @ 1.0 close none", "-Connection=keep-alive, close;"},
      {"http/1.0 post", "POST / HTTP/1.0\r\nContent-Length: 2\r\n\r\nhi", "POST / @ 1.0 close length:2",
       "Content-Length=2;", "hi"},
      {"http/1.0 expectation is ignored",
       "POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi",
       "POST / @ 1.0 close length:2", "Expect=100-continue;Content-Length=2;", "hi"},
  };
  cases.insert(cases.end(), more.begin(), more.end());
}

inline void add_accepted_hosts(std::vector<AcceptedRequest>& cases) {
  for (const std::string_view host :
       {"example.com", "EXAMPLE.com", "example.com:80", "example.com:0", "example.com:65535", "localhost",
        "a-b_c.d~e", "xn--bcher-kva.example", "127.0.0.1", "127.0.0.1:8080", "[::1]", "[::1]:8080",
        "[2001:db8::8:800:200c:417a]", "[1:2:3:4:5:6:7:8]", "[::ffff:192.0.2.1]", "[1::]", "example.com."}) {
    AcceptedRequest one;
    one.name = host;
    one.bytes = only("Host: " + std::string(host) + "\r\n");
    one.head = "GET / @" + std::string(host) + " 1.1 keep none";
    one.fields = "Host=" + std::string(host) + ";";
    cases.push_back(one);
  }
}

inline void add_accepted_fields(std::vector<AcceptedRequest>& cases) {
  const std::string plain = "GET / @a 1.1 keep none";
  const std::vector<AcceptedRequest> more = {
      {"host in lower case", only("host: a\r\n"), plain, "host=a;"},
      {"host in capitals", only("HOST: a\r\n"), plain, "HOST=a;"},
      {"host not first", only("X-A: b\r\nHost: a\r\n"), plain, "X-A=b;Host=a;"},
      {"no space behind the colon", only("Host:a\r\n"), plain},
      {"much space around a value", only("Host: \t a \t \r\n"), plain},
      {"tab before a value", only("Host:\ta\r\n"), plain},
      {"empty value", get("X-A:\r\n"), plain, "Host=a;X-A=;"},
      {"value of spaces", get("X-A:   \r\n"), plain, "Host=a;X-A=;"},
      {"value with spaces and tabs inside", get("X-A: b c\td\r\n"), plain, "Host=a;X-A=b c\td;"},
      {"value with colons", get("X-A: b:c::d\r\n"), plain, "Host=a;X-A=b:c::d;"},
      {"value with obs-text", get("X-A: caf\xe9\r\n"), plain, "Host=a;X-A=caf\xe9;"},
      {"value with utf-8", get("X-A: \xe2\x82\xac\r\n"), plain, "Host=a;X-A=\xe2\x82\xac;"},
      {"value with all visible marks", get("X-A: !\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~\r\n"), plain,
       "Host=a;X-A=!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~;"},
      {"name with all marks", get("!#$%&'*+-.^_`|~: b\r\n"), plain, "Host=a;!#$%&'*+-.^_`|~=b;"},
      {"name with underscore", get("X_A: b\r\n"), plain, "Host=a;X_A=b;"},
      {"name with digits", get("123: b\r\n"), plain, "Host=a;123=b;"},
      {"name of one letter", get("X: b\r\n"), plain, "Host=a;X=b;"},
      {"equal names", get("X-A: b\r\nX-A: c\r\n"), plain, "Host=a;X-A=b;X-A=c;"},
      {"two cookies", get("Cookie: a=b\r\nCookie: c=d\r\n"), plain, "Host=a;Cookie=a=b;Cookie=c=d;"},
      {"cookie without value", get("Cookie: a=\r\n"), plain, "Host=a;Cookie=a=;"},
      {"empty cookie", get("Cookie:\r\n"), plain, "Host=a;Cookie=;"},
      {"odd cookie", get("Cookie: =;;a;b=c=d; \"e\"\r\n"), plain, "Host=a;Cookie==;;a;b=c=d; \"e\";"},
      {"cookie with many pairs", get("Cookie: " + repeat("a=b; ", 300) + "\r\n"), plain,
       "Host=a;Cookie=" + repeat("a=b; ", 299) + "a=b;;"},
      {"100 fields", only("Host: a\r\n" + repeat("X: b\r\n", 99)), plain, "Host=a;" + repeat("X=b;", 99)},
      {"field line of 8192 bytes", get("X-A: " + std::string(8187, 'b') + "\r\n"), plain,
       "Host=a;X-A=" + std::string(8187, 'b') + ";"},
      {"range", get("Range: bytes=0-4,2-6\r\n"), plain, "Host=a;Range=bytes=0-4,2-6;"},
      {"accept nonsense", get("Accept: ;;;\r\n"), plain, "Host=a;Accept=;;;;"},
      {"expectation without content", get("Expect: 100-continue\r\n"), plain, "Host=a;Expect=100-continue;"},
  };
  cases.insert(cases.end(), more.begin(), more.end());
}

inline void add_accepted_connections(std::vector<AcceptedRequest>& cases) {
  const std::string plain = "GET / @a 1.1 keep none";
  const std::string closing = "GET / @a 1.1 close none";
  const std::vector<AcceptedRequest> more = {
      {"close", get("Connection: close\r\n"), closing, "Host=a;-Connection=close;"},
      {"Close", get("Connection: Close\r\n"), closing, "Host=a;-Connection=Close;"},
      {"keep-alive", get("Connection: keep-alive\r\n"), plain, "Host=a;-Connection=keep-alive;"},
      {"close and keep-alive", get("Connection: close, keep-alive\r\n"), closing,
       "Host=a;-Connection=close, keep-alive;"},
      {"close in the second field", get("Connection: keep-alive\r\nConnection: close\r\n"), closing,
       "Host=a;-Connection=keep-alive;-Connection=close;"},
      {"close is a whole word", get("Connection: closed\r\n"), plain, "Host=a;-Connection=closed;"},
      {"empty connection", get("Connection:\r\n"), plain, "Host=a;-Connection=;"},
      {"empty elements", get("Connection: ,, close ,\r\n"), closing, "Host=a;-Connection=,, close ,;"},
      {"32 connection options", get("Connection: a" + repeat(",a", 31) + "\r\n"), plain,
       "Host=a;-Connection=a" + repeat(",a", 31) + ";"},
      {"nominated field", get("Connection: X-A\r\nX-A: b\r\nX-B: c\r\n"), plain,
       "Host=a;-Connection=X-A;-X-A=b;X-B=c;"},
      {"nominated before it comes", only("X-A: b\r\nConnection: x-a\r\nHost: a\r\n"), plain,
       "-X-A=b;-Connection=x-a;Host=a;"},
      {"nominated twice and many", get("X-A: b\r\nX-A: c\r\nX-B: d\r\nConnection: x-a,x-b\r\n"), plain,
       "Host=a;-X-A=b;-X-A=c;-X-B=d;-Connection=x-a,x-b;"},
      {"nominated end-to-end fields stay",
       get("Connection: host, authorization, cookie, content-type, cache-control, via, content-length\r\n"
           "Authorization: x\r\nCookie: a=b\r\nContent-Type: t/p\r\nCache-Control: no-store\r\nVia: 1.1 "
           "p\r\n"),
       plain,
       "Host=a;-Connection=host, authorization, cookie, content-type, cache-control, via, content-length;"
       "Authorization=x;Cookie=a=b;Content-Type=t/p;Cache-Control=no-store;Via=1.1 p;"},
      {"nominated identity goes", get("Connection: X-Passport\r\nX-Passport: e30=\r\n"), plain,
       "Host=a;-Connection=X-Passport;-X-Passport=e30=;"},
      {"hop-by-hop fields",
       get("Keep-Alive: timeout=5\r\nTE: trailers\r\nTrailer: X-T\r\nUpgrade: h2c\r\nProxy-Connection: "
           "keep-alive\r\n"
           "Proxy-Authorization: Basic eA==\r\nHTTP2-Settings: AAMA\r\n"),
       plain,
       "Host=a;-Keep-Alive=timeout=5;-TE=trailers;-Trailer=X-T;-Upgrade=h2c;-Proxy-Connection=keep-alive;"
       "-Proxy-Authorization=Basic eA==;-HTTP2-Settings=AAMA;"},
      {"websocket handshake",
       get("Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"),
       plain, "Host=a;-Connection=Upgrade;-Upgrade=websocket;Sec-WebSocket-Key=dGhlIHNhbXBsZSBub25jZQ==;"},
      {"h2c upgrade", get("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n"),
       plain, "Host=a;-Connection=Upgrade, HTTP2-Settings;-Upgrade=h2c;-HTTP2-Settings=AAMA;"},
      {"framing for CGI", get("Content_Length: 5\r\nTransfer.Encoding: chunked\r\nContent_Type: a/b\r\n"),
       plain, "Host=a;-Content_Length=5;-Transfer.Encoding=chunked;Content_Type=a/b;"},
  };
  cases.insert(cases.end(), more.begin(), more.end());
}

inline void add_accepted_bodies(std::vector<AcceptedRequest>& cases) {
  const auto cl = [](std::string_view length, const std::string& body) {
    const std::string n(length);
    return AcceptedRequest{"", post("Content-Length: " + n + "\r\n", body), "POST / @a 1.1 keep length:" + n,
                           "Host=a;Content-Length=" + n + ";", body};
  };
  std::vector<AcceptedRequest> more = {cl("5", "hello"), cl("0", ""), cl("1", "\n"), cl("4", "\r\n\r\n")};
  more[0].name = "length 5";
  more[1].name = "length 0";
  more[2].name = "length 1";
  more[3].name = "a body that looks like a blank line";
  const std::string te = "Host=a;-Transfer-Encoding=chunked;";
  const std::string head = "POST / @a 1.1 keep chunked";
  const std::vector<AcceptedRequest> rest = {
      {"body of any bytes", post("Content-Length: 4\r\n", text("\0\x01\xff\x80")),
       "POST / @a 1.1 keep length:4", "Host=a;Content-Length=4;", text("\0\x01\xff\x80")},
      {"length with space around", post("Content-Length:  5 \t\r\n", "hello"), "POST / @a 1.1 keep length:5",
       "Host=a;Content-Length=5;", "hello"},
      {"get with content", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi",
       "GET / @a 1.1 keep length:2", "Host=a;Content-Length=2;", "hi"},
      {"head with content", "HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi",
       "HEAD / @a 1.1 keep length:2", "Host=a;Content-Length=2;", "hi"},
      {"options with content", "OPTIONS * HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi",
       "OPTIONS * @a 1.1 keep length:2", "Host=a;Content-Length=2;", "hi"},
      {"delete with content", "DELETE /a HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi",
       "DELETE /a @a 1.1 keep length:2", "Host=a;Content-Length=2;", "hi"},
      {"trace without content, said", "TRACE / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
       "TRACE / @a 1.1 keep length:0", "Host=a;Content-Length=0;"},
      {"expectation with length", post("Expect: 100-continue\r\nContent-Length: 2\r\n", "hi"),
       "POST / @a 1.1 keep length:2 expect", "Host=a;Expect=100-continue;Content-Length=2;", "hi"},
      {"expectation in capitals", post("Expect: 100-CONTINUE\r\nContent-Length: 2\r\n", "hi"),
       "POST / @a 1.1 keep length:2 expect", "Host=a;Expect=100-CONTINUE;Content-Length=2;", "hi"},
      {"expectation with length 0", post("Expect: 100-continue\r\nContent-Length: 0\r\n"),
       "POST / @a 1.1 keep length:0", "Host=a;Expect=100-continue;Content-Length=0;"},
      {"expectation with chunks", post("Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
       "POST / @a 1.1 keep chunked expect", "Host=a;Expect=100-continue;-Transfer-Encoding=chunked;"},
      {"no chunk", chunks("0\r\n\r\n"), head, te},
      {"one chunk", chunks("5\r\nhello\r\n0\r\n\r\n"), head, te, "hello"},
      {"two chunks", chunks("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"), head, te, "hello world"},
      {"chunk size in capitals", chunks("A\r\n0123456789\r\n0\r\n\r\n"), head, te, "0123456789"},
      {"chunk size in small letters", chunks("a\r\n0123456789\r\n0\r\n\r\n"), head, te, "0123456789"},
      {"chunk size with leading zeros", chunks("0000000000000005\r\nhello\r\n0\r\n\r\n"), head, te, "hello"},
      {"last chunk of many zeros", chunks("5\r\nhello\r\n0000\r\n\r\n"), head, te, "hello"},
      {"chunk of crlf", chunks("4\r\n\r\n\r\n\r\n0\r\n\r\n"), head, te, "\r\n\r\n"},
      {"chunk that looks like an end", chunks("5\r\n0\r\n\r\n\r\n0\r\n\r\n"), head, te, "0\r\n\r\n"},
      {"extension", chunks("5;a\r\nhello\r\n0\r\n\r\n"), head, te, "hello"},
      {"extension with value", chunks("5;a=b\r\nhello\r\n0;c=d\r\n\r\n"), head, te, "hello"},
      {"extension in quotes", chunks("5;a=\"b;c\\\"\xe9\t\"\r\nhello\r\n0\r\n\r\n"), head, te, "hello"},
      {"empty quotes", chunks("5;a=\"\"\r\nhello\r\n0\r\n\r\n"), head, te, "hello"},
      {"many extensions", chunks("5;a;b=c;d=\"e\";f\r\nhello\r\n0\r\n\r\n"), head, te, "hello"},
      {"extension with bad white space", chunks("5; a = b ; c\r\nhello\r\n0\r\n\r\n"), head, te, "hello"},
      {"extension of 256 bytes", chunks("5;" + std::string(256, 'a') + "\r\nhello\r\n0\r\n\r\n"), head, te,
       "hello"},
      {"signed chunks",
       chunks(repeat("5;chunk-signature=" + std::string(64, 'f') + "\r\nhello\r\n", 100) + "0\r\n\r\n"), head,
       te, repeat("hello", 100)},
      {"trailer", chunks("5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n"), head, te, "hello"},
      {"trailers", chunks("0\r\nX-A: b\r\nX-C:\r\nGrpc-Status:0\r\n\r\n"), head, te},
      {"trailer that stole a name of ours", chunks("0\r\nX-Passport: e30=\r\nX_Passport: e30=\r\n\r\n"), head,
       te},
      {"trailer with a long name", chunks("0\r\n" + std::string(100, 'a') + ": b\r\n\r\n"), head, te},
      {"trailer whose name only begins like a forbidden one", chunks("0\r\nContent-Lengths: b\r\n\r\n"), head,
       te},
      {"32 trailers", chunks("0\r\n" + repeat("X-A: b\r\n", 32) + "\r\n"), head, te},
      {"chunked in capitals", post("Transfer-Encoding: CHUNKED\r\n", "1\r\nx\r\n0\r\n\r\n"), head,
       "Host=a;-Transfer-Encoding=CHUNKED;", "x"},
      {"chunked with space around", post("Transfer-Encoding: \t chunked \t\r\n", "1\r\nx\r\n0\r\n\r\n"), head,
       "Host=a;-Transfer-Encoding=chunked;", "x"},
      {"te announces trailers", post("TE: trailers, deflate;q=0.5\r\nConnection: TE\r\n"),
       "POST / @a 1.1 keep none", "Host=a;-TE=trailers, deflate;q=0.5;-Connection=TE;"},
  };
  more.insert(more.end(), rest.begin(), rest.end());
  cases.insert(cases.end(), more.begin(), more.end());
}

inline std::vector<AcceptedRequest> accepted_requests() {
  std::vector<AcceptedRequest> cases;
  add_accepted_lines(cases);
  add_accepted_hosts(cases);
  add_accepted_fields(cases);
  add_accepted_connections(cases);
  add_accepted_bodies(cases);
  return cases;
}

}  // namespace weir::http::testing

#endif  // WEIR_HTTP_TESTING_ACCEPTED_REQUESTS_H_
