#include "weir/server/explain_cli.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <memory>
#include <utility>

#include "weir/async/scope.h"
#include "weir/config/load.h"
#include "weir/config/units.h"
#include "weir/gateway/decision_record.h"
#include "weir/gateway/plan.h"
#include "weir/gateway/stages/cors.h"
#include "weir/gateway/stages/sanitize.h"
#include "weir/gateway/stages/trace.h"
#include "weir/gateway/to_upstream.h"
#include "weir/http/parser.h"
#include "weir/http/uri.h"
#include "weir/io/simulated_reactor.h"
#include "weir/passport/json.h"
#include "weir/upstream/fetch.h"

namespace weir::server {
namespace {

using passport::Json;

constexpr Duration kPatience = std::chrono::minutes{5};  // of virtual time, for stages that wait

Error bad(std::string_view what) { return Error(ErrorCode::invalid_argument, what); }

// A client that has sent its head and wants no answer.
class DryClient final : public gateway::Downstream {
 public:
  std::string_view body_bytes() const noexcept override { return {}; }
  void consume_body(std::size_t) noexcept override {}
  gateway::BodyState read_body(bool* moved) override { return *moved = false, gateway::BodyState::done; }
  gateway::BodyState body_state() const noexcept override { return gateway::BodyState::done; }
  const http::Fault& body_fault() const noexcept override { return fault_; }
  std::uint64_t body_received() const noexcept override { return 0; }
  void send_interim(int, const http::Fields&) override {}
  void start_answer(const gateway::AnswerHead&) override {}
  std::size_t write_answer(std::string_view payload, bool) override { return payload.size(); }
  bool answer_finished() const noexcept override { return false; }
  bool answer_started() const noexcept override { return false; }
  void abort_answer() noexcept override {}
  std::uint64_t bytes_sent() const noexcept override { return 0; }
  bool write_blocked() const noexcept override { return false; }
  bool gone() const noexcept override { return false; }
  bool half_closed() const noexcept override { return false; }

 private:
  http::Fault fault_{0, {}, {}};
};

// What would write, wait for a network or keep watch is left out; what decides stays.
void make_dry(config::Config& config) {
  config.idempotency.store = config::Idempotency::Store::memory;
  config.tracing.reset();
  if (config.experiments) config.experiments->exposures = "off";
  for (config::Upstream& upstream : config.upstreams) upstream.health_check.reset();
}

async::Task<void> ask_stages(gateway::Exchange& exchange, bool& done) {
  const gateway::Route& route = *exchange.route;
  for (std::size_t i = 0; i < route.stages.size(); ++i) {
    gateway::Stage& stage = *route.stages[i];
    exchange.stages_entered = i + 1;
    gateway::Verdict verdict = gateway::Verdict::proceed;
    gateway::AsyncStage* waits = stage.as_async();
    if (waits != nullptr && waits->needs_waiting(exchange))
      verdict = co_await waits->admit_async(exchange);
    else
      verdict = stage.admit(exchange);
    if (verdict == gateway::Verdict::proceed) continue;
    exchange.record.stage = stage.name();
    exchange.record.status = exchange.own.status;
    exchange.notes.add<gateway::Note::Kind::decided>(static_cast<std::uint32_t>(verdict),
                                                     static_cast<std::uint32_t>(i));
    break;
  }
  done = true;
}

// "http://host/path?query" or "/path": the request's bytes.
Result<std::string> request_bytes(const ExplainOptions& options) {
  std::string target = options.url;
  std::string host = "localhost";
  if (const std::size_t scheme = target.find("://"); scheme != std::string::npos) {
    const std::size_t slash = target.find_first_of("/?", scheme + 3);
    host = target.substr(scheme + 3, slash == std::string::npos ? slash : slash - scheme - 3);
    target = slash == std::string::npos ? "/" : target.substr(slash);
  }
  if (target.starts_with('?')) target.insert(0, "/");
  if (!target.starts_with('/'))
    return bad("a URL such as http://api.example/orders, or a path such as /orders");
  std::string fields;
  bool has_host = false;
  for (const std::string& field : options.fields) {
    const std::size_t colon = field.find(':');
    if (colon == std::string::npos || colon == 0) return bad("-H wants `Name: value`, not `" + field + "`");
    has_host = has_host || base::iequals(field.substr(0, colon), "host");
    fields += field.substr(0, colon) + ": " + std::string(base::trim(field.substr(colon + 1))) + "\r\n";
  }
  return options.method + " " + target + " HTTP/1.1\r\n" + (has_host ? "" : "Host: " + host + "\r\n") +
         fields + "\r\n";
}

class Dry {
 public:
  Dry()
      : registry_(1),
        state_(base::SipKey{1, 2}),
        worker_(reactor_, names_, registry_, 0, nullptr, 1),
        waiter_(reactor_, &cancel_),
        exchange_(worker_) {}

