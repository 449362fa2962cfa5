// The table, the JSON Schema, the dump and the README tell one story.
//
// The schema is tried with a small validator that works on the same node tree as the loader, so that both see
// the same scalars. Whatever the loader takes, the schema takes (see also mutation_test.cc).
#include "weir/config/schema.h"

#include <gtest/gtest.h>

#include <functional>
#include <set>

#include "weir/config/internal/descriptors.h"
#include "weir/config/internal/document.h"
#include "weir/config/internal/forms.h"
#include "weir/config/schema_validator.h"
#include "weir/config/testing.h"

namespace weir::config {
namespace {

using internal::all_rows;
using internal::Document;
using internal::Node;
using internal::Row;
using testing::case_environment;
using testing::cases;
using testing::kCases;
using testing::load;
using testing::parse;
using testing::report;
using testing::Schema;
using testing::slurp;

// The text around one key of the map at `parent`, so that the whole is a sound file.
struct Frame {
  std::string before;
  std::string after;
};

std::optional<Frame> frame_of(std::string_view parent) {
  static const std::string up = "listen: :0\nupstreams: {u: {endpoints: [http://h]";
  static const std::string route =
      "listen: :0\nupstreams: {u: {endpoints: [http://h]}}\nroutes: [{path: /a/*, ";
  static const std::string section =
      route + "bff: {sections: {o: {upstream: u, path: /o}, s: {upstream: u, path: /s, ";
  static const std::string auth =
      "listen: :0\nauth: {providers: [{name: p, issuer: i, audiences: [a], jwks: {file: jwks.json}";
  static const std::map<std::string, Frame, std::less<>> frames{
      {"", {"listen: :0\n", "\n"}},
      {"access_log", {"listen: :0\naccess_log: {", "}\n"}},
      {"log", {"listen: :0\nlog: {", "}\n"}},
      {"explain", {"listen: :0\nexplain: {", "}\n"}},
      {"routes[].faults", {route + "upstream: u, faults: {abort: {}, ", "}}]\n"}},
      {"routes[].faults.delay", {route + "upstream: u, faults: {delay: {", "}}}]\n"}},
      {"routes[].faults.abort", {route + "upstream: u, faults: {abort: {", "}}}]\n"}},
      {"trusted_proxies", {"listen: :0\ntrusted_proxies: {", "}\n"}},
      {"limits", {"listen: :0\nlimits: {", "}\n"}},
      {"upstreams.*", {up + ", ", "}}\n"}},
      {"upstreams.*.endpoints[]", {"listen: :0\nupstreams: {u: {endpoints: [{url: http://h, ", "}]}}\n"}},
      {"upstreams.*.timeouts", {up + ", timeouts: {", "}}}\n"}},
      {"upstreams.*.circuit_breaker", {up + ", circuit_breaker: {", "}}}\n"}},
      {"upstreams.*.circuit_breaker.open_backoff",
       {up + ", circuit_breaker: {open_for: 1ms, open_backoff: {", "}}}}\n"}},
      {"upstreams.*.circuit_breaker.fallback", {up + ", circuit_breaker: {fallback: {", "}}}}\n"}},
      {"upstreams.*.retries", {up + ", retries: {", "}}}\n"}},
      {"upstreams.*.hedge", {up + ", hedge: {", "}}}\n"}},
      {"upstreams.*.health_check", {up + ", health_check: {", "}}}\n"}},
      {"rate_limits.*", {"listen: :0\nrate_limits: {l: {key: global, limit: 1, window: 1s, ", "}}\n"}},
      {"rate_limit_headers", {"listen: :0\nrate_limit_headers: {", "}\n"}},
      {"redis", {"listen: :0\nredis: {url: \"redis://h\", ", "}\n"}},
      {"experiments", {"listen: :0\nexperiments: {file: experiments.yaml, ", "}\n"}},
      {"routes[].cors", {route + "upstream: u, cors: {origins: [\"https://a.example\"], ", "}}]\n"}},
      {"routes[].variants.*.*.headers.request",
       {"listen: :0\nexperiments: {file: experiments.yaml}\nupstreams: {u: {endpoints: [http://h]}}\nroutes: "
        "[{path: /a/*, upstream: u, experiments: [checkout_button], variants: {checkout_button: {control: "
        "{headers: "
        "{request: {",
        "}}}}}}]\n"}},
      {"cache", {"listen: :0\ncache: {", "}\n"}},
      {"routes[].cache",
       {auth + "}]}\nupstreams: {u: {endpoints: [http://h]}}\nroutes: [{path: /a, upstream: u, auth: "
               "required, cache: {",
        "}}]\n"}},
      {"load_shed", {"listen: :0\nload_shed: {", "}\n"}},
      {"load_shed.priority", {"listen: :0\nload_shed: {priority: {", "}}\n"}},
      {"upstreams.*.ejection",
       {"listen: :0\nupstreams: {u: {endpoints: [http://a, http://b], ejection: {", "}}}\n"}},
      {"auth", {auth + "}], ", "}\n"}},
      {"auth.providers[]", {auth + ", ", "}]}\n"}},
      {"auth.providers[].jwks", {auth.substr(0, auth.size() - 1) + ", ", "}}]}\n"}},
      {"auth.cache", {auth + "}], cache: {", "}}\n"}},
      {"passport", {"listen: :0\npassport: {", "}\n"}},
      {"passport.signing", {"listen: :0\npassport: {signing: {key: passport-keys.json, ", "}}\n"}},
      {"proxy_state", {"listen: :0\nproxy_state: {", "}\n"}},
      {"proxy_state.status", {"listen: :0\nproxy_state: {status: {", "}}\n"}},
      {"proxy_state.sub", {"listen: :0\nproxy_state: {sub: {", "}}\n"}},
      {"proxy_state.country", {"listen: :0\nproxy_state: {country: {", "}}\n"}},
      {"proxy_state.platform", {"listen: :0\nproxy_state: {platform: {", "}}\n"}},
      {"idempotency", {"listen: :0\nidempotency: {", "}\n"}},
      {"routes[].auth", {auth + "}]}\nroutes: [{path: /a, respond: {}, auth: {", "}}]\n"}},
      {"routes[].idempotency",
       {auth + "}]}\nupstreams: {u: {endpoints: [http://h]}}\nroutes: [{path: /a, upstream: u, auth: "
               "required, idempotency: {",
        "}}]\n"}},
      {"routes[]", {route + "upstream: u, ", "}]\n"}},
      {"routes[].load_shed", {route + "upstream: u, load_shed: {", "}}]\n"}},
      {"routes[].headers.request", {route + "upstream: u, headers: {request: {", "}}}]\n"}},
      {"routes[].headers.response", {route + "upstream: u, headers: {response: {", "}}}]\n"}},
      {"tracing", {"listen: :0\ntracing: {", "}\n"}},
      {"routes[].bff", {route + "bff: {sections: {s: {upstream: u, path: /s}}, ", "}}]\n"}},
      {"routes[].bff.sections.*", {section, "}}}}]\n"}},
      {"routes[].bff.sections.*.for_each", {section + "for_each: {in: o.l, ", "}}}}}]\n"}},
      {"routes[].bff.sections.*.shape", {section + "shape: {", "}}}}}]\n"}},
      {"routes[].bff.sections.*.cache", {section + "cache: {", "}}}}}]\n"}},
      {"routes[].respond", {route + "respond: {", "}}]\n"}}};
  const auto found = frames.find(parent);
  return found == frames.end() ? std::nullopt : std::optional<Frame>(found->second);
}

std::string_view parent_of(const Row& row) {
  const std::size_t dot = row.path.rfind('.');
  return dot == std::string_view::npos ? std::string_view{} : row.path.substr(0, dot);
}

std::string key_of(const Row& row) { return std::string(internal::last_name(row.path)); }

// Rows that mean something beside another key only.
std::string beside(const Row& row) {
  if (row.path == "rate_limits.*.burst") return "algorithm: gcra, ";
  if (row.path.starts_with("routes[].load_shed.") && row.path.ends_with("_share"))
    return "max_in_flight: 10, ";
  if (row.path == "routes[].faults.delay.percent") return "for: 1s, ";
  if (row.path == "upstreams.*.retries.backoff") return "backoff_max: 1h, ";
  if (row.path == "upstreams.*.retries.backoff_max") return "backoff: 1ms, ";
  return "";
}

std::string with_key(const Row& row, const std::string& value) {
  const auto frame = frame_of(parent_of(row));
  EXPECT_TRUE(frame) << row.path;
  return frame ? frame->before + beside(row) + key_of(row) + ": " + value + frame->after : std::string{};
}

std::string without_key(const Row& row) {
  const auto frame = frame_of(parent_of(row));
  return frame ? frame->before + beside(row) + frame->after : std::string{};
}

// Writing a default out changes nothing: the table's defaults are the ones that hold.
TEST(Table, EveryDefaultIsTheOneThatHolds) {
  int tried = 0;
  for (const Row& row : all_rows()) {
    if (row.fallback.empty()) continue;
    const LoadResult absent = load(without_key(row));
    const LoadResult written = load(with_key(row, std::string(row.fallback)));
    ASSERT_TRUE(absent.config) << row.path << "\n" << report(absent);
    ASSERT_TRUE(written.config) << row.path << "\n" << report(written);
    EXPECT_EQ(to_json(*written.config), to_json(*absent.config)) << row.path;
    ++tried;
  }
  EXPECT_GE(tried, 40);
}

// Both bounds of a number, a duration, a size are taken; the values beside them are refused, with the bounds.
TEST(Table, EveryBoundHolds) {
  using namespace internal;
  int tried = 0;
  const auto unit = [](Forms form) { return form == kDuration ? "ms" : ""; };
  for (const Row& row : all_rows()) {
    if (row.path == "rate_limits.*.window" || row.path == "rate_limits.*.limit")
      continue;  // stand in the frame
    for (const Forms form : {kNumber, kDuration, kSize}) {
      if ((row.forms & form) == 0) continue;
      for (const std::uint64_t good : {row.min, row.max})
        EXPECT_TRUE(load(with_key(row, std::to_string(good) + unit(form))).config) << row.path << " " << good;
      std::vector<std::uint64_t> bad{row.max + 1};
      if (row.min > 0) bad.push_back(row.min - 1);
      for (const std::uint64_t value : bad) {
        const LoadResult result = load(with_key(row, std::to_string(value) + unit(form)));
        EXPECT_FALSE(result.config) << row.path << " " << value;
        EXPECT_NE(report(result).find("must be " + bounds_text(row, form)), std::string::npos)
            << report(result);
      }
      ++tried;
    }
  }
  EXPECT_GE(tried, 25);
}

// The rows that lie on the way from the root to every node of a document.
void visit_rows(const Node& node, std::string_view path, std::set<std::string_view>& seen) {
  if (node.kind == Node::Kind::list) {
    const Row* row = internal::item_row(path);
    if (row == nullptr) return;
    seen.insert(row->path);
    for (const Node* item : node.items) visit_rows(*item, row->path, seen);
  }
  for (const auto& [key, at, value] : node.entries) {
    const Row* fixed = internal::child_row(path, key);
    const Row* row = fixed != nullptr ? fixed : internal::named_row(path);
    if (row == nullptr) continue;
    seen.insert(row->path);
    visit_rows(*value, row->path, seen);
  }
}

// One file of the collection holds every key that the table describes, and loads.
TEST(Table, EveryDescribedKeyIsAccepted) {
  const Document document = parse(slurp(kCases / "good/everything.yaml"));
  std::set<std::string_view> seen;
  visit_rows(*document.root, "", seen);
  for (const Row& row : all_rows())
    if (!row.later) {
      EXPECT_TRUE(seen.contains(row.path)) << row.path << " is not in good/everything.yaml";
    }
  EXPECT_TRUE(load_file("good/everything.yaml", case_environment()).config);
}

// Every key that is still to come is reported as such, wherever it may stand.
TEST(Table, EveryLaterKeyIsNotYetSupported) {
  const Schema schema;
  const std::string written = json_schema();
  for (const Row& row : all_rows()) {
    if (!row.later) continue;
    std::string text;
    if (row.path == "upstreams.*.balance.hash")
      text = "listen: :0\nupstreams: {u: {endpoints: [http://h], balance: {hash: x}}}\n";
    else if (row.path.starts_with("listen[]"))
      text = "listen: [{address: :0, " + key_of(row) + ": x}]\n";
    else
      text = with_key(row, "x");
    const LoadResult result = load(text);
    EXPECT_FALSE(result.config) << row.path;
    EXPECT_NE(report(result).find("not yet supported: "), std::string::npos) << row.path << "\n"
                                                                             << report(result);
    EXPECT_EQ(report(result).find("unknown key"), std::string::npos) << row.path << "\n" << report(result);
    // Absent from the schema: an editor must not offer it.
    EXPECT_FALSE(schema.accepts(text)) << row.path;
    EXPECT_EQ(written.find("\"description\":\"" + std::string(row.about)), std::string::npos) << row.path;
  }
}

// Rows are sound: no path twice, a parent for each, words of a form for each word.
TEST(Table, IsSound) {
  std::set<std::string_view> paths;
  for (const Row& row : all_rows()) {
    EXPECT_TRUE(paths.insert(row.path).second) << row.path << " stands twice";
    EXPECT_FALSE(row.about.empty()) << row.path;
    EXPECT_TRUE(row.about.ends_with('.')) << row.path;
    EXPECT_NE(row.later, row.forms != 0) << row.path;
    EXPECT_EQ((row.forms & internal::kWord) != 0, !row.words.empty()) << row.path;
    EXPECT_EQ((row.forms & internal::kList) != 0, internal::item_row(row.path) != nullptr) << row.path;
    EXPECT_FALSE(row.required && !row.fallback.empty()) << row.path;
    std::string_view parent = row.path;
    if (parent.ends_with("[]") || parent.ends_with(".*"))
      parent.remove_suffix(2);
    else
      parent = parent_of(row);
    EXPECT_TRUE(parent.empty() || paths.contains(parent)) << row.path << " has no parent above it";
  }
}

// Every good file fits the schema.
TEST(Schema, AcceptsEveryGoodFile) {
  const Schema schema;
  for (const std::string& name : cases("good")) EXPECT_EQ(schema.why_not(slurp(kCases / name)), "") << name;
  EXPECT_EQ(schema.why_not(slurp(WEIR_SOURCE_DIR "/examples/quickstart/weir.yaml")), "");
}

// What is wrong with one value alone is wrong for the schema, too.
TEST(Schema, RefusesWhatOneValueGetsWrong) {
  const Schema schema;
  for (const char* text : {"lisen: :0",
                           "listen: 8080",
                           "listen: [{adress: :0}]",
                           "listen: []",
                           "workers: 0",
                           "workers: 1025",
                           "workers: many",
                           "limits: {header_count: \"100\"}",
                           "limits: {max_body: 64MB}",
                           "limits: {idle_timeout: 10}",
                           "log: {level: loud}",
                           "upstreams: {u: {}}",
                           "upstreams: {u: {endpoints: []}}",
                           "upstreams: {u: {endpoints: [ftp://h]}}",
                           "upstreams: {\"a b\": {endpoints: [http://h]}}",
                           "upstreams: {u: {endpoints: [http://h], external: yes}}",
                           "rate_limits: {l: {key: ip, limit: 1/s}}",
                           "rate_limits: {l: {key: global, limit: 1/ms}}",
                           "rate_limits: {l: {key: global}}",
                           "routes: [{path: a, respond: {}}]",
                           "routes: [{path: /a}]",
                           "routes: [{path: /a, respond: {}, upstream: u}]",
                           "routes: [{path: /a, respond: {}, load_shed: false}]",
                           "routes: [{path: /a, methods: [get], respond: {}}]",
                           "routes: [{path: /a, respond: {status: 99}}]",
                           "routes: [{path: /a, respond: {body: {}}}]",
                           "- listen: :0",
                           "listen:"})
    EXPECT_FALSE(schema.accepts(text)) << text;
}

// The schema says what it is, and every key in it is described.
TEST(Schema, IsDraft202012WithDescriptions) {
  const std::string text = json_schema();
  const Document document = parse(text);
  ASSERT_NE(document.root, nullptr);
  EXPECT_NE(text.find("\"$schema\":\"https://json-schema.org/draft/2020-12/schema\""), std::string::npos);
  std::size_t keys = 0;
  const std::function<void(const Node&)> walk = [&](const Node& node) {
    for (const auto& [key, at, value] : node.entries) {
      if (key == "properties") {
        for (const auto& [name, where, property] : value->entries) {
          ++keys;
          EXPECT_TRUE(std::any_of(property->entries.begin(), property->entries.end(), [](const auto& member) {
            return member.key == "description";
          })) << name;
        }
      }
      walk(*value);
    }
    for (const Node* item : node.items) walk(*item);
  };
  walk(*document.root);
  EXPECT_GE(keys, 60U);
}

// What a configuration says of itself can be loaded again, gives the same, and fits the schema.
TEST(Dump, LoadsAgain) {
  const Schema schema;
  for (const std::string& name : cases("good")) {
    const LoadResult first = load_file(name, case_environment());
    ASSERT_TRUE(first.config) << report(first);
    const std::string dump = to_json(*first.config);
    const LoadResult second = load(dump);
    ASSERT_TRUE(second.config) << report(second);
    EXPECT_EQ(to_json(*second.config), dump) << name;
    EXPECT_EQ(schema.why_not(dump), "") << name;
  }
}

// --- the README's table ---

std::string values_cell(const Row& row) {
  std::string text = internal::expectation(row);
  std::string escaped;
  for (const char c : text) escaped += c == '|' ? std::string("\\|") : std::string(1, c);
  return escaped;
}

std::string options_table() {
  std::string table = "| key | values | default | what it is |\n|---|---|---|---|\n";
  std::string to_come;
  for (const Row& row : all_rows()) {
    if (row.later) {
      to_come += (to_come.empty() ? "`" : ", `") + std::string(row.path) + "`";
      continue;
    }
    if (row.path.ends_with("[]") && (row.forms & internal::kMap) == 0) continue;  // the list's row says it
    const std::string fallback = row.required            ? std::string("required")
                                 : !row.fallback.empty() ? "`" + std::string(row.fallback) + "`"
                                                         : std::string(row.absent);
    const std::string where = row.in_defaults ? " Also in `defaults`." : "";
    table += "| `" + std::string(row.path) + "` | " + values_cell(row) + " | " + fallback + " | " +
             std::string(row.about) + where + " |\n";
  }
  return table + "\nNot yet supported: " + to_come + ".\n";
}

// The README's table of options is made from the rows.
TEST(Readme, OptionsTableIsTheTable) {
  const std::string readme = slurp(WEIR_SOURCE_DIR "/weir/config/README.md");
  const std::string begin = "<!-- options -->\n";
  const std::size_t from = readme.find(begin);
  const std::size_t to = readme.find("<!-- /options -->");
  ASSERT_TRUE(from != std::string::npos && to != std::string::npos);
  EXPECT_EQ(readme.substr(from + begin.size(), to - from - begin.size()), options_table());
}

// The README's example is the program that the tests run.
TEST(Readme, ExampleIsTheProgram) {
  const std::string readme = slurp(WEIR_SOURCE_DIR "/weir/config/README.md");
  const std::string program = slurp(WEIR_SOURCE_DIR "/weir/config/readme_example.cc");
  EXPECT_NE(readme.find("```cpp\n" + program.substr(program.find('\n') + 1) + "```"), std::string::npos);
}

}  // namespace
}  // namespace weir::config
