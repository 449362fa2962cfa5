#include "weir/server/bff_cli.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <memory>
#include <vector>

#include "weir/base/strings.h"
#include "weir/bff/plan.h"
#include "weir/config/load.h"
#include "weir/server/page_trace.h"
#include "weir/server/page_trial.h"

namespace weir::server {
namespace {

constexpr int kFailed = 1;
constexpr int kUsage = 2;

struct Arguments {
  std::string file;
  std::string route;
  std::string method;
  std::string url;
  std::vector<std::string> headers;
  std::string body;
  std::string passport;
  std::vector<std::string> variants, flags;
  std::string svg;
  std::string output = "text";
  std::uint64_t seed = 1;

  bool json() const { return output == "json"; }
};

std::optional<config::Config> load(const std::string& file) {
  config::LoadResult loaded = config::load_file(file, config::system_environment());
  for (const config::Diagnostic& diagnostic : loaded.diagnostics)
    std::cerr << config::to_text(diagnostic, loaded.files) << "\n";
  return std::move(loaded.config);
}

std::string json_text(std::string_view text) {
  std::string out = "\"";
  base::append_json_escaped(out, text);
  return out.append("\"");
}

// The page of the route with that name or path: its graph, its worst case, its calls.
int explain(const Arguments& arguments) {
  const std::optional<config::Config> config = load(arguments.file);
  if (!config) return kFailed;
  std::string pages;
  for (const config::Route& one : config->routes) {
    if (!one.bff) continue;
    pages.append(pages.empty() ? "" : ", ").append(one.name);
    if (one.name != arguments.route && one.path != arguments.route) continue;
    std::vector<bff::SpecProblem> problems;
    const std::shared_ptr<const bff::Plan> plan = bff::compile(*one.bff, problems);
    std::cout << (arguments.json() ? plan->explain_json() : plan->explain());
    return 0;
  }
  std::cerr << "weir: " << arguments.file << " has no page called " << arguments.route
            << (pages.empty() ? "; it has none at all" : "; it has " + pages) << "\n";
  return kFailed;
}

// JSON without the space between its tokens: as services' bodies are declared, and so comparable.
std::string compact(std::string_view json) {
  std::string out;
  bool inside = false;
  for (std::size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (c == '"') inside = !inside;
    if (inside && c == '\\' && i + 1 < json.size()) {
      out.append(json.substr(i++, 2));
      continue;
    }
    if (inside || (c != ' ' && c != '\t' && c != '\r' && c != '\n')) out.push_back(c);
  }
  return out;
}

// "user;s=ok;d=12" -> ok; "" when the section is not listed.
std::string state_of(std::string_view sections, std::string_view name) {
  for (const std::string_view one : base::split(sections, ',')) {
    const std::string_view member = base::trim(one);
    if (member.substr(0, member.find(';')) != name) continue;
    const std::size_t at = member.find(";s=");
    if (at == std::string_view::npos) return {};
    const std::string_view state = member.substr(at + 3);
    return std::string(state.substr(0, state.find(';')));
  }
  return {};
}

class Judge {
 public:
  void expect(std::string_view what, const std::string& want, const std::string& got) {
    if (want == got) return;
    wrong_.append("  ").append(what).append(": expected ").append(want).append("\n");
    wrong_.append(std::string(what.size() + 4, ' '))
        .append("it was   ")
        .append(got.empty() ? "nothing" : got);
    wrong_.push_back('\n');
  }
  void note(const std::string& line) { wrong_.append("  ").append(line).append("\n"); }
  std::string take() { return std::move(wrong_); }