  Result<void> load(config::Config config) {
    make_dry(config);
    state_.auth.set_outside(
        clock_,
        [](const std::string&) -> Result<gateway::FetchedDocument> {
          return Error(ErrorCode::unavailable, "not asked");
        },
        [](const std::string&) {});
    auto built = gateway::build_plan(std::move(config), state_, registry_);
    if (!built) return built.error();
    plan_ = std::move(*built);
    plan_->publish(reactor_.now());
    worker_.adopt(plan_);
    return {};
  }

  Result<std::string> ask(const ExplainOptions& options) {
    Result<std::string> bytes = request_bytes(options);
    if (!bytes) return bytes.error();
    bytes_ = std::move(*bytes);
    const Result<base::IpAddress> from = base::IpAddress::parse(options.from);
    if (!from) return bad("--from wants an IP address, not `" + options.from + "`");
    from_ = options.from;
    exchange_.begin(client_, waiter_, reactor_.now());
    exchange_.plan = worker_.use_plan();
    exchange_.peer = exchange_.client = *from;
    exchange_.peer_text = from_;
    const http::Parse parsed = parser_.parse(bytes_, exchange_.request);
    if (parsed != http::Parse::done)
      return bad("that is no request: " +
                 std::string(parser_.fault().what.empty() ? "it does not end" : parser_.fault().what));
    gateway::assign_request_id(exchange_);
    if (route()) {
      scope_.spawn(ask_stages(exchange_, done_));
      reactor_.run_until([this] { return done_; }, kPatience);
    }
    std::string told = tell(options.json);
    exchange_.release_stages();
    if (exchange_.route != nullptr)
      for (std::size_t i = exchange_.stages_entered; i-- > 0;) exchange_.route->stages[i]->settle(exchange_);
    return told;
  }

 private:
  // As a connection does. False: no route leads there, or the path is none.
  bool route() {
    const http::CanonicalPath path = http::canonical_path(exchange_.request.path, exchange_.path_scratch);
    if (path.fault != http::PathFault::none) {
      exchange_.refuse("sanitize", gateway::Problem::bad_request, to_string(path.fault));
      return false;
    }
    exchange_.path = path.path;
    gateway::find_client(exchange_);
    std::string_view host;
    if (const auto authority = http::parse_authority(exchange_.request.authority)) host = authority->host;
    const gateway::RouteTable::Match match = plan_->table.find(
        host, exchange_.path, exchange_.request.method_text, gateway::is_preflight(exchange_.request));
    using Outcome = gateway::RouteTable::Outcome;
    if (match.outcome != Outcome::found) {
      exchange_.refuse("access", match.outcome == Outcome::no_route ? gateway::Problem::no_route
                                                                    : gateway::Problem::method_not_allowed);
      exchange_.record.status = exchange_.own.status;
      return false;
    }
    exchange_.route = &plan_->routes[match.route];
    exchange_.wildcard = match.wildcard;
    return true;
  }

