// A walk over the tree with places: each map is read by a list of its keys, so that a key nobody knows is found there.
#include <algorithm>
#include <array>
#include <filesystem>
#include <functional>

#include "weir/base/strings.h"
#include "weir/config/internal/document.h"
#include "weir/config/internal/json.h"
#include "weir/config/internal/scalars.h"
#include "weir/config/page_tests.h"

namespace weir::config {

using namespace internal;  // NOLINT: this file alone, to read easily

namespace {

constexpr std::array<std::string_view, 10> kFaults{
    "none", "refused", "black_hole", "hang", "drip", "truncated", "reset", "closed", "garbage", "oversized"};

bool is_json_number(std::string_view text) {
  std::size_t i = text.starts_with('-') ? 1 : 0;
  const auto digits = [&] {
    const std::size_t from = i;
    while (i < text.size() && base::is_digit(text[i])) ++i;
    return i > from;
  };
  if (text.substr(i).starts_with('0'))
    ++i;
  else if (!digits())
    return false;
  if (i < text.size() && text[i] == '.' && (++i, !digits())) return false;
  if (i < text.size() && (text[i] == 'e' || text[i] == 'E')) {
    ++i;
    if (i < text.size() && (text[i] == '+' || text[i] == '-')) ++i;
    if (!digits()) return false;
  }
  return i == text.size();
}

// YAML as the JSON that it stands for; plain scalars by JSON's grammar, all else is text.
void write_json(const Node& node, JsonWriter& json) {
  switch (node.kind) {
    case Node::Kind::null:
      json.raw("null");
      return;
    case Node::Kind::scalar: {
      const bool word = node.text == "true" || node.text == "false" || node.text == "null";
      if (!node.quoted && (word || is_json_number(node.text)))
        json.raw(node.text);
      else
        json.text(node.text);
      return;
    }
    case Node::Kind::list:
      json.open('[');
      for (const Node* item : node.items) write_json(*item, json);
      json.close(']');
      return;
    case Node::Kind::map:
      json.open('{');
      for (const Entry& entry : node.entries) {
        json.key(entry.key);
        write_json(*entry.value, json);
      }
      json.close('}');
  }
}

std::string json_of(const Node& node) {
  JsonWriter json;
  write_json(node, json);
  return json.take();
}

using Pairs = std::vector<std::pair<std::string, std::string>>;

class Reader {
 public:
  Reader(Report& report, PageTests& tests) : report_(report), tests_(tests) {}

  void read(const Node& root) {
    map(root, "the file",
        {{"config", [&](const Node& n) { tests_.config = text(n); }},
         {"cases", [&](const Node& n) { for_items(n, [&](const Node& item) { read_case(item); }); }}});
    if (tests_.config.empty()) report_.error(root.at, "the file says no `config`: whose pages are tested?");
    if (tests_.cases.empty()) report_.error(root.at, "the file has no `cases`");
  }

 private:
  using Keys = std::vector<std::pair<std::string_view, std::function<void(const Node&)>>>;

  void map(const Node& node, std::string_view what, const Keys& keys) {
    if (node.kind != Node::Kind::map) return report_.error(node.at, std::string(what) + " is a map");
    for (const Entry& entry : node.entries) {
      const auto known =
          std::find_if(keys.begin(), keys.end(), [&](const auto& k) { return k.first == entry.key; });
      if (known != keys.end()) {
        known->second(*entry.value);
        continue;
      }
      std::vector<std::string_view> names;
      for (const auto& [name, unused] : keys) names.push_back(name);
      report_.error(entry.at, "unknown key " + quote(entry.key), did_you_mean(entry.key, names));
    }
  }
  void for_items(const Node& node, const std::function<void(const Node&)>& visit) {
    if (node.kind != Node::Kind::list) return report_.error(node.at, "a list is expected");
    for (const Node* item : node.items) visit(*item);
  }
  std::string text(const Node& node) {
    if (node.kind != Node::Kind::scalar) report_.error(node.at, "a text is expected");
    return node.text;
  }
  Pairs pairs(const Node& node, bool json = false) {
    Pairs all;
    if (node.kind != Node::Kind::map) report_.error(node.at, "a map is expected");
    for (const Entry& entry : node.entries)
      all.emplace_back(entry.key, json ? json_of(*entry.value) : text(*entry.value));
    return all;
  }
  int status(const Node& node) {
    const auto number = base::parse_u64(text(node));
    if (number && *number >= 200 && *number <= 599) return static_cast<int>(*number);
    report_.error(node.at, "a status is a number from 200 to 599");
    return 200;
  }
  Duration duration(const Node& node) {
    const Parsed<Duration> parsed = parse_duration(text(node));
    if (!parsed)
      report_.error(node.at, "a duration such as 20ms is expected", did_you_mean(parsed.suggestion));
    return parsed.value.value_or(Duration{});
  }
  bool yes(const Node& node) {
    const std::string word = text(node);
    if (word != "true" && word != "false") report_.error(node.at, "true or false is expected");
    return word == "true";
  }

