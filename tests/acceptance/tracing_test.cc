// Spans at a collector: one tree a request, the right names, and no effect when the collector is not there.
#include <map>

#include "tests/acceptance/acceptance.h"

namespace weir::testing {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view kTrace = "4bf92f3577b34da6a3ce929d0e0e4736";

// A gateway with a proxied route, a page, and a collector that takes JSON.
class Tracing : public ::testing::Test {
 protected:
  static std::string configuration(const Origin& origin, const Origin& collector, std::string_view more) {
    return with(R"(
      tracing: {otlp: $OTLP, encoding: json, delay: 20ms, service: shop, trust: [127.0.0.1/32], $MORE}
      upstreams: {origin: {endpoints: [$ORIGIN]}, gone: {endpoints: [http://127.0.0.1:1]}}
      routes:
        - path: /page
          bff:
            sections:
              a: {upstream: origin, path: /a}
              b: {upstream: gone, path: /b}
        - {path: /*, upstream: origin}
    )",
                {{"OTLP", collector.url()}, {"ORIGIN", origin.url()}, {"MORE", std::string(more)}});
  }

  // All spans that have arrived, by name; waits for so many.
  std::multimap<std::string, Json> spans(std::size_t count) {
    std::multimap<std::string, Json> all;
    eventually([&] {
      all.clear();
      for (const Seen& seen : collector.requests("/v1/traces")) {
        const std::optional<Json> body = Json::parse(seen.body);
        if (!body) continue;
        const Json& list = (*body)["resourceSpans"][0]["scopeSpans"][0]["spans"];
        for (std::size_t i = 0; i < list.size(); ++i) all.emplace(list[i]["name"].text(), list[i]);
      }
      return all.size() >= count;
    });
    EXPECT_EQ(all.size(), count);
    return all;
  }

  static std::string attribute(const Json& span, std::string_view key) {
    const Json& list = span["attributes"];
    for (std::size_t i = 0; i < list.size(); ++i)
      if (list[i]["key"].text() == key) return list[i]["value"][0].text();
    return "";
  }

  void start(std::string_view more) {
    collector.on("/v1/traces", [](Call& call) {
      call.read_body();
      call.reply(200, "{}");
    });
    origin.on("/a", [](Call& call) { call.reply(200, "{}", {{"Content-Type", "application/json"}}); });
    gateway.emplace(configuration(origin, collector, more));
  }

  Origin origin;
  Origin collector;
  std::optional<Gateway> gateway;
};

// A proxied request is a server span below the caller's, its call a client span below that; the service is told of it.
TEST_F(Tracing, ShowsAProxiedRequest) {
  start("sample: 100%");
  gateway->get("/x", {{"traceparent", "00-" + std::string(kTrace) + "-00f067aa0ba902b7-01"}});
  const auto all = spans(2);
  ASSERT_EQ(all.count("GET /*"), 1U);
  ASSERT_EQ(all.count("GET"), 1U);
  const Json& server = all.find("GET /*")->second;
  const Json& client = all.find("GET")->second;
  EXPECT_EQ(server["traceId"].text(), kTrace);
  EXPECT_EQ(server["parentSpanId"].text(), "00f067aa0ba902b7");
  EXPECT_EQ(server["kind"].number(), 2);
  EXPECT_EQ(attribute(server, "http.route"), "/*");
  EXPECT_EQ(attribute(server, "http.request.method"), "GET");
  EXPECT_EQ(attribute(server, "http.response.status_code"), "200");
  EXPECT_EQ(attribute(server, "url.path"), "/x");
  EXPECT_EQ(client["parentSpanId"].text(), server["spanId"].text());
  EXPECT_EQ(client["kind"].number(), 3);
  EXPECT_EQ(attribute(client, "server.port"), std::to_string(origin.port()));
  EXPECT_EQ(origin.last("/x").field("traceparent"),
            "00-" + std::string(kTrace) + "-" + client["spanId"].text() + "-01");
  const Seen sent = collector.last("/v1/traces");
  EXPECT_EQ(sent.field("Content-Type"), "application/json");
  EXPECT_NE(sent.body.find(R"({"key":"service.name","value":{"stringValue":"shop"}})"), std::string::npos);
  EXPECT_TRUE(gateway->wait_for_metric("weir_trace_spans_total", {{"result", "exported"}}, 2));
}

// A page's tree: the request, its sections, their calls. What failed says how. Kept although nothing is sampled.
TEST_F(Tracing, ShowsADegradedPageWhateverTheSample) {
  start("sample: 0%");
  gateway->get("/x");
  EXPECT_EQ(gateway->get("/page").field("Weir-Complete"), "?0");
  const auto all = spans(5);
  const Json& server = all.find("GET /page")->second;
  const Json& section = all.find("b")->second;
  EXPECT_EQ(section["parentSpanId"].text(), server["spanId"].text());
  EXPECT_EQ(attribute(section, "error.type"), "connection_refused");
  EXPECT_EQ(section["status"]["code"].number(), 2);
  EXPECT_EQ(all.find("a")->second["parentSpanId"].text(), server["spanId"].text());
  for (auto [at, end] = all.equal_range("GET"); at != end; ++at) {
    const std::string parent = at->second["parentSpanId"].text();
    EXPECT_TRUE(parent == section["spanId"].text() || parent == all.find("a")->second["spanId"].text());
    if (parent == section["spanId"].text()) continue;
    EXPECT_EQ(origin.last("/a").field("traceparent").substr(36, 16), at->second["spanId"].text());
    EXPECT_EQ(attribute(at->second, "url.full"), origin.url() + "/a");
  }
}

// A stranger's trace is not taken over: a new root, linked to what he said, sampled by our own ratio.
TEST_F(Tracing, LinksToTheTraceOfAStranger) {
  start("sample: 100%");
  Client stranger(gateway->port(), "127.0.0.9");
  stranger.get("/x", {{"traceparent", "00-" + std::string(kTrace) + "-00f067aa0ba902b7-00"}});
  const auto all = spans(2);
  const Json& server = all.find("GET /*")->second;
  EXPECT_NE(server["traceId"].text(), kTrace);
  EXPECT_FALSE(server.has("parentSpanId"));
  EXPECT_EQ(server["links"][0]["traceId"].text(), kTrace);
}

// A collector that refuses, or fails for long, changes nothing for anybody; what it did not take is counted.
TEST_F(Tracing, GoesOnWithoutACollector) {
  start("sample: 100%");
  collector.on_status("/v1/traces", 400);
  EXPECT_EQ(gateway->get("/x").status, 200);
  EXPECT_TRUE(gateway->wait_for_metric("weir_trace_spans_total", {{"result", "dropped"}}, 2));
  collector.on_status("/v1/traces", 503);
  Client client(gateway->port());
  for (int i = 0; i < 2000; ++i) ASSERT_EQ(client.get("/x").status, 200);
  EXPECT_TRUE(eventually([&] {
    return gateway->metrics().value("weir_trace_spans_total", {{"result", "dropped"}}).value_or(0) > 1500;
  })) << "4,000 spans, and no room for more than 2,048";
}

// OpenTelemetry's variables stand for what the file leaves open; spans that wait go out when the gateway drains.
TEST_F(Tracing, TakesTheEnvironmentAndFlushesAtTheEnd) {
  collector.on("/base/v1/traces", [](Call& call) {
    call.read_body();
    call.reply(200, "{}");
  });
  gateway.emplace(
      with("upstreams: {origin: {endpoints: [$ORIGIN]}}\nroutes: [{path: /*, upstream: origin}]\n",
           {{"ORIGIN", origin.url()}}),
      GatewayOptions{.workers = 1,
                     .admin_token = "test-token",
                     .extra = "",
                     .environment = {{"OTEL_EXPORTER_OTLP_ENDPOINT", collector.url() + "/base"},
                                     {"OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"},
                                     {"OTEL_EXPORTER_OTLP_HEADERS", "X-Key=k%201"},
                                     {"OTEL_SERVICE_NAME", "shop"},
                                     {"OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test"},
                                     {"OTEL_TRACES_SAMPLER", "always_on"},
                                     {"OTEL_BSP_SCHEDULE_DELAY", "3600000"}},
                     .wait_until_ready = true});
  gateway->get("/x");
  EXPECT_EQ(collector.count(), 0U) << "an hour until a batch that is not full is sent";
  gateway.reset();  // drains
  ASSERT_EQ(collector.count("/base/v1/traces"), 1U);
  const Seen sent = collector.last("/base/v1/traces");
  EXPECT_EQ(sent.field("X-Key"), "k 1");
  EXPECT_NE(sent.body.find(R"({"key":"service.name","value":{"stringValue":"shop"}})"), std::string::npos);
  EXPECT_NE(sent.body.find(R"({"key":"deployment.environment.name","value":{"stringValue":"test"}})"),
            std::string::npos);
  EXPECT_NE(sent.body.find(R"("name":"GET /*")"), std::string::npos);
}

// A collector that says nothing holds up a drain for three seconds at most.
TEST_F(Tracing, DrainsBesideASilentCollector) {
  start("sample: 100%");
  Gate never;
  collector.on_hold("/v1/traces", never);
  gateway->get("/x");
  ASSERT_TRUE(collector.wait_for_in_flight(1));
  gateway->get("/x");
  const auto begin = std::chrono::steady_clock::now();
  gateway.reset();
  const auto took = std::chrono::steady_clock::now() - begin;
  std::printf("drained beside a silent collector in %lld ms\n",
              static_cast<long long>(std::chrono::duration_cast<std::chrono::milliseconds>(took).count()));
  never.open();
}

// A reload takes over what it says of tracing: another collector gets what comes, the old one what was; off is off.
TEST_F(Tracing, FollowsAReload) {
  collector.on_status("/v1/traces", 200);
  std::string slow = configuration(origin, collector, "sample: 100%");
  slow.replace(slow.find("20ms"), 4, "1m");
  gateway.emplace(slow);
  gateway->get("/x");
  Origin other;
  other.on("/v1/traces", [](Call& call) {
    call.read_body();
    call.reply(200, "{}");
  });
  std::string text = configuration(origin, collector, "sample: 100%");
  text.replace(text.find(collector.url()), collector.url().size(), other.url());
  EXPECT_EQ(gateway->reload(text).status, 200);
  EXPECT_TRUE(eventually([&] { return collector.count("/v1/traces") == 1; }))
      << "what waited goes to where it was meant";
  gateway->get("/y");
  EXPECT_TRUE(eventually([&] { return other.count("/v1/traces") >= 1; }));
  EXPECT_EQ(collector.count("/v1/traces"), 1U);
  const std::size_t before = other.count("/v1/traces");
  const std::size_t at = text.find("otlp:");
  text.erase(at, text.find(',', at) + 1 - at);
  EXPECT_EQ(gateway->reload(text).status, 200);
  EXPECT_EQ(gateway->get("/z").status, 200);
  EXPECT_EQ(other.count("/v1/traces"), before);
}

}  // namespace
}  // namespace weir::testing
