// weir token and weir passport, without a process: keys and tokens are made, examined and told apart.
#include "weir/server/token_cli.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

namespace weir::server {
namespace {

class TokenCli : public ::testing::Test {
 protected:
  TokenCli() {
    std::string name = (std::filesystem::temp_directory_path() / "weir-token-XXXXXX").string();
    folder = ::mkdtemp(name.data());
    order.key = folder + "/key.json";
  }
  ~TokenCli() override { std::filesystem::remove_all(folder); }
  std::string text() {
    std::string said = out.str();
    out.str("");
    if (said.ends_with('\n')) said.pop_back();
    return said;
  }
  std::string folder;
  MintOrder order;
  std::ostringstream out, err;
  const SystemClock clock;
};

// A key is made once, readable for its owner alone; its tokens verify against the key set that is printed.
TEST_F(TokenCli, MintsWhatVerifies) {
  order.claims = R"({"country":"US","platform":"web"})";
  ASSERT_EQ(mint_token(order, clock.wall_now(), out, err), 0) << err.str();
  const std::string token = text();
  EXPECT_EQ(std::filesystem::status(order.key).permissions(),
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  ASSERT_EQ(print_jwks({order.key}, out, err), 0);
  std::ofstream(folder + "/jwks.json") << text();
  std::ofstream(folder + "/weir.yaml")
      << "listen: 127.0.0.1:0\nauth: {providers: [{name: m, issuer: https://id.example, audiences: [api], "
         "jwks: {file: jwks.json}}]}\n";
  EXPECT_EQ(verify_token(folder + "/weir.yaml", token, false, out, err), 0) << err.str();
  EXPECT_NE(text().find("active:user_123:US:web"), std::string::npos);
  EXPECT_EQ(verify_token(folder + "/weir.yaml", token, true, out, err), 0);
  EXPECT_EQ(text().find("FAIL"), std::string::npos);
  EXPECT_EQ(verify_token(folder + "/weir.yaml", token + "x", false, out, err), 1);
  EXPECT_EQ(verify_token(folder + "/weir.yaml", token + "x", true, out, err), 1);
  const std::string told = text();
  EXPECT_NE(told.find("FAIL"), std::string::npos);
  EXPECT_EQ(told.find("user_123"), std::string::npos);
  order.audience = "other";
  ASSERT_EQ(mint_token(order, clock.wall_now(), out, err), 0) << "the key is there now";
  EXPECT_EQ(verify_token(folder + "/weir.yaml", text(), false, out, err), 1);
}

// A secret has no public half to print; claims that are no object are refused.
TEST_F(TokenCli, RefusesWhatMakesNoSense) {
  order.algorithm = "HS256";
  ASSERT_EQ(mint_token(order, clock.wall_now(), out, err), 0);
  EXPECT_EQ(print_jwks({order.key}, out, err), 1);
  EXPECT_EQ(print_jwks({folder + "/none.json"}, out, err), 1);
  order.claims = "[1]";
  EXPECT_EQ(mint_token(order, clock.wall_now(), out, err), 1);
}

TEST_F(TokenCli, DecodesPassports) {
  EXPECT_EQ(decode_passport("eyJ1c2VyX2lkIjoidXNlcl8xMjMifQ==", clock.wall_now(), out, err), 0);
  EXPECT_EQ(text(), R"({"user_id":"user_123"})");
  EXPECT_EQ(decode_passport("nonsense", clock.wall_now(), out, err), 1);
}

}  // namespace
}  // namespace weir::server
