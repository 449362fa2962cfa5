// https:// endpoints: the certificate is checked, the name is sent, connections and sessions are used again.
#include "tests/acceptance/acceptance.h"
#include "tests/support/tls_origin.h"

namespace weir::testing {
namespace {

std::string proxy_to(const TemporaryFolder& folder, const TlsAuthority& authority, const std::string& url,
                     const std::string& keys = "") {
  return "upstreams: {service: {endpoints: [" + url +
         "], ca: " + folder.write("ca.pem", authority.certificate()) + keys +
         "}}\nroutes: [{path: /*, upstream: service}]\n";
}

std::string at(const std::string& host, const TlsOrigin& origin) {
  return "https://" + host + ":" + std::to_string(origin.port());
}

// A request goes out over TLS with SNI and ALPN, bodies of any size pass both ways, and one connection serves many.
TEST(TlsUpstream, Works) {
  const TlsAuthority authority;
  TlsOrigin origin(authority.issue({}));
  const TemporaryFolder folder;
  Gateway gateway(proxy_to(folder, authority, at("localhost", origin)));
  Client client(gateway.port());
  for (int i = 0; i < 20; ++i) {
    const Answer answer = client.get("/");
    ASSERT_EQ(answer.status, 200) << answer;
    EXPECT_EQ(answer.body, "secure");
  }
  EXPECT_EQ(origin.handshakes(), 1U);
  EXPECT_EQ(origin.last_sni(), "localhost");
  EXPECT_EQ(origin.last_alpn(), "http/1.1");
  for (const std::size_t size : {1U, 16'383U, 16'384U, 16'385U, 60'000U, 3'000'000U}) {
    std::string body(size, 'x');
    for (std::size_t i = 0; i < size; i += 997) body[i] = static_cast<char>('a' + i % 23);
    const Answer echoed = client.ask("POST", "/echo", {}, body);
    ASSERT_EQ(echoed.status, 200) << echoed;
    EXPECT_EQ(echoed.body, body) << size;
  }
}

// A new connection resumes the session of the last one.
TEST(TlsUpstream, ResumesSessions) {
  const TlsAuthority authority;
  TlsOrigin origin(authority.issue({}));
  origin.close_after_answer(true);
  const TemporaryFolder folder;
  Gateway gateway(proxy_to(folder, authority, at("localhost", origin)));
  for (int i = 0; i < 5; ++i) ASSERT_EQ(gateway.get("/").status, 200);
  EXPECT_EQ(origin.handshakes(), 5U);
  EXPECT_GE(origin.resumed(), 3U);
}

// An IP address is verified as such, and sent as no name.
TEST(TlsUpstream, AnAddressIsVerified) {
  const TlsAuthority authority;
  TlsOrigin origin(authority.issue({.host = "127.0.0.1"}));
  const TemporaryFolder folder;
  Gateway gateway(proxy_to(folder, authority, at("127.0.0.1", origin)));
  EXPECT_EQ(gateway.get("/").status, 200);
  EXPECT_EQ(origin.last_sni(), "");
}

// Wrong name, expired, an authority that nobody knows, no TLS at all: 502 with the reason, and failures of the breaker.
TEST(TlsUpstream, BadCertificatesAreRefused) {
  const TlsAuthority authority;
  const TlsAuthority stranger;
  const TemporaryFolder folder;
  TlsOrigin wrong_name(authority.issue({.host = "other.example"}));
  TlsOrigin expired(authority.issue({.days = -1}));
  TlsOrigin unknown(stranger.issue({}));
  const Gateway plain("routes: [{path: /*, respond: {status: 200}}]");  // answers what is no HTTP with 400
  const std::vector<std::pair<std::string, std::string>> cases{
      {at("localhost", wrong_name), "hostname mismatch"},
      {at("127.0.0.1", wrong_name), "IP address mismatch"},
      {at("localhost", expired), "certificate has expired"},
      {at("localhost", unknown), "unable to get local issuer certificate"},
      {"https://127.0.0.1:" + std::to_string(plain.port()), "wrong version number"},
  };
  for (const auto& [url, reason] : cases) {
    Gateway gateway(proxy_to(folder, authority, url, ", circuit_breaker: {failures: 2, open_for: 1h}"));
    const Answer answer = gateway.get("/");
    expect_problem(answer, 502, "upstream-unreachable");
    EXPECT_NE(answer.body.find(reason), std::string::npos) << url << "\n" << answer;
    EXPECT_EQ(gateway.get("/").status, 502);
    expect_problem(gateway.get("/"), 503, "circuit-open");
  }
}

// A file of authorities that cannot be read stops the start, with its position.
TEST(TlsUpstream, AnUnreadableAuthorityIsAnError) {
  const TemporaryFolder folder;
  const std::string path =
      folder.write("weir.yaml",
                   "listen: 127.0.0.1:0\n"
                   "upstreams: {a: {endpoints: [https://localhost], ca: missing.pem}}\n");
  const Finished finished = run({weir_binary(), "run", path});
  EXPECT_EQ(finished.exit_code, 1);
  EXPECT_NE(finished.err.find("weir.yaml:2:"), std::string::npos) << finished.err;
  EXPECT_NE(finished.err.find("missing.pem"), std::string::npos) << finished.err;
}

}  // namespace
}  // namespace weir::testing
