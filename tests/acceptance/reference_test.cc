// docs/reference.md cannot drift: what a running gateway shows of its metrics stands there, in the same words.
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <sstream>
#include <string>

#include "tests/acceptance/acceptance.h"

namespace weir::testing {
namespace {

struct Family {
  std::string help;
  std::string type;
  std::set<std::string> labels;
};

// Names of the labels of one series, `le` aside.
std::set<std::string> labels_of(std::string_view series) {
  std::set<std::string> names;
  const std::size_t open = series.find('{');
  for (std::size_t at = open; at != std::string_view::npos && at < series.rfind('}');) {
    const std::size_t equals = series.find("=\"", at);
    if (equals == std::string_view::npos) break;
    names.emplace(series.substr(at + 1, equals - at - 1));
    const std::size_t quote = series.find('"', equals + 2);
    at = quote == std::string_view::npos ? quote : quote + 1;
  }
  names.erase("le");
  return names;
}

std::map<std::string, Family> families_of(const std::string& text) {
  std::map<std::string, Family> families;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string hash;
    std::string kind;
    std::string name;
    if (line.starts_with("# ")) {
      words >> hash >> kind >> name;
      std::string rest;
      std::getline(words >> std::ws, rest);
      (kind == "HELP" ? families[name].help : families[name].type) = rest;
      continue;
    }
    std::string series = line.substr(0, line.find_first_of("{ "));
    for (const std::string suffix : {"_bucket", "_sum", "_count"})
      if (series.ends_with(suffix) && families.contains(series.substr(0, series.size() - suffix.size())))
        series.resize(series.size() - suffix.size());
    families[series].labels.merge(labels_of(line));
  }
  return families;
}

// Every family of a scrape has its row: name, type, labels where there were series, and help.
TEST(Reference, NamesEveryMetric) {
  Origin origin;
  Gateway gateway(with(R"(
    rate_limits: {per_client: {key: client_ip, limit: 100/min}}
    upstreams: {users: {endpoints: [$ORIGIN]}}
    routes: [{path: /*, rate_limit: [per_client], load_shed: true, upstream: users}]
  )",
                       {{"ORIGIN", origin.url()}}));
  EXPECT_EQ(gateway.get("/").status, 200);
  std::ifstream file(WEIR_SOURCE_DIR "/docs/reference.md");
  const std::string page{std::istreambuf_iterator<char>(file), {}};
  const std::string scrape = gateway.admin("/metrics").body;
  std::size_t found = 0;
  for (const auto& [name, family] : families_of(scrape)) {
    ++found;
    std::string labels;
    for (const std::string& label : family.labels) labels += (labels.empty() ? "`" : ", `") + label + "`";
    const std::string row = "| `" + name + "` | " + family.type + " | ";
    const std::size_t at = page.find(row);
    EXPECT_NE(at, std::string::npos) << row << labels << " | " << family.help << " |";
    if (at == std::string::npos) continue;
    const std::string line = page.substr(at, page.find('\n', at) - at);
    EXPECT_TRUE(line.ends_with("| " + family.help + " |")) << line << "\nshould end with: " << family.help;
    for (const std::string& label : family.labels)
      EXPECT_NE(line.find("`" + label + "`"), std::string::npos) << line << "\nlacks the label " << label;
  }
  EXPECT_GT(found, 10U) << scrape;
}

}  // namespace
}  // namespace weir::testing