 private:
  std::string wrong_;
};

std::string ms_text(double ms) {
  std::array<char, 32> text;
  const int n = std::snprintf(text.data(), text.size(), "%.1f ms", ms);
  return {text.data(), static_cast<std::size_t>(n)};
}

double ms_of(Duration time) { return std::chrono::duration<double, std::milli>(time).count(); }

int run_tests(const Arguments& arguments) {
  const config::PageTests tests = config::load_page_tests(arguments.file, config::system_environment());
  for (const config::Diagnostic& diagnostic : tests.diagnostics)
    std::cerr << config::to_text(diagnostic, tests.files) << "\n";
  if (!tests.good) return kFailed;
  const std::optional<config::Config> config = load(tests.config);
  if (!config) return kFailed;
  std::size_t failed = 0;
  std::string json;
  for (const config::PageTest& test : tests.cases) {
    const PageTestResult result = run_page_test(*config, test, arguments.seed);
    failed += result.wrong.empty() ? 0 : 1;
    const std::string place = tests.files[test.at.file] + ":" + std::to_string(test.at.line);
    if (arguments.json()) {
      json.append(json.empty() ? "" : ",\n ").append("{\"name\":").append(json_text(result.name));
      json.append(",\"at\":").append(json_text(place));
      json.append(",\"passed\":").append(result.wrong.empty() ? "true" : "false");
      json.append(",\"took_ms\":").append(std::to_string(result.took_ms));
      json.append(",\"wrong\":").append(json_text(result.wrong)).append("}");
      continue;
    }
    std::cout << (result.wrong.empty() ? "ok      " : "FAILED  ") << result.name << " ("
              << ms_text(result.took_ms) << ")\n";
    if (!result.wrong.empty()) std::cout << "  " << place << "\n" << result.wrong;
  }
  if (arguments.json())
    std::cout << "[" << json << "]\n";
  else
    std::cout << tests.cases.size() << " cases, " << failed << " failed\n";
  return failed == 0 ? 0 : kFailed;
}

bool pairs(const std::vector<std::string>& list, char sign,
           std::vector<std::pair<std::string, std::string>>& out) {
  for (const std::string& item : list) {
    const std::size_t at = item.find(sign);
    if (at == std::string::npos || at == 0) {
      std::cerr << "weir: name" << sign << "value is expected; got `" << item << "`\n";
      return false;
    }
    out.emplace_back(item.substr(0, at), std::string(base::trim(std::string_view(item).substr(at + 1))));
  }
  return true;
}

int trace(const Arguments& arguments) {
  std::optional<config::Config> config = load(arguments.file);
  if (!config) return kFailed;
  PageQuestion question;
  question.method = arguments.method;
  // A whole URL or its path: the gateway is in this process, so only the path counts.
  std::string target = arguments.url;
  if (const std::size_t scheme = target.find("://"); scheme != std::string::npos) {
    const std::size_t slash = target.find('/', scheme + 3);
    question.host = target.substr(scheme + 3, slash - scheme - 3);
    target = slash == std::string::npos ? "/" : target.substr(slash);
  }
  question.target = target;
  question.body = arguments.body;
  question.caller.passport = arguments.passport;
  if (!pairs(arguments.headers, ':', question.headers) ||
      !pairs(arguments.variants, '=', question.caller.variants) ||
      !pairs(arguments.flags, '=', question.caller.flags))
    return kUsage;
  const Result<PageTrace> made = trace_page(std::move(*config), question);
  if (!made) {
    std::cerr << "weir: " << made.error().detail << "\n";
    return kFailed;
  }
  if (!arguments.svg.empty()) {
    std::ofstream file(arguments.svg);
    file << waterfall_svg(*made);
    if (!file.flush()) {
      std::cerr << "weir: cannot write " << arguments.svg << "\n";
      return kFailed;
    }
  }
  std::cout << (arguments.json() ? waterfall_json(*made) : waterfall_text(*made));
  return made->status >= 200 && made->status < 400 ? 0 : kFailed;
}

}  // namespace

PageTestResult run_page_test(const config::Config& config, const config::PageTest& test, std::uint64_t seed) {
  PageTestResult result;
  result.name = test.name;
  Judge judge;
  PageTrial::Options options;
  options.seed = seed;
  PageTrial trial(config, options);
  if (!trial.error().empty()) {
    judge.note(trial.error());
    result.wrong = judge.take();
    return result;
  }
  for (const auto& [upstream, service] : test.services)
    if (!trial.set_service(upstream, service)) judge.note("the configuration has no upstream " + upstream);
  PageTrial::Request request;
  request.method = test.method;
  request.target = test.target;
  request.headers = test.headers;
  request.body = test.body;
  request.caller = {test.passport, test.variants, test.flags};
  const PageTrial::Answer answer = trial.ask(request);
  result.took_ms = ms_of(answer.took);
  const http::FetchResponse& response = answer.response;
  if (!answer.done || answer.failure != http::FetchFailure::none) {
    judge.note("there was no answer");
  } else {
    if (test.status) judge.expect("status", std::to_string(*test.status), std::to_string(response.status));
    const http::Field* complete = response.fields.find("Weir-Complete");
    if (test.complete)
      judge.expect("complete", *test.complete ? "true" : "false",
                   complete == nullptr       ? ""
                   : complete->value == "?1" ? "true"
                                             : "false");
    if (test.page) judge.expect("body", *test.page, compact(response.body));
    const http::Field* sections = response.fields.find("Weir-Sections");
    const std::string_view list = sections == nullptr ? std::string_view{} : sections->value;
    for (const auto& [name, state] : test.sections)
      judge.expect("section " + name, state, state_of(list, name));
    if (test.within && answer.took > *test.within)
      judge.expect("within", ms_text(ms_of(*test.within)), ms_text(result.took_ms));
  }
  result.wrong = judge.take();
  return result;
}

void add_bff_commands(CLI::App& app, int& code) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* bff = app.add_subcommand("bff", "Look at pages from several services");
  bff->require_subcommand(1);
  const auto output = [&](CLI::App* command) {
    command->add_option("--output", arguments->output, "text or json")
        ->check(CLI::IsMember({"text", "json"}));
  };

