// The real server with four workers on real sockets, loaded from many threads, while it is reloaded and
// scraped: limits that span workers stay exact. Meant for ThreadSanitizer.
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "tests/support/client.h"
#include "tests/support/origin.h"
#include "weir/config/load.h"
#include "weir/server/server.h"

namespace weir::testing {
namespace {

class ConfigFile {
 public:
  ConfigFile() {
    path = ::testing::TempDir() + "weir-threads-XXXXXX";
    ::close(::mkstemp(path.data()));
  }
  ~ConfigFile() { ::unlink(path.c_str()); }
  void write(const std::string& text) { std::ofstream(path) << text; }
  std::string path;
};

class Running {
 public:
  explicit Running(const std::string& text) {
    file.write(text);
    options_.config_file = file.path;
    log_.set_level("off");
    server = std::make_unique<server::Server>(options_, log_);
    config::LoadResult loaded = config::load_file(file.path, config::system_environment());
    for (const auto& diagnostic : loaded.diagnostics)
      if (!loaded.config) ADD_FAILURE() << config::to_text(diagnostic, loaded.files);
    const Result<void> started = server->start(loaded.config.value());
    EXPECT_TRUE(started) << started.error().detail;
    port = server->listening().front().port;
  }
  // Every thread ends, with nothing left in flight.
  ~Running() {
    server->drain();
    server->wait();
  }

  ConfigFile file;
  std::unique_ptr<server::Server> server;
  std::uint16_t port = 0;

 private:
  server::ServerOptions options_;
  server::Log log_;
};

std::string configuration(const std::string& origin, int in_flight) {
  return "listen: 127.0.0.1:0\n"
         "admin: {listen: 127.0.0.1:0, token: secret}\n"
         "workers: 4\n"
         "access_log: /dev/null\n"
         "log: {level: \"off\"}\n"
         "limits: {connections_per_address: off}\n"
         "load_shed: {max_in_flight: " +
         std::to_string(in_flight) +
         "}\n"
         "rate_limits:\n"
         "  exact: {key: global, limit: 500, window: 1h}\n"
         "  each: {key: \"header:K\", limit: 20, window: 1h}\n"
         "upstreams: {u: {endpoints: [\"" +
         origin +
         "\"]}}\n"
         "routes:\n"
         "  - {path: /exact, rate_limit: [exact], respond: {status: 200, body: ok}}\n"
         "  - {path: /each, rate_limit: [each], respond: {status: 200, body: ok}}\n"
         "  - {path: /*, upstream: u}\n";
}

// Reloads the same file and reads everything that can be read, until told to stop.
class Meddler {
 public:
  explicit Meddler(server::Server& server)
      : thread_([this, &server] {
          while (!stop_.load()) {
            EXPECT_TRUE(server.reload().ok);
            EXPECT_NE(server.metrics_text().find("weir_in_flight"), std::string::npos);
            EXPECT_FALSE(server.upstreams_json().empty() || server.rate_limits_json().empty());
            EXPECT_FALSE(server.config_json().empty());
            server.reopen_logs();
            ++rounds;
          }
        }) {}
  ~Meddler() {
    stop_ = true;
    thread_.join();
    EXPECT_GT(rounds.load(), 0);
  }
  std::atomic<int> rounds{0};