  std::string tell(bool json) {
    gateway::DecisionRecord record;
    gateway::fill(record, exchange_, Duration{});
    gateway::add_path(record, exchange_);
    gateway::RecordContext context;
    context.names = plan_->names.get();
    std::string text = gateway::to_json(record, context);
    if (exchange_.route != nullptr && exchange_.record.problem == gateway::Problem::none && done_)
      text.insert(text.size() - 1, ",\"would\":" + next());
    if (exchange_.route != nullptr && !done_) text.insert(text.size() - 1, ",\"waits\":true");
    if (json) return text + "\n";
    return for_people(*Json::parse(text, Json::Limits{256 * 1024, 16}));
  }

  // What the terminal would do, as JSON.
  std::string next() {
    const config::Route& route = exchange_.route->options;
    std::string out = "{";
    if (route.respond) {
      member(out, "answer", std::to_string(route.respond->status));
    } else if (route.bff) {
      list(out, "make_page_of", route.bff->sections, [](const auto& section) { return section.name; });
    } else if (!route.serve.empty()) {
      member(out, "serve", route.serve);
    } else {
      call(out);
    }
    return out + "}";
  }

  void call(std::string& out) {
    const auto own = std::find_if(plan_->upstreams.begin(), plan_->upstreams.end(), [&](const auto& each) {
      return each.options.name == exchange_.route->options.upstream;
    });
    const gateway::UpstreamPlan& upstream =
        exchange_.chosen_upstream ? plan_->upstreams[*exchange_.chosen_upstream] : *own;
    member(out, "call", upstream.options.name);
    list(out, "one_of", upstream.options.endpoints, [](const auto& endpoint) { return endpoint.url; });
    std::string target(gateway::upstream_path(exchange_));
    if (exchange_.request.has_query) target += "?" + std::string(exchange_.request.query);
    member(out, "path", target);
    std::string breaker = "off";
    if (upstream.options.breaker) {
      const auto& rules = *upstream.options.breaker;
      breaker = "closed; opens ";
      if (rules.failures_to_open != 0)
        breaker += "after " + std::to_string(rules.failures_to_open) + " failures in a row";
      else
        breaker += "by ratio";
      breaker += " for " + config::to_text(rules.open_for);
    }
    member(out, "breaker", breaker);
    if (upstream.options.total) member(out, "timeout", config::to_text(*upstream.options.total));
    member(out, "connect_timeout", config::to_text(upstream.options.timeouts.connect));
    member(out, "first_byte_timeout", config::to_text(upstream.options.timeouts.first_byte));
    if (upstream.options.retries)
      member(out, "retries", std::to_string(upstream.options.retries->policy.attempts));
  }

  static void member(std::string& out, std::string_view name, std::string_view value) {
    out.append(out.ends_with('{') ? "\"" : ",\"").append(name).append("\":\"");
    base::append_json_escaped(out, value);
    out.push_back('"');
  }
  template <class T, class Name>
  static void list(std::string& out, std::string_view name, const std::vector<T>& items, Name name_of) {
    out.append(out.ends_with('{') ? "\"" : ",\"").append(name).append("\":[");
    for (const T& item : items) {
      out.append(out.ends_with('[') ? "\"" : ",\"");
      base::append_json_escaped(out, name_of(item));
      out.push_back('"');
    }
    out.push_back(']');
  }

  // --- for people ---

  static std::string plain(const Json& value) {
    if (value.is_string()) return std::string(value.text());
    if (!value.is_array()) return value.to_text();
    std::string all;
    for (const Json& item : value.items()) {
      all += all.empty() ? "" : "; ";
      if (!item.is_object()) {
        all += plain(item);
        continue;
      }
      std::string members;
      for (const Json::Member& member : item.members())
        members += (members.empty() ? "" : " ") + std::string(member.name) + "=" + plain(member.value);
      all += members;
    }
    return all;
  }

  static std::string padded(std::string text, std::size_t width) {
    if (text.size() < width) text.resize(width, ' ');
    return text;
  }

