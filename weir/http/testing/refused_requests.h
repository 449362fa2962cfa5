// For tests: requests that must be refused, each with the rule that it breaks. The classes: request line and
// version, target, Host, field grammar, Content-Length, Transfer-Encoding, both, chunks, trailers, bounds;
// among them the framing faults that other servers have had (named by their CVE).
#ifndef WEIR_HTTP_TESTING_REFUSED_REQUESTS_H_
#define WEIR_HTTP_TESTING_REFUSED_REQUESTS_H_

#include <string>
#include <string_view>
#include <vector>

namespace weir::http::testing {

struct Rule {
  int status;
  std::string_view what;
  std::string_view section;
};

struct RefusedRequest {
  std::string_view name;
  std::string bytes;
  Rule rule;
};

inline constexpr Rule kBareLf{400, "bare_lf", "RFC 9112 2.2"};
inline constexpr Rule kBareCr{400, "bare_cr", "RFC 9112 2.2"};
inline constexpr Rule kEmptyLines{400, "empty_lines", "RFC 9112 2.2"};
inline constexpr Rule kLine{400, "bad_request_line", "RFC 9112 3"};
inline constexpr Rule kMethod{400, "bad_method", "RFC 9112 3.1"};
inline constexpr Rule kMethodLong{400, "method_too_long", "RFC 9110 9.1"};
inline constexpr Rule kTarget{400, "bad_target", "RFC 9112 3.2"};
inline constexpr Rule kFragment{400, "fragment_in_target", "RFC 9112 3.2"};
inline constexpr Rule kForm{400, "bad_target_form", "RFC 9112 3.2"};
inline constexpr Rule kAsterisk{400, "asterisk_without_options", "RFC 9112 3.2.4"};
inline constexpr Rule kConnect{400, "bad_connect_target", "RFC 9112 3.2.3"};
inline constexpr Rule kTargetAuthority{400, "bad_target_authority", "RFC 9112 3.2.2"};
inline constexpr Rule kMismatch{400, "host_mismatch", "RFC 9112 3.2.2"};
inline constexpr Rule kTargetLong{414, "target_too_long", "RFC 9110 15.5.15"};
inline constexpr Rule kVersion{400, "bad_version", "RFC 9112 2.3"};
inline constexpr Rule kUnsupported{505, "unsupported_version", "RFC 9110 15.6.6"};
inline constexpr Rule kNoHost{400, "no_host", "RFC 9112 3.2"};
inline constexpr Rule kTwoHosts{400, "two_hosts", "RFC 9112 3.2"};
inline constexpr Rule kEmptyHost{400, "empty_host", "RFC 9110 4.2.1"};
inline constexpr Rule kHost{400, "bad_host", "RFC 9112 3.2"};
inline constexpr Rule kEmptyName{400, "empty_name", "RFC 9112 5"};
inline constexpr Rule kNoColon{400, "no_colon", "RFC 9112 5"};
inline constexpr Rule kSpace{400, "space_in_name", "RFC 9112 5.1"};
inline constexpr Rule kName{400, "bad_name", "RFC 9110 5.1"};
inline constexpr Rule kFold{400, "obs_fold", "RFC 9112 5.2"};
inline constexpr Rule kValue{400, "control_in_value", "RFC 9110 5.5"};
inline constexpr Rule kCl{400, "bad_cl", "RFC 9110 8.6"};
inline constexpr Rule kTwoCl{400, "two_cl", "RFC 9110 8.6"};
inline constexpr Rule kTe{400, "te_not_chunked", "RFC 9112 6.1"};
inline constexpr Rule kTwoTe{400, "two_te", "RFC 9112 6.1"};
inline constexpr Rule kTe10{400, "te_on_1_0", "RFC 9112 6.1"};
inline constexpr Rule kClAndTe{400, "cl_and_te", "RFC 9112 6.3"};
inline constexpr Rule kExpect{417, "bad_expect", "RFC 9110 10.1.1"};
inline constexpr Rule kTrace{400, "trace_content", "RFC 9110 9.3.8"};
inline constexpr Rule kOption{400, "bad_connection_option", "RFC 9110 7.6.1"};
inline constexpr Rule kOptions{400, "too_many_connection_options", "RFC 9110 7.6.1"};
inline constexpr Rule kLineLong{431, "line_too_long", "RFC 6585 5"};
inline constexpr Rule kHeadLarge{431, "head_too_large", "RFC 6585 5"};
inline constexpr Rule kFieldsMany{431, "too_many_fields", "RFC 6585 5"};
inline constexpr Rule kSize{400, "bad_chunk_size", "RFC 9112 7.1"};
inline constexpr Rule kSizeLong{400, "chunk_size_too_long", "RFC 9112 7.1"};
inline constexpr Rule kSizeOverflow{400, "chunk_size_overflow", "RFC 9112 7.1"};
inline constexpr Rule kSizeLf{400, "bare_lf", "RFC 9112 7.1"};
inline constexpr Rule kSizeCr{400, "bare_cr", "RFC 9112 7.1"};
inline constexpr Rule kChunkEnd{400, "no_crlf_after_chunk", "RFC 9112 7.1"};
inline constexpr Rule kExtension{400, "bad_chunk_extension", "RFC 9112 7.1.1"};
inline constexpr Rule kExtensionLf{400, "bare_lf", "RFC 9112 7.1.1"};
inline constexpr Rule kExtensionLong{400, "chunk_extension_too_long", "RFC 9112 7.1.1"};
inline constexpr Rule kOverhead{400, "chunk_overhead", "RFC 9112 7.1.1"};
inline constexpr Rule kTrailer{400, "forbidden_trailer", "RFC 9110 6.5.1"};
inline constexpr Rule kTrailerName{400, "bad_name", "RFC 9112 5.1"};
inline constexpr Rule kTrailersLarge{431, "trailers_too_large", "RFC 6585 5"};
inline constexpr Rule kTrailersMany{431, "too_many_trailers", "RFC 6585 5"};

// A literal that may hold NUL.
template <std::size_t N>
std::string text(const char (&literal)[N]) {
  return std::string(literal, N - 1);
}
// A request line, with all else in order.
inline std::string line(const std::string& request_line) { return request_line + "\r\nHost: a\r\n\r\n"; }
// Field lines (each with its CRLF) of a request that has its Host.
inline std::string get(const std::string& fields) {
  return "GET / HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n";
}
inline std::string post(const std::string& fields, const std::string& body = {}) {
  return "POST / HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n" + body;
}
// All field lines of a GET.
inline std::string only(const std::string& fields) { return "GET / HTTP/1.1\r\n" + fields + "\r\n"; }
inline std::string chunks(const std::string& body) { return post("Transfer-Encoding: chunked\r\n", body); }
inline std::string repeat(std::string_view what, std::size_t n) {
  std::string all;
  for (std::size_t i = 0; i < n; ++i) all += what;
  return all;
}

inline void add_request_lines(std::vector<RefusedRequest>& cases) {
  const std::vector<RefusedRequest> more = {
      {"lf only", text("GET / HTTP/1.1\nHost: a\n\n"), kBareLf},
      {"lf after the request line only", "GET / HTTP/1.1\nHost: a\r\n\r\n", kBareLf},
      {"leading lf", "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", kBareLf},
      {"lf in the method", "GE\nT / HTTP/1.1\r\n", kBareLf},
      {"lf in the target", "GET /a\nb HTTP/1.1\r\n", kBareLf},
      {"lf in the version", "GET / HTTP/1.\n1\r\n", kBareLf},
      {"cr only", text("GET / HTTP/1.1\rHost: a\r\r"), kBareCr},
      {"two empty lines first", "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", kEmptyLines},
      {"cr and no lf first", "\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", kBareCr},
      {"leading space", line(" GET / HTTP/1.1"), kMethod},
      {"leading tab", line("\tGET / HTTP/1.1"), kMethod},
      {"leading nul", line(text("\0GET / HTTP/1.1")), kMethod},
      {"white space only", "   \r\n\r\n", kMethod},
      {"no method", line("/ HTTP/1.1"), kMethod},
      {"method with a comma", line("GET, / HTTP/1.1"), kMethod},
      {"method with a slash", line("GET/ / HTTP/1.1"), kMethod},
      {"method with a colon", line("GET: / HTTP/1.1"), kMethod},
      {"method with a bracket", line("G{E}T / HTTP/1.1"), kMethod},
      {"method with a quote", line("\"GET\" / HTTP/1.1"), kMethod},
      {"method with del", line("GET\x7f / HTTP/1.1"), kMethod},
      {"method not ascii", line("G\xc3\x89T / HTTP/1.1"), kMethod},
      {"tab between method and target", line("GET\t/ HTTP/1.1"), kMethod},
      {"vertical tab after the method", line("GET\v/ HTTP/1.1"), kMethod},
      {"method of 33 bytes", line(std::string(33, 'M') + " / HTTP/1.1"), kMethodLong},
      {"method without end", std::string(100'000, 'A'), kMethodLong},
      {"tls client hello", text("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), kMethod},
      {"random bytes", text("\x80\xff\x00\x01garbage"), kMethod},
      {"http/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", kUnsupported},
      {"redis", "*1\r\n$4\r\nPING\r\n", kLine},
      {"smtp", "EHLO example.com\r\n", kLine},
      {"proxy protocol v1", "PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
       kVersion},
      {"method only", line("GET"), kLine},
      {"method and space only", line("GET "), kLine},
      {"no target", line("GET  HTTP/1.1"), kLine},
      {"two spaces before the target", line("GET  / HTTP/1.1"), kLine},
      {"two spaces before the version", line("GET /  HTTP/1.1"), kVersion},
      {"tab before the version", line("GET /\tHTTP/1.1"), kTarget},
      {"space in the target", line("GET /a b HTTP/1.1"), kVersion},
      {"space after the version", line("GET / HTTP/1.1 "), kVersion},
      {"tab after the version", line("GET / HTTP/1.1\t"), kVersion},
      {"word after the version", line("GET / HTTP/1.1 x"), kVersion},
      {"cr in the version", "GET / HTTP/\r1.1\r\nHost: a\r\n\r\n", kVersion},
      {"cr before crlf", line("GET / HTTP/1.1\r"), kBareCr},
      {"http/0.9", "GET /\r\n", kLine},
      {"http/0.9 with a version", line("GET / HTTP/0.9"), kUnsupported},
      {"http/1.2", line("GET / HTTP/1.2"), kUnsupported},
      {"http/1.9", line("GET / HTTP/1.9"), kUnsupported},
      {"http/2.0", line("GET / HTTP/2.0"), kUnsupported},
      {"http/3.0", line("GET / HTTP/3.0"), kUnsupported},
      {"http/9.9", line("GET / HTTP/9.9"), kUnsupported},
      {"http/2", line("GET / HTTP/2"), kVersion},
      {"http/1", line("GET / HTTP/1"), kVersion},
      {"http/1.", line("GET / HTTP/1."), kVersion},
      {"http/.1", line("GET / HTTP/.1"), kVersion},
      {"http/1.10", line("GET / HTTP/1.10"), kVersion},
      {"http/01.1", line("GET / HTTP/01.1"), kVersion},
      {"http/1.01", line("GET / HTTP/1.01"), kVersion},
      {"http/11.1", line("GET / HTTP/11.1"), kVersion},
      {"http/1,1", line("GET / HTTP/1,1"), kVersion},
      {"http/1 .1", line("GET / HTTP/1 .1"), kVersion},
      {"http / 1.1", line("GET / HTTP / 1.1"), kVersion},
      {"http/+1.1", line("GET / HTTP/+1.1"), kVersion},
      {"http/x.y", line("GET / HTTP/x.y"), kVersion},
      {"lower-case http", line("GET / http/1.1"), kVersion},
      {"mixed-case http", line("GET / Http/1.1"), kVersion},
      {"https/1.1", line("GET / HTTPS/1.1"), kVersion},
      {"htp/1.1", line("GET / HTP/1.1"), kVersion},
      {"icy/1.1", line("GET / ICY/1.1"), kVersion},
      {"no slash", line("GET / HTTP1.1"), kVersion},
  };
  cases.insert(cases.end(), more.begin(), more.end());
}

inline void add_targets(std::vector<RefusedRequest>& cases) {
  const std::vector<RefusedRequest> more = {
      {"fragment", line("GET /a#b HTTP/1.1"), kFragment},
      {"fragment only", line("GET # HTTP/1.1"), kFragment},
      {"fragment in an absolute target", line("GET http://a/#b HTTP/1.1"), kFragment},
      {"nul in the target", line(text("GET /a\0b HTTP/1.1")), kTarget},
      {"control in the target", line("GET /a\x01 HTTP/1.1"), kTarget},
      {"escape in the target", line("GET /a\x1b[0m HTTP/1.1"), kTarget},
      {"del in the target", line("GET /a\x7f HTTP/1.1"), kTarget},
      {"form feed in the target", line("GET /a\f HTTP/1.1"), kTarget},
      {"utf-8 in the target", line("GET /caf\xc3\xa9 HTTP/1.1"), kTarget},
      {"latin-1 in the target", line("GET /caf\xe9 HTTP/1.1"), kTarget},
      {"overlong utf-8 in the target", line("GET /\xc0\xaf HTTP/1.1"), kTarget},
      {"byte 0xff in a long target", line("GET /" + std::string(40, 'a') + "\xff HTTP/1.1"), kTarget},
      {"cr in the target", "GET /a\rb HTTP/1.1\r\nHost: a\r\n\r\n", kLine},
      {"target without slash", line("GET index.html HTTP/1.1"), kForm},
      {"target is a query", line("GET ?a=b HTTP/1.1"), kForm},
      {"target is a backslash path", line("GET \\a HTTP/1.1"), kForm},
      {"target is a host", line("GET example.com HTTP/1.1"), kForm},
      {"authority-form with get", line("GET a:80 HTTP/1.1"), kForm},
      {"asterisk with get", line("GET * HTTP/1.1"), kAsterisk},
      {"asterisk with post", line("POST * HTTP/1.1"), kAsterisk},
      {"asterisk with head", line("HEAD * HTTP/1.1"), kAsterisk},
      {"asterisk with a path", line("OPTIONS */a HTTP/1.1"), kForm},
      {"lower-case options with asterisk", line("options * HTTP/1.1"), kAsterisk},
      {"connect with a path", line("CONNECT / HTTP/1.1"), kConnect},
      {"connect without port", line("CONNECT a HTTP/1.1"), kConnect},
      {"connect with an empty port", line("CONNECT a: HTTP/1.1"), kConnect},
      {"connect with a url", line("CONNECT http://a:80/ HTTP/1.1"), kConnect},
      {"connect with user", line("CONNECT u@a:80 HTTP/1.1"), kConnect},
      {"connect with port 65536", line("CONNECT a:65536 HTTP/1.1"), kConnect},
      {"ftp target", line("GET ftp://a/ HTTP/1.1"), kForm},
      {"file target", line("GET file:///etc/passwd HTTP/1.1"), kForm},
      {"javascript target", line("GET javascript:alert(1) HTTP/1.1"), kForm},
      {"one slash behind the scheme", line("GET http:/a HTTP/1.1"), kForm},
      {"scheme only", line("GET http:// HTTP/1.1"), kTargetAuthority},
      {"absolute target without host", line("GET http:///a HTTP/1.1"), kTargetAuthority},
      {"absolute target with user", line("GET http://u@a/ HTTP/1.1"), kTargetAuthority},
      {"absolute target with user and password", line("GET http://u:p@a/ HTTP/1.1"), kTargetAuthority},
      {"absolute target with a bad port", line("GET http://a:x/ HTTP/1.1"), kTargetAuthority},
      {"absolute target with port 99999", line("GET http://a:99999/ HTTP/1.1"), kTargetAuthority},
      {"absolute target with an open bracket", line("GET http://[::1/ HTTP/1.1"), kTargetAuthority},
      {"absolute target of another host", line("GET http://b/ HTTP/1.1"), kMismatch},
      {"absolute target with another port", line("GET http://a:81/ HTTP/1.1"), kMismatch},
      {"absolute target and no host", "GET http://a/ HTTP/1.1\r\n\r\n", kNoHost},
      {"absolute https target of another host", line("GET https://b/ HTTP/1.1"), kMismatch},
      {"target of 8193 bytes", line("GET /" + std::string(8192, 'a') + " HTTP/1.1"), kTargetLong},
      {"target without end", "GET /" + std::string(100'000, 'a'), kTargetLong},
  };
  cases.insert(cases.end(), more.begin(), more.end());
}

inline void add_hosts(std::vector<RefusedRequest>& cases) {
  const std::vector<RefusedRequest> more = {
      {"no fields at all", "GET / HTTP/1.1\r\n\r\n", kNoHost},
      {"no host", only("Accept: */*\r\n"), kNoHost},
      {"two hosts", only("Host: a\r\nHost: b\r\n"), kTwoHosts},
      {"two equal hosts", only("Host: a\r\nHost: a\r\n"), kTwoHosts},
      {"two hosts in different case", only("Host: a\r\nHOST: a\r\n"), kTwoHosts},
      {"two hosts, the first empty", only("Host:\r\nHost: a\r\n"), kTwoHosts},
      {"two hosts on 1.0", "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", kTwoHosts},
      {"empty host", only("Host:\r\n"), kEmptyHost},
      {"host of spaces", only("Host:   \r\n"), kEmptyHost},
      {"empty host on 1.0", "GET / HTTP/1.0\r\nHost:\r\n\r\n", kEmptyHost},
      {"host list", only("Host: a, b\r\n"), kHost},
      {"host list without space", only("Host: a,b\r\n"), kHost},
      {"host with a path", only("Host: a/b\r\n"), kHost},
      {"host with a query", only("Host: a?b\r\n"), kHost},
      {"host with a fragment", only("Host: a#b\r\n"), kHost},
      {"host with user", only("Host: u@a\r\n"), kHost},
      {"host with scheme", only("Host: http://a\r\n"), kHost},
      {"host with a space", only("Host: a b\r\n"), kHost},
      {"host with a tab", only("Host: a\tb\r\n"), kHost},
      {"host with a backslash", only("Host: a\\b\r\n"), kHost},
      {"host with a percent escape", only("Host: a%2fb\r\n"), kHost},
      {"host with utf-8", only("Host: caf\xc3\xa9.example\r\n"), kHost},
      {"host with a bad port", only("Host: a:b\r\n"), kHost},
      {"host with a negative port", only("Host: a:-1\r\n"), kHost},
      {"host with port 65536", only("Host: a:65536\r\n"), kHost},
      {"host with a long port", only("Host: a:000080\r\n"), kHost},
      {"host with two ports", only("Host: a:80:80\r\n"), kHost},
      {"host with an empty port", only("Host: a:\r\n"), kHost},
      {"port only", only("Host: :80\r\n"), kHost},
      {"host in quotes", only("Host: \"a\"\r\n"), kHost},
      {"bare ipv6 host", only("Host: ::1\r\n"), kHost},
      {"ipv6 host with a zone", only("Host: [fe80::1%25eth0]\r\n"), kHost},
      {"ipv6 host without end", only("Host: [::1\r\n"), kHost},
      {"ipv6 host with text behind", only("Host: [::1]a\r\n"), kHost},
      {"ipv6 host with nine groups", only("Host: [1:2:3:4:5:6:7:8:9]\r\n"), kHost},
      {"ipv6 host with two gaps", only("Host: [1::2::3]\r\n"), kHost},
      {"empty ipv6 host", only("Host: []\r\n"), kHost},
      {"space before the colon of host", only("Host : a\r\n"), kSpace},
      {"folded host", only("Host:\r\n a\r\n"), kFold},
  };
  cases.insert(cases.end(), more.begin(), more.end());
}

inline void add_fields(std::vector<RefusedRequest>& cases) {
  const std::vector<RefusedRequest> more = {
      {"empty name (CVE-2023-25725)", get(": x\r\n"), kEmptyName},
      {"empty name before host", only(": x\r\nHost: a\r\n"), kEmptyName},
      {"colon only", get(":\r\n"), kEmptyName},
      {"no colon", get("Accept\r\n"), kNoColon},
      {"no colon, last line", get("X-A: b\r\nrubbish\r\n"), kNoColon},
      {"space before the colon", get("X-A : b\r\n"), kSpace},
      {"tab before the colon", get("X-A\t: b\r\n"), kSpace},
      {"space in the name", get("X A: b\r\n"), kSpace},
      {"name with a comma", get("X,A: b\r\n"), kName},
      {"name with a bracket", get("X[A]: b\r\n"), kName},
      {"name with a slash", get("X/A: b\r\n"), kName},
      {"name with at", get("X@A: b\r\n"), kName},
      {"name with equals", get("X=A: b\r\n"), kName},
      {"name with a semicolon", get("X;A: b\r\n"), kName},
      {"name with a quote", get("\"X\": b\r\n"), kName},
      {"name with nul", get(text("X\0A: b\r\n")), kName},
      {"name with del", get("X\x7f: b\r\n"), kName},
      {"name with a control", get("X\x01: b\r\n"), kName},
      {"name with vertical tab", get("X-A\v: b\r\n"), kName},
      {"name with utf-8", get("X-\xc3\xa9: b\r\n"), kName},
      {"name with soft hyphen", get("Content\xadLength: 5\r\n"), kName},
      {"cr in a name", get("X\rA: b\r\n"), kNoColon},
      {"lf in a name", get("X\nA: b\r\n"), kBareLf},
      {"fold with space", get("X-A: b\r\n c\r\n"), kFold},
      {"fold with tab", get("X-A: b\r\n\tc\r\n"), kFold},
      {"space before the first field", only(" Host: a\r\n"), kFold},
      {"tab before the first field", only("\tHost: a\r\n"), kFold},
      {"space line before the fields", "GET / HTTP/1.1\r\n \r\nHost: a\r\n\r\n", kFold},
      {"nul in a value", get(text("X-A: b\0c\r\n")), kValue},
      {"nul at the end of a value", get(text("X-A: b\0\r\n")), kValue},
      {"bell in a value", get("X-A: b\a\r\n"), kValue},
      {"escape in a value", get("X-A: \x1b[31m\r\n"), kValue},
      {"backspace in a value", get("X-A: a\b\r\n"), kValue},
      {"vertical tab in a value", get("X-A: a\vb\r\n"), kValue},
      {"form feed in a value", get("X-A: a\fb\r\n"), kValue},
      {"del in a value", get("X-A: a\x7f\r\n"), kValue},
      {"control far into a value", get("X-A: " + std::string(37, 'a') + "\x02\r\n"), kValue},
      {"control in a cookie", get("Cookie: a=\x01\r\n"), kValue},
      {"nul in a cookie", get(text("Cookie: a=b\0c\r\n")), kValue},
      {"bare cr in a value", get("X-A: b\rc\r\n"), kBareCr},
      {"cr at the end of a value", get("X-A: b\r\r\n"), kBareCr},
      {"cr starts a value", get("X-A: \rb\r\n"), kBareCr},
      {"smuggled field behind a bare cr", get("X-A: b\rTransfer-Encoding: chunked\r\n"), kBareCr},
      {"bare lf in a value", get("X-A: b\nc: d\r\n"), kBareLf},
      {"lf ends a field", get("X-A: b\nX-C: d\r\n"), kBareLf},
      {"lf ends the last field", "GET / HTTP/1.1\r\nHost: a\n\r\n", kBareLf},
      {"lf as the blank line", "GET / HTTP/1.1\r\nHost: a\r\n\n", kBareLf},
      {"cr as the blank line", "GET / HTTP/1.1\r\nHost: a\r\n\rX", kBareCr},
      {"lf lf", "GET / HTTP/1.1\r\nHost: a\n\n", kBareLf},
      {"unknown expectation", get("Expect: 200-ok\r\n"), kExpect},
      {"expectation with parameter", get("Expect: 100-continue;a=b\r\n"), kExpect},
      {"two expectations in one", get("Expect: 100-continue, 100-continue\r\n"), kExpect},
      {"empty expectation", get("Expect:\r\n"), kExpect},
      {"connection option in quotes", get("Connection: \"close\"\r\n"), kOption},
      {"connection option with semicolon", get("Connection: close; x\r\n"), kOption},
      {"connection option with a space", get("Connection: keep alive\r\n"), kOption},
      {"33 connection options", get("Connection: a" + repeat(",a", 32) + "\r\n"), kOptions},
      {"33 connection options in many fields", get(repeat("Connection: a\r\n", 33)), kOptions},
      {"trace with content", "TRACE / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", kTrace},
      {"trace with chunks", "TRACE / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", kTrace},
  };
  cases.insert(cases.end(), more.begin(), more.end());
}

inline void add_lengths(std::vector<RefusedRequest>& cases) {
  const auto cl = [](const std::string& value) { return post("Content-Length: " + value + "\r\n"); };
  const std::vector<RefusedRequest> more = {
      {"cl empty (CVE-2023-40225)", post("Content-Length:\r\n"), kCl},
      {"cl of spaces", cl("  "), kCl},
      {"cl with plus", cl("+5"), kCl},
      {"cl negative", cl("-5"), kCl},
      {"cl minus zero", cl("-0"), kCl},
      {"cl hexadecimal", cl("0x5"), kCl},
      {"cl hexadecimal digit", cl("a"), kCl},
      {"cl octal mark", cl("0o5"), kCl},
      {"cl leading zeros", cl("007"), kCl},
      {"cl leading zero, octal to some", cl("0200"), kCl},
      {"cl double zero", cl("00"), kCl},
      {"cl with a fraction", cl("5.0"), kCl},
      {"cl with an exponent", cl("5e0"), kCl},
      {"cl with underscore", cl("1_0"), kCl},
      {"cl with a thousands comma", cl("1,000"), kCl},
      {"cl with a space inside", cl("1 0"), kCl},
      {"cl with a tab inside", cl("1\t0"), kCl},
      {"cl with text behind", cl("5abc"), kCl},
      {"cl with text before", cl("abc5"), kCl},
      {"cl with a semicolon", cl("5;"), kCl},
      {"cl in quotes", cl("\"5\""), kCl},
      {"cl list of equals", cl("5, 5"), kCl},
      {"cl list of three equals", cl("5, 5, 5"), kCl},
      {"cl list of different", cl("5, 6"), kCl},
      {"cl list with an empty element", cl("5,"), kCl},
      {"cl not ascii", cl("\xd9\xa5"), kCl},
      {"cl with nul", cl(text("5\0")), kValue},
      {"cl 2^63", cl("9223372036854775808"), kCl},
      {"cl 2^64", cl("18446744073709551616"), kCl},
      {"cl 2^64 + 5", cl("18446744073709551621"), kCl},
      {"cl of 30 digits", cl("999999999999999999999999999999"), kCl},
      {"two different cl", post("Content-Length: 5\r\nContent-Length: 6\r\n"), kTwoCl},
      {"two equal cl", post("Content-Length: 5\r\nContent-Length: 5\r\n", "hello"), kTwoCl},
      {"two cl in different case", post("Content-Length: 5\r\ncontent-length: 5\r\n"), kTwoCl},
      {"two cl, the first zero", post("Content-Length: 0\r\nContent-Length: 5\r\n"), kTwoCl},
      {"two cl with a field between", post("Content-Length: 5\r\nX-A: b\r\nContent-Length: 5\r\n"), kTwoCl},
      {"space before the colon of cl", post("Content-Length : 5\r\n"), kSpace},
      {"folded cl", post("Content-Length:\r\n 5\r\n"), kCl},
      {"cl behind a long name (CVE-2021-40346)",
       post("Content-Length0" + std::string(255, 'a') + ":\r\nContent-Length: 60\r\nContent-Length: 5\r\n"),
       kTwoCl},
  };
  cases.insert(cases.end(), more.begin(), more.end());
}

inline void add_codings(std::vector<RefusedRequest>& cases) {
  const auto te = [](const std::string& value) {
    return post("Transfer-Encoding: " + value + "\r\n", "0\r\n\r\n");
  };
  const std::vector<RefusedRequest> more = {
      {"te gzip, then cl", post("Transfer-Encoding: gzip\r\nContent-Length: 5\r\n", "hello"), kTe},
      {"cl, then te gzip", post("Content-Length: 5\r\nTransfer-Encoding: gzip\r\n", "hello"), kTe},
      {"te xchunked", te("xchunked"), kTe},
      {"te xchunked and cl", post("Transfer-Encoding: xchunked\r\nContent-Length: 5\r\n", "hello"), kTe},
      {"te chunkedx", te("chunkedx"), kTe},
      {"te chunk", te("chunk"), kTe},
      {"te gzip", te("gzip"), kTe},
      {"te deflate", te("deflate"), kTe},
      {"te identity", te("identity"), kTe},
      {"te identity and cl", post("Transfer-Encoding: identity\r\nContent-Length: 5\r\n", "hello"), kTe},
      {"te cow", te("cow"), kTe},
      {"te empty", post("Transfer-Encoding:\r\n"), kTe},
      {"te empty and cl", post("Transfer-Encoding:\r\nContent-Length: 5\r\n", "hello"), kTe},
      {"te chunked twice in one", te("chunked, chunked"), kTe},
      {"te gzip, chunked", te("gzip, chunked"), kTe},
      {"te chunked, gzip (CVE-2026-2835)", te("chunked, gzip"), kTe},
      {"te identity, chunked", te("identity, chunked"), kTe},
      {"te chunked, identity", te("chunked, identity"), kTe},
      {"te leading comma", te(", chunked"), kTe},
      {"te trailing comma", te("chunked,"), kTe},
      {"te with parameter", te("chunked;a=b"), kTe},
      {"te in quotes", te("\"chunked\""), kTe},
      {"te in single quotes", te("'chunked'"), kTe},
      {"te with a space inside", te("chun ked"), kTe},
      {"te with a tab inside", te("chunked\tx"), kTe},
      {"te with a colon", te(": chunked"), kTe},
      {"te with a bracket", te("[chunked]"), kTe},
      {"te not ascii", te("chunked\xa0"), kTe},
      {"te with 0xff",
       te("\xff"
          "chunked"),
       kTe},
      {"te vertical tab", te("\vchunked"), kValue},
      {"te form feed", te("\fchunked"), kValue},
      {"te nul behind", te(text("chunked\0")), kValue},
      {"te backspace", te("chunke\bd"), kValue},
      {"te bare cr behind", te("chunked\r"), kBareCr},
      {"te bare lf before", post("Transfer-Encoding:\nchunked\r\n"), kBareLf},
      {"te folded", post("Transfer-Encoding:\r\n chunked\r\n"), kTe},
      {"te folded with cl", post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n , identity\r\n"),
       kClAndTe},
      {"te folded behind its value", post("Transfer-Encoding: chunked\r\n , gzip\r\n"), kFold},
      {"te fold of another field", post("X-A: b\r\n Transfer-Encoding: chunked\r\n"), kFold},
      {"space before the colon of te", post("Transfer-Encoding : chunked\r\n"), kSpace},
      {"tab before the colon of te", post("Transfer-Encoding\t: chunked\r\n"), kSpace},
      {"space before te", post(" Transfer-Encoding: chunked\r\n"), kFold},
      {"control before te", post("\x01Transfer-Encoding: chunked\r\n"), kName},
      {"two te", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), kTwoTe},
      {"te chunked, then te identity", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"),
       kTwoTe},
      {"te gzip, then te chunked", post("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n"), kTe},
      {"te on 1.0", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", kTe10},
      {"te and cl on 1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\nhello",
       kTe10},
      {"te identity on 1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: identity\r\n\r\n", kTe10},
      {"cl and te", post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), kClAndTe},
      {"te and cl", post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"), kClAndTe},
      {"cl zero and te", post("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), kClAndTe},
      {"cl and te with connection close",
       post("Connection: close\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\nG"),
       kClAndTe},
      {"cl.te with a request inside",
       post("Content-Length: 35\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\nGET /admin HTTP/1.1\r\nX: x"),
       kClAndTe},
      {"te.cl with a request inside",
       post("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
            "1c\r\nGET /admin HTTP/1.1\r\nX: xx\r\n0\r\n\r\n"),
       kClAndTe},
      {"cl with plus and te", post("Transfer-Encoding: chunked\r\nContent-Length: +5\r\n"), kCl},
      {"cl and te in capitals", post("CONTENT-LENGTH: 5\r\nTRANSFER-ENCODING: CHUNKED\r\n"), kClAndTe},
      {"cl nominated away, and te",
       post("Connection: content-length\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n"), kClAndTe},
  };
  cases.insert(cases.end(), more.begin(), more.end());
}

inline void add_chunks(std::vector<RefusedRequest>& cases) {
  const std::vector<RefusedRequest> more = {
      {"chunk size empty", chunks("\r\nhello\r\n0\r\n\r\n"), kSize},
      {"chunk size with 0x", chunks("0x5\r\nhello\r\n0\r\n\r\n"), kSize},
      {"chunk size with plus", chunks("+5\r\nhello\r\n0\r\n\r\n"), kSize},
      {"chunk size negative", chunks("-1\r\nhello\r\n0\r\n\r\n"), kSize},
      {"chunk size with leading space", chunks(" 5\r\nhello\r\n0\r\n\r\n"), kSize},
      {"chunk size with trailing space", chunks("5 \r\nhello\r\n0\r\n\r\n"), kSize},
      {"chunk size with trailing tab", chunks("5\t\r\nhello\r\n0\r\n\r\n"), kSize},
      {"chunk size with underscore", chunks("1_0\r\nhello\r\n0\r\n\r\n"), kSize},
      {"chunk size with a letter behind", chunks("5g\r\nhello\r\n0\r\n\r\n"), kSize},
      {"chunk size with a comma", chunks("5,\r\nhello\r\n0\r\n\r\n"), kSize},
      {"chunk size with a fraction", chunks("5.0\r\nhello\r\n0\r\n\r\n"), kSize},
      {"chunk size with nul", chunks(text("5\0\r\nhello\r\n0\r\n\r\n")), kSize},
      {"chunk size not ascii", chunks("\xb5\r\nhello\r\n0\r\n\r\n"), kSize},
      {"chunk size is a word", chunks("xyz\r\nhello\r\n0\r\n\r\n"), kSize},
      {"chunk size in quotes", chunks("\"5\"\r\nhello\r\n0\r\n\r\n"), kSize},
      {"semicolon first", chunks(";a=b\r\nhello\r\n0\r\n\r\n"), kSize},
      {"space before the semicolon", chunks("5 ;a=b\r\nhello\r\n0\r\n\r\n"), kSize},
      {"chunk size of 17 digits", chunks("00000000000000005\r\nhello\r\n0\r\n\r\n"), kSizeLong},
      {"chunk size 2^64 + 5", chunks("10000000000000005\r\nhello\r\n0\r\n\r\n"), kSizeLong},
      {"chunk size 2^64 - 1", chunks("ffffffffffffffff\r\nhello\r\n"), kSizeOverflow},
      {"chunk size 2^63", chunks("8000000000000000\r\nhello\r\n"), kSizeOverflow},
      {"chunk size without end", chunks(repeat("0", 5000)), kSizeLong},
      {"chunk line ends in lf", chunks("5\nhello\r\n0\r\n\r\n"), kSizeLf},
      {"chunk line ends in cr", chunks("5\rhello\r\n0\r\n\r\n"), kSizeCr},
      {"chunk line ends in cr cr lf", chunks("5\r\r\nhello\r\n0\r\n\r\n"), kSizeCr},
      {"last chunk line ends in lf", chunks("5\r\nhello\r\n0\n\r\n"), kSizeLf},
      {"chunk data ends in lf", chunks("5\r\nhello\n0\r\n\r\n"), kChunkEnd},
      {"chunk data ends in cr", chunks("5\r\nhello\r0\r\n\r\n"), kChunkEnd},
      {"chunk data without end", chunks("5\r\nhello0\r\n\r\n"), kChunkEnd},
      {"chunk data too long", chunks("5\r\nhello!!\r\n0\r\n\r\n"), kChunkEnd},
      {"chunk data too short", chunks("5\r\nhell\r\n0\r\n\r\n"), kChunkEnd},
      {"chunk data ends in space crlf", chunks("5\r\nhello \r\n0\r\n\r\n"), kChunkEnd},
      {"extension empty", chunks("5;\r\nhello\r\n0\r\n\r\n"), kExtension},
      {"extension of spaces", chunks("5;  \r\nhello\r\n0\r\n\r\n"), kExtension},
      {"extension without name", chunks("5;=b\r\nhello\r\n0\r\n\r\n"), kExtension},
      {"extension without value", chunks("5;a=\r\nhello\r\n0\r\n\r\n"), kExtension},
      {"extension with two equals", chunks("5;a==b\r\nhello\r\n0\r\n\r\n"), kExtension},
      {"extension with two names", chunks("5;a b\r\nhello\r\n0\r\n\r\n"), kExtension},
      {"extension with a bracket", chunks("5;a[b\r\nhello\r\n0\r\n\r\n"), kExtension},
      {"extension with trailing space", chunks("5;a=b \r\nhello\r\n0\r\n\r\n"), kExtension},
      {"extension with two semicolons", chunks("5;;a\r\nhello\r\n0\r\n\r\n"), kExtension},
      {"extension with an open quote", chunks("5;a=\"b\r\nhello\r\n0\r\n\r\n"), kExtension},
      {"extension with text behind a quote", chunks("5;a=\"b\"c\r\nhello\r\n0\r\n\r\n"), kExtension},
      {"extension with an escaped cr", chunks("5;a=\"\\\r\n\"\r\nhello\r\n0\r\n\r\n"), kExtension},
      {"extension with nul", chunks(text("5;a\0b\r\nhello\r\n0\r\n\r\n")), kExtension},
      {"extension with nul in quotes", chunks(text("5;a=\"\0\"\r\nhello\r\n0\r\n\r\n")), kExtension},
      {"extension with del", chunks("5;a\x7f\r\nhello\r\n0\r\n\r\n"), kExtension},
      {"extension with a bare cr", chunks("5;a\rb\r\nhello\r\n0\r\n\r\n"), kSizeCr},
      {"extension with a bare lf", chunks("5;a\nb\r\nhello\r\n0\r\n\r\n"), kExtensionLf},
      {"extension with a bare lf in quotes", chunks("5;a=\"\n\"\r\nhello\r\n0\r\n\r\n"), kExtensionLf},
      {"extension ends in lf", chunks("5;a\nhello\r\n0\r\n\r\n"), kExtensionLf},
      {"extension of the last chunk ends in lf", chunks("0;a\n\r\n"), kExtensionLf},
      {"extension of 257 bytes", chunks("5;" + std::string(257, 'a') + "\r\nhello\r\n0\r\n\r\n"),
       kExtensionLong},
      {"extension without end", chunks("5;a=" + std::string(100'000, 'b')), kExtensionLong},
      {"extensions all over", chunks(repeat("1;" + std::string(250, 'a') + "\r\nx\r\n", 70)), kOverhead},
      {"lf instead of the last crlf", chunks("0\r\n\n"), kBareLf},
      {"cr instead of the last crlf", chunks("0\r\n\rX"), kBareCr},
  };
  cases.insert(cases.end(), more.begin(), more.end());
}

inline void add_trailers(std::vector<RefusedRequest>& cases) {
  const auto trailer = [](const std::string& lines) {
    return chunks("5\r\nhello\r\n0\r\n" + lines + "\r\n");
  };
  for (const std::string_view name : {"Content-Length",
                                      "Transfer-Encoding",
                                      "Host",
                                      "Connection",
                                      "TE",
                                      "Trailer",
                                      "Upgrade",
                                      "Keep-Alive",
                                      "Proxy-Connection",
                                      "Authorization",
                                      "Proxy-Authorization",
                                      "WWW-Authenticate",
                                      "Proxy-Authenticate",
                                      "Cookie",
                                      "Set-Cookie",
                                      "Content-Type",
                                      "Content-Encoding",
                                      "Cache-Control",
                                      "Expect",
                                      "Max-Forwards",
                                      "Forwarded",
                                      "X-Forwarded-For",
                                      "X-Forwarded-Host",
                                      "X-Forwarded-Proto",
                                      "X-Forwarded-Port",
                                      "X-Forwarded-Prefix",
                                      "X-Real-IP",
                                      "Idempotency-Key",
                                      "content-length",
                                      "TRANSFER-ENCODING"})
    cases.push_back({name, trailer(std::string(name) + ": 5\r\n"), kTrailer});
  const std::vector<RefusedRequest> more = {
      {"forbidden second trailer", trailer("X-A: b\r\nContent-Length: 5\r\n"), kTrailer},
      {"trailer without colon", trailer("X-A\r\n"), kTrailerName},
      {"trailer with empty name", trailer(": b\r\n"), kEmptyName},
      {"trailer with space before the colon", trailer("X-A : b\r\n"), kSpace},
      {"trailer with a bad name", trailer("X(A): b\r\n"), kTrailerName},
      {"trailer with nul", trailer(text("X-A: \0\r\n")), kValue},
      {"trailer with a control", trailer("X-A: \x01\r\n"), kValue},
      {"trailer ends in lf", trailer("X-A: b\n"), kBareLf},
      {"trailer with lf in the name", trailer("X\nA: b\r\n"), kBareLf},
      {"trailer with a bare cr", trailer("X-A: b\rc\r\n"), kBareCr},
      {"trailer folded", trailer("X-A: b\r\n c\r\n"), kFold},
      {"trailers start with a space", trailer(" X-A: b\r\n"), kFold},
      {"33 trailers", trailer(repeat("X-A: b\r\n", 33)), kTrailersMany},
      {"trailers over 8 KiB", trailer("X-A: " + std::string(8 * 1024, 'a') + "\r\n"), kTrailersLarge},
      {"trailer name without end", chunks("0\r\n" + std::string(9000, 'a')), kTrailersLarge},
  };
  cases.insert(cases.end(), more.begin(), more.end());
}

inline void add_bounds(std::vector<RefusedRequest>& cases) {
  const std::vector<RefusedRequest> more = {
      {"101 fields", only("Host: a\r\n" + repeat("X-A: b\r\n", 100)), kFieldsMany},
      {"10,000 fields", only("Host: a\r\n" + repeat("a:b\r\n", 10'000)), kFieldsMany},
      {"field line of 8193 bytes", get("X-A: " + std::string(8188, 'a') + "\r\n"), kLineLong},
      {"value without end", "GET / HTTP/1.1\r\nX-A: " + std::string(100'000, 'a'), kLineLong},
      {"name without end", "GET / HTTP/1.1\r\n" + std::string(100'000, 'a'), kLineLong},
      {"head over 32 KiB", only("Host: a\r\n" + repeat("X-A: " + std::string(8000, 'a') + "\r\n", 5)),
       kHeadLarge},
      {"cookie of 100 KB", get("Cookie: a=" + std::string(100'000, 'b') + "\r\n"), kLineLong},
  };
  cases.insert(cases.end(), more.begin(), more.end());
}

inline std::vector<RefusedRequest> refused_requests() {
  std::vector<RefusedRequest> cases;
  add_request_lines(cases);
  add_targets(cases);
  add_hosts(cases);
  add_fields(cases);
  add_lengths(cases);
  add_codings(cases);
  add_chunks(cases);
  add_trailers(cases);
  add_bounds(cases);
  return cases;
}

}  // namespace weir::http::testing

#endif  // WEIR_HTTP_TESTING_REFUSED_REQUESTS_H_
