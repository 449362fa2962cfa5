// Who may ask the admin what: reads for whoever reaches it, writes with the token, nobody across sites.
#include "weir/server/admin.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "weir/gateway/testing.h"
#include "weir/server/server.h"

namespace weir::server {
namespace {

class Admin {
 public:
  explicit Admin(const std::string& token, bool full = true) {
    desk.plan = make_admin_plan(server_, token, full);
    desk.worker.adopt(desk.plan);
  }
  // The status; 404 and 405 are the connection's business.
  int ask(std::string_view method, std::string_view path, std::string_view fields) {
    const auto match = desk.plan->table.find("", path, method);
    if (match.outcome == gateway::RouteTable::Outcome::no_route) return 404;
    if (match.outcome == gateway::RouteTable::Outcome::wrong_method) return 405;
    desk.receive(std::string(method) + " " + std::string(path) + " HTTP/1.1\r\n" + std::string(fields) +
                 "\r\n");
    desk.run();
    return desk.client.status;
  }
  gateway::testing::Desk desk{"routes: [{path: /*, respond: {status: 200}}]"};

 private:
  Log log_;
  Server server_{ServerOptions(), log_};
};

// The addresses and localhost are hosts of the admin; a name that a stranger's DNS could point here is not.
TEST(Admin, ForeignHostsAreRefused) {
  Admin admin("secret");
  for (const char* host :
       {"127.0.0.1", "127.0.0.1:9901", "localhost", "LocalHost:9901", "[::1]:9901", "10.1.2.3"})
    EXPECT_EQ(admin.ask("GET", "/livez", "Host: " + std::string(host) + "\r\n"), 200) << host;
  for (const char* host : {"evil.example", "evil.example:9901", "localhost.evil.example", "127.0.0.1.nip.io"})
    EXPECT_EQ(admin.ask("GET", "/livez", "Host: " + std::string(host) + "\r\n"), 403) << host;
}

// A page from elsewhere is refused, whatever it asks; the admin's own is not.
TEST(Admin, ForeignOriginsAreRefused) {
  Admin admin("secret");
  const std::string host = "Host: 127.0.0.1:9901\r\n";
  EXPECT_EQ(admin.ask("GET", "/livez", host + "Origin: http://127.0.0.1:9901\r\n"), 200);
  for (const char* origin :
       {"http://evil.example", "null", "http://127.0.0.1:9902", "https://evil.example:9901", ""})
    EXPECT_EQ(admin.ask("GET", "/livez", host + "Origin: " + std::string(origin) + "\r\n"), 403) << origin;
}

// Writes need the token, whole and exact; without a configured one every write is refused.
TEST(Admin, WritesNeedTheToken) {
  Admin admin("secret");
  const std::string host = "Host: 127.0.0.1\r\n";
  EXPECT_EQ(admin.ask("POST", "/v1/reload", host), 401);
  EXPECT_EQ(admin.desk.client.value("WWW-Authenticate"), "Bearer");
  for (const char* wrong :
       {"Bearer", "Bearer ", "Bearer secre", "Bearer secret2", "Bearer Secret", "Basic secret", "secret"})
    EXPECT_EQ(admin.ask("POST", "/v1/reload", host + "Authorization: " + std::string(wrong) + "\r\n"), 401)
        << wrong;
  // Accepted; there is no file to reload, which is another matter.
  EXPECT_EQ(admin.ask("POST", "/v1/reload", host + "Authorization: bearer secret\r\n"), 422);
  Admin open("");
  EXPECT_EQ(open.ask("POST", "/v1/reload", host + "Authorization: Bearer \r\n"), 401);
  EXPECT_EQ(open.ask("POST", "/v1/reload", host + "Authorization: Bearer x\r\n"), 401);
}

// The health listener knows only what a health check needs; methods are held to.
TEST(Admin, HealthOnly) {
  Admin health("", false);
  EXPECT_EQ(health.ask("GET", "/livez", "Host: 127.0.0.1\r\n"), 200);
  EXPECT_EQ(health.ask("HEAD", "/livez", "Host: 127.0.0.1\r\n"), 200);
  EXPECT_TRUE(health.desk.client.payload.empty());
  EXPECT_EQ(health.ask("POST", "/livez", ""), 405);
  for (const char* path : {"/v1/config", "/v1/upstreams", "/v1/reload"})
    EXPECT_EQ(health.ask("GET", path, ""), 404);
  EXPECT_EQ(health.desk.client.value("Cache-Control"), "no-store");
}

}  // namespace
}  // namespace weir::server
