#include "tests/simulation/origin.h"

#include <algorithm>
#include <array>
#include <utility>

#include "tests/simulation/world.h"

namespace weir::simulation {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Duration kPatience = seconds{60};  // longer than every limit of weir's

std::string status_line(const Ask& ask) {
  const int status = ask.whole_status();
  const std::string version = ask.manner == Manner::old ? "HTTP/1.0 " : "HTTP/1.1 ";
  return version + std::to_string(status) + (status == 200 ? " Fine" : " Whatever") +
         "\r\nX-Sim: " + std::to_string(ask.number) + "\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n" +
         // Routes with a cache may keep it for ever: no two requests have one target, so one that gets it is wrong.
         "Cache-Control: max-age=2147483647\r\n";
}

std::string chunk(std::string_view bytes) {
  std::array<char, 32> line;
  const int n = std::snprintf(line.data(), line.size(), "%zx\r\n", bytes.size());
  return std::string(line.data(), static_cast<std::size_t>(n)).append(bytes).append("\r\n");
}

std::string in_chunks(std::string_view body) {
  std::string wire;
  for (std::size_t at = 0; at < body.size(); at += 7'000) wire += chunk(body.substr(at, 7'000));
  return wire + "0\r\n\r\n";
}

std::string length(std::size_t bytes) { return "Content-Length: " + std::to_string(bytes) + "\r\n"; }

// While a request is being answered.
class AtService {
 public:
  explicit AtService(Ask& ask) : ask_(ask) { ++ask_.at_service; }
  AtService(const AtService&) = delete;
  AtService& operator=(const AtService&) = delete;
  ~AtService() { --ask_.at_service; }

 private:
  Ask& ask_;
};

}  // namespace

Origin::Origin(World& world, io::Address address) : world_(world) {
  Result<std::unique_ptr<io::Listener>> made = world.reactor().listen(address, io::ListenOptions());
  listener_ = std::move(made.value());
  listener_->watch(this);
}

void Origin::on_acceptable(io::Listener& listener) noexcept {
  for (;;) {
    Result<std::unique_ptr<io::Stream>> stream = listener.accept();
    if (!stream) continue;  // no descriptor, this time
    if (*stream == nullptr) return;
    scope_.spawn(serve(std::move(*stream)));
  }
}

async::Task<void> Origin::serve(std::unique_ptr<io::Stream> stream) {
  Peer peer(world_.reactor(), std::move(stream));
  for (;;) {
    Request request;
    const Got got = co_await read_request_head(peer, peer.within(kPatience), request);
    if (got == Got::malformed) world_.fail("weir sent a request that is none: " + request.why);
    if (got != Got::message) co_return;
    Ask* ask = world_.find(request.head.value("X-Sim"));
    if (ask == nullptr) {
      world_.fail("a request that nobody sent reached a service: " + request.head.start);
      co_return;
    }
    const AtService counted(*ask);
    ++ask->seen;
    world_.check_in_flight();
    world_.trace("service got " + std::to_string(ask->number));
    check_request(*ask, request);
    const bool again = co_await answer(peer, *ask, request);
    ask->answer_written = true;
    world_.trace("service is done with " + std::to_string(ask->number));
    if (!again) co_return;
  }
}

void Origin::check_request(const Ask& ask, const Request& request) {
  const auto expect = [&](bool holds, const std::string& what) {
    if (!holds) world_.fail("request " + std::to_string(ask.number) + " at its service: " + what);
  };
  expect(ask.seen <= (ask.idempotent() ? 2 : 1), "sent " + std::to_string(ask.seen) + " times");
  expect(!ask.breaker_refuses, "the breaker was open");
  expect(ask.permits == 1, "it holds no place");
  expect(request.method == ask.method, "the method is " + request.method);
  expect(request.target == ask.upstream_target, "the target is " + request.target);
  const Head& head = request.head;
  expect(head.value("Host") == "shop.example", "Host");
  expect(head.value("X-Request-Id") == "sim-" + std::to_string(ask.number), "X-Request-Id");
  expect(head.count("X-Request-Id") == 1 && head.count("traceparent") == 1, "one id and one trace");
  expect(head.value("traceparent").size() == 55, "traceparent");
  expect(head.count("X-Forwarded-For") == 1 && head.value("X-Forwarded-For").starts_with("10.1.0."),
         "X-Forwarded-For");
  expect(head.value("Via") == (ask.version_minor == 0 ? "1.0 weir" : "1.1 weir"), "Via");
  for (const char* gone :
       {"X-Passport", "x_passport", "X.Flags", "X-Dropped", "Connection", "Expect", "Keep-Alive"})
    expect(head.count(gone) == 0, std::string(gone) + " is there");
  if (request.framing == Framing::length)
    expect(request.length == ask.body_bytes, "Content-Length is " + std::to_string(request.length));
  expect((request.framing == Framing::none) == (ask.framing == Framing::none), "framing");
}

async::Task<void> Origin::pause(Duration time) {
  if (time <= Duration{0}) co_return;
  const bool slept = co_await async::sleep_until(world_.reactor(), world_.reactor().now() + time, nullptr);
  static_cast<void>(slept);
}

