// The order of things, whatever happens: every stage that was entered is released once and settled once, in
// reverse.
#include "weir/gateway/pipeline.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "weir/gateway/testing.h"

namespace weir::gateway {
namespace {

using std::chrono::seconds;
using testing::Desk;
using Log = std::vector<std::string>;

constexpr std::string_view kFixed = "routes: [{name: r, path: /*, respond: {status: 200, body: ok}}]";

class Noting : public Stage {
 public:
  Noting(std::string_view name, Log& log, Verdict verdict) : name_(name), log_(log), verdict_(verdict) {}
  std::string_view name() const noexcept override { return name_; }
  Verdict admit(Exchange& exchange) override {
    log_.push_back("admit " + std::string(name_));
    if (verdict_ == Verdict::refuse) exchange.refuse(name_, Problem::forbidden);
    if (verdict_ == Verdict::answer) exchange.own.status = 204;
    return verdict_;
  }
  void release(Exchange&) noexcept override { log_.push_back("release " + std::string(name_)); }
  void settle(Exchange&) noexcept override { log_.push_back("settle " + std::string(name_)); }

 private:
  std::string_view name_;
  Log& log_;
  Verdict verdict_;
};

// Waits for ten seconds, then proceeds.
class Waiting final : public AsyncStage {
 public:
  explicit Waiting(Log& log) : log_(log) {}
  std::string_view name() const noexcept override { return "waits"; }
  bool needs_waiting(const Exchange&) const noexcept override { return true; }
  Verdict admit(Exchange&) override { return Verdict::proceed; }
  async::Task<Verdict> admit_async(Exchange& exchange) override {
    log_.push_back("admit waits");
    const io::Wake wake = co_await exchange.waiter->wait(Deadline::after(exchange.now, seconds{10}));
    log_.push_back(wake == io::Wake::timeout ? "waited" : "woken");
    co_return Verdict::proceed;
  }
  void release(Exchange&) noexcept override { log_.push_back("release waits"); }
  void settle(Exchange&) noexcept override { log_.push_back("settle waits"); }

