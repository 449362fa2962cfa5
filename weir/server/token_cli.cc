#include "weir/server/token_cli.h"

#include <fcntl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <thread>

#include "weir/config/load.h"
#include "weir/gateway/auth.h"
#include "weir/passport/passport.h"
#include "weir/passport/sign.h"

namespace weir::server {
namespace {

using passport::Json;

constexpr int kFailed = 1;
constexpr Duration kPatience = std::chrono::seconds{5};

std::int64_t seconds_of(WallTime now) {
  return std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count();
}

std::string read_all(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string token_of(std::string text) {
  if (text == "-") text.assign(std::istreambuf_iterator<char>(std::cin), {});
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ' || text.back() == '\r')) text.pop_back();
  return text;
}

Result<Json> read_key(const std::string& path) {
  const std::string text = read_all(path);
  if (text.empty()) return Error(ErrorCode::not_found, path + " is not there, or empty");
  return Json::parse(text);
}

Result<Json> make_key(const MintOrder& order) {
  const auto algorithm = passport::parse_algorithm(order.algorithm);
  if (!algorithm) return Error(ErrorCode::invalid_argument, "no algorithm is called " + order.algorithm);
  Result<Json> jwk = passport::generate_jwk(*algorithm, "weir-" + order.algorithm);
  if (!jwk) return jwk;
  const std::string text = jwk->to_text() + "\n";
  const int fd = ::open(order.key.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0 || ::write(fd, text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    if (fd >= 0) ::close(fd);
    return Error(ErrorCode::io_error, "cannot write " + order.key);
  }
  ::close(fd);
  return jwk;
}

int failed(std::ostream& err, const Error& error) {
  err << "weir: " << error.detail << "\n";
  return kFailed;
}

}  // namespace

int mint_token(const MintOrder& order, WallTime now, std::ostream& out, std::ostream& err) {
  const bool known = ::access(order.key.c_str(), F_OK) == 0;
  const Result<Json> jwk = known ? read_key(order.key) : make_key(order);
  if (!jwk) return failed(err, jwk.error());
  if (!known)
    err << "weir: made " << order.key << "; `weir token jwks " << order.key << "` prints its public half\n";
  const Result<passport::Signer> signer = passport::Signer::from_jwk(*jwk);
  if (!signer) return failed(err, signer.error());
  const Result<Json> more = Json::parse(order.claims);
  if (!more || !more->is_object())
    return failed(err, Error(ErrorCode::malformed, "--claims is no JSON object"));
  Json claims;
  claims.set("iss", Json(order.issuer));
  claims.set("aud", Json(order.audience));
  claims.set("sub", Json(order.subject));
  claims.set("iat", Json(seconds_of(now)));
  claims.set("exp", Json(seconds_of(now) + order.seconds));
  for (const Json::Member& member : more->members()) claims.set(member.name, member.value);
  const Result<std::string> token = signer->sign(claims);
  if (!token) return failed(err, token.error());
  out << *token << "\n";
  return 0;
}

int print_jwks(const std::vector<std::string>& files, std::ostream& out, std::ostream& err) {
  Json::Array keys;
  for (const std::string& file : files) {
    const Result<Json> jwk = read_key(file);
    if (!jwk) return failed(err, jwk.error());
    const Result<std::shared_ptr<const passport::Key>> key = passport::Key::from_jwk(*jwk, {});
    if (!key) return failed(err, Error(ErrorCode::invalid_argument, file + ": " + key.error().detail));
    if (passport::is_symmetric((*key)->algorithm()))
      return failed(err,
                    Error(ErrorCode::invalid_argument, file + " is a secret, which no key set may hold"));
    keys.push_back(passport::public_jwk(*jwk));
  }
  Json set;
  set.set("keys", Json(std::move(keys)));
  out << set.to_text() << "\n";
  return 0;
}

int verify_token(const std::string& path, const std::string& token, bool explain, std::ostream& out,
                 std::ostream& err) {
  config::LoadResult loaded = config::load_file(path, config::system_environment());
  if (!loaded.config) {
    for (const config::Diagnostic& diagnostic : loaded.diagnostics)
      err << config::to_text(diagnostic, loaded.files) << "\n";
    return kFailed;
  }
  const SystemClock clock;
  gateway::AuthState auth(base::SipKey{});
  auth.set_outside(
      clock, [](const std::string& url) { return gateway::http_get(url, kPatience); },
      [&err](const std::string& line) { err << "weir: " << line << "\n"; });
  const Result<std::shared_ptr<const gateway::AuthPlan>> plan = auth.build(*loaded.config);
  if (!plan) return failed(err, plan.error());
  if (*plan == nullptr) return failed(err, Error(ErrorCode::invalid_argument, path + " has no `auth`"));
  const passport::Verifier& verifier = (*plan)->tokens->verifier();
  // Keys that have to be fetched: a person waits as long as the fetch may take.
  const TimePoint until = clock.now() + kPatience;
  for (const passport::Provider& provider : verifier.providers())
    while (provider.keys->current() == nullptr && clock.now() < until)
      std::this_thread::sleep_for(std::chrono::milliseconds{20});
  int code = 0;
  if (explain) {
    for (const passport::Verifier::Step& step : verifier.explain(token, clock.wall_now())) {
      out << (step.passed ? "pass  " : "FAIL  ") << step.check << (step.passed ? "" : ": " + step.detail)
          << "\n";
      code = step.passed ? 0 : kFailed;
    }
  } else {
    const passport::Verification result = verifier.verify(token, clock.wall_now());
    code = result.reject == passport::Reject::none ? 0 : kFailed;
    if (code == 0)
      out << result.identity->passport.members.to_text() << "\n"
          << result.identity->proxy_fields.plain() << "\n";
    else
      err << "weir: not accepted: " << to_string(result.reject) << "\n";
  }
  auth.stop();
  return code;
}

int decode_passport(const std::string& value, WallTime now, std::ostream& out, std::ostream& err) {
  const Result<passport::Passport> read = passport::Reader().read(value, now);
  if (!read) return failed(err, read.error());
  out << read->members.to_text() << "\n";
  return 0;
}

void add_token_commands(CLI::App& app, int& code) {
  CLI::App* token = app.add_subcommand("token", "Make and examine tokens");
  token->require_subcommand(1);
  token->footer("Example:\n  weir token mint --key key.json --sub user_123");
  auto order = std::make_shared<MintOrder>();
  CLI::App* mint = token->add_subcommand("mint", "A signed token for tries and tests");
  mint->add_option("--key", order->key, "File with a private JWK; made when it is not there")->required();
  mint->add_option("--alg", order->algorithm, "Algorithm of a key that is made");
  mint->add_option("--iss", order->issuer, "Issuer");
  mint->add_option("--aud", order->audience, "Audience");
  mint->add_option("--sub", order->subject, "Subject");
  mint->add_option("--claims", order->claims, "More claims, as a JSON object");
  mint->add_option("--seconds", order->seconds, "How long it is good");
  mint->footer("Example:\n  weir token mint --key key.json --sub user_123 --claims '{\"scope\":\"read\"}'");
  mint->callback(
      [order, &code] { code = mint_token(*order, SystemClock().wall_now(), std::cout, std::cerr); });

  auto files = std::make_shared<std::vector<std::string>>();
  CLI::App* jwks = token->add_subcommand("jwks", "The public key set of private keys");
  jwks->add_option("FILE", *files, "Private JWKs")->required();
  jwks->footer("Example:\n  weir token jwks key.json > jwks.json");
  jwks->callback([files, &code] { code = print_jwks(*files, std::cout, std::cerr); });

  struct Examined {
    std::string config, token;
  };
  auto examined = std::make_shared<Examined>();
  for (const bool explain : {false, true}) {
    CLI::App* command = token->add_subcommand(
        explain ? "explain" : "verify",
        explain ? "Each check of a token and its verdict" : "Whether a token is accepted");
    command->add_option("FILE", examined->config, "Configuration")->required();
    command->add_option("TOKEN", examined->token, "The token, or - for standard input")->required();
    command->footer(std::string("Example:\n  weir token ") + (explain ? "explain" : "verify") +
                    " weir.yaml - < token\nExit: 0 accepted, 1 not.");
    command->callback([examined, explain, &code] {
      code = verify_token(examined->config, token_of(examined->token), explain, std::cout, std::cerr);
    });
  }
  auto value = std::make_shared<std::string>();
  CLI::App* passport_cmd = app.add_subcommand("passport", "Examine X-Passport");
  passport_cmd->require_subcommand(1);
  CLI::App* decode = passport_cmd->add_subcommand("decode", "The JSON of a header's value");
  decode->add_option("VALUE", *value, "The value, or - for standard input")->required();
  decode->footer("Example:\n  weir passport decode eyJ1c2VyX2lkIjoidXNlcl8xMjMifQ==");
  decode->callback([value, &code] {
    code = decode_passport(token_of(*value), SystemClock().wall_now(), std::cout, std::cerr);
  });
}

}  // namespace weir::server