// False when the connection ends in the middle of it.
async::Task<bool> Origin::read_body(Peer& peer, Ask& ask, Request& request) {
  const Got got = co_await read_request_body(peer, peer.within(kPatience), request);
  if (got == Got::malformed)
    world_.fail("a body that is none, of " + std::to_string(ask.number) + ": " + request.why);
  if (got == Got::message && request.body != request_body(ask))
    world_.fail("the body of " + std::to_string(ask.number) + " has changed on its way");
  co_return got == Got::message;
}

async::Task<bool> Origin::answer(Peer& peer, Ask& ask, Request& request) {
  const bool early = ask.manner == Manner::early || ask.manner == Manner::early_close;
  if (!early && ask.manner != Manner::reset_before && ask.manner != Manner::close_before) {
    const bool whole = co_await read_body(peer, ask, request);
    if (!whole) co_return false;
  }
  if (ask.manner != Manner::in_pieces) co_await pause(ask.answer_delay);
  if (!is_whole(ask.manner)) co_return co_await answer_badly(peer, ask);
  bool again = co_await answer_well(peer, ask);
  if (again && ask.manner == Manner::early) again = co_await read_body(peer, ask, request);
  if (ask.manner == Manner::early_close) {
    peer.stream().shutdown_write();
    const bool over = co_await peer.ended(peer.within(seconds{1}));
    static_cast<void>(over);
  }
  co_return again;
}

async::Task<bool> Origin::answer_well(Peer& peer, Ask& ask) {
  const std::string body = answer_body(ask);
  const bool head_only =
      ask.method == "HEAD" || ask.manner == Manner::no_content || ask.manner == Manner::not_modified;
  std::string out = status_line(ask);
  bool again = true;
  switch (ask.manner) {
    case Manner::chunked:
    case Manner::in_pieces:
      out += "Transfer-Encoding: chunked\r\n\r\n" + (head_only ? "" : in_chunks(body));
      break;
    case Manner::until_close:
      out += head_only ? "\r\n" : "Connection: close\r\n\r\n" + body, again = head_only;
      break;
    case Manner::no_content:
      out += "\r\n";
      break;
    case Manner::not_modified:
      out += length(ask.answer_bytes) + "\r\n";
      break;
    case Manner::with_hints:
      out = "HTTP/1.1 103 Hints\r\nLink: </a>\r\n\r\n" + out + length(body.size()) + "\r\n";
      break;
    case Manner::old:
      again = false;
      [[fallthrough]];
    default:
      if (ask.manner == Manner::closing || ask.manner == Manner::early_close)
        out += "connection: Close\r\n", again = false;
      out += length(body.size()) + "\r\n";
  }
  const bool body_is_in = ask.manner == Manner::chunked || ask.manner == Manner::in_pieces ||
                          ask.manner == Manner::until_close || head_only;
  if (!body_is_in) out += body;
  if (ask.manner == Manner::surplus) out += "HTTP/1.1 200 OK\r\nX-Sim: 0\r\nContent-Length: 5\r\n\r\nstray";
  if (ask.manner == Manner::hang_up_after) again = false;

  while (ask.manner == Manner::in_pieces && out.size() > 1) {
    std::string piece = out.substr(0, 1 + world_.random().below(out.size()));
    out.erase(0, piece.size());
    const Io sent = co_await peer.send(std::move(piece), peer.within(kPatience));
    if (sent != Io::ok) co_return false;
    co_await pause(ask.answer_delay / 4);
  }
  const Io sent = co_await peer.send(std::move(out), peer.within(kPatience));
  co_return sent == Io::ok&& again;
}

async::Task<bool> Origin::answer_badly(Peer& peer, Ask& ask) {
  const std::string body = pattern(ask.number, std::max<std::size_t>(ask.answer_bytes, 2));
  const std::string half = body.substr(0, body.size() / 2);
  std::string out = status_line(ask);
  switch (ask.manner) {
    case Manner::too_short:
    case Manner::reset_inside:
    case Manner::stall_inside:
      out += length(body.size()) + "\r\n" + half;
      break;
    case Manner::cut_chunks:
      out += "Transfer-Encoding: chunked\r\n\r\n" + chunk(half);
      break;
    case Manner::two_lengths:
      out += length(body.size()) + length(body.size() + 1) + "\r\n" + body;
      break;
    case Manner::garbage:
      out = "SSH-2.0-wrong-door\r\n\r\n";
      break;
    case Manner::bad_chunk:
      out += "Transfer-Encoding: chunked\r\n\r\n" + chunk(half) + "what?\r\n";
      break;
    case Manner::smuggled:
      out += length(5) + "Transfer-Encoding: chunked\r\n\r\n" + in_chunks(body);
      break;
    default:
      out.clear();  // nothing at all
  }
  // A HEAD has no body that could be bad: its answer ends before it begins.
  if (ask.method == "HEAD" && !out.empty())
    out = ask.manner == Manner::garbage ? out : out.substr(0, out.find("\r\n") + 2);
  if (!out.empty()) {
    const Io sent = co_await peer.send(std::move(out), peer.within(kPatience));
    if (sent != Io::ok) co_return false;
  }
  if (ask.manner == Manner::reset_before || ask.manner == Manner::reset_inside)
    peer.stream().reset_on_close();
  if (ask.manner == Manner::never || ask.manner == Manner::stall_inside) {
    const bool over = co_await peer.ended(peer.within(kPatience));
    if (!over && !world_.weather().wild_faults)
      world_.fail("weir waits for ever for the answer to " + std::to_string(ask.number));
  }
  co_return false;
}

}  // namespace weir::simulation
