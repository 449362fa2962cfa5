#include "weir/server/admin.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "weir/gateway/answer.h"
#include "weir/gateway/stages/read_body.h"
#include "weir/http/uri.h"
#include "weir/metrics/exposition.h"
#include "weir/server/explain.h"
#include "weir/server/server.h"

namespace weir::server {
namespace {

struct Reply {
  int status = 200;
  std::string body;
  std::string_view content_type = "application/json";
};

// A name that a stranger's DNS could point here: not an address, not localhost.
bool is_foreign_host(std::string_view authority) {
  const std::optional<http::Authority> parsed = http::parse_authority(authority);
  if (!parsed) return !authority.empty();
  return !base::iequals(parsed->host, "localhost") && !base::IpAddress::parse(parsed->host);
}

// A browser names the page's origin on every cross-site request that could change something.
bool is_cross_site(const http::RequestHead& request) {
  const http::Field* origin = request.fields.find(http::Name::origin);
  if (origin == nullptr) return false;
  const std::string_view value = origin->value;
  const std::size_t scheme = value.find("://");
  return scheme == std::string_view::npos || !base::iequals(value.substr(scheme + 3), request.authority);
}

class AdminTerminal final : public gateway::Terminal {
 public:
  using Handler = std::function<Reply(const gateway::Exchange& request)>;
  // One that has to ask the workers.
  using WaitingHandler = std::function<async::Task<Reply>(gateway::Exchange& request)>;

  // `guarded`: refuse what a page in somebody's browser could send. The health listener is not: it holds nothing but
  // health and metrics, and is asked by service name.
  AdminTerminal(Handler handler, bool guarded, bool write, std::string token)
      : handler_(std::move(handler)), guarded_(guarded), write_(write), token_(std::move(token)) {}
  AdminTerminal(WaitingHandler handler, bool guarded)
      : waiting_handler_(std::move(handler)), guarded_(guarded), write_(false) {}

  async::Task<void> serve(gateway::Exchange& exchange) override {
    if (guarded_ && (is_foreign_host(exchange.request.authority) || is_cross_site(exchange.request))) {
      exchange.refuse("access", gateway::Problem::forbidden, "cross-site requests are refused");
    } else if (write_ && !authorized(exchange)) {
      exchange.add_answer_field("WWW-Authenticate", "Bearer", http::Name::www_authenticate);
      exchange.refuse("access", gateway::Problem::unauthenticated, "this needs the admin token");
    } else {
      Reply reply;
      if (waiting_handler_) {
        async::Task<Reply> asked = waiting_handler_(exchange);
        reply = co_await std::move(asked);
      } else {
        reply = handler_(exchange);
      }
      exchange.own_body = std::move(reply.body);
      exchange.own.status = reply.status;
      exchange.own.body = exchange.own_body;
      exchange.own.content_type = reply.content_type;
      exchange.add_answer_field("Cache-Control", "no-store", http::Name::cache_control);
    }
    co_await gateway::send_own_answer(exchange);
  }

 private:
  bool authorized(const gateway::Exchange& exchange) const {
    constexpr std::string_view kScheme = "bearer ";
    const std::string_view value = exchange.request.fields.value(http::Name::authorization);
    if (token_.empty() || value.size() <= kScheme.size()) return false;
    return base::iequals(value.substr(0, kScheme.size()), kScheme) &&
           base::equal_secrets(base::trim(value.substr(kScheme.size())), token_);
  }

  Handler handler_;
  WaitingHandler waiting_handler_;
  bool guarded_;
  bool write_;
  std::string token_;
};

class PlanMaker {
 public:
  explicit PlanMaker(bool guarded) : guarded_(guarded), plan_(std::make_shared<gateway::Plan>()) {
    plan_->config.limits.max_body = 64 * 1024;
    plan_->config.limits.connections_per_address.reset();
  }

  void add(std::string method, std::string path, std::string token, std::function<Reply()> handler) {
    add_with_body(std::move(method), std::move(path), std::move(token),
                  [handler = std::move(handler)](const gateway::Exchange&) { return handler(); });
  }

  // For a handler that looks at the request: its path, and its body, which has been read. `reads`: a POST that changes
  // nothing, and as such needs no token.
  void add_with_body(std::string method, std::string path, std::string token, AdminTerminal::Handler handler,
                     bool reads = false) {
    gateway::Route& route = plan_->routes.emplace_back();
    route.index = static_cast<std::uint32_t>(plan_->routes.size() - 1);
    route.options.name = method + " " + path;
    route.json_name = route.options.name;
    route.options.path = std::move(path);
    const bool write = method != "GET";
    route.options.methods.push_back(std::move(method));
    if (!write) route.options.methods.emplace_back("HEAD");
    plan_->table.add(route.index, route.options);
    if (write) {
      route.stages.push_back(std::make_unique<gateway::ReadBodyStage>(*plan_->config.limits.max_body));
      route.counters.emplace_back();
    }
    route.terminal =
        std::make_unique<AdminTerminal>(std::move(handler), guarded_, write && !reads, std::move(token));
  }

  void add_waiting(std::string path, AdminTerminal::WaitingHandler handler) {
    add("GET", std::move(path), {}, [] { return Reply(); });
    plan_->routes.back().terminal = std::make_unique<AdminTerminal>(std::move(handler), guarded_);
  }

  std::shared_ptr<const gateway::Plan> finish() { return std::move(plan_); }

