// Debian's jose as a signer and a verifier that shares nothing with ours: what it signs passes the gate, and it accepts
// what weir signs.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

#include "tests/acceptance/auth.h"

namespace weir::testing {
namespace {

constexpr const char* kJose = "/usr/bin/jose";

class DebianJose : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::access(kJose, X_OK) != 0) GTEST_SKIP() << "no jose here; ./dev setup installs it";
  }
  // Runs it in the test's folder. True when it says yes.
  bool jose(const std::string& arguments) const {
    return std::system(
               ("cd " + folder.path() + " && " + kJose + " " + arguments + " >/dev/null 2>&1").c_str()) == 0;
  }
  // A key of that algorithm, its public half in NAME.pub, and a token of it.
  std::string token(const std::string& name, const std::string& algorithm) {
    EXPECT_TRUE(
        jose("jwk gen -i '{\"alg\":\"" + algorithm + "\",\"kid\":\"" + name + "\"}' -o " + name + ".jwk"));
    EXPECT_TRUE(jose("jwk pub -i " + name + ".jwk -o " + name + ".pub"));
    folder.write("claims.json", R"({"iss":"https://id.example","aud":"api","sub":"user_123","exp":)" +
                                    std::to_string(unix_now() + 600) + "}");
    const std::string header =
        "'{\"protected\":{\"typ\":\"JWT\",\"kid\":\"" + name + "\",\"alg\":\"" + algorithm + "\"}}'";
    EXPECT_TRUE(jose("jws sig -c -I claims.json -k " + name + ".jwk -s " + header + " -o " + name + ".jws"));
    std::string text = read_file(folder.file(name + ".jws"));
    while (!text.empty() && text.back() == '\n') text.pop_back();
    return text;
  }

  TemporaryFolder folder;
  Origin origin;
};

// Every algorithm that both know: signed by jose, accepted by weir; with another one's key it is refused.
TEST_F(DebianJose, SignsWhatWeirAccepts) {
  std::string keys;
  std::vector<std::string> tokens;
  const std::vector<std::string> algorithms{"RS256", "RS384", "RS512", "PS256", "PS384",
                                            "PS512", "ES256", "ES384", "ES512"};
  for (const std::string& algorithm : algorithms) {
    tokens.push_back(token("k" + algorithm, algorithm));
    keys += (keys.empty() ? "" : ",") + read_file(folder.file("k" + algorithm + ".pub"));
  }
  const std::string stranger = token("kRS256", "RS256");  // the same name, another key
  Gateway gateway(
      with(R"(
    auth:
      providers:
        - {name: main, issuer: https://id.example, audiences: [api], jwks: {file: $JWKS},
           algorithms: [RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512]}
    upstreams: {origin: {endpoints: [$ORIGIN]}}
    routes: [{path: /*, auth: required, upstream: origin}]
  )",
           {{"ORIGIN", origin.url()}, {"JWKS", folder.write("jwks.json", "{\"keys\":[" + keys + "]}")}}));
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    EXPECT_EQ(gateway.get("/", bearer(tokens[i])).status, 200) << algorithms[i];
    EXPECT_TRUE(origin.last().field("X-Passport").starts_with("eyJ1c2VyX2lkIjoidXNlcl8xMjMi"))
        << algorithms[i];
  }
  EXPECT_EQ(gateway.get("/", bearer(stranger)).status, 401);
}

// What weir signs (tokens for tests, signed passports) is accepted by jose with the published keys, and not with others.
TEST_F(DebianJose, AcceptsWhatWeirSigns) {
  const std::string from_jose = token("idp", "ES256");
  const passport::Json signing = passport::generate_jwk(passport::Algorithm::es256, "p1").value();
  Gateway gateway(with(R"(
    auth: {providers: [{name: main, issuer: https://id.example, audiences: [api], jwks: {file: $JWKS}}]}
    passport: {signing: {key: $KEY}}
    upstreams: {origin: {endpoints: [$ORIGIN]}}
    routes:
      - {path: /keys, serve: passport_keys}
      - {path: /*, auth: required, upstream: origin}
  )",
                       {{"ORIGIN", origin.url()},
                        {"KEY", folder.write("passport.json", signing.to_text())},
                        {"JWKS", folder.file("idp.pub")}}));
  ASSERT_EQ(gateway.get("/", bearer(from_jose)).status, 200);
  folder.write("passport.jws", origin.last().field("X-Passport-Token"));
  folder.write("served.json", gateway.get("/keys").body);
  EXPECT_TRUE(jose("jws ver -i passport.jws -k served.json"));
  EXPECT_FALSE(jose("jws ver -i passport.jws -k idp.pub"));
  for (const passport::Algorithm algorithm :
       {passport::Algorithm::rs256, passport::Algorithm::ps384, passport::Algorithm::es384}) {
    const Issuer ours("ours", algorithm);
    folder.write("ours.pub", ours.public_text());
    folder.write("ours.jws", ours.token("user_123"));
    EXPECT_TRUE(jose("jws ver -i ours.jws -k ours.pub")) << to_string(algorithm);
  }
}

}  // namespace
}  // namespace weir::testing
