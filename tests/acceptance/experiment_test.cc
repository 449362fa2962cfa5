// Experiments and flags, seen from outside: assignment, targeting, the request's path, HTTP, the file that
// changes.
#include <cmath>
#include <fstream>
#include <map>
#include <utility>

#include "tests/acceptance/acceptance.h"
#include "weir/base/hash.h"

namespace weir::testing {
namespace {

constexpr std::string_view kHalves = "variants: [{name: control, weight: 50}, {name: treatment, weight: 50}]";

// A file of experiments in a folder of its own, so that it is there before the gateway.
struct File {
  TemporaryFolder folder;
  std::string path;
  explicit File(std::string_view text) : path(folder.write("experiments.yaml", text)) {}
  void change(std::string_view text) { folder.write("experiments.yaml", text); }
};

std::string unit(int i) { return "user_" + std::to_string(i); }

Json assigned(Client& client, std::string_view key, std::string_view body) {
  const Answer answer = client.ask("POST", "/v1/experiments/" + std::string(key) + "/assign", {}, body);
  EXPECT_EQ(answer.status, 200) << answer;
  const std::optional<Json> json = Json::parse(answer.body);
  EXPECT_TRUE(json) << answer;
  return json.value_or(Json{});
}

std::string variant_of(Client& client, std::string_view key, std::string_view unit) {
  return assigned(client, key, R"({"unit": ")" + std::string(unit) + R"("})")["variant"].text();
}

constexpr std::string_view kServe = R"(
  experiments: {file: $FILE}
  routes:
    - {path: /v1/experiments/*, serve: experiments}
    - {path: /ofrep/*, serve: experiments}
    - {path: /api/*, serve: experiments}
    - {path: /sub/*, serve: experiments}
)";

// `hash: fnv1a` is fnv1a32(key + unit) % 100 to the letter for 10,000 units, the same in another process, and
// the variants' shares are within three sigma of their weights.
TEST(Experiment, TheFormulaToTheLetter) {
  const File file("experiments:\n  - {key: checkout_button, unit: user_id, hash: fnv1a, " +
                  std::string(kHalves) + "}\n");
  const std::string configuration = with(kServe, {{"FILE", file.path}});
  int treatment = 0;
  for (int process = 0; process < 2; ++process) {
    Gateway gateway(configuration);
    Client client(gateway.port());
    for (int i = process == 0 ? 0 : 9'900; i < 10'000; ++i) {
      const Json answer = assigned(client, "checkout_button", R"({"unit": ")" + unit(i) + R"("})");
      const std::uint32_t bucket = base::fnv1a32("checkout_button" + unit(i)) % 100;
      ASSERT_EQ(answer["bucket"].number(), bucket) << unit(i);
      ASSERT_EQ(answer["variant"].text(), bucket < 50 ? "control" : "treatment") << unit(i);
      ASSERT_EQ(answer["reason"].text(), "split");
      if (process == 0) treatment += bucket >= 50;
    }
  }
  EXPECT_NEAR(treatment, 5'000, 3 * std::sqrt(10'000 * 0.25));
}

// The allocation of the mixed hash follows unequal weights within three sigma, and coverage leaves the rest
// out.
TEST(Experiment, AllocationFollowsWeights) {
  const File file(
      "experiments:\n  - {key: shares, coverage: 50, variants: [{name: a, weight: 20}, {name: b, weight: "
      "80}]}\n");
  Gateway gateway(with(kServe, {{"FILE", file.path}}));
  Client client(gateway.port());
  std::map<std::string, int> counts;
  constexpr int kUnits = 4'000;
  for (int i = 0; i < kUnits; ++i) {
    const Json answer = assigned(client, "shares", R"({"unit": ")" + unit(i) + R"("})");
    ++counts[answer["variant"].is_null() ? "-" : answer["variant"].text()];
  }
  const auto sigma = [](double share) { return std::sqrt(kUnits * share * (1 - share)); };
  EXPECT_NEAR(counts["a"], kUnits * 0.1, 3 * sigma(0.1));
  EXPECT_NEAR(counts["b"], kUnits * 0.4, 3 * sigma(0.4));
  EXPECT_NEAR(counts["-"], kUnits * 0.5, 3 * sigma(0.5));
}

// Only who matches takes part; a missing attribute matches nothing.
TEST(Experiment, Targeting) {
  const File file(
      "experiments:\n  - {key: e, when: {country: {in: [US, CA]}, app_version: {semver_gte: \"2.1.0\"}}, " +
      std::string(kHalves) + "}\n");
  Gateway gateway(with(kServe, {{"FILE", file.path}}));
  Client client(gateway.port());
  const auto reason = [&](std::string_view attributes) {
    return assigned(client, "e", R"({"unit": "u", "attributes": )" + std::string(attributes) + "}")["reason"]
        .text();
  };
  EXPECT_EQ(reason(R"({"country": "CA", "app_version": "2.10.0"})"), "split");
  EXPECT_EQ(reason(R"({"country": "DE", "app_version": "2.10.0"})"), "not_targeted");
  EXPECT_EQ(reason(R"({"country": "US", "app_version": "2.0.9"})"), "not_targeted");
  EXPECT_EQ(reason(R"({"country": "US"})"), "not_targeted");
  EXPECT_EQ(
      assigned(client, "e", R"({"attributes": {"country": "US", "app_version": "3.0.0"}})")["reason"].text(),
      "missing_unit");
}

// The file is picked up when it changes, and raising coverage moves nobody who had a variant.
TEST(Experiment, ARampMovesNobody) {
  const auto text = [](int coverage) {
    return "experiments:\n  - {key: ramp, coverage: " + std::to_string(coverage) + ", " +
           std::string(kHalves) + "}\n";
  };
  File file(text(20));
  Gateway gateway(with(kServe, {{"FILE", file.path}}));
  Client client(gateway.port());
  std::vector<std::string> before;
  for (int i = 0; i < 1'000; ++i) before.push_back(variant_of(client, "ramp", unit(i)));
  file.change(text(60));
  ASSERT_TRUE(gateway.wait_for_metric("weir_experiment_reloads_total", {{"result", "ok"}}, 1));
  int had = 0;
  int has = 0;
  for (int i = 0; i < 1'000; ++i) {
    const std::string now = variant_of(client, "ramp", unit(i));
    has += now != "null";
    if (before[static_cast<std::size_t>(i)] == "null") continue;
    ++had;
    EXPECT_EQ(now, before[static_cast<std::size_t>(i)]) << unit(i);
  }
  EXPECT_NEAR(had, 200, 40);
  EXPECT_NEAR(has, 600, 50);
}

// A file that is wrong is refused, and the last good one goes on.
TEST(Experiment, ABadFileKeepsTheLastGoodOne) {
  File file("experiments:\n  - {key: e, " + std::string(kHalves) + "}\n");
  Gateway gateway(with(kServe, {{"FILE", file.path}}));
  Client client(gateway.port());
  const std::string before = variant_of(client, "e", "u");
  file.change("experiments:\n  - {key: e, variants: [{name: x, weight: 90}]}\n");
  ASSERT_TRUE(gateway.wait_for_metric("weir_experiment_reloads_total", {{"result", "failed"}}, 1));
  EXPECT_EQ(variant_of(client, "e", "u"), before);
  file.change("experiments:\n  - {key: e, variants: [{name: x, weight: 100}]}\n");
  ASSERT_TRUE(gateway.wait_for_metric("weir_experiment_reloads_total", {{"result", "ok"}}, 1));
  EXPECT_EQ(variant_of(client, "e", "u"), "x");
}

// No unit is in two experiments of one layer.
TEST(Experiment, LayersExclude) {
  const File file("layers: [{name: l}]\nexperiments:\n  - {key: a, layer: l, slots: [[0, 5000]], " +
                  std::string(kHalves) + "}\n  - {key: b, layer: l, slots: [[5000, 10000]], " +
                  std::string(kHalves) + "}\n");
  Gateway gateway(with(kServe, {{"FILE", file.path}}));
  Client client(gateway.port());
  int in_a = 0;
  for (int i = 0; i < 500; ++i) {
    const bool a = variant_of(client, "a", unit(i)) != "null";
    const bool b = variant_of(client, "b", unit(i)) != "null";
    EXPECT_NE(a, b) << unit(i);
    in_a += a;
  }
  EXPECT_NEAR(in_a, 250, 50);
}

constexpr std::string_view kPath = R"(
  experiments:
    file: $FILE
    secret: env:EXPERIMENT_SECRET
    attributes: {user_id: "header:X-User", country: "header:X-Country"}
  upstreams:
    a: {endpoints: [$A]}
    b: {endpoints: [$B]}
    elsewhere: {endpoints: [$A], external: true}
  rate_limits: {few: {key: "header:X-Limit", limit: 1/h, on_missing_key: skip}}
  routes:
    - {path: /outside/*, upstream: elsewhere, experiments: [checkout_button], flags: [dark_mode]}
    - {path: /none/*, upstream: a}
    - path: /*
      upstream: a
      rate_limit: [few]
      experiments: [checkout_button]
      flags: [dark_mode, banner]
      variants:
        checkout_button:
          treatment:
            upstream: b
            headers: {request: {set: {X-New: "1"}, remove: [X-Old]}, response: {set: {X-Variant: treatment}}}
)";

struct Shop {
  Origin a;
  Origin b;
  File file;
  Gateway gateway;

  Shop()
      : file("experiments:\n  - {key: checkout_button, unit: user_id, hash: fnv1a, " + std::string(kHalves) +
             "}\nflags:\n  - {key: dark_mode, type: boolean, default: false, rules: [{when: {country: US}, "
             "value: true}]}\n"
             "  - {key: banner, type: string, default: 'a \"b\"'}\n"),
        gateway(with(kPath, {{"FILE", file.path}, {"A", a.url()}, {"B", b.url()}}), options()) {}

  static GatewayOptions options() {
    GatewayOptions options;
    options.admin_token = "";
    options.environment = {{"EXPERIMENT_SECRET", "a secret of the tests"}};
    return options;
  }
};

// user_1 has bucket 93 and user_2 bucket 36: the variant decides which service answers and what it is told.
TEST(Experiment, AVariantChoosesTheUpstream) {
  Shop shop;
  const Answer treated = shop.gateway.get("/x", {{"X-User", "user_1"}, {"X-Country", "US"}, {"X-Old", "y"}});
  EXPECT_EQ(treated.status, 200);
  EXPECT_EQ(treated.field("X-Variant"), "treatment");
  ASSERT_EQ(shop.b.count("/x"), 1U);
  EXPECT_EQ(shop.b.last("/x").field("X-New"), "1");
  EXPECT_EQ(shop.b.last("/x").count("X-Old"), 0U);
  EXPECT_EQ(shop.b.last("/x").field("X-Experiments"), R"(checkout_button="treatment")");
  EXPECT_EQ(shop.b.last("/x").field("X-Flags"), R"(dark_mode, banner="a \"b\"")");
  const Answer control = shop.gateway.get("/x", {{"X-User", "user_2"}, {"X-Old", "y"}});
  EXPECT_FALSE(control.has("X-Variant"));
  ASSERT_EQ(shop.a.count("/x"), 1U);
  EXPECT_EQ(shop.a.last("/x").field("X-Experiments"), R"(checkout_button="control")");
  EXPECT_EQ(shop.a.last("/x").field("X-Flags"), R"(dark_mode=?0, banner="a \"b\"")");
  EXPECT_EQ(shop.a.last("/x").field("X-Old"), "y");
}

// A section that is everybody's is still each variant's own: the kept answer of one is never shown to who has another.
TEST(Experiment, AKeptSectionIsOfOneVariant) {
  Origin origin;
  origin.on("/section", [](Call& call) {
    const std::string told = call.request().field("X-Experiments");
    call.reply(200, told.find("treatment") == std::string::npos ? "\"control\"" : "\"treatment\"",
               {{"Content-Type", "application/json"}});
  });
  const File file("experiments:\n  - {key: checkout_button, unit: user_id, hash: fnv1a, " +
                  std::string(kHalves) + "}\n");
  Gateway gateway(with(R"(
    experiments: {file: $FILE, attributes: {user_id: "header:X-User"}}
    upstreams: {a: {endpoints: [$A]}}
    routes:
      - path: /page
        experiments: [checkout_button]
        bff: {sections: {one: {upstream: a, path: /section, cache: {ttl: 1h, scope: public}}}}
  )",
                       {{"FILE", file.path}, {"A", origin.url()}}));
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(gateway.get("/page", {{"X-User", "user_1"}}).body, R"({"one":"treatment"})") << round;
    EXPECT_EQ(gateway.get("/page", {{"X-User", "user_2"}}).body, R"({"one":"control"})") << round;
    EXPECT_EQ(gateway.get("/page", {{"X-User", "user_1"}}).body, R"({"one":"treatment"})") << round;
  }
  EXPECT_EQ(origin.count("/section"), 2U) << "one call for each variant";
}

// Copies that a client sends reach nobody, in any spelling; an external service is told nothing.
TEST(Experiment, ClientsCannotSpeakForWeir) {
  Shop shop;
  const Fields forged{{"X-User", "user_2"},
                      {"X-Experiments", "evil"},
                      {"x_experiments", "evil"},
                      {"X.Flags", "evil"},
                      {"x-flags", "evil"},
                      {"X-Experiment-Override", "evil"},
                      {"x_experiment.override", "evil"}};
  shop.gateway.get("/x", forged);
  const Seen seen = shop.a.last("/x");
  EXPECT_EQ(seen.count("X-Experiments"), 1U);
  EXPECT_EQ(seen.head.find("evil"), std::string::npos) << seen.head;
  shop.gateway.get("/none/x", forged);
  EXPECT_EQ(shop.a.last("/none/x").head.find("evil"), std::string::npos);
  EXPECT_EQ(shop.a.last("/none/x").count("X-Experiments"), 0U);
  shop.gateway.get("/outside/x", forged);
  EXPECT_EQ(shop.a.last("/outside/x").count("X-Experiments"), 0U);
  EXPECT_EQ(shop.a.last("/outside/x").count("X-Flags"), 0U);
}

// An override counts only with a good signature, and never reaches the service.
TEST(Experiment, OverridesMustBeSigned) {
  Shop shop;
  const auto ask = [&](std::string_view value) {
    shop.gateway.get("/x", {{"X-User", "user_2"}, {"X-Experiment-Override", std::string(value)}});
    EXPECT_EQ(
        shop.a.last("/x").count("X-Experiment-Override") + shop.b.last("/x").count("X-Experiment-Override"),
        0U);
    return shop.b.count("/x") > 0;
  };
  EXPECT_FALSE(ask("checkout_button:treatment;9999999999"));
  EXPECT_FALSE(ask("checkout_button:treatment;9999999999.AAAAAAAAAAAAAAAAAAAAAA"));
  const Finished other = run(
      {weir_binary(), "experiment", "override", "checkout_button=treatment", "--secret", "another secret"});
  EXPECT_FALSE(ask(other.out.substr(23, other.out.size() - 24)));
  const Finished good = run({weir_binary(), "experiment", "override", "checkout_button=treatment", "--secret",
                             "a secret of the tests"});
  ASSERT_EQ(good.out.substr(0, 23), "X-Experiment-Override: ");
  EXPECT_TRUE(ask(good.out.substr(23, good.out.size() - 24)));
}

// Who has no id of its own gets a signed cookie, and keeps its variant by it; a forged one is replaced.
TEST(Experiment, AnonymousUnitsKeepTheirVariant) {
  Shop shop;
  const Answer first = shop.gateway.get("/x");
  const std::string cookie = first.field("Set-Cookie").substr(0, first.field("Set-Cookie").find(';'));
  ASSERT_EQ(cookie.substr(0, 10), "weir_unit=") << first;
  const std::string given = (shop.a.count("/x") > 0 ? shop.a : shop.b).last("/x").field("X-Experiments");
  for (int i = 0; i < 5; ++i) {
    const Answer again = shop.gateway.get("/x", {{"Cookie", "a=b; " + cookie}});
    EXPECT_FALSE(again.has("Set-Cookie"));
    EXPECT_EQ(
        (given.find("control") != std::string::npos ? shop.a : shop.b).last("/x").field("X-Experiments"),
        given);
  }
  EXPECT_TRUE(
      shop.gateway.get("/x", {{"Cookie", "weir_unit=chosen.AAAAAAAAAAAAAAAAAAAAAA"}}).has("Set-Cookie"));
}

// A sticky experiment keeps what a unit had when the weights change, by a signed cookie. Targeting is asked again; who
// has no cookie, a forged one or somebody else's is computed anew.
TEST(Experiment, StickyUnitsKeepTheirVariantWithinTargeting) {
  const auto text = [](std::string_view weights, std::string_view country) {
    return with(
        "experiments:\n  - {key: checkout_button, unit: user_id, hash: fnv1a, sticky: true, "
        "when: {country: $COUNTRY}, variants: [$WEIGHTS]}\n"
        "flags:\n  - {key: dark_mode, type: boolean, default: false}\n"
        "  - {key: banner, type: string, default: x}\n",
        {{"WEIGHTS", std::string(weights)}, {"COUNTRY", std::string(country)}});
  };
  constexpr std::string_view kEven = "{name: control, weight: 50}, {name: treatment, weight: 50}";
  constexpr std::string_view kUneven = "{name: control, weight: 10}, {name: treatment, weight: 90}";
  Shop shop;
  double reloads = 0;
  const auto change = [&](const std::string& to) {
    shop.file.change(to);
    ASSERT_TRUE(shop.gateway.wait_for_metric("weir_experiment_reloads_total", {{"result", "ok"}}, ++reloads));
  };
  const auto ask = [&](std::string_view user, std::string_view cookie) {
    return shop.gateway.get(
        "/x",
        {{"X-User", std::string(user)}, {"X-Country", "US"}, {"Cookie", "a=b; " + std::string(cookie)}});
  };
  std::size_t treated = 0;
  const auto told = [&] {  // what the service that answered last was told
    const bool by_b = shop.b.count("/x") > std::exchange(treated, shop.b.count("/x"));
    return (by_b ? shop.b : shop.a).last("/x").field("X-Experiments");
  };
  const auto cookie_of = [](const Answer& answer) {
    for (const auto& [name, value] : answer.fields)
      if (value.starts_with("weir_sticky=")) return value.substr(0, value.find(';'));
    return std::string();
  };
  change(text(kEven, "US"));
  const std::string cookie = cookie_of(ask("user_2", ""));
  ASSERT_FALSE(cookie.empty());
  EXPECT_EQ(told(), R"(checkout_button="control")") << "bucket 36";
  EXPECT_EQ(cookie_of(ask("user_2", cookie)), "") << "nothing new to keep";
  EXPECT_EQ(told(), R"(checkout_button="control")");

  change(text(kUneven, "US"));
  EXPECT_EQ(cookie_of(ask("user_2", cookie)), "");
  EXPECT_EQ(told(), R"(checkout_button="control")");
  EXPECT_NE(cookie_of(ask("user_2", "")), "");
  EXPECT_EQ(told(), R"(checkout_button="treatment")");
  std::string forged = cookie;
  forged[forged.size() - 1] = forged.back() == 'A' ? 'B' : 'A';
  ask("user_2", forged);
  EXPECT_EQ(told(), R"(checkout_button="treatment")");
  EXPECT_NE(cookie_of(ask("user_1", cookie)), "") << "another user of the same browser";
  EXPECT_EQ(told(), R"(checkout_button="treatment")");

  change(text(kUneven, "CA"));
  ask("user_2", cookie);
  EXPECT_EQ(told(), "") << "no longer targeted";
  change(text(kUneven, "US"));
  ask("user_2", cookie);
  EXPECT_EQ(told(), R"(checkout_button="control")");
}

// An exposure is one line for a unit and its variant, and none for a request that was refused.
TEST(Experiment, ExposuresAreRecordedWhereApplied) {
  Shop shop;
  for (int i = 0; i < 3; ++i) shop.gateway.get("/x", {{"X-User", "user_1"}});
  EXPECT_EQ(shop.gateway.get("/x", {{"X-User", "user_5"}, {"X-Limit", "k"}}).status, 200);
  EXPECT_EQ(shop.gateway.get("/x", {{"X-User", "user_6"}, {"X-Limit", "k"}}).status, 429);
  const Answer answer = shop.gateway.admin("/v1/exposures");
  ASSERT_EQ(answer.status, 200) << answer;
  const std::optional<Json> json = Json::parse(answer.body);
  ASSERT_TRUE(json) << answer;
  double units = 0;
  double requests = 0;
  for (std::size_t i = 0; i < (*json)["experiments"][0]["variants"].size(); ++i) {
    units += (*json)["experiments"][0]["variants"][i]["units"].number();
    requests += (*json)["experiments"][0]["variants"][i]["requests"].number();
  }
  EXPECT_EQ(units, 2) << answer;
  EXPECT_EQ(requests, 4) << answer;
  EXPECT_EQ((*json)["experiments"][0]["sample_ratio"]["mismatch"].text(), "false");
  EXPECT_EQ(
      shop.gateway.metrics().value("weir_experiment_exposures_total", {{"experiment", "checkout_button"}}),
      2);
}

// POST /v1/explain needs no token and says each question with its answer.
TEST(Experiment, Explain) {
  Shop shop;
  const Answer answer =
      shop.gateway.admin_post("/v1/explain", R"({"key": "checkout_button", "unit": "user_1"})");
  ASSERT_EQ(answer.status, 200) << answer;
  EXPECT_NE(answer.body.find("bucket 93 of 100"), std::string::npos) << answer;
  EXPECT_EQ(shop.gateway.admin_post("/v1/explain", "{").status, 400);
}

// OFREP: one flag, all of them, the tag that saves an answer, and its errors.
TEST(Experiment, Ofrep) {
  const File file("experiments:\n  - {key: e, coverage: 0, " + std::string(kHalves) +
                  "}\nflags:\n  - {key: f, type: boolean, default: true}\n"
                  "  - {key: n, type: number, default: 1, rules: [{when: {vip: true}, value: 2}]}\n");
  Gateway gateway(with(kServe, {{"FILE", file.path}}));
  Client client(gateway.port());
  const auto one = [&](std::string_view key, std::string_view body) {
    return client.ask("POST", "/ofrep/v1/evaluate/flags/" + std::string(key),
                      {{"Content-Type", "application/json"}}, body);
  };
  EXPECT_EQ(one("f", R"({"context": {"targetingKey": "u"}})").body,
            R"({"key":"f","reason":"STATIC","value":true})");
  EXPECT_EQ(one("e", R"({"context": {"targetingKey": "u"}})").body, R"({"key":"e","reason":"DEFAULT"})");
  EXPECT_EQ(one("n", R"({"context": {"vip": true}})").body,
            R"({"key":"n","reason":"TARGETING_MATCH","value":2})");
  EXPECT_EQ(one("n", "").body, R"({"key":"n","reason":"DEFAULT","value":1})");
  EXPECT_EQ(one("x", "{}").status, 404);
  EXPECT_NE(one("x", "{}").body.find("FLAG_NOT_FOUND"), std::string::npos);
  EXPECT_NE(one("e", "{}").body.find("TARGETING_KEY_MISSING"), std::string::npos);
  EXPECT_NE(one("f", "{").body.find("PARSE_ERROR"), std::string::npos);
  EXPECT_NE(one("f", R"({"context": 5})").body.find("INVALID_CONTEXT"), std::string::npos);
  EXPECT_EQ(client.get("/ofrep/v1/evaluate/flags/f").status, 405);
  EXPECT_EQ(client.get("/ofrep/v1/elsewhere").status, 404);
  const Answer all =
      client.ask("POST", "/ofrep/v1/evaluate/flags", {}, R"({"context": {"targetingKey": "u"}})");
  EXPECT_EQ(
      all.body,
      R"({"flags":[{"key":"e","reason":"DEFAULT"},{"key":"f","reason":"STATIC","value":true},{"key":"n","reason":"DEFAULT","value":1}],"eventStreams":[{"type":"sse","endpoint":{"requestUri":"/ofrep/v1/events"}}]})");
  const std::string tag = all.field("ETag");
  ASSERT_FALSE(tag.empty());
  const Answer same = client.ask("POST", "/ofrep/v1/evaluate/flags", {{"If-None-Match", tag}},
                                 R"({"context": {"targetingKey": "u"}})");
  EXPECT_EQ(same.status, 304);
  const Answer other = client.ask("POST", "/ofrep/v1/evaluate/flags", {{"If-None-Match", tag}},
                                  R"({"context": {"targetingKey": "v"}})");
  EXPECT_EQ(other.status, 200);
}

// The stream that a bulk answer names tells of a change; who comes back is told at once what it has missed, and nothing
// when it has missed nothing.
TEST(Experiment, OfrepEvents) {
  File file("flags:\n  - {key: f, type: boolean, default: true}\n");
  Gateway gateway(with(kServe, {{"FILE", file.path}}));
  const auto open = [&](Client& client, std::string_view fields) {
    EXPECT_TRUE(client.send("GET /ofrep/v1/events HTTP/1.1\r\nHost: a\r\n" + std::string(fields) + "\r\n"));
    EXPECT_EQ(client.read_head().field("Content-Type"), "text/event-stream");
    const std::string begin = client.read_body_until("\n\n");
    return begin.substr(begin.find("id: "));
  };
  Client first(gateway.port());
  const std::string begin = open(first, "");
  EXPECT_EQ(begin.find("data"), std::string::npos) << begin;
  const std::string id = begin.substr(4, begin.find('\n') - 4);
  file.change("flags:\n  - {key: f, type: boolean, default: false}\n");
  const std::string told = first.read_body_until("refetchEvaluation\",\"etag\":\"");
  EXPECT_NE(told.find("data: {\"type\":\"refetchEvaluation\""), std::string::npos) << told;
  Client late(gateway.port());
  const std::string missed = open(late, "Last-Event-ID: " + id + "\r\n");
  EXPECT_NE(missed.find("refetchEvaluation"), std::string::npos) << missed;
  Client again(gateway.port());
  const std::string now = missed.substr(4, missed.find('\n') - 4);
  EXPECT_EQ(open(again, "Last-Event-ID: " + now + "\r\n"), "id: " + now + "\n\n");
  EXPECT_EQ(gateway.ask("POST", "/ofrep/v1/events").status, 405);
}

// Whatever is sent, the answer is an answer: deep, large and broken bodies, units that are no text.
TEST(Experiment, HostileBodies) {
  const File file("experiments:\n  - {key: e, " + std::string(kHalves) + "}\n");
  Gateway gateway(with(kServe, {{"FILE", file.path}}));
  const auto ask = [&](std::string_view body) {
    return gateway.ask("POST", "/v1/experiments/e/assign", {}, body);
  };
  EXPECT_EQ(ask(std::string(100'000, '[')).status, 400);
  EXPECT_EQ(ask("{\"unit\": \"\xff\"}").status, 400);
  EXPECT_EQ(ask(R"({"unit": ["a"]})").status, 200);
  EXPECT_NE(ask(R"({"unit": ["a"]})").body.find("invalid_unit"), std::string::npos);
  EXPECT_NE(ask(R"({"unit": ")" + std::string(2'000, 'a') + R"("})").body.find("invalid_unit"),
            std::string::npos);
  EXPECT_EQ(ask(R"({"unit": "a", "attributes": {"x": ")" + std::string(1'000'000, 'b') + R"("}})").status,
            200);
  EXPECT_EQ(ask(R"({"unit": "a", "attributes": {"x": ")" + std::string(2'000'000, 'b') + R"("}})").status,
            413);
  EXPECT_EQ(ask("").status, 400);
}

// A GrowthBook payload: its features as they are, evaluated for a remote client, and pushed when they change.
TEST(Experiment, GrowthBook) {
  File file(
      R"({"features": {"banner": {"defaultValue": "off", "rules": [{"condition": {"country": "US"}, "force": "on"}]}}})");
  Gateway gateway(with(kServe, {{"FILE", file.path}}));
  const Answer features = gateway.get("/api/features/sdk-1");
  EXPECT_EQ(features.status, 200);
  EXPECT_EQ(features.field("x-sse-support"), "enabled");
  EXPECT_NE(features.body.find(R"("defaultValue":"off")"), std::string::npos);
  const Answer evaluated =
      gateway.ask("POST", "/api/eval/sdk-1", {}, R"({"attributes": {"id": "u", "country": "US"}})");
  EXPECT_NE(evaluated.body.find(R"("banner":{"defaultValue":"on"})"), std::string::npos) << evaluated;
  Client events(gateway.port());
  ASSERT_TRUE(events.send("GET /sub/sdk-1 HTTP/1.1\r\nHost: a\r\n\r\n"));
  const Answer head = events.read_head();
  EXPECT_EQ(head.field("Content-Type"), "text/event-stream");
  EXPECT_NE(events.read_body_until("\n\n").find("event: features\ndata: {"), std::string::npos);
  file.change(R"({"features": {"banner": {"defaultValue": "changed"}}})");
  EXPECT_NE(events.read_body_until("changed").find("changed"), std::string::npos);
}

// A preflight is answered whatever the route's methods; refusals carry the fields, too; others get none.
TEST(Experiment, Cors) {
  Gateway gateway(R"(
    rate_limits: {one: {key: client_ip, limit: 2/h}}
    routes:
      - path: /a
        methods: [POST]
        rate_limit: [one]
        cors: {origins: ["https://app.example", "https://*.wild.example"], credentials: true, expose: [X-A], max_age: 1m}
        respond: {status: 200, body: ok}
  )");
  const Fields preflight{{"Origin", "https://app.example"},
                         {"Access-Control-Request-Method", "POST"},
                         {"Access-Control-Request-Headers", "x-b"}};
  const Answer asked = gateway.ask("OPTIONS", "/a", preflight);
  EXPECT_EQ(asked.status, 204);
  EXPECT_EQ(asked.field("Access-Control-Allow-Origin"), "https://app.example");
  EXPECT_EQ(asked.field("Access-Control-Allow-Headers"), "x-b");
  EXPECT_EQ(asked.field("Access-Control-Max-Age"), "60");
  EXPECT_EQ(asked.field("Access-Control-Allow-Credentials"), "true");
  EXPECT_EQ(gateway.ask("OPTIONS", "/a").status, 405);
  EXPECT_EQ(gateway.ask("POST", "/a", {{"Origin", "https://x.wild.example"}}, "b")
                .field("Access-Control-Allow-Origin"),
            "https://x.wild.example");
  const Answer refused = gateway.ask("POST", "/a", {{"Origin", "https://app.example"}}, "b");
  EXPECT_EQ(refused.status, 429);
  EXPECT_EQ(refused.field("Access-Control-Allow-Origin"), "https://app.example");
  EXPECT_EQ(refused.field("Vary"), "Origin");
  EXPECT_FALSE(gateway.ask("POST", "/a", {{"Origin", "https://evil.example"}}, "b")
                   .has("Access-Control-Allow-Origin"));
}

// The commands: one variant alone, `-` for none; ranges that move few; how many would move.
TEST(Experiment, Commands) {
  const TemporaryFolder folder;
  const std::string file = folder.write(
      "e.yaml", "experiments:\n  - {key: checkout_button, hash: fnv1a, when: {country: {in: [US]}}, " +
                    std::string(kHalves) + "}\n");
  const auto weir = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {weir_binary(), "experiment"});
    return run(std::move(arguments));
  };
  EXPECT_EQ(weir({"assign", file, "checkout_button", "user_1", "-a", "country=US"}).out, "treatment\n");
  EXPECT_EQ(weir({"assign", file, "checkout_button", "user_1"}).out, "-\n");
  EXPECT_NE(weir({"explain", file, "checkout_button", "user_1"}).out.find("it is missing"),
            std::string::npos);
  EXPECT_EQ(
      weir({"reweight", file, "checkout_button", "control=20", "treatment=80"}).out,
      "variants:\n  - {name: control, ranges: [[0, 20]]}\n  - {name: treatment, ranges: [[20, 100]]}\n");
  const std::string other =
      folder.write("f.yaml",
                   "experiments:\n  - {key: checkout_button, hash: fnv1a, variants: [{name: control, ranges: "
                   "[[0, 20]]}, {name: treatment, ranges: [[20, 100]]}]}\n");
  const Finished moved = weir({"diff", file, other, "--units", "10000", "-a", "country=US"});
  EXPECT_NE(moved.out.find("control -> treatment: "), std::string::npos) << moved.out;
  EXPECT_EQ(moved.out.find("treatment -> "), std::string::npos) << moved.out;
  EXPECT_EQ(weir({"diff", file, file}).out, "nobody of 100000 units moves\n");
  const Finished shares =
      weir({"simulate", file, "--units", "10000", "-a", "country=US", "--svg", folder.file("s.svg")});
  EXPECT_NE(shares.out.find("checkout_button:  control "), std::string::npos) << shares.out;
  EXPECT_EQ(read_file(folder.file("s.svg")).substr(0, 4), "<svg");
  EXPECT_EQ(weir({"lint", file}).exit_code, 0);
  const Finished bad = weir(
      {"lint", folder.write("bad.yaml", "experiments:\n  - {key: a, variants: [{name: x, weight: 9}]}\n")});
  EXPECT_EQ(bad.exit_code, 1);
  EXPECT_NE(bad.err.find("bad.yaml:2:5: the weights of `a` sum to 9"), std::string::npos) << bad.err;
}

}  // namespace
}  // namespace weir::testing
