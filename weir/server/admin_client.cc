#include "weir/server/admin_client.h"

#include <utility>

#include "weir/async/scope.h"
#include "weir/http/serializer.h"
#include "weir/io/epoll_reactor.h"
#include "weir/io/waiter.h"
#include "weir/upstream/call.h"

namespace weir::server {
namespace {

constexpr Duration kPatience = std::chrono::seconds{10};
constexpr std::size_t kReplyMax = 1024 * 1024;

async::Task<void> call_admin(io::EpollReactor& reactor, upstream::EndpointPool& pool, http::HeadBuffer head,
                             Result<HttpReply>& result) {
  io::BufferPool buffers;
  upstream::Call call(buffers);
  Result<std::unique_ptr<upstream::Connection>> connection = pool.connect(0);
  if (!connection) {
    result = connection.error();
    co_return reactor.stop();
  }
  io::Waiter waiter(reactor);
  upstream::Timeouts timeouts;
  timeouts.connect = timeouts.first_byte = timeouts.idle = kPatience;
  call.start(std::move(*connection), http::Method::post, std::move(head), http::BodyKind::length, 0, timeouts,
             reactor.now());
  call.watch(&waiter);
  HttpReply reply;
  while (!call.finished()) {
    std::size_t used = 0;
    bool moved = call.push({}, true, reactor.now(), &used);
    moved |= call.pull(reactor.now());
    if (call.head_ready()) {
      reply.status = call.head().status;
      reply.body.append(call.body().payload());
      call.body().consume(call.body().payload().size());
      if (reply.body.size() > kReplyMax) break;
    }
    if (moved || call.finished()) continue;  // a refused connection moves nothing and ends the call
    const io::Wake wake = co_await waiter.wait(call.due());
    if (wake == io::Wake::timeout) call.expire(reactor.now());
  }
  if (call.failure() == upstream::CallFailure::none)
    result = std::move(reply);
  else
    result = Error(call.error(), "the admin does not answer: " + std::string(to_string(call.error())));
  call.reset();
  reactor.stop();
}

}  // namespace

Result<HttpReply> post(const config::HostPort& to, std::string_view path, std::string_view token) {
  Result<std::unique_ptr<io::EpollReactor>> reactor = io::EpollReactor::create();
  if (!reactor) return reactor.error();
  config::HostPort at = to;
  if (at.host.empty() || at.host == "0.0.0.0") at.host = "127.0.0.1";
  if (at.host == "::") at.host = "::1";

  http::HeadBuffer head;
  http::append_request_line(head, "POST", path, {}, false);
  http::append_field(head, "Host", at.to_text());
  if (!token.empty()) http::append_field(head, "Authorization", "Bearer " + std::string(token));
  http::append_framing(head, http::BodyKind::length, 0);
  http::end_head(head);

  Result<HttpReply> result = Error(ErrorCode::unavailable, "no answer");
  io::TableResolver names;
  async::Scope scope;
  upstream::EndpointPool pool(**reactor, names, scope, at.host, at.port);
  scope.spawn(call_admin(**reactor, pool, std::move(head), result));
  (*reactor)->run();
  return result;
}

}  // namespace weir::server