  CLI::App* explain_cmd =
      bff->add_subcommand("explain", "Print a page's graph, critical path, worst case and number of calls");
  explain_cmd->add_option("FILE", arguments->file, "The configuration")->required();
  explain_cmd->add_option("ROUTE", arguments->route, "The route's name or path")->required();
  output(explain_cmd);
  explain_cmd->footer("Example:\n  weir bff explain weir.yaml '/home/{id}'");
  explain_cmd->callback([arguments, &code] { code = explain(*arguments); });

  CLI::App* test_cmd = bff->add_subcommand(
      "test", "Run declared faults of services against pages, on a network in memory and in virtual time");
  test_cmd->add_option("FILE", arguments->file, "The tests, in YAML")->required();
  test_cmd->add_option("--seed", arguments->seed, "Of the network's latencies")->capture_default_str();
  output(test_cmd);
  test_cmd->footer(
      "Example:\n  weir bff test examples/bff/pages_test.yaml\n"
      "A test:\n"
      "  config: weir.yaml\n"
      "  cases:\n"
      "    - name: recommendations hang\n"
      "      get: /home/17\n"
      "      services: {users: {body: {id: 17}}, recs: {fault: hang}}\n"
      "      expect: {status: 200, complete: false, body: {user: {id: 17}, recs: null}, within: 500ms}\n"
      "Faults: refused black_hole hang drip truncated reset closed garbage oversized; also status, text, "
      "after.\n"
      "Exit: 0 every page was as expected, 1 one was not or a file is wrong, 2 usage.");
  test_cmd->callback([arguments, &code] { code = run_tests(*arguments); });

  CLI::App* trace_cmd =
      bff->add_subcommand("trace", "Make one page from the live services and print its waterfall");
  trace_cmd->add_option("FILE", arguments->file, "The configuration")->required();
  trace_cmd->add_option("METHOD", arguments->method, "GET")->required();
  trace_cmd->add_option("URL", arguments->url, "The page: /home/17, or a whole URL")->required();
  trace_cmd->add_option("-H,--header", arguments->headers, "Name: value; may be given several times");
  trace_cmd->add_option("--body", arguments->body, "What is sent");
  trace_cmd->add_option("--passport", arguments->passport, "Who asks, as JSON: {\"user_id\": \"17\"}");
  trace_cmd->add_option("--variant", arguments->variants, "experiment=variant; may be given several times");
  trace_cmd->add_option("--flag", arguments->flags, "flag=true; may be given several times");
  trace_cmd->add_option("--svg", arguments->svg, "Also draw it into this file");
  output(trace_cmd);
  trace_cmd->footer(
      "Example:\n  weir bff trace weir.yaml GET /home/17 --svg page.svg\n"
      "The calls are real. Limits, tokens and idempotency of the route are left out.\n"
      "Exit: 0 there was a page, 1 there was none, 2 usage.");
  trace_cmd->callback([arguments, &code] { code = trace(*arguments); });
}

}  // namespace weir::server
