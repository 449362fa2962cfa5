// One small blocking GET for KeyFetcher's thread, over the same client code as every call to an upstream.
#include <algorithm>
#include <utility>

#include "weir/async/scope.h"
#include "weir/gateway/key_fetcher.h"
#include "weir/http/serializer.h"
#include "weir/http/uri.h"
#include "weir/io/cares_resolver.h"
#include "weir/io/epoll_reactor.h"
#include "weir/io/waiter.h"
#include "weir/upstream/call.h"

namespace weir::gateway {
namespace {

constexpr std::size_t kReplyMax = 512 * 1024;

// RFC 9111 5.2.2.1; no-store and no-cache say nothing about how long keys are good.
Duration max_age_of(std::string_view cache_control) {
  for (std::string_view directive : base::split(cache_control, ',')) {
    directive = base::trim(directive);
    constexpr std::string_view kName = "max-age=";
    if (directive.size() <= kName.size() || !base::iequals(directive.substr(0, kName.size()), kName))
      continue;
    const auto seconds = base::parse_u64(directive.substr(kName.size()));
    if (seconds) return std::chrono::seconds{std::min<std::uint64_t>(*seconds, 365ULL * 24 * 3600)};
  }
  return {};
}

async::Task<void> run_call(io::EpollReactor& reactor, upstream::EndpointPool& pool, http::HeadBuffer head,
                           Duration patience, Result<FetchedDocument>& result) {
  const Deadline deadline = Deadline::after(reactor.now(), patience);
  const Result<void> resolved = co_await pool.resolve(deadline);
  if (!resolved) {
    result = resolved.error();
    co_return reactor.stop();
  }
  io::BufferPool buffers;
  upstream::Call call(buffers);
  Result<std::unique_ptr<upstream::Connection>> connection = pool.connect(0);
  if (!connection) {
    result = connection.error();
    co_return reactor.stop();
  }
  io::Waiter waiter(reactor);
  upstream::Timeouts timeouts;
  timeouts.connect = timeouts.first_byte = timeouts.idle = patience;
  call.start(std::move(*connection), http::Method::get, std::move(head), http::BodyKind::none, 0, timeouts,
             reactor.now());
  call.watch(&waiter);
  FetchedDocument document;
  bool too_large = false;
  while (!call.finished() && !too_large && !deadline.expired(reactor.now())) {
    std::size_t used = 0;
    bool moved = call.push({}, true, reactor.now(), &used);
    moved |= call.pull(reactor.now());
    if (call.head_ready() && call.head().status < 200) {
      call.next_head();
      continue;
    }
    if (call.head_ready()) {
      document.status = call.head().status;
      document.max_age = max_age_of(call.head().fields.value(http::Name::cache_control));
      document.body.append(call.body().payload());
      call.body().consume(call.body().payload().size());
      too_large = document.body.size() > kReplyMax;
    }
    if (moved || call.finished()) continue;
    const io::Wake wake = co_await waiter.wait(deadline.shrunk_to(call.due()));
    if (wake == io::Wake::timeout) call.expire(reactor.now());
  }
  if (too_large)
    result = Error(ErrorCode::too_large, "the answer is larger than 512 KiB", ErrorSource::upstream);
  else if (call.complete())
    result = std::move(document);
  else
    result = Error(call.failure() == upstream::CallFailure::none ? ErrorCode::timed_out : call.error(),
                   "no whole answer", ErrorSource::upstream);
  call.reset();
  reactor.stop();
}

}  // namespace

Result<FetchedDocument> http_get(const std::string& url, Duration patience) {
  const bool tls = url.starts_with("https://");
  if (!tls && !url.starts_with("http://"))
    return Error(ErrorCode::unsupported, "only http:// and https:// can be fetched");
  const std::size_t scheme = tls ? 8 : 7;
  const std::size_t slash = std::min(url.find('/', scheme), url.size());
  const std::string authority = url.substr(scheme, slash - scheme);
  const std::string target = slash == url.size() ? "/" : url.substr(slash);
  const std::optional<http::Authority> at = http::parse_authority(authority);
  if (!at) return Error(ErrorCode::invalid_argument, "no host in the address");
  Result<std::unique_ptr<io::EpollReactor>> reactor = io::EpollReactor::create();
  if (!reactor) return reactor.error();
  http::HeadBuffer head;
  http::append_request_line(head, "GET", target, {}, false);
  http::append_field(head, "Host", authority);
  http::append_field(head, "Accept", "application/json");
  http::append_field(head, "Connection", "close");
  http::end_head(head);
  Result<FetchedDocument> result = Error(ErrorCode::unavailable, "no answer");
  {
    io::CaresResolver names(**reactor);
    async::Scope scope;
    upstream::PoolOptions options;
    if (tls) {
      // The system's authorities; the certificate must name the host, as it must for upstreams.
      Result<std::shared_ptr<io::TlsClient>> client = io::TlsClient::create(io::TlsClientOptions());
      if (!client) return client.error();
      options.tls = std::move(*client);
    }
    upstream::EndpointPool pool(**reactor, names, scope, std::string(at->host),
                                at->port.value_or(tls ? 443 : 80), options);
    scope.spawn(run_call(**reactor, pool, std::move(head), patience, result));
    (*reactor)->run();
  }
  return result;
}

}  // namespace weir::gateway
