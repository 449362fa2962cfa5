#include "tests/simulation/client.h"

#include <algorithm>
#include <utility>

#include "tests/simulation/world.h"

namespace weir::simulation {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Duration kPatience = seconds{60};    // longer than every limit of weir's
constexpr Duration kIdleTimeout = seconds{8};  // as configured

}  // namespace

async::Task<void> Client::wait(Duration time) {
  const bool slept = co_await async::sleep_until(world_.reactor(), world_.reactor().now() + time, nullptr);
  static_cast<void>(slept);
}

async::Task<void> Client::run() {
  co_await wait(script_.start);
  if (script_.conduct == Conduct::malformed) {
    co_await use_connection();
    co_return;
  }
  while (next_ < script_.asks.size()) {
    const std::size_t before = next_;
    co_await use_connection();
    if (next_ == before) script_.asks[next_++]->fate = Fate::unsent;  // nobody to talk to
  }
}

Deadline Client::patience(Peer& peer) const { return peer.within(kPatience).shrunk_to(leave_at_); }

async::Task<void> Client::use_connection() {
  Result<std::unique_ptr<io::Stream>> stream = world_.connect(script_.address);
  if (!stream) co_return;
  Peer peer(world_.reactor(), std::move(*stream));
  const Io connected = co_await peer.connected(peer.within(seconds{5}));
  if (connected != Io::ok) co_return;
  if (script_.conduct == Conduct::slow_reader) peer.read_slowly(1500, milliseconds{4});
  if (script_.conduct == Conduct::leaving) leave_at_ = world_.reactor().now() + script_.leave_after;
  if (script_.conduct == Conduct::malformed) {
    co_await send_malformed(peer);
    co_return;
  }
  bool first = true;
  while (next_ < script_.asks.size()) {
    if (!std::exchange(first, false)) co_await wait(script_.gap);
    Next next = Next::new_connection;
    if (script_.conduct == Conduct::pipelined) {
      next = co_await send_pipelined(peer);
    } else {
      Ask& ask = *script_.asks[next_++];
      const bool sent = co_await send_request(peer, ask);
      static_cast<void>(sent);  // what has been answered is there to read even so
      next = co_await read_answer(peer, ask);
    }
    if (next == Next::new_connection) break;
  }
  if (script_.conduct == Conduct::leaving && script_.leave_by_reset) peer.stream().reset_on_close();
}

async::Task<bool> Client::send_request(Peer& peer, Ask& ask) {
  ask.sent_at = world_.reactor().now();
  world_.trace("client sends " + describe(ask));
  if (!peer.in.empty())
    world_.fail("bytes that nobody asked for, before request " + std::to_string(ask.number));
  bool sent = false;
  if (ask.body_stalls) {
    std::string bytes = ask.bytes();
    const std::size_t head = ask.head_bytes().size();
    bytes.resize(head + (bytes.size() - head) / 2);
    const Io io = co_await peer.send(std::move(bytes), patience(peer));
    sent = io == Io::ok;
  } else if (ask.expects_continue && script_.conduct != Conduct::dripping) {
    sent = co_await send_expecting(peer, ask);
  } else if (script_.conduct == Conduct::dripping) {
    sent = co_await send_dripping(peer, ask.bytes());
  } else {
    const Io io = co_await peer.send(ask.bytes(), patience(peer));
    sent = io == Io::ok;
  }
  ask.sent = sent;
  if (sent && ask.half_closes) peer.stream().shutdown_write();
  co_return sent;
}

// Waits for 100 Continue, for a final answer instead of it, or for a moment.
async::Task<bool> Client::send_expecting(Peer& peer, Ask& ask) {
  Io io = co_await peer.send(ask.head_bytes(), patience(peer));
  if (io != Io::ok) co_return false;
  const Deadline moment = patience(peer).shrunk_to(peer.within(milliseconds{300}));
  while (peer.in.size() < 12) {
    io = co_await peer.fill(moment);
    if (io == Io::timed_out) break;
    if (io != Io::ok) co_return false;
  }
  if (!peer.in.empty() && !peer.in.starts_with("HTTP/1.1 100")) co_return false;
  io = co_await peer.send(ask.body_on_wire(), patience(peer));
  co_return io == Io::ok;
}