 private:
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

template <class Work>
void in_threads(int count, Work work) {
  std::vector<std::thread> threads;
  for (int i = 0; i < count; ++i) threads.emplace_back([work, i] { work(i); });
  for (std::thread& thread : threads) thread.join();
}

// Exactly N of M, over all workers, whatever is reloaded meanwhile.
TEST(ServerThreads, LimitsAreExactOverWorkers) {
  Origin origin;
  Running it(configuration(origin.url(), 50));
  std::atomic<int> admitted{0};
  std::atomic<int> refused{0};
  {
    Meddler meddler(*it.server);
    in_threads(8, [&](int) {
      for (int connection = 0; connection < 5; ++connection) {
        Client client(it.port);
        for (int i = 0; i < 25; ++i) {
          const Answer answer = client.get("/exact");
          EXPECT_TRUE(answer.status == 200 || answer.status == 429) << answer;
          ++(answer.status == 200 ? admitted : refused);
        }
      }
    });
  }
  EXPECT_EQ(admitted, 500);
  EXPECT_EQ(refused, 500);
}

// The same for each of many keys.
TEST(ServerThreads, KeysAreExactOverWorkers) {
  Origin origin;
  Running it(configuration(origin.url(), 50));
  std::array<std::atomic<int>, 10> admitted{};
  {
    Meddler meddler(*it.server);
    in_threads(6, [&](int thread) {
      Client client(it.port);
      for (int i = 0; i < 100; ++i) {
        const auto key = static_cast<std::size_t>(thread + i) % admitted.size();
        const Answer answer = client.get("/each", {{"K", "key-" + std::to_string(key)}});
        if (answer.status == 200) ++admitted[key];
      }
    });
  }
  for (const auto& count : admitted) EXPECT_EQ(count.load(), 20);
}

// Never more at the service than there are places; with all places held, everybody else is refused at once,
// and every held one is answered in the end.
TEST(ServerThreads, PlacesAreExactOverWorkers) {
  Origin origin;
  Gate gate;
  origin.on_hold("/held", gate);
  Running it(configuration(origin.url(), 20));
  std::atomic<int> answered{0};
  std::atomic<int> shed{0};
  {
    Meddler meddler(*it.server);
    in_threads(50, [&](int) {
      Client client(it.port);
      const Answer answer = client.get("/held");
      ++(answer.status == 200 ? answered : shed);
      EXPECT_TRUE(answer.status == 200 || answer.status == 503) << answer;
      if (shed == 30) gate.open();  // the last one that finds no place lets the others go
    });
    // And without anybody held: as many as come, never above the places.
    in_threads(30, [&](int) {
      Client client(it.port);
      for (int i = 0; i < 20; ++i) {
        const Answer answer = client.get("/quick");
        EXPECT_TRUE(answer.status == 200 || answer.status == 503) << answer;
      }
    });
  }
  EXPECT_EQ(answered, 20);
  EXPECT_EQ(shed, 30);
  EXPECT_LE(origin.peak_in_flight(), 20U);
}

// A dead service opens the breaker once, for all workers; metrics and admin say so.
TEST(ServerThreads, TheBreakerIsOneForAllWorkers) {
  Running it(configuration("http://127.0.0.1:" + std::to_string(free_port()), 50));
  std::atomic<int> open{0};
  in_threads(8, [&](int) {
    Client client(it.port);
    for (int i = 0; i < 20; ++i) {
      const Answer answer = client.get("/dead");
      EXPECT_TRUE(answer.status == 502 || answer.status == 503) << answer;
      if (answer.body.find("circuit-open") != std::string::npos) ++open;
    }
  });
  EXPECT_GE(open, 160 - 5 - 8 * 5);
  const std::string metrics = it.server->metrics_text();
  EXPECT_NE(metrics.find("weir_circuit_breaker_state{upstream=\"u\"} 1\n"), std::string::npos);
  EXPECT_NE(it.server->upstreams_json().find("\"state\":\"open\""), std::string::npos);
}

// Drained under load: what has been accepted is answered, and the threads end.
TEST(ServerThreads, DrainUnderLoad) {
  Origin origin;
  auto it = std::make_unique<Running>(configuration(origin.url(), 50));
  std::atomic<int> answers{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 6; ++i)
    threads.emplace_back([&, port = it->port] {
      for (;;) {
        Client client(port);
        if (!client.connected()) return;
        for (;;) {
          const Answer answer = client.get("/work");
          if (answer.status == 0) break;  // it has closed this connection
          EXPECT_EQ(answer.status, 200) << answer;
          ++answers;
          if (answer.field("Connection") == "close") break;
        }
        if (answers > 0 && it->server->draining()) return;
      }
    });
  EXPECT_TRUE(eventually([&] { return answers > 200; }));
  it->server->drain();
  it->server->wait();
  for (std::thread& thread : threads) thread.join();
  EXPECT_FALSE(it->server->not_ready().empty());
}

}  // namespace
}  // namespace weir::testing
