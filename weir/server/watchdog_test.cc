// A loop whose turn does not end is reported once, with where it is, and once more when it goes on; one that waits, or
// works, never is. Waiting is for the watchdog's own word, never for a while.
#include "weir/server/watchdog.h"

#include <gtest/gtest.h>

#include <future>
#include <string>
#include <vector>

#include "weir/config/load.h"
#include "weir/gateway/exchange.h"
#include "weir/io/address.h"
#include "weir/server/admin_client.h"
#include "weir/server/server.h"

namespace weir::server {
namespace {

using namespace std::chrono_literals;

// What the watchdog says, line by line.
class Said {
 public:
  Watchdog::Report listener() {
    return [this](const std::string& line) {
      const std::lock_guard lock(mutex_);
      lines_.push_back(line);
      changed_.notify_all();
    };
  }
  // The n-th line; waits for it.
  std::string line(std::size_t n) {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, 30s, [&] { return lines_.size() > n; })) return "(nothing)";
    return lines_[n];
  }
  std::size_t count() {
    const std::lock_guard lock(mutex_);
    return lines_.size();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> lines_;
};

class WatchdogTest : public ::testing::Test {
 protected:
  WatchdogTest() : reactor_(io::EpollReactor::create().value()), thread_([this] { reactor_->run(); }) {
    watchdog_.watch("worker 7", *reactor_, thread_.native_handle());
    watchdog_.start();
  }
  ~WatchdogTest() override {
    watchdog_.stop();
    reactor_->stop();
    thread_.join();
  }
  // Runs in a turn, and has run when it returns.
  void in_turn(std::function<void()> work) {
    std::promise<void> done;
    reactor_->post([&] {
      work();
      done.set_value();
    });
    done.get_future().wait();
  }

  Said said_;
  std::unique_ptr<io::EpollReactor> reactor_;
  Watchdog watchdog_{{.stuck_after = 50ms, .look_every = 10ms}, said_.listener()};
  std::thread thread_;
};

TEST_F(WatchdogTest, ReportsATurnThatDoesNotEnd) {
  std::promise<void> go_on;
  std::promise<void> ended;
  reactor_->post([&] {
    go_on.get_future().wait();
    ended.set_value();
  });
  const std::string line = said_.line(0);
  EXPECT_TRUE(line.starts_with("worker 7 has been stuck for ")) << line;
  // Somewhere in the C library, far below this test.
  EXPECT_NE(line.find(" < "), std::string::npos) << line;
  EXPECT_NE(line.find("server_test+0x"), std::string::npos) << line;
  EXPECT_EQ(watchdog_.stuck(), 1U);
  EXPECT_EQ(watchdog_.stalls(), 1U);
  go_on.set_value();
  ended.get_future().wait();
  EXPECT_TRUE(said_.line(1).starts_with("worker 7 goes on after ")) << said_.line(1);
  EXPECT_EQ(watchdog_.stuck(), 0U);
  EXPECT_EQ(watchdog_.stalls(), 1U);
}

// A loop that sleeps in the kernel for lack of events, and one that is busy with short turns, are well.
TEST_F(WatchdogTest, KeepsQuietAboutTheHealthy) {
  SystemClock clock;
  const TimePoint until = clock.now() + 200ms;
  while (clock.now() < until) in_turn([] {});
  // Idle from here on: as long as a second loop needs to be reported.
  Said other;
  {
    const auto reactor = io::EpollReactor::create().value();
    std::promise<void> go_on;
    reactor->post([&] { go_on.get_future().wait(); });
    std::thread thread([&] { reactor->run(); });
    Watchdog watchdog({.stuck_after = 200ms, .look_every = 10ms}, other.listener());
    watchdog.watch("other", *reactor, thread.native_handle());
    watchdog.start();
    EXPECT_TRUE(other.line(0).starts_with("other has been stuck")) << other.line(0);
    go_on.set_value();
    watchdog.stop();
    reactor->stop();
    thread.join();
  }
  EXPECT_EQ(said_.count(), 0U);
}

// A stage that blocks.
class BlockingStage final : public gateway::Stage {
 public:
  explicit BlockingStage(std::shared_future<void> gate) : gate_(std::move(gate)) {}
  std::string_view name() const noexcept override { return "blocking"; }
  gateway::Verdict admit(gateway::Exchange&) override {
    gate_.wait();
    return gateway::Verdict::proceed;
  }

 private:
  std::shared_future<void> gate_;
};

// In a whole gateway: the admin still answers, and its metrics say that a worker is stuck.
TEST(WatchdogInServer, SeesAStageThatBlocks) {
  config::LoadResult file =
      config::load_text("weir.yaml",
                        "listen: 127.0.0.1:0\nworkers: 1\naccess_log: off\nlog: {level: \"off\"}\n"
                        "routes: [{path: /*, respond: {status: 200}}]\n",
                        config::system_environment());
  ASSERT_TRUE(file.config);
  std::promise<void> gate;
  const std::shared_future<void> opened = gate.get_future().share();
  ServerOptions options;
  const auto make = [opened](const auto&) { return std::make_unique<BlockingStage>(opened); };
  options.plan.custom_stages.push_back({"sanitize", make});
  Log log;
  Server server(options, log);
  ASSERT_TRUE(server.start(std::move(*file.config)));
  EXPECT_NE(server.metrics_text().find("weir_workers_stuck 0\n"), std::string::npos);
  const io::Address at = server.listening().front();
  config::HostPort address;
  address.host = "127.0.0.1";
  address.port = at.port;
  std::thread client([&] { EXPECT_TRUE(post(address, "/", "")); });
  SystemClock clock;
  const TimePoint until = clock.now() + 30s;
  while (server.metrics_text().find("weir_workers_stuck 1\n") == std::string::npos && clock.now() < until)
    std::this_thread::yield();
  const std::string metrics = server.metrics_text();
  EXPECT_NE(metrics.find("weir_workers_stuck 1\n"), std::string::npos);
  EXPECT_NE(metrics.find("weir_worker_stalls_total 1\n"), std::string::npos);
  gate.set_value();
  client.join();
  server.drain();
  server.wait();
}

}  // namespace
}  // namespace weir::server