async::Task<bool> Client::send_dripping(Peer& peer, std::string bytes) {
  std::size_t pieces = 0;
  while (!bytes.empty()) {
    const std::size_t most = pieces < 40 ? std::min<std::size_t>(bytes.size(), 64) : bytes.size();
    std::string piece = bytes.substr(0, 1 + world_.random().below(most));
    bytes.erase(0, piece.size());
    const Io io = co_await peer.send(std::move(piece), patience(peer));
    if (io != Io::ok) co_return false;
    if (++pieces < 40) co_await wait(milliseconds{world_.random().below(30)});
  }
  co_return true;
}

async::Task<Client::Next> Client::read_answer(Peer& peer, Ask& ask) {
  Response response;
  const Got got = co_await read_response(peer, ask.method, ask.version_minor, patience(peer), response);
  judge(ask, got, response);
  if (got != Got::message) co_return Next::new_connection;
  if (response.framing == Framing::close) co_return Next::new_connection;
  if (!response.closes && !ask.half_closes) co_return Next::same_connection;
  // It said so: nothing follows, and the connection really ends.
  const bool over = co_await peer.ended(patience(peer));
  expect(ask, over || leave_at_ != TimePoint::max() || world_.weather().client_faults,
         "the connection does not end");
  expect(ask, peer.in.empty(), "bytes behind the last answer");
  co_return Next::new_connection;
}

async::Task<Client::Next> Client::send_pipelined(Peer& peer) {
  std::string bytes;
  const std::size_t first = next_;
  const std::size_t last = std::min(script_.asks.size(), first + 1 + world_.random().below(5));
  for (std::size_t i = first; i < last; ++i) {
    bytes += script_.asks[i]->bytes();
    world_.trace("client pipelines " + describe(*script_.asks[i]));
    script_.asks[i]->sent_at = world_.reactor().now();
  }
  next_ = last;
  const Io io = co_await peer.send(std::move(bytes), patience(peer));
  Next next = Next::same_connection;
  for (std::size_t i = first; i < last; ++i) {
    Ask& ask = *script_.asks[i];
    ask.sent = io == Io::ok;
    if (next == Next::same_connection)
      next = co_await read_answer(peer, ask);
    else
      ask.fate = Fate::unsent;  // the one before ended the connection: whether weir saw it does not matter
  }
  co_return next;
}

async::Task<void> Client::send_malformed(Peer& peer) {
  const Malformed& wrong = malformed_requests()[script_.malformed];
  const Io io = co_await peer.send(std::string(wrong.bytes), patience(peer));
  if (io != Io::ok) co_return;
  Response response;
  const Got got = co_await read_response(peer, "GET", 1, patience(peer), response);
  if (world_.weather().client_faults || world_.draining()) co_return;
  const std::string what = "malformed request " + std::to_string(script_.malformed) + ": ";
  if (got != Got::message) world_.fail(what + "no answer " + response.why);
  if (got != Got::message) co_return;
  if (response.status != wrong.status) world_.fail(what + "answered " + std::to_string(response.status));
  if (!response.closes) world_.fail(what + "the connection stays");
  const bool over = co_await peer.ended(patience(peer));
  if (!over || !peer.in.empty()) world_.fail(what + "the connection goes on");
}

void Client::expect(const Ask& ask, bool holds, const std::string& what) {
  if (!holds) world_.fail("answer to " + std::to_string(ask.number) + ": " + what);
}

void Client::judge(Ask& ask, Got got, const Response& response) {
  ask.status = response.status;
  switch (got) {
    case Got::message:
      ask.fate = Fate::answered;
      break;
    case Got::nothing:
      ask.fate = Fate::unanswered;
      break;
    case Got::cut:
      ask.fate = Fate::cut;
      break;
    case Got::broken:
      ask.fate = Fate::unanswered;
      break;
    case Got::timed_out:
      ask.fate = leave_at_ != TimePoint::max() ? Fate::left : Fate::unanswered;
      break;
    case Got::malformed:
      expect(ask, false, "malformed: " + response.why);
      break;
  }
  if (world_.weather().client_faults && ask.fate != Fate::answered) ask.fate = Fate::lost;
  world_.trace("client got the answer to " + std::to_string(ask.number) + ", fate " +
               std::to_string(static_cast<int>(ask.fate)) + ", status " + std::to_string(ask.status));
  if (ask.fate == Fate::answered) {
    const Head& head = response.head;
    expect(ask, head.value("X-Request-Id") == "sim-" + std::to_string(ask.number),
           "for another: " + head.start);
    expect(ask, head.count("X-Request-Id") == 1 && head.count("Date") == 1, "fields twice or never");
    expect(ask, head.value("Via").ends_with("1.1 weir"), "Via");
    const bool from_service = head.count("X-Sim") != 0;
    from_service ? judge_whole(ask, response) : judge_own(ask, response);
    const bool limited =
        ask.place == Place::limited || ask.place == Place::both || ask.place == Place::fixed_limited;
    expect(ask, (head.count("RateLimit") == 1) == limited, "RateLimit");
  } else if (ask.fate == Fate::cut || ask.fate == Fate::unanswered) {
    judge_loss(ask, got);
  }
}