  static std::string for_people(const Json& record) {
    const auto value = [&](std::string_view name) {
      const Json* found = record.find(name);
      return found == nullptr ? std::string("-") : plain(*found);
    };
    std::string out = value("method") + " " + value("path") + "\nroute " + value("route") + "\n\n";
    if (const Json* stages = record.find("stages"))
      for (const Json& stage : stages->items()) {
        std::string line = "  ";
        for (const Json::Member& member : stage.members()) {
          if (member.name == "stage")
            line += padded(plain(member.value), 12);
          else if (member.name == "verdict")
            line += padded(plain(member.value), 8);
          else if (member.value.is_array())
            line += " " + plain(member.value);
          else
            line += " " + std::string(member.name) + "=" + plain(member.value);
        }
        line.erase(line.find_last_not_of(' ') + 1);
        out += line + "\n";
      }
    if (record.find("waits") != nullptr) out += "\nit would wait here for something outside\n";
    if (const Json* by = record.find("decided_by"); by != nullptr && record.find("would") == nullptr) {
      out += "\nanswered by " + plain(*by->find("stage")) + ": " + plain(*by->find("verdict"));
      if (plain(*by->find("reason")) != "-") out += " (" + plain(*by->find("reason")) + ")";
      out += record.find("status") == nullptr ? "\n" : ", status " + value("status") + "\n";
    }
    if (const Json* would = record.find("would")) {
      out += "\non an idle gateway it would\n";
      for (const Json::Member& member : would->members())
        out += "  " + padded(std::string(member.name), 20) + plain(member.value) + "\n";
    }
    return out;
  }

  io::SimulatedReactor reactor_{io::SimulationOptions()};
  SystemClock clock_;
  io::TableResolver names_;
  metrics::Registry registry_;
  gateway::State state_;
  std::shared_ptr<const gateway::Plan> plan_;
  gateway::Worker worker_;
  async::CancelSource cancel_;
  io::Waiter waiter_;
  DryClient client_;
  http::RequestParser parser_;
  std::string bytes_;
  std::string from_;
  gateway::Exchange exchange_;
  bool done_ = false;
  async::Scope scope_;  // last: what runs ends before what it uses
};

int explain(const std::string& file, const ExplainOptions& options) {
  config::LoadResult loaded = config::load_file(file, config::system_environment());
  for (const config::Diagnostic& diagnostic : loaded.diagnostics)
    std::cerr << config::to_text(diagnostic, loaded.files) << "\n";
  if (!loaded.config) return 1;
  const Result<std::string> told = explain_request(std::move(*loaded.config), options);
  if (told) return std::cout << *told, 0;
  std::cerr << "weir: " << told.error().detail << "\n";
  return 1;
}

}  // namespace

Result<std::string> explain_request(config::Config config, const ExplainOptions& options) {
  Dry dry;
  if (Result<void> loaded = dry.load(std::move(config)); !loaded) return loaded.error();
  return dry.ask(options);
}

void add_explain_command(CLI::App& app, int& code) {
  struct Arguments {
    std::string file;
    ExplainOptions request;
    std::string output = "text";
  };
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand(
      "explain", "Say what an idle gateway with that file would decide about a request, stage by stage");
  command->add_option("FILE", arguments->file, "YAML configuration")->required();
  command->add_option("METHOD", arguments->request.method, "GET, POST, ...")->required();
  command->add_option("URL", arguments->request.url, "http://api.example/orders?page=2, or a path alone")
      ->required();
  command->add_option("-H,--header", arguments->request.fields, "A field of the request: `Name: value`")
      ->allow_extra_args(false);
  command->add_option("--from", arguments->request.from, "The client's address")->capture_default_str();
  command->add_option("--output", arguments->output, "text or json")->check(CLI::IsMember({"text", "json"}));
  command->footer(
      "Example:\n  weir explain weir.yaml GET http://api.example/orders/7 -H 'Authorization: Bearer TOKEN'\n"
      "Nothing is called and no socket is opened. Exit: 0 explained, 1 the file or the request is wrong, 2 "
      "usage.");
  command->callback([&code, arguments] {
    arguments->request.json = arguments->output == "json";
    code = explain(arguments->file, arguments->request);
  });
}

}  // namespace weir::server