 private:
  bool guarded_;
  std::shared_ptr<gateway::Plan> plan_;
};

std::string json_text(std::string_view name, std::string_view text) {
  std::string json = "{\"";
  json.append(name).append("\":\"");
  base::append_json_escaped(json, text);
  return json.append("\"}\n");
}

Reply ready(Server& server) {
  const std::string reason = server.not_ready();
  if (reason.empty()) return {200, "{\"status\":\"ready\"}\n"};
  std::string body = R"({"status":"not ready","reason":")";
  base::append_json_escaped(body, reason);
  return {503, body.append("\"}\n")};
}

Reply reload(Server& server) {
  const Server::Reload result = server.reload();
  return {result.ok ? 200 : 422, json_text(result.ok ? "reloaded" : "refused", result.report)};
}

Reply explain(Server& server, const gateway::Exchange& request) {
  std::string out;
  const bool ok = server.explain_experiments(request.body, request.worker.wall_now(), &out);
  return ok ? Reply{200, std::move(out)} : Reply{400, json_text("error", out)};
}

Reply revoke(Server& server, const gateway::Exchange& request) {
  const Server::Answered answered = server.revoke(request.body);
  return {answered.status, answered.body};
}

// /v1/rate-limits/{name}
Reply set_rate_limit(Server& server, const gateway::Exchange& request) {
  const Server::Answered answered =
      server.set_rate_limit(request.path.substr(request.path.rfind('/') + 1), request.body);
  if (answered.status == 200)
    request.worker.run_in_background(server.watch_overrides(request.worker.reactor));
  return {answered.status, answered.body};
}

Reply unknown_outcomes(Server& server) {
  const Server::Answered answered = server.unknown_outcomes();
  return {answered.status, answered.body};
}

// /v1/idempotency/{id}/resolve
Reply resolve(Server& server, const gateway::Exchange& request) {
  constexpr std::string_view kBefore = "/v1/idempotency/";
  std::string_view id = request.path.substr(std::min(kBefore.size(), request.path.size()));
  id = id.substr(0, id.find('/'));
  const Server::Answered answered = server.resolve_outcome(id, request.body);
  return {answered.status, answered.body};
}

// The piece of `path` between the slashes number `at` and `at` + 1, counted from 0.
std::string_view piece_of(std::string_view path, std::size_t at) {
  const std::vector<std::string_view> pieces = base::split(path, '/');
  return at + 1 < pieces.size() ? pieces[at + 1] : std::string_view{};
}

// /v1/upstreams/{name}/breaker
Reply set_breaker(Server& server, const gateway::Exchange& request) {
  const Server::Answered answered =
      server.set_breaker(piece_of(request.path, 2), request.body, request.peer_text);
  return {answered.status, answered.body};
}

// /v1/upstreams/{name}/endpoints/{i}
Reply set_endpoint(Server& server, const gateway::Exchange& request) {
  const Server::Answered answered = server.set_endpoint(piece_of(request.path, 2), piece_of(request.path, 4),
                                                        request.body, request.peer_text);
  return {answered.status, answered.body};
}

// /explain/{request-id}
async::Task<Reply> explain_request(Server& server, gateway::Exchange& request) {
  constexpr std::string_view kBefore = "/explain/";
  const std::string id(request.path.substr(std::min(kBefore.size(), request.path.size())));
  std::string found = co_await find_record(server, request, id);
  Reply reply;
  if (found.empty()) {
    reply.status = 404;
    reply.body = json_text("error", "no decision record of " + id +
                                        ": no such request, or so many came behind it that it is forgotten "
                                        "(explain.recent and explain.kept say how many are kept)");
  } else {
    reply.body = std::move(found);
    reply.body.push_back('\n');
  }
  co_return reply;
}

}  // namespace

std::shared_ptr<const gateway::Plan> make_admin_plan(Server& server, const std::string& token, bool full) {
  PlanMaker maker(full);
  maker.add("GET", "/livez", token, [] { return Reply{200, "{\"status\":\"alive\"}\n"}; });
  maker.add("GET", "/readyz", token, [&server] { return ready(server); });
  maker.add("GET", "/metrics", token,
            [&server] { return Reply{200, server.metrics_text(), metrics::kTextContentType}; });
  if (full) {
    maker.add_waiting("/explain/{id}",
                      [&server](gateway::Exchange& request) { return explain_request(server, request); });
    maker.add("GET", "/v1/config", token, [&server] { return Reply{200, server.config_json()}; });
    maker.add("GET", "/v1/upstreams", token, [&server] { return Reply{200, server.upstreams_json()}; });
    maker.add("GET", "/v1/rate-limits", token, [&server] { return Reply{200, server.rate_limits_json()}; });
    maker.add_with_body("PUT", "/v1/rate-limits/{name}", token, [&server](const gateway::Exchange& request) {
      return set_rate_limit(server, request);
    });
    maker.add("GET", "/v1/idempotency/unknown", token, [&server] { return unknown_outcomes(server); });
    maker.add_with_body("POST", "/v1/idempotency/{id}/resolve", token,
                        [&server](const gateway::Exchange& request) { return resolve(server, request); });
    maker.add("GET", "/v1/exposures", token, [&server] { return Reply{200, server.exposures_json()}; });
    maker.add_with_body(
        "POST", "/v1/explain", token,
        [&server](const gateway::Exchange& request) { return explain(server, request); }, true);
    maker.add_with_body("POST", "/v1/revocations", token,
                        [&server](const gateway::Exchange& request) { return revoke(server, request); });
    maker.add_with_body("PUT", "/v1/upstreams/{name}/breaker", token,
                        [&server](const gateway::Exchange& request) { return set_breaker(server, request); });
    maker.add_with_body(
        "PUT", "/v1/upstreams/{name}/endpoints/{i}", token,
        [&server](const gateway::Exchange& request) { return set_endpoint(server, request); });
    maker.add("POST", "/v1/reload", token, [&server] { return reload(server); });
  }
  return maker.finish();
}

}  // namespace weir::server
