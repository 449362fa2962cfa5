// weir token and weir passport: keys and tokens for tries and tests, and what a configuration makes of a token.
//
// A token is never printed back, and neither are its claims unless it is valid.
#ifndef WEIR_SERVER_TOKEN_CLI_H_
#define WEIR_SERVER_TOKEN_CLI_H_

#include <cstdint>
#include <iosfwd>
#include <string>
#include <vector>

#include "weir/base/clock.h"

namespace CLI {
class App;
}

namespace weir::server {

// Adds `token mint|verify|explain|jwks` and `passport decode` to `app`; what they end with goes into `code`.
void add_token_commands(CLI::App& app, int& code);

struct MintOrder {
  std::string key;                  // file with a private JWK
  std::string algorithm = "ES256";  // of a key that is made because the file is not there
  std::string issuer = "https://id.example";
  std::string audience = "api";
  std::string subject = "user_123";
  std::string claims = "{}";  // JSON, on top
  std::int64_t seconds = 3600;
};
int mint_token(const MintOrder& order, WallTime now, std::ostream& out, std::ostream& err);
int print_jwks(const std::vector<std::string>& files, std::ostream& out, std::ostream& err);
// `explain`: each check with its verdict in place of the passport.
int verify_token(const std::string& config, const std::string& token, bool explain, std::ostream& out,
                 std::ostream& err);
int decode_passport(const std::string& value, WallTime now, std::ostream& out, std::ostream& err);

}  // namespace weir::server

#endif  // WEIR_SERVER_TOKEN_CLI_H_
