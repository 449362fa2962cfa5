// What a decision record says, how long it is kept, and who may see one.
#include "weir/gateway/decision_record.h"

#include <gtest/gtest.h>

#include <string>

#include "weir/gateway/testing.h"
#include "weir/passport/json.h"

namespace weir::gateway {
namespace {

using testing::Desk;
using testing::kOk;
using testing::Service;

constexpr std::string_view kConfiguration = R"(
admin: {listen: "127.0.0.1:9901", token: sesame}
upstreams: {a: {endpoints: ["http://10.0.0.1:80"], circuit_breaker: {failures: 2}}}
rate_limits: {few: {key: client_ip, limit: 2, window: 1h}}
routes:
  - {name: limited, path: /limited, rate_limit: [few], upstream: a}
  - {name: plain, path: /plain/*, upstream: a}
)";

std::string get(std::string_view path, std::string_view fields = {}) {
  return "GET " + std::string(path) + " HTTP/1.1\r\nHost: a.example\r\n" + std::string(fields) + "\r\n";
}

// What the worker keeps of an exchange as it stands, as JSON; empty when there is none.
std::string kept(Desk& desk, std::string_view id) {
  const DecisionRecords::Found found = desk.worker.records.find(id);
  if (found.record == nullptr) return {};
  RecordContext context;
  context.names = found.names;
  context.kind = to_string(found.kind);
  return to_json(*found.record, context);
}

std::string serve(Desk& desk, const std::string& request, Duration took = std::chrono::milliseconds{3}) {
  desk.receive(request);
  desk.run();
  const std::string id(desk.exchange.id);
  desk.worker.records.keep(desk.exchange, took);
  return id;
}

bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

// A request that went through tells every stage, the numbers of those that count, and the attempt.
TEST(DecisionRecord, TellsWhatEveryStageSaw) {
  Desk desk(kConfiguration);
  Service service(desk, "10.0.0.1:80", kOk);
  const std::string json = kept(desk, serve(desk, get("/limited?secret=1")));
  ASSERT_TRUE(passport::Json::parse(json)) << json;
  EXPECT_TRUE(has(json, R"("kept_as":"recent")")) << json;
  EXPECT_TRUE(has(json, R"("method":"GET","route":"limited","status":200)")) << json;
  EXPECT_TRUE(
      has(json, R"("decided_by":{"stage":"upstream","verdict":"pass","reason":"-"},"duration_us":3000)"))
      << json;
  EXPECT_TRUE(has(json, R"({"stage":"trace","verdict":"pass"},{"stage":"sanitize","verdict":"pass"})"))
      << json;
  EXPECT_TRUE(
      has(json, R"("limits":[{"name":"few","key":"client_ip","allowed":true,"limit":2,"remaining":1}])"))
      << json;
  EXPECT_TRUE(has(json, R"({"stage":"load_shed","verdict":"pass","in_flight":1,"limit":1024})")) << json;
  EXPECT_TRUE(has(json, R"("state":"closed","failures":0,"failures_to_open":2})")) << json;
  EXPECT_TRUE(has(json, R"("endpoint":"http://10.0.0.1:80")")) << json;
  EXPECT_TRUE(has(json, R"("status":200,"outcome":"success")")) << json;
  EXPECT_FALSE(has(json, "secret")) << "a query is not told: " << json;
}

// A refusal ends with the stage that refused, and says with what numbers.
TEST(DecisionRecord, ARefusalNamesItsStageAndNumbers) {
  Desk desk(kConfiguration);
  Service service(desk, "10.0.0.1:80", kOk);
  serve(desk, get("/limited"));
  serve(desk, get("/limited"));
  const std::string json = kept(desk, serve(desk, get("/limited")));
  EXPECT_TRUE(has(json, R"("kept_as":"refused")")) << json;
  EXPECT_TRUE(has(json, R"("path":"/limited")")) << json;
  EXPECT_TRUE(has(json, R"("decided_by":{"stage":"ratelimit","verdict":"refuse","reason":"rate-limited"})"))
      << json;
  EXPECT_TRUE(
      has(json, R"("allowed":false,"limit":2,"remaining":0,"retry_after_ms":3600000}]}],"attempts":[])"))
      << json;
}

// Failures name the endpoint and the error; an open breaker names its state and how long it stays so.
TEST(DecisionRecord, FailuresAndOpenBreakers) {
  Desk desk(kConfiguration);  // nobody listens
  const std::string failed = kept(desk, serve(desk, get("/plain/1")));
  EXPECT_TRUE(has(failed, R"("kept_as":"failed")")) << failed;
  EXPECT_TRUE(has(failed, R"("error":"connection_refused","outcome":"failure")")) << failed;
  serve(desk, get("/plain/2"));
  const std::string open = kept(desk, serve(desk, get("/plain/3")));
  EXPECT_TRUE(has(open, R"("kept_as":"refused")")) << open;
  EXPECT_TRUE(has(
      open, R"({"stage":"breaker","verdict":"refuse","reason":"circuit-open","upstream":"a","state":"open")"))
      << open;
  EXPECT_TRUE(has(open, R"("retry_after_ms":30000)")) << open;
}

// A flood of requests that pass does not push out what was refused, failed or slow.
TEST(DecisionRecord, KeepsRefusedFailedAndSlowOnesLongest) {
  Desk desk(std::string(kConfiguration) + "explain: {recent: 4, kept: 2}\n");
  Service service(desk, "10.0.0.1:80", kOk);
  const std::string slow = serve(desk, get("/plain/slow"), std::chrono::seconds{1});
  serve(desk, get("/limited"));
  const std::string passed = serve(desk, get("/limited"));
  const std::string refused = serve(desk, get("/limited"));
  for (int i = 0; i < 100; ++i) serve(desk, get("/plain/x"));
  EXPECT_NE(kept(desk, passed), "") << "a second's four are taken, and the others leave no record";
  desk.reactor.run_until([] { return false; }, std::chrono::seconds{1});
  std::string last;
  for (int i = 0; i < 4; ++i) last = serve(desk, get("/plain/x"));
  EXPECT_EQ(kept(desk, passed), "") << "forgotten: four came behind it";
  EXPECT_NE(kept(desk, last), "");
  EXPECT_TRUE(has(kept(desk, refused), "refused"));
  EXPECT_TRUE(has(kept(desk, slow), R"("kept_as":"slow")"));
  serve(desk, get("/limited"));
  serve(desk, get("/limited"));
  EXPECT_EQ(kept(desk, refused), "") << "two of its like came behind it";
}

// `explain: off` keeps nothing.
TEST(DecisionRecord, CanBeOff) {
  Desk desk(std::string(kConfiguration) + "explain: off\n");
  Service service(desk, "10.0.0.1:80", kOk);
  EXPECT_EQ(kept(desk, serve(desk, get("/plain/1"))), "");
}

// An id may come twice, since clients choose it: the newest is found.
TEST(DecisionRecord, TheNewestOfAnId) {
  Desk desk(kConfiguration);
  Service service(desk, "10.0.0.1:80", kOk);
  serve(desk, get("/plain/first", "X-Request-Id: same\r\n"));
  desk.reactor.run_until([] { return false; }, std::chrono::milliseconds{5});
  serve(desk, get("/limited", "X-Request-Id: same\r\n"));
  EXPECT_TRUE(has(kept(desk, "same"), R"("route":"limited")"));
  EXPECT_EQ(kept(desk, "sam"), "");
}

// A record outlives its plan; after the fourth one that followed, it tells numbers without names.
TEST(DecisionRecord, OutlivesItsPlan) {
  Desk desk(kConfiguration);
  Service service(desk, "10.0.0.1:80", kOk);
  const std::string id = serve(desk, get("/plain/1"));
  desk.exchange.end();
  for (std::size_t i = 1; i < DecisionRecords::kPlansKept; ++i) desk.load(kConfiguration);
  EXPECT_TRUE(has(kept(desk, id), R"("route":"plain")"));
  desk.load(kConfiguration);
  const std::string json = kept(desk, id);
  EXPECT_TRUE(has(json, R"("route":"-")")) << json;
  EXPECT_TRUE(passport::Json::parse(json)) << json;
}

// The answer says why to whoever holds the admin's token, and to nobody else; the field stays behind in any spelling.
TEST(DecisionRecord, ExplainsToTheTokenAlone) {
  Desk desk(kConfiguration);
  Service service(desk, "10.0.0.1:80", kOk);
  serve(desk, get("/plain/1", "X-Weir-Explain: sesame\r\n"));
  const std::string json = desk.client.value("Weir-Explain");
  ASSERT_TRUE(passport::Json::parse(json)) << json;
  EXPECT_TRUE(has(json, R"("running":true,"status":200}])")) << json;
  EXPECT_TRUE(has(kept(desk, desk.exchange.id), R"("kept_as":"slow")")) << "asked for, so kept long";
  EXPECT_FALSE(has(kept(desk, desk.exchange.id), "running"));
  for (const char* field : {"X-Weir-Explain: sesam", "X-Weir-Explain: sesame2", "X-Weir-Explain: Sesame",
                            "X-Weir-Explain:", "X_Weir_Explain: sesame", "x.weir.explain: sesame"}) {
    serve(desk, get("/plain/2", std::string(field) + "\r\n"));
    EXPECT_EQ(desk.client.value("Weir-Explain"), "") << field;
  }
  EXPECT_FALSE(has(service.seen, "xplain")) << service.seen;
  Desk open("admin: 127.0.0.1:9901\nroutes: [{path: /*, respond: {status: 200}}]");
  serve(open, get("/", "X-Weir-Explain:\r\n"));
  EXPECT_EQ(open.client.value("Weir-Explain"), "") << "no token, nobody";
}

// A field is ASCII and bounded, whatever stands in the file and the path.
TEST(DecisionRecord, AFieldIsBoundedAscii) {
  DecisionRecord record{};
  PlanNames names;
  names.routes.emplace_back().name = "caf\xc3\xa9";
  names.upstreams.emplace_back().endpoints.push_back("http://" + std::string(1000, 'x'));
  record.stage = record.why = "-";
  Attempt attempt;
  for (std::size_t i = 0; i < 1 + Notes::kMost + 3; ++i) record.notes.add(attempt);
  EXPECT_EQ(record.notes.lost(), 3U);
  RecordContext context;
  context.names = &names;
  EXPECT_GT(to_json(record, context).size(), kExplainFieldMax);
  const std::string field = to_field(record, context);
  EXPECT_LE(field.size(), kExplainFieldMax);
  EXPECT_TRUE(has(field, R"("cut":true)")) << field;
  EXPECT_TRUE(std::all_of(field.begin(), field.end(), [](char c) { return c >= ' ' && c <= '~'; })) << field;
}

}  // namespace
}  // namespace weir::gateway
