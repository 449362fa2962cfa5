// A gateway with one worker on a port of its own, one request to it over loopback, and a stage that keeps the spans.
#include "weir/server/page_trace.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <functional>

#include "weir/async/scope.h"
#include "weir/base/strings.h"
#include "weir/gateway/exchange.h"
#include "weir/gateway/state.h"
#include "weir/gateway/terminals/bff.h"
#include "weir/io/cares_resolver.h"
#include "weir/io/epoll_reactor.h"
#include "weir/metrics/registry.h"
#include "weir/server/worker_core.h"
#include "weir/upstream/fetch.h"

namespace weir::server {
namespace {

constexpr std::string_view kId = "weir-bff-trace";
constexpr Duration kPatience = std::chrono::minutes{5};

double ms_between(TimePoint from, TimePoint to) {
  return std::chrono::duration<double, std::milli>(to - from).count();
}

// What the stage saw when the request ended.
struct Kept {
  bool seen = false;
  TimePoint started{};
  TimePoint ended{};
  trace::SpanContext context;
  struct Call {
    gateway::CallSpan span;
    std::string section, url;
  };
  std::vector<Call> calls;
  std::vector<std::string> names;  // of the page's sections
  Duration deadline{};
};

class KeepSpans final : public gateway::Stage {
 public:
  explicit KeepSpans(Kept& kept) : kept_(kept) {}
  std::string_view name() const noexcept override { return "keep_spans"; }
  gateway::Verdict admit(gateway::Exchange& exchange) override {
    exchange.tracing.recording = true;
    return gateway::Verdict::proceed;
  }
  void settle(gateway::Exchange& exchange) noexcept override {
    kept_.seen = true;
    kept_.started = exchange.started;
    kept_.ended = exchange.worker.reactor.now();
    kept_.context = exchange.tracing.context;
    for (const gateway::CallSpan& span : exchange.tracing.calls)
      kept_.calls.push_back({span, std::string(span.section), std::string(span.url)});
    const bff::PageSpec& page = *exchange.route->options.bff;
    kept_.deadline = page.deadline;
    for (const bff::SectionSpec& section : page.sections) kept_.names.push_back(section.name);
  }