 private:
  Log& log_;
};

PlanOptions chain(Log& log, Verdict second) {
  PlanOptions options;
  options.custom_stages.push_back({"sanitize", [&log](const config::Route&) {
                                     return std::make_unique<Noting>("a", log, Verdict::proceed);
                                   }});
  options.custom_stages.push_back({"sanitize", [&log, second](const config::Route&) {
                                     return std::make_unique<Noting>("b", log, second);
                                   }});
  options.custom_stages.push_back({"sanitize", [&log](const config::Route&) {
                                     return std::make_unique<Noting>("c", log, Verdict::proceed);
                                   }});
  return options;
}

// In to the terminal, and out in reverse.
TEST(Pipeline, InAndOut) {
  Log log;
  Desk desk(kFixed, chain(log, Verdict::proceed));
  desk.receive("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  desk.run();
  EXPECT_EQ(desk.client.payload, "ok");
  EXPECT_EQ(log, (Log{"admit a", "admit b", "admit c", "release c", "release b", "release a", "settle c",
                      "settle b", "settle a"}));
}

// A refusal and an answer stop there; only those that were entered are released (before the answer goes out)
// and settled.
TEST(Pipeline, StopsWhereSomebodyAnswers) {
  for (const Verdict verdict : {Verdict::refuse, Verdict::answer}) {
    Log log;
    Desk desk(kFixed, chain(log, verdict));
    desk.receive("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    desk.client.takes = 0;  // a client that takes nothing yet
    desk.scope.spawn(run_pipeline(desk.exchange));
    const Log entered{"admit a", "admit b", "release b", "release a"};
    if (verdict == Verdict::refuse) {
      EXPECT_EQ(log, entered) << "released before the client has taken anything";
    }
    desk.client.takes = 10'000;
    desk.waiter.notify();
    desk.reactor.run_for(seconds{1});
    EXPECT_EQ(log, (Log{"admit a", "admit b", "release b", "release a", "settle b", "settle a"}));
    EXPECT_EQ(desk.client.status, verdict == Verdict::refuse ? 403 : 204);
    EXPECT_EQ(desk.exchange.record.stage, "b");
  }
}

// Destroyed where it waits, or cancelled there: both give everything back.
TEST(Pipeline, AbandonedInMidFlight) {
  for (const bool destroy : {true, false}) {
    Log log;
    PlanOptions options = chain(log, Verdict::proceed);
    options.custom_stages.push_back(
        {"sanitize", [&log](const config::Route&) { return std::make_unique<Waiting>(log); }});
    Desk desk(kFixed, options);
    desk.receive("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    const Log before{"admit a", "admit b", "admit c", "admit waits"};
    if (destroy) {
      async::Scope scope;
      scope.spawn(run_pipeline(desk.exchange));
      EXPECT_EQ(log, before);
    } else {
      desk.scope.spawn(run_pipeline(desk.exchange));
      desk.cancel.cancel();
      desk.reactor.run_for(seconds{1});
      EXPECT_EQ(log[4], "woken");
      log.erase(log.begin() + 4);
    }
    const Log after{"release waits", "release c", "release b", "release a",
                    "settle waits",  "settle c",  "settle b",  "settle a"};
    EXPECT_EQ(Log(log.begin() + 4, log.end()), after);
  }
}

std::string answer_to(std::string_view route, const std::string& request, int* status = nullptr) {
  Desk desk("routes: [{name: r, path: /*, " + std::string(route) + "}]");
  desk.receive(request);
  desk.run();
  EXPECT_TRUE(desk.client.finished);
  if (status != nullptr) *status = desk.client.status;
  std::string text;
  for (const auto& [name, value] : desk.client.fields)
    if (name != "Date" && name != "X-Request-Id") text += name + ": " + value + "\n";
  return text + "\n" + desk.client.payload;
}

// A fixed answer: its own fields, Date, Via, and no body where none may be.
TEST(Respond, FixedAnswers) {
  const std::string get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
  const std::string head = "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n";
  int status = 0;
  EXPECT_EQ(answer_to("respond: {status: 200, body: ok}", get, &status),
            "Content-Type: text/plain; charset=utf-8\nVia: 1.1 weir\n\nok");
  EXPECT_EQ(status, 200);
  EXPECT_EQ(answer_to("respond: {status: 200, body: ok}", head),
            "Content-Type: text/plain; charset=utf-8\nVia: 1.1 weir\n\n");
  EXPECT_EQ(answer_to("respond: {status: 308, headers: {Location: /new}}", get, &status),
            "Location: /new\nVia: 1.1 weir\n\n");
  EXPECT_EQ(status, 308);
  EXPECT_EQ(answer_to("respond: {status: 200, body: \"{}\", headers: {Content-Type: application/json}}", get),
            "Content-Type: application/json\nVia: 1.1 weir\n\n{}");
}

// Edits of the route's answers: removed, replaced, added, also on weir's own.
TEST(Respond, HeaderEdits) {
  EXPECT_EQ(answer_to("respond: {status: 200, headers: {X-A: \"1\", X-B: \"2\"}}, "
                      "headers: {response: {set: {x-a: \"9\", X-C: \"3\"}, remove: [x-b]}}",
                      "GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
            "x-a: 9\nX-C: 3\nVia: 1.1 weir\n\n");
}

// A client that takes nothing is waited for as long as body_timeout says; one that has gone is written down
// as gone.
TEST(Answer, ClientsThatDoNotTakeIt) {
  Desk desk(kFixed);
  desk.receive("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  desk.client.takes = 0;
  desk.run();
  EXPECT_TRUE(desk.client.aborted);
  EXPECT_TRUE(desk.exchange.record.client_gone);

  desk.receive("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  desk.client.takes = 0;
  desk.client.is_gone = true;
  desk.run();
  EXPECT_TRUE(desk.exchange.record.client_gone);
}

}  // namespace
}  // namespace weir::gateway
