#include "weir/server/http1_connection.h"

#include <algorithm>
#include <array>
#include <utility>

#include "weir/gateway/access_log.h"
#include "weir/gateway/answer.h"
#include "weir/gateway/pipeline.h"
#include "weir/gateway/plan.h"
#include "weir/gateway/stages/cors.h"
#include "weir/gateway/stages/sanitize.h"
#include "weir/gateway/stages/trace.h"
#include "weir/http/uri.h"
#include "weir/server/worker_core.h"

namespace weir::server {
namespace {

using gateway::BodyState;
using gateway::Problem;

// After an answer to a request that was not read to its end: how much more is read before the connection is
// let go.
constexpr std::size_t kLingerBytes = 64 * 1024;
constexpr Duration kLingerTime = std::chrono::seconds{2};

// Where `header_bytes: off` ends all the same, and the room behind the largest head.
constexpr std::size_t kHeadMax = std::size_t{1} << 30;
constexpr std::size_t kBehindHead = 16 * 1024;
// Requests that may be answered before others get a turn, from one connection that sends without pause.
constexpr int kRequestsATurn = 32;

constexpr http::NameSet kFraming{http::Name::content_length, http::Name::transfer_encoding};

http::ParserLimits parser_limits(const config::Limits& limits) {
  http::ParserLimits bounds;
  bounds.header_bytes = limits.header_bytes;
  bounds.line_bytes = limits.line_bytes;
  bounds.target_bytes = limits.target_bytes;
  bounds.header_count = limits.header_count;
  return bounds;
}

}  // namespace

Http1Connection::Http1Connection(WorkerCore& core, std::unique_ptr<io::Stream> stream)
    : core_(core),
      stream_(std::move(stream)),
      waiter_(core.reactor(), &core.cancel_source()),
      in_(core.worker().buffers),
      peer_(stream_->peer().ip) {
  peer_text_size_ = static_cast<std::uint8_t>(peer_.write_text(peer_text_.data()));
  stream_->watch(&waiter_);
  core_.connection_opened(*this);
}

Http1Connection::~Http1Connection() {
  if (active_ != nullptr) {
    active_->body.finish();
    core_.return_active(std::move(active_));
  }
  if (core_.options().addresses != nullptr) core_.options().addresses->leave(peer_);
  unlink();
  core_.connection_closed();
}

// One frame for the whole life of a connection: each more would be held by every idle one.
async::Task<void> Http1Connection::run(std::unique_ptr<Http1Connection> connection) {
  Http1Connection& self = *connection;
  for (int served = 1;; ++served) {
    Input input = self.look();
    if (input == Input::none) {  // idle, holding nothing but itself
      served = 0;
      const Deadline deadline = self.idle_deadline();
      do {
        self.in_.release();
        if (self.core_.draining()) co_return;
        const io::Wake wake = co_await self.waiter_.wait(deadline);
        if (wake != io::Wake::event) co_return;
        input = self.look();
      } while (input == Input::none);
    }
    if (input == Input::ended) co_return;
    co_await self.serve_request();
    if (!self.keep_alive_) co_return;
    if (served == kRequestsATurn) {
      served = 0;
      co_await self.waiter_.yield();
    }
  }
}

// Is there something to serve: bytes that came with or behind the request before, or new ones?
Http1Connection::Input Http1Connection::look() {
  if (!in_.empty()) return Input::byte;
  if (!stream_->may_read()) return Input::none;
  in_.rewind();
  const io::IoResult result = stream_->read(in_.room());
  if (result.status == io::IoStatus::would_block) return Input::none;
  if (result.status != io::IoStatus::ok) return Input::ended;
  in_.added(result.bytes);
  return Input::byte;
}

Deadline Http1Connection::idle_deadline() const {
  const config::Limits& limits = core_.worker().current_plan().plan->config.limits;
  return limits.idle_timeout ? Deadline::after(core_.reactor().now(), *limits.idle_timeout)
                             : Deadline::never();
}

Http1Connection::Head Http1Connection::parse_head() {
  switch (active_->parser.parse(in_.bytes(), active_->exchange.request)) {
    case http::Parse::done:
      return Head::request;
    case http::Parse::error:
      return Head::fault;
    case http::Parse::need_more:
      break;
  }
  return Head::more;
}

async::Task<Http1Connection::Head> Http1Connection::read_head() {
  const config::Limits& limits = active_->exchange.plan->plan->config.limits;
  const Deadline deadline = limits.header_timeout
                                ? Deadline::after(core_.reactor().now(), *limits.header_timeout)
                                : Deadline::never();
  for (;;) {
    while (!stream_->may_read()) {
      const io::Wake wake = co_await waiter_.wait(deadline);
      if (wake == io::Wake::cancelled) co_return Head::closed;
      if (wake == io::Wake::timeout) {
        body_fault_ = http::Fault{408, "the head did not arrive in time", "RFC 9110 15.5.9"};
        co_return Head::fault;
      }
    }
    std::span<char> room = in_.room();
    if (room.empty()) {
      in_.compact();
      if (in_.room().empty()) in_.grow(std::min<std::uint64_t>(limits.header_bytes, kHeadMax) + kBehindHead);
      room = in_.room();
    }
    const io::IoResult result = stream_->read(room);
    // A client that goes in mid-head has asked for nothing.
    if (result.status == io::IoStatus::end || result.status == io::IoStatus::error) co_return Head::closed;
    if (result.status != io::IoStatus::ok) continue;
    in_.added(result.bytes);
    const Head head = parse_head();
    if (head != Head::more) co_return head;
  }
}

async::Task<void> Http1Connection::serve_request() {
  in_.compact();
  active_ = core_.take_active();
  begin_exchange();
  Head head = parse_head();  // nearly always whole at once: no frame for that
  if (head == Head::more) head = co_await read_head();
  if (head == Head::closed) {
    keep_alive_ = false;
    active_->body.finish();
    core_.return_active(std::move(active_));
    co_return;
  }
  bool routed = false;
  if (head == Head::fault)
    refuse_fault(body_fault_.what.empty() ? active_->parser.fault() : body_fault_);
  else
    routed = route_request();
  if (!routed) gateway::find_explain(active_->exchange);  // no stage will look
  if (routed)
    co_await gateway::run_pipeline(active_->exchange);
  else
    co_await gateway::send_own_answer(active_->exchange);
  end_exchange();
  // Of an answer that was cut, what has been sent must arrive too, and so must the whole answers before it.
  // Only one that ends with the connection is cut by a reset, and so at once.
  if (!keep_alive_ && !(aborted_ && answer_close_delimited_)) co_await linger();
}

void Http1Connection::begin_exchange() {
  bytes_sent_ = 0;
  body_state_ = BodyState::done;
  body_fault_ = http::Fault{0, {}, {}};
  keep_alive_ = true;
  answer_started_ = answer_close_delimited_ = continue_due_ = blocked_ = write_failed_ = aborted_ = false;
  gateway::Exchange& exchange = active_->exchange;
  exchange.begin(*this, waiter_, core_.reactor().now());
  exchange.plan = core_.worker().use_plan();
  exchange.peer = exchange.client = peer_;
  active_->parser = http::RequestParser(parser_limits(exchange.plan->plan->config.limits));
  exchange.peer_text = {peer_text_.data(), peer_text_size_};
}

// The head could not be understood: its status, and the connection closes.
bool Http1Connection::refuse_fault(const http::Fault& fault) {
  gateway::Exchange& exchange = active_->exchange;
  if (exchange.id.empty()) gateway::assign_request_id(exchange);
  exchange.own.close = true;
  exchange.refuse("sanitize", Problem::bad_request, fault.what, fault.status);
  return false;
}

// False: the answer is a refusal, in the exchange.
bool Http1Connection::route_request() {
  gateway::Exchange& exchange = active_->exchange;
  http::RequestHead& request = exchange.request;
  exchange.now = core_.reactor().now();  // not of the first byte, which may be long ago
  in_.consume(active_->parser.consumed());
  gateway::assign_request_id(exchange);
  start_body();
  if (request.method == http::Method::connect || request.fields.has(http::Name::upgrade))
    return refuse_fault({501, "CONNECT and Upgrade are not supported", "RFC 9110 7.8"});
  if (body_state_ == BodyState::failed) return refuse_fault(body_fault_);

  const http::CanonicalPath path = http::canonical_path(request.path, exchange.path_scratch);
  if (path.fault != http::PathFault::none)
    return refuse_fault({400, to_string(path.fault), "RFC 3986 6.2.2"});
  exchange.path = path.path;
  exchange.encoded_slash = path.encoded_slash;
  gateway::find_client(exchange);

  const gateway::Plan& plan = *exchange.plan->plan;
  std::string_view host;
  if (plan.table.uses_hosts())
    if (const std::optional<http::Authority> authority = http::parse_authority(request.authority))
      host = authority->host;
  const gateway::RouteTable::Match match =
      plan.table.find(host, exchange.path, request.method_text, gateway::is_preflight(request));
  if (match.outcome == gateway::RouteTable::Outcome::no_route) {
    exchange.refuse("access", Problem::no_route);
    return false;
  }
  if (match.outcome == gateway::RouteTable::Outcome::wrong_method) {
    exchange.add_answer_field("Allow", exchange.arena.keep(plan.table.allowed(host, exchange.path)),
                              http::Name::allow);
    exchange.refuse("access", Problem::method_not_allowed);
    return false;
  }
  const gateway::Route& route = plan.routes[match.route];
  if (exchange.encoded_slash && !route.options.allow_encoded_slash)
    return refuse_fault({400, "encoded_slash", "RFC 3986 2.2"});
  exchange.route = &route;
  exchange.wildcard = match.wildcard;
  return true;
}

void Http1Connection::start_body() {
  const gateway::Exchange& exchange = active_->exchange;
  const http::RequestHead& request = exchange.request;
  const config::Limits& limits = exchange.plan->plan->config.limits;
  body_max_ = limits.max_body.value_or(UINT64_MAX);
  active_->body.start(in_, request.body, request.content_length, parser_limits(limits), true);
  body_state_ = active_->body.done() ? BodyState::done : BodyState::open;
  continue_due_ = request.expect_continue && body_state_ == BodyState::open;
  if (request.body == http::BodyKind::length && request.content_length > body_max_) {
    body_fault_ = http::Fault{413, "the body is larger than max_body", "RFC 9110 15.5.14"};
    body_state_ = BodyState::failed;
    return;
  }
  if (body_state_ != BodyState::open) return;
  bool moved = false;
  if (in_.empty()) return;
  continue_due_ = false;  // it did not wait
  active_->body.decode();
  note_body(&moved);
}

void Http1Connection::note_body(bool* moved) {
  upstream::BodyWindow& body = active_->body;
  if (body.state() == upstream::BodyWindow::State::failed) {
    body_fault_ = body.fault();
    body_state_ = BodyState::failed;
  } else if (body.received() > body_max_) {
    body_fault_ = http::Fault{413, "the body is larger than max_body", "RFC 9110 15.5.14"};
    body_state_ = BodyState::failed;
  } else if (body.done()) {
    body_state_ = BodyState::done;
  }
  *moved = true;
}

std::string_view Http1Connection::body_bytes() const noexcept { return active_->body.payload(); }
void Http1Connection::consume_body(std::size_t n) noexcept { active_->body.consume(n); }
std::uint64_t Http1Connection::body_received() const noexcept { return active_->body.received(); }

BodyState Http1Connection::read_body(bool* moved) {
  *moved = false;
  if (continue_due_) {
    continue_due_ = false;
    send_interim(100, http::Fields{});
  }
  flush_interim();
  while (body_state_ == BodyState::open && stream_->may_read()) {
    const std::span<char> room = active_->body.room();
    if (room.empty()) break;
    const io::IoResult result = stream_->read(room);
    if (result.status == io::IoStatus::would_block) break;
    *moved = true;
    if (result.status != io::IoStatus::ok) {
      body_state_ = BodyState::gone;
      write_failed_ = result.status == io::IoStatus::error;
      break;
    }
    active_->body.added(result.bytes);
    note_body(moved);
  }
  return body_state_;
}

void Http1Connection::send_interim(int status, const http::Fields& fields) {
  // RFC 9110 15.2: never to a client of HTTP/1.0. And bounded: who sends more than that in hints is not
  // hinting.
  constexpr std::size_t kInterimMax = 16 * 1024;
  if (active_->exchange.request.version_minor == 0 || answer_started_ ||
      active_->interim.size() > kInterimMax)
    return;
  http::append_status_line(active_->interim, status);
  for (const http::Field& field : fields)
    if (!field.hop_by_hop) http::append_field(active_->interim, field.name, field.value);
  http::end_head(active_->interim);
  flush_interim();
}

bool Http1Connection::flush_interim() {
  http::HeadBuffer& interim = active_->interim;
  while (!interim.empty() && stream_->may_write() && !write_failed_) {
    const iovec piece{const_cast<char*>(interim.data()), interim.size()};  // only read
    const io::IoResult result = stream_->write({&piece, 1});
    if (result.status == io::IoStatus::error) write_failed_ = true;
    if (result.status != io::IoStatus::ok) break;
    interim.erase_front(result.bytes);
    bytes_sent_ += result.bytes;
  }
  return interim.empty();
}

bool Http1Connection::may_keep_alive() const noexcept {
  const gateway::Exchange& exchange = active_->exchange;
  return exchange.request.keep_alive && !exchange.own.close && !core_.draining() &&
         body_state_ == BodyState::done;
}

void Http1Connection::start_answer(const gateway::AnswerHead& head) {
  const http::RequestHead& request = active_->exchange.request;
  answer_started_ = true;
  keep_alive_ = may_keep_alive();
  http::BodyKind kind = head.body;
  if (request.method == http::Method::head) kind = http::BodyKind::none;
  if (kind == http::BodyKind::until_close) {
    // Of unknown length: chunks, or the end of the connection for those who do not know chunks (RFC 9112
    // 7.1).
    answer_close_delimited_ = request.version_minor == 0;
    if (answer_close_delimited_)
      keep_alive_ = false;
    else
      kind = http::BodyKind::chunked;
  }
  http::HeadBuffer out = active_->encoder.take_buffer();
  out.append(active_->interim.view());
  active_->interim.clear();
  http::append_status_line(out, head.status, head.reason);
  for (const http::Field& field : head.fields)
    if (!field.hop_by_hop && !kFraming.contains(field.id)) out.add_field(field.name, field.value);
  if (!keep_alive_)
    http::append_field(out, "Connection", "close");
  else if (request.version_minor == 0)
    http::append_field(out, "Connection", "keep-alive");
  if (kind == http::BodyKind::none && head.says_length)
    http::append_field(out, "Content-Length", head.content_length);
  http::append_framing(out, kind, head.content_length);
  http::end_head(out);
  active_->encoder.start(kind, head.content_length, std::move(out));
}

std::size_t Http1Connection::write_answer(std::string_view payload, bool last) {
  std::size_t used = 0;
  http::BodyEncoder& encoder = active_->encoder;
  blocked_ = false;
  while (!encoder.finished() && !write_failed_) {
    std::array<iovec, http::BodyEncoder::kPieces> pieces;
    const std::size_t count = encoder.gather(payload, last, pieces.data());
    if (count == 0) break;
    if (!stream_->may_write()) {
      blocked_ = true;
      break;
    }
    const io::IoResult result = stream_->write({pieces.data(), count});
    if (result.status == io::IoStatus::error) write_failed_ = true;
    if (result.status == io::IoStatus::would_block) blocked_ = true;
    if (result.status != io::IoStatus::ok) break;
    bytes_sent_ += result.bytes;
    const std::size_t taken = encoder.wrote(result.bytes);
    payload.remove_prefix(taken);
    used += taken;
  }
  return used;
}

bool Http1Connection::answer_finished() const noexcept {
  return answer_started_ && active_->encoder.finished();
}

void Http1Connection::abort_answer() noexcept {
  aborted_ = true;
  keep_alive_ = false;
  // The end of the connection would look like the end of such an answer: only a reset says that it was cut.
  if (answer_close_delimited_) stream_->reset_on_close();
}

void Http1Connection::end_exchange() {
  gateway::Exchange& exchange = active_->exchange;
  if (exchange.record.client_gone || !answer_finished()) keep_alive_ = false, aborted_ = true;
  const Duration took = core_.reactor().precise_now() - exchange.started;
  if (core_.options().observed) {
    gateway::Worker& worker = core_.worker();
    const int status = exchange.record.client_gone ? 499 : exchange.record.status;
    worker.count_request(*exchange.plan, exchange.route, exchange.request.method, status, took);
    write_log(took);
    worker.records.keep(exchange, took);
  }
  if (body_state_ != BodyState::done) keep_alive_ = false;
  active_->body.finish();
  core_.return_active(std::move(active_));
}

void Http1Connection::write_log(Duration took) {
  gateway::Worker& worker = core_.worker();
  if (worker.log == nullptr) return;
  const gateway::Exchange& exchange = active_->exchange;
  const double sample = exchange.plan->plan->config.access_log.sample;
  const bool failed = exchange.record.problem != Problem::none || exchange.record.client_gone ||
                      exchange.record.status >= 500;
  if (sample < 1 && !failed && worker.random.below(1'000'000) >= static_cast<std::uint64_t>(sample * 1e6))
    return;
  worker.log->write(gateway::render_access_line(active_->exchange, took));
}

async::Task<void> Http1Connection::linger() {
  if (stream_->broken()) co_return;
  stream_->shutdown_write();
  const Deadline deadline = Deadline::after(core_.reactor().now(), kLingerTime);
  in_.consume(in_.size());
  for (std::size_t left = kLingerBytes; left > 0;) {
    if (stream_->may_read()) {
      in_.rewind();
      const std::span<char> room = in_.room();
      const io::IoResult result = stream_->read(room.first(std::min(room.size(), left)));
      if (result.status == io::IoStatus::ok) left -= result.bytes;
      if (result.status == io::IoStatus::end || result.status == io::IoStatus::error) co_return;
      if (result.status == io::IoStatus::ok) continue;
    }
    const io::Wake wake = co_await waiter_.wait(deadline);
    if (wake != io::Wake::event) co_return;
  }
}

}  // namespace weir::server
