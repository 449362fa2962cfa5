// Tracing's settings: the file first, OpenTelemetry's variables for the rest, and nothing that makes no sense in silence.
#include <gtest/gtest.h>

#include <map>

#include "weir/config/load.h"
#include "weir/config/schema.h"

namespace weir::config {
namespace {

using namespace std::chrono_literals;
using Variables = std::map<std::string, std::string>;

LoadResult load(const std::string& tracing, const Variables& variables) {
  Environment environment = system_environment();
  environment.variable = [&variables](const std::string& name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    if (found == variables.end()) return std::nullopt;
    return found->second;
  };
  return load_text("weir.yaml",
                   "listen: 127.0.0.1:0\nroutes: [{path: /x, respond: {status: 200}}]\n" + tracing,
                   environment);
}

Tracing tracing_of(const std::string& text, const Variables& variables) {
  LoadResult loaded = load(text, variables);
  for (const Diagnostic& diagnostic : loaded.diagnostics) ADD_FAILURE() << to_text(diagnostic, loaded.files);
  return loaded.config && loaded.config->tracing ? *loaded.config->tracing : Tracing{};
}

// Without a file's word and without an endpoint nothing is sent, whatever else the environment says.
TEST(OtelVariables, AskForNothingByThemselves) {
  const LoadResult loaded = load("", {{"OTEL_SERVICE_NAME", "shop"}, {"OTEL_TRACES_SAMPLER", "always_on"}});
  ASSERT_TRUE(loaded.config);
  EXPECT_FALSE(loaded.config->tracing);
}

// Every variable has its place.
TEST(OtelVariables, FillWhatTheFileLeavesOpen) {
  const Tracing tracing =
      tracing_of("", {{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector.example:4318/in/"},
                      {"OTEL_EXPORTER_OTLP_HEADERS", "X-Key=a%20b, X-Other = 2"},
                      {"OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"},
                      {"OTEL_EXPORTER_OTLP_TIMEOUT", "2500"},
                      {"OTEL_SERVICE_NAME", "shop"},
                      {"OTEL_RESOURCE_ATTRIBUTES", "service.name=other,deployment.environment.name=prod"},
                      {"OTEL_TRACES_SAMPLER", "parentbased_traceidratio"},
                      {"OTEL_TRACES_SAMPLER_ARG", "0.25"},
                      {"OTEL_BSP_SCHEDULE_DELAY", "100"},
                      {"OTEL_BSP_EXPORT_TIMEOUT", "7000"},
                      {"OTEL_BSP_MAX_QUEUE_SIZE", "1000"},
                      {"OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "5000"}});
  ASSERT_TRUE(tracing.otlp);
  EXPECT_EQ(tracing.otlp->to_text(), "collector.example:4318");
  EXPECT_EQ(tracing.otlp_path, "/in/v1/traces");
  EXPECT_FALSE(tracing.otlp_tls);
  ASSERT_EQ(tracing.headers.size(), 2U);
  EXPECT_EQ(tracing.headers[0].second, "a b");
  EXPECT_TRUE(tracing.json);
  EXPECT_EQ(tracing.timeout, 2500ms);
  EXPECT_EQ(tracing.service, "shop") << "OTEL_SERVICE_NAME stands over the attribute";
  ASSERT_EQ(tracing.resource.size(), 1U);
  EXPECT_EQ(tracing.resource[0].second, "prod");
  EXPECT_DOUBLE_EQ(tracing.sample, 0.25);
  EXPECT_TRUE(tracing.parent_based);
  EXPECT_EQ(tracing.delay, 100ms);
  EXPECT_EQ(tracing.export_timeout, 7s);
  EXPECT_EQ(tracing.queue, 1000U);
  EXPECT_EQ(tracing.batch, 1000U) << "a batch is never larger than the queue";
}

// A key of the file stands over its variable; a variable for traces stands over the general one.
TEST(OtelVariables, StandBehindTheFile) {
  const std::string file =
      "tracing: {otlp: \"http://10.0.0.1:4318\", sample: 5%, service: gate, delay: 1s, encoding: protobuf, "
      "timeout: 3s, headers: {X-Key: mine}}\n";
  const Tracing tracing = tracing_of(file, {{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://10.0.0.2:4318"},
                                            {"OTEL_EXPORTER_OTLP_TIMEOUT", "1"},
                                            {"OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"},
                                            {"OTEL_EXPORTER_OTLP_HEADERS", "x-key=theirs,X-More=1"},
                                            {"OTEL_SERVICE_NAME", "shop"},
                                            {"OTEL_TRACES_SAMPLER", "always_on"},
                                            {"OTEL_BSP_SCHEDULE_DELAY", "10"}});
  EXPECT_EQ(tracing.otlp_url, "http://10.0.0.1:4318");
  EXPECT_EQ(tracing.otlp_path, "/v1/traces");
  EXPECT_DOUBLE_EQ(tracing.sample, 0.05);
  EXPECT_TRUE(tracing.parent_based) << "a sampler that was overruled changes nothing";
  EXPECT_EQ(tracing.service, "gate");
  EXPECT_EQ(tracing.delay, 1s);
  EXPECT_EQ(tracing.timeout, 3s);
  EXPECT_FALSE(tracing.json);
  ASSERT_EQ(tracing.headers.size(), 2U);
  EXPECT_EQ(tracing.headers[0].second, "mine");
  const Tracing special = tracing_of("", {{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://10.0.0.2:4318"},
                                          {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://10.0.0.3/take"},
                                          {"OTEL_TRACES_SAMPLER", "traceidratio"}});
  EXPECT_EQ(special.otlp->to_text(), "10.0.0.3:443");
  EXPECT_TRUE(special.otlp_tls);
  EXPECT_EQ(special.otlp_path, "/take") << "as it is";
  EXPECT_DOUBLE_EQ(special.sample, 1);
  EXPECT_FALSE(special.parent_based);
}

// Two variables turn sending off whatever the file says; the rest of `tracing` goes on.
TEST(OtelVariables, TurnSendingOff) {
  const std::string file = "tracing: {otlp: \"http://10.0.0.1:4318\", trust: [10.0.0.0/8]}\n";
  for (const auto& [name, value] :
       Variables{{"OTEL_SDK_DISABLED", "TRUE"}, {"OTEL_TRACES_EXPORTER", "none"}}) {
    const Tracing tracing = tracing_of(file, {{name, value}});
    EXPECT_FALSE(tracing.otlp) << name;
    EXPECT_EQ(tracing.trust.size(), 1U);
  }
  EXPECT_TRUE(tracing_of(file, {{"OTEL_SDK_DISABLED", "false"}, {"OTEL_TRACES_EXPORTER", "otlp"}}).otlp);
}

// What makes no sense is named and ignored; an empty variable counts as absent. The configuration stays valid.
TEST(OtelVariables, AreNamedWhenTheyMakeNoSense) {
  const Variables wrong{{"OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"},
                        {"OTEL_EXPORTER_OTLP_TIMEOUT", "10s"},
                        {"OTEL_EXPORTER_OTLP_HEADERS", "Host=x"},
                        {"OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"},
                        {"OTEL_RESOURCE_ATTRIBUTES", "novalue"},
                        {"OTEL_TRACES_SAMPLER", "jaeger_remote"},
                        {"OTEL_BSP_SCHEDULE_DELAY", "-1"},
                        {"OTEL_BSP_MAX_QUEUE_SIZE", "0"},
                        {"OTEL_SDK_DISABLED", "yes"},
                        {"OTEL_TRACES_EXPORTER", "zipkin"},
                        {"OTEL_SERVICE_NAME", " "}};
  const LoadResult loaded = load("tracing: {otlp: \"http://10.0.0.1:4318\"}\n", wrong);
  ASSERT_TRUE(loaded.config);
  std::string all;
  for (const Diagnostic& diagnostic : loaded.diagnostics) {
    EXPECT_EQ(diagnostic.severity, Diagnostic::Severity::warning);
    all += to_text(diagnostic, loaded.files) + "\n";
  }
  for (const auto& [name, value] : wrong)
    EXPECT_EQ(all.find("the environment's " + name + " is ignored") != std::string::npos, value != " ")
        << name << "\n"
        << all;
  EXPECT_EQ(loaded.config->tracing->service, "weir");
  const LoadResult bad = load("", {{"OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"}});
  ASSERT_TRUE(bad.config);
  ASSERT_EQ(bad.diagnostics.size(), 1U);
  EXPECT_NE(to_text(bad.diagnostics[0], bad.files).find("http://HOST:PORT"), std::string::npos);
  const LoadResult share = load("", {{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318"},
                                     {"OTEL_TRACES_SAMPLER", "traceidratio"},
                                     {"OTEL_TRACES_SAMPLER_ARG", "1.5"}});
  ASSERT_EQ(share.diagnostics.size(), 1U);
  EXPECT_DOUBLE_EQ(share.config->tracing->sample, 1);
}

// A key for the collector is not shown in a dump.
TEST(OtelVariables, KeepTheCollectorsKey) {
  const LoadResult loaded = load("", {{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318"},
                                      {"OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Bearer%20hush"}});
  ASSERT_TRUE(loaded.config);
  const std::string dump = to_json(*loaded.config);
  EXPECT_EQ(dump.find("hush"), std::string::npos) << dump;
  EXPECT_NE(dump.find(R"("Authorization":"***")"), std::string::npos) << dump;
}

}  // namespace
}  // namespace weir::config