// An answer that a service gave: the right one, with every byte.
void Client::judge_whole(const Ask& ask, const Response& response) {
  expect(ask, response.head.value("X-Sim") == std::to_string(ask.number), "of another request");
  expect(ask, ask.seen > 0, "of a service that was not asked");
  expect(ask, is_whole(ask.manner), "whole, but what its service sent was not");
  expect(ask, response.status == ask.whole_status(), "status " + std::to_string(response.status));
  const std::string body = ask.method == "HEAD" ? std::string() : answer_body(ask);
  expect(ask, response.body == body, "another body");
  if (ask.method == "HEAD" && ask.manner == Manner::with_length)
    expect(ask, response.head.value("Content-Length") == std::to_string(ask.answer_bytes),
           "Content-Length of HEAD");
}

// One that weir gave by itself.
void Client::judge_own(const Ask& ask, const Response& response) {
  if ((ask.place == Place::fixed || ask.place == Place::fixed_limited) && response.status == 200) {
    expect(ask, response.body == (ask.method == "HEAD" ? "" : "fixed"), "the fixed body");
    return;
  }
  std::string problem = ask.problem;
  if (ask.place == Place::nowhere) problem = "no-route";
  if (ask.place == Place::wrong_method) problem = "method-not-allowed";
  expect(ask, response.head.value("Content-Type") == "application/problem+json", "no problem");
  expect(ask, response.head.count("Proxy-Status") == 1, "Proxy-Status");
  if (ask.method != "HEAD") {
    expect(ask, response.body.find("\"urn:weir:problem:" + problem + "\"") != std::string::npos,
           "says " + response.body);
    expect(ask, response.body.find("\"status\":" + std::to_string(response.status)) != std::string::npos,
           "other status");
  }
  const int status = response.status;
  const bool waits = response.head.count("Retry-After") == 1;
  const bool service_failed = !world_.reliable(ask);
  bool fine = false;
  if (problem == "rate-limited") fine = status == 429 && waits;
  if (problem == "load-shed") fine = status == 503 && waits;
  if (problem == "circuit-open") fine = status == 503 && waits && service_failed;
  if (problem == "no-route") fine = status == 404;
  if (problem == "method-not-allowed") fine = status == 405 && response.head.value("Allow") == "GET, HEAD";
  if (problem == "forbidden") fine = status == 403 && ask.place == Place::denied;
  if (problem == "upstream-unreachable") fine = status == 502 && service_failed;
  if (problem == "upstream-malformed") fine = status == 502 && service_failed;
  if (problem == "upstream-timeout" || problem == "deadline-exceeded") fine = status == 504 && service_failed;
  if (problem == "overloaded") fine = status == 503 && world_.cut_off();
  if (problem == "bad-request") fine = status == 408 && ask.body_stalls;
  expect(ask, fine, problem + " with status " + std::to_string(status));
}

bool Client::may_be_lost(const Ask& ask) const {
  if (world_.cut_off() || ask.half_closes) return true;
  // A refusal before a large body has been read: weir reads on for a while, then the rest destroys the
  // answer.
  const bool early = ask.problem != "-" || ask.entered == 0 || ask.manner == Manner::early_close;
  return ask.body_bytes > 60 * 1024 && early;
}

void Client::judge_loss(const Ask& ask, Got got) {
  if (leave_at_ != TimePoint::max()) return;
  expect(ask, got != Got::timed_out, "never came");
  if (may_be_lost(ask)) return;
  if (ask.fate == Fate::unanswered) {
    // The race that HTTP/1 has: a request on an idle connection that is just being closed.
    const bool closing = world_.draining() || script_.gap >= kIdleTimeout;
    // An answer that ends with the connection can only be cut by a reset, which takes with it what is on the
    // way.
    const bool taken_back =
        got == Got::broken && ask.version_minor == 0 && !world_.reliable(ask) && ask.seen > 0;
    expect(ask, (closing && ask.entered == 0) || taken_back, "none, the connection ended");
    return;
  }
  expect(ask, !world_.reliable(ask), "cut off");
  expect(ask, ask.seen > 0, "cut off, and its service never saw the request");
}

}  // namespace weir::simulation