 private:
  Kept& kept_;
};

std::string hex(std::uint64_t high, std::uint64_t low) {
  std::array<char, 40> text;
  std::snprintf(text.data(), text.size(), "%016llx%016llx", static_cast<unsigned long long>(high),
                static_cast<unsigned long long>(low));
  return text.data();
}

// The member of Weir-Sections that is about `name`: "s=error;d=12;e=timeout".
std::string_view member_of(std::string_view sections, std::string_view name) {
  for (const std::string_view one : base::split(sections, ',')) {
    const std::string_view member = base::trim(one);
    const std::size_t mark = member.find(';');
    if (mark != std::string_view::npos && member.substr(0, mark) == name) return member.substr(mark + 1);
  }
  return {};
}

std::string_view parameter(std::string_view member, std::string_view name) {
  for (const std::string_view one : base::split(member, ';'))
    if (one.size() > name.size() && one.starts_with(name) && one[name.size()] == '=')
      return one.substr(name.size() + 1);
  return {};
}

void add_bars(const Kept& kept, PageTrace& trace) {
  for (const std::string& name : kept.names) {
    const std::string_view member = member_of(trace.sections, name);
    PageTrace::Bar section;
    section.name = name;
    section.section = true;
    section.result = parameter(member, "s");
    section.good = section.result == "ok" || section.result == "stale";
    if (const std::string_view why = parameter(member, "e"); !why.empty())
      section.result.append(" ").append(why);
    std::vector<PageTrace::Bar> calls;
    for (const Kept::Call& call : kept.calls) {
      const bool ours = call.section == name;
      if (!ours && !call.section.empty()) continue;
      PageTrace::Bar bar;
      bar.from_ms = ms_between(kept.started, call.span.start);
      bar.to_ms = ms_between(kept.started, call.span.end);
      bar.called = true;
      if (ours) {
        section.from_ms = section.called ? std::min(section.from_ms, bar.from_ms) : bar.from_ms;
        section.to_ms = std::max(section.to_ms, bar.to_ms);
        section.called = true;
        continue;
      }
      const bool below = std::any_of(kept.calls.begin(), kept.calls.end(), [&](const Kept::Call& parent) {
        return parent.section == name && parent.span.span == call.span.parent;
      });
      if (!below) continue;
      bar.name = std::string(http::to_string(call.span.method)) + " " + (call.url.empty() ? "-" : call.url);
      bar.result = call.span.error.empty() ? std::to_string(call.span.status) : std::string(call.span.error);
      if (call.span.resent != 0) bar.result.append(", sent again ").append(std::to_string(call.span.resent));
      bar.good = call.span.error.empty() && call.span.status < 400;
      calls.push_back(std::move(bar));
    }
    trace.bars.push_back(std::move(section));
    for (PageTrace::Bar& call : calls) trace.bars.push_back(std::move(call));
  }
}

struct Asked {
  http::FetchFailure failure = http::FetchFailure::none;
  http::FetchResponse response;
};

async::Task<void> ask(gateway::Worker& worker, upstream::WorkerUpstream& to, const PageQuestion& question,
                      Asked& asked, io::EpollReactor& reactor) {
  std::vector<http::Field> fields{{"X-Request-Id", kId, http::Name::x_request_id, false}};
  for (const auto& [name, value] : question.headers)
    fields.push_back({name, value, http::parse_name(name), false});
  upstream::FetchOrder order;
  order.method = http::parse_method(question.method);
  order.target = question.target;
  order.host = question.host;
  order.fields = fields;
  order.body = question.body;
  order.body_max = 64 * 1024 * 1024;
  order.deadline = Deadline::after(reactor.now(), kPatience);
  std::unique_ptr<upstream::Call> call = worker.take_call();
  asked.failure = co_await upstream::fetch(to, order, asked.response, *call, reactor, worker.random);
  worker.return_call(std::move(call));
  reactor.stop();
}

Error wrong(std::string detail) {
  return Error(ErrorCode::invalid_argument, std::move(detail), ErrorSource::configuration);
}

}  // namespace

Result<PageTrace> trace_page(config::Config config, const PageQuestion& question) {
  if (http::parse_method(question.method) == http::Method::other)
    return wrong("`" + question.method + "` is no method");
  keep_pages_only(config);
  Result<std::unique_ptr<io::EpollReactor>> made = io::EpollReactor::create();
  if (!made) return made.error();
  io::EpollReactor& reactor = **made;
  io::CaresResolver resolver(reactor);
  metrics::Registry registry(1);
  gateway::State state(base::SipKey{base::random_seed(), 1});
  const Callers callers{{std::string(kId), question.caller}};
  Kept kept;
  gateway::PlanOptions options;
  options.custom_stages.push_back(known_caller(callers));
  options.custom_stages.push_back(
      {"trace", [&kept](const config::Route&) { return std::make_unique<KeepSpans>(kept); }});
  Result<std::shared_ptr<const gateway::Plan>> plan =
      gateway::build_plan(std::move(config), state, registry, options);
  if (!plan) return plan.error();
  (*plan)->publish(reactor.now());
  gateway::Worker worker(reactor, resolver, registry, 0, nullptr, base::random_seed());
  worker.adopt(*plan);
  WorkerCore core(reactor, worker, CoreOptions());
  Result<std::unique_ptr<io::Listener>> listener =
      reactor.listen(io::Address::parse("127.0.0.1:0").value(), io::ListenOptions());
  if (!listener) return listener.error();
  const io::Address here = (*listener)->local();
  core.add_listener(std::move(*listener));

  async::Scope scope;
  upstream::EndpointPool pool(reactor, resolver, scope, "127.0.0.1", here.port);
  upstream::UpstreamOptions to;
  to.name = "gateway";
  upstream::EndpointOptions endpoint;
  endpoint.url = "http://" + here.to_text();
  endpoint.host = "127.0.0.1";
  endpoint.port = here.port;
  to.endpoints = {endpoint};
  to.timeouts.first_byte = to.timeouts.idle = kPatience;
  upstream::WorkerUpstream gateway(
      std::move(to),
      std::make_shared<upstream::SharedUpstream>("gateway", resilience::CircuitBreaker::Options{}, nullptr),
      std::vector{&pool});
  Asked asked;
  async::Scope asking;
  asking.spawn(ask(worker, gateway, question, asked, reactor));
  reactor.run();

  if (asked.failure != http::FetchFailure::none)
    return wrong("no answer: " + std::string(http::proxy_error(asked.failure)));
  if (!kept.seen)
    return wrong("no page answers " + question.method + " " + question.target + ": " +
                 std::to_string(asked.response.status));
  PageTrace trace;
  trace.method = question.method;
  trace.target = question.target;
  trace.trace_id = hex(kept.context.trace_high, kept.context.trace_low);
  trace.status = asked.response.status;
  const http::Field* complete = asked.response.fields.find("Weir-Complete");
  trace.complete = complete != nullptr && complete->value == "?1";
  const http::Field* sections = asked.response.fields.find("Weir-Sections");
  if (sections != nullptr) trace.sections = sections->value;
  trace.took_ms = ms_between(kept.started, kept.ended);
  trace.deadline_ms = std::chrono::duration<double, std::milli>(kept.deadline).count();
  trace.body = asked.response.body;
  add_bars(kept, trace);
  return trace;
}

}  // namespace weir::server
