// Gateway: the real binary, run on a configuration that the test writes, reached only from outside.
//
//   Origin origin;
//   Gateway gateway(with(R"(
//     upstreams: {users: {endpoints: [$ORIGIN]}}
//     routes: [{path: /*, upstream: users}]
//   )", {{"ORIGIN", origin.url()}}));
//   EXPECT_EQ(gateway.get("/users/1").status, 200);
//
// The text is a whole configuration without `listen`, `admin`, `workers` and `access_log`: those are added in
// front, with free ports and files in a temporary folder, unless the options say otherwise. The constructor
// waits until /readyz says 200; a gateway that does not come up, or that ends by a crash or with an exit code
// other than 0, fails the test and prints what it wrote on standard error.
//
// The binary is $WEIR_BINARY, else bin/weir of the build folder.
#ifndef WEIR_TESTS_SUPPORT_GATEWAY_H_
#define WEIR_TESTS_SUPPORT_GATEWAY_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/support/client.h"
#include "tests/support/json.h"
#include "tests/support/process.h"

namespace weir::testing {

std::string weir_binary();

// Replaces each $NAME of `values` in `text`, and takes the common indentation off its lines.
std::string with(std::string_view text, const std::vector<std::pair<std::string, std::string>>& values);

struct GatewayOptions {
  int workers = 1;
  std::string admin_token = "test-token";  // "": no writes over HTTP
  std::string extra;                       // more top-level keys, such as `trusted_proxies: ...`
  Process::Environment environment;
  bool wait_until_ready = true;
  bool may_be_killed = false;  // the test does so: how it ends is not looked at
};

// What /metrics said at one moment.
class Metrics {
 public:
  using Labels = std::vector<std::pair<std::string, std::string>>;

  explicit Metrics(std::string text) : text_(std::move(text)) {}
  // The sum of all series of that name which carry all of `labels`; nothing when there is none.
  std::optional<double> value(std::string_view name, const Labels& labels = {}) const;
  const std::string& text() const noexcept { return text_; }

 private:
  std::string text_;
};

class Gateway {
 public:
  explicit Gateway(std::string_view configuration, GatewayOptions options = {});
  Gateway(const Gateway&) = delete;
  Gateway& operator=(const Gateway&) = delete;
  ~Gateway();

  std::uint16_t port() const noexcept { return port_; }
  std::uint16_t admin_port() const noexcept { return admin_port_; }
  const std::string& configuration_path() const noexcept { return path_; }
  std::string access_log_path() const { return folder_.file("access.log"); }
  const TemporaryFolder& folder() const noexcept { return folder_; }
  Process& process() noexcept { return *process_; }
  std::string authority() const { return "127.0.0.1:" + std::to_string(port_); }

  // One request on a connection of its own.
  Answer get(std::string_view target, const Fields& fields = {}) const;
  Answer ask(std::string_view method, std::string_view target, const Fields& fields = {},
             std::string_view body = {}) const;
  // The same to the admin listener; `admin_post` carries the token.
  Answer admin(std::string_view target) const;
  Answer admin_post(std::string_view target, std::string_view body = {}) const;

  Metrics metrics() const;
  // True once the value is `wanted`.
  bool wait_for_metric(std::string_view name, const Metrics::Labels& labels, double wanted) const;

  // Lines of the access log, parsed. A line that is no JSON object fails the test.
  std::vector<Json> access_log() const;
  // The first line for which `wanted` holds; a Json of kind absent (and a failed test) when none comes.
  Json wait_for_log(const std::function<bool(const Json&)>& wanted) const;

  // Writes the configuration again, with the same ports; the gateway does not look at it yet.
  void rewrite(std::string_view configuration);
  // rewrite() and POST /v1/reload.
  Answer reload(std::string_view configuration);

  // SIGTERM; the exit code, or nothing when it does not end.
  std::optional<int> terminate();

 private:
  std::string whole(std::string_view configuration) const;

  GatewayOptions options_;
  TemporaryFolder folder_;
  std::uint16_t port_;
  std::uint16_t admin_port_;
  std::string path_;
  std::unique_ptr<Process> process_;
};

}  // namespace weir::testing

#endif  // WEIR_TESTS_SUPPORT_GATEWAY_H_