  void read_case(const Node& node) {
    PageTest& test = tests_.cases.emplace_back();
    test.at = node.at;
    map(node, "a case",
        {{"name", [&](const Node& n) { test.name = text(n); }},
         {"get", [&](const Node& n) { test.target = text(n); }},
         {"request", [&](const Node& n) { read_request(n, test); }},
         {"passport", [&](const Node& n) { test.passport = json_of(n); }},
         {"variants", [&](const Node& n) { test.variants = pairs(n); }},
         {"flags", [&](const Node& n) { test.flags = pairs(n, true); }},
         {"services", [&](const Node& n) { read_services(n, test); }},
         {"expect", [&](const Node& n) { read_expect(n, test); }}});
    if (test.name.empty()) test.name = test.method + " " + test.target;
    if (!test.target.starts_with('/'))
      report_.error(node.at, "the case asks for nothing: `get: /path` is missing");
    const bool expects = test.status || test.complete || test.page || test.within || !test.sections.empty();
    if (!expects) report_.error(node.at, "the case expects nothing");
  }
  void read_request(const Node& node, PageTest& test) {
    map(node, "a request",
        {{"method", [&](const Node& n) { test.method = text(n); }},
         {"target", [&](const Node& n) { test.target = text(n); }},
         {"headers", [&](const Node& n) { test.headers = pairs(n); }},
         {"body", [&](const Node& n) { test.body = json_of(n); }}});
    if (!is_token(test.method)) report_.error(node.at, quote(test.method) + " is no method");
    check_headers(node, test.headers);
  }
  void check_headers(const Node& node, const Pairs& headers) {
    for (const auto& [name, value] : headers)
      if (!is_token(name) || !is_header_value(value))
        report_.error(node.at, quote(name) + " is no header that can be sent");
  }
  void read_services(const Node& node, PageTest& test) {
    if (node.kind != Node::Kind::map) return report_.error(node.at, "services are a map, by upstream");
    for (const Entry& entry : node.entries) {
      Service& service = test.services[entry.key];
      Keys keys = reply_keys(service.any);
      keys.emplace_back("paths", [&](const Node& paths) {
        if (paths.kind != Node::Kind::map) return report_.error(paths.at, "paths are a map");
        for (const Entry& path : paths.entries) {
          if (!path.key.starts_with('/')) report_.error(path.at, "a path starts with `/`");
          map(*path.value, "a reply", reply_keys(service.paths[path.key]));
        }
      });
      map(*entry.value, "a service", keys);
    }
  }
  Keys reply_keys(ServiceReply& reply) {
    return {{"status", [&](const Node& n) { reply.status = status(n); }},
            {"body", [&](const Node& n) { reply.body = json_of(n); }},
            {"text", [&](const Node& n) { reply.body = text(n); }},
            {"headers",
             [&](const Node& n) {
               reply.headers = pairs(n);
               check_headers(n, reply.headers);
             }},
            {"after", [&](const Node& n) { reply.after = duration(n); }},
            {"fault", [&](const Node& n) {
               const std::optional<ServiceFault> fault = parse_service_fault(text(n));
               if (fault) {
                 reply.fault = *fault;
                 return;
               }
               std::string all;
               for (const std::string_view word : kFaults) all.append(all.empty() ? "" : ", ").append(word);
               report_.error(n.at, quote(n.text) + " is no fault; there are " + all,
                             did_you_mean(n.text, {kFaults.begin(), kFaults.end()}));
             }}};
  }
  void read_expect(const Node& node, PageTest& test) {
    map(node, "`expect`",
        {{"status", [&](const Node& n) { test.status = status(n); }},
         {"complete", [&](const Node& n) { test.complete = yes(n); }},
         {"body", [&](const Node& n) { test.page = json_of(n); }},
         {"sections", [&](const Node& n) { test.sections = pairs(n); }},
         {"within", [&](const Node& n) { test.within = duration(n); }}});
  }

  Report& report_;
  PageTests& tests_;
};

}  // namespace

std::optional<ServiceFault> parse_service_fault(std::string_view text) noexcept {
  const auto* found = std::find(kFaults.begin(), kFaults.end(), text);
  if (found == kFaults.end()) return std::nullopt;
  return static_cast<ServiceFault>(found - kFaults.begin());
}

std::string_view to_string(ServiceFault fault) noexcept { return kFaults[static_cast<std::size_t>(fault)]; }

const ServiceReply& Service::reply_to(std::string_view target) const {
  auto found = paths.find(target);
  if (found == paths.end()) found = paths.find(target.substr(0, target.find('?')));
  return found == paths.end() ? any : found->second;
}

PageTests load_page_tests_text(const std::string& name, std::string_view text) {
  PageTests tests;
  tests.files.push_back(name);
  Report report;
  try {
    Budget budget;
    const Document document = parse_document(text, 0, budget, report);
    const Node empty;
    if (document.readable) Reader(report, tests).read(document.root == nullptr ? empty : *document.root);
  } catch (const std::exception& exception) {  // std::bad_alloc and the like
    report.error(Position{0, 1, 1}, std::string("the file cannot be read: ") + exception.what());
  }
  tests.good = !report.any_error();
  tests.diagnostics = report.take_sorted();
  const std::filesystem::path config(tests.config);
  if (config.is_relative() && !tests.config.empty())
    tests.config = (std::filesystem::path(name).parent_path() / config).string();
  return tests;
}

PageTests load_page_tests(const std::string& path, const Environment& environment) {
  const Result<std::string> text = environment.read_file(path);
  if (text) return load_page_tests_text(path, *text);
  PageTests tests;
  tests.files.push_back(path);
  Report report;
  report.error(Position{0, 1, 1}, "cannot read the file: " + text.error().detail);
  tests.diagnostics = report.take_sorted();
  return tests;
}

}  // namespace weir::config
