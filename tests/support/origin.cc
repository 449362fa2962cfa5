#include "tests/support/origin.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "weir/base/check.h"

namespace weir::testing {
namespace {

Fields parse_fields(std::string_view text) {
  Fields fields;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find("\r\n"));
    text.remove_prefix(std::min(text.size(), line.size() + 2));
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    std::string_view value = line.substr(colon + 1);
    while (value.starts_with(' ')) value.remove_prefix(1);
    fields.emplace_back(line.substr(0, colon), value);
  }
  return fields;
}

}  // namespace

// EFD_SEMAPHORE: each read takes one passage, so `let(3)` lets three pass.
Gate::Gate() : fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE)) { WEIR_CHECK(fd_); }

Gate::~Gate() {
  std::unique_lock lock(mutex_);
  gone_ = true;
  ring(1'000'000);
  moved_.wait(lock, [this] { return waiting_ == 0; });
}

void Gate::ring(std::uint64_t count) { WEIR_CHECK(::write(fd_.get(), &count, sizeof count) == sizeof count); }

void Gate::open() {
  const std::lock_guard lock(mutex_);
  open_ = true;
  ring(1'000'000);
}

void Gate::let(std::uint64_t count) {
  const std::lock_guard lock(mutex_);
  ring(count);
}

Gate::Passage Gate::pass() {
  const std::lock_guard lock(mutex_);
  if (gone_) return Passage::gone;
  if (open_) return Passage::yes;
  std::uint64_t one = 0;
  return ::read(fd_.get(), &one, sizeof one) == sizeof one ? Passage::yes : Passage::no;
}

void Gate::wait_for_waiters(std::size_t count) {
  std::unique_lock lock(mutex_);
  moved_.wait(lock, [this, count] { return waiting_ >= count; });
}

void Gate::enter() {
  const std::lock_guard lock(mutex_);
  ++waiting_;
  moved_.notify_all();
}

void Gate::leave() {
  const std::lock_guard lock(mutex_);
  --waiting_;
  moved_.notify_all();
}

bool Call::fill() {
  std::array<pollfd, 2> sources{{{socket_.get(), POLLIN, 0}, {origin_.stop_.fd_.get(), POLLIN, 0}}};
  if (!socket_ || ::poll(sources.data(), sources.size(), -1) <= 0) return false;
  if (sources[1].revents != 0) return false;
  std::array<char, 16 * 1024> bytes{};
  const ssize_t got = ::recv(socket_.get(), bytes.data(), bytes.size(), 0);
  if (got <= 0) return false;
  buffer_.append(bytes.data(), static_cast<std::size_t>(got));
  return true;
}

std::string Call::read_some() {
  body_read_ = false;
  keep_ = false;  // whoever reads raw bytes has taken the framing apart himself
  if (buffer_.empty() && !fill()) return "";
  return std::exchange(buffer_, {});
}

bool Call::read_body() {
  if (body_read_) return true;
  if (seen_.count("Transfer-Encoding") > 0) {
    body_read_ = read_chunked();
  } else {
    const std::string length = seen_.field("Content-Length");
    const std::size_t wanted = length.empty() ? 0 : std::stoul(length);
    while (buffer_.size() < wanted)
      if (!fill()) return false;
    seen_.body = buffer_.substr(0, wanted);
    buffer_.erase(0, wanted);
    body_read_ = true;
  }
  origin_.note_body(*this);
  return body_read_;
}

bool Call::read_chunked() {
  for (;;) {
    std::size_t end = 0;
    while ((end = buffer_.find("\r\n")) == std::string::npos)
      if (!fill()) return false;
    const std::size_t size = std::stoul(buffer_, nullptr, 16);
    while (buffer_.size() < end + 2 + size + 2)
      if (!fill()) return false;
    if (buffer_.compare(end + 2 + size, 2, "\r\n") != 0)
      return false;  // trailers are not forwarded: none may come
    seen_.body += buffer_.substr(end + 2, size);
    buffer_.erase(0, end + 2 + size + 2);
    if (size == 0) return true;
  }
}

bool Call::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0) {
      bytes.remove_prefix(static_cast<std::size_t>(sent));
      continue;
    }
    if (errno != EAGAIN) return false;
    std::array<pollfd, 2> sources{{{socket_.get(), POLLOUT, 0}, {origin_.stop_.fd_.get(), POLLIN, 0}}};
    ::poll(sources.data(), sources.size(), -1);
    if (sources[1].revents != 0) return false;
  }
  return true;
}

bool Call::reply(int status, std::string_view body, const Fields& fields) {
  if (!read_body()) return keep_ = false;
  std::string text = "HTTP/1.1 " + std::to_string(status) + " Scripted\r\n";
  for (const auto& [name, value] : fields) text.append(name).append(": ").append(value).append("\r\n");
  const bool bodiless = status == 204 || status == 304;
  if (!bodiless) text += "Content-Length: " + std::to_string(body.size()) + "\r\n";
  text += "\r\n";
  if (!bodiless && seen_.method != "HEAD") text += body;
  origin_.note_end(*this);
  return send(text);
}

// POLLRDHUP tells a peer's FIN apart from bytes that it still has to say.
bool Call::wait(Gate& gate) {
  gate.enter();
  bool passed = false;
  for (;;) {
    const Gate::Passage passage = gate.pass();
    passed = passage == Gate::Passage::yes;
    if (passage != Gate::Passage::no) break;
    std::array<pollfd, 3> sources{
        {{gate.fd_.get(), POLLIN, 0}, {socket_.get(), POLLRDHUP, 0}, {origin_.stop_.fd_.get(), POLLIN, 0}}};
    ::poll(sources.data(), sources.size(), -1);
    if (sources[1].revents != 0 || sources[2].revents != 0) break;
  }
  gate.leave();
  if (!passed) keep_ = false;
  return passed;
}

bool Call::wait_for_end() {
  keep_ = false;
  std::array<pollfd, 2> sources{{{socket_.get(), POLLRDHUP, 0}, {origin_.stop_.fd_.get(), POLLIN, 0}}};
  ::poll(sources.data(), sources.size(), -1);
  return sources[0].revents != 0;
}

void Call::reset() {
  const std::lock_guard lock(origin_.mutex_);  // drop_connections() looks at the same descriptor
  keep_ = false;
  reset_connection(socket_);
}

Origin::Origin(std::uint16_t port) : listener_(listen_on_loopback(port)), port_(port_of(listener_)) {
  acceptor_ = std::thread([this] { accept_loop(); });
}

Origin::~Origin() {
  stop_.open();
  acceptor_.join();
  for (Served& served : served_) served.thread.join();
}

void Origin::accept_loop() {
  std::array<pollfd, 2> sources{{{listener_.get(), POLLIN, 0}, {stop_.fd_.get(), POLLIN, 0}}};
  for (;;) {
    ::poll(sources.data(), sources.size(), -1);
    if (sources[1].revents != 0) return;
    Fd socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!socket) continue;
    const std::lock_guard lock(mutex_);
    served_.remove_if([](Served& served) {
      if (!served.over) return false;
      served.thread.join();
      return true;
    });
    Served& served = served_.emplace_back();
    served.socket = std::move(socket);
    ++open_;
    const int number = static_cast<int>(++accepted_);
    served.thread = std::thread([this, &served, number] { serve(served, number); });
  }
}

void Origin::serve(Served& served, int number) {
  std::string buffer;
  while (serve_one(served, buffer, number)) {
  }
  const std::lock_guard lock(mutex_);
  served.socket.close();
  --open_;
  served.over = true;
  changed_.notify_all();
}

bool Origin::serve_one(Served& served, std::string& buffer, int number) {
  Call call(*this, served.socket, buffer);
  while (buffer.find("\r\n\r\n") == std::string::npos)
    if (!call.fill()) return false;
  const std::size_t size = buffer.find("\r\n\r\n") + 4;
  if (!parse(std::string_view(buffer).substr(0, size), call.seen_)) return false;
  call.seen_.connection = number;
  buffer.erase(0, size);
  note_begin(call);
  behaviour_of(call.seen_.path)(call);
  // A body that the behaviour left unread would look like the next request.
  if (call.keep_ && !call.body_read_ && !call.read_body()) call.keep_ = false;
  note_end(call);
  return call.keep_ && served.socket;
}

bool Origin::parse(std::string_view head, Seen& seen) {
  seen.head = head;
  const std::string_view line = head.substr(0, head.find("\r\n"));
  const std::size_t first = line.find(' ');
  const std::size_t last = line.rfind(' ');
  if (first == std::string_view::npos || last <= first) return false;
  seen.method = line.substr(0, first);
  seen.target = line.substr(first + 1, last - first - 1);
  seen.path = seen.target.substr(0, seen.target.find('?'));
  seen.version = line.substr(last + 1);
  seen.fields = parse_fields(head.substr(line.size() + 2));
  return true;
}

Origin::Behaviour Origin::behaviour_of(const std::string& path) const {
  const std::lock_guard lock(mutex_);
  const auto found = behaviours_.find(path);
  if (found != behaviours_.end()) return found->second;
  return [](Call& call) { call.reply(200, "ok"); };
}

void Origin::note_begin(Call& call) {
  const std::lock_guard lock(mutex_);
  call.index_ = seen_.size();
  seen_.push_back(call.seen_);
  peak_ = std::max(peak_, ++in_flight_);
  changed_.notify_all();
}

void Origin::note_body(const Call& call) {
  const std::lock_guard lock(mutex_);
  seen_[call.index_].body = call.seen_.body;
}

void Origin::note_end(Call& call) {
  const std::lock_guard lock(mutex_);
  if (std::exchange(call.ended_, true)) return;
  --in_flight_;
  changed_.notify_all();
}

void Origin::on(const std::string& path, Behaviour behaviour) {
  const std::lock_guard lock(mutex_);
  behaviours_[path] = std::move(behaviour);
}

void Origin::on_status(const std::string& path, int status, std::string body) {
  on(path, [status, body = std::move(body)](Call& call) { call.reply(status, body); });
}

void Origin::on_raw(const std::string& path, std::string bytes) {
  on(path, [bytes = std::move(bytes)](Call& call) {
    call.read_body();
    call.send(bytes);
    call.close();
  });
}

void Origin::on_hold(const std::string& path, Gate& gate) {
  on(path, [&gate](Call& call) {
    if (call.wait(gate)) call.reply(200, "held");
  });
}

std::vector<Seen> Origin::requests(std::string_view path) const {
  const std::lock_guard lock(mutex_);
  std::vector<Seen> matching;
  for (const Seen& seen : seen_)
    if (path.empty() || seen.path == path) matching.push_back(seen);
  return matching;
}

std::size_t Origin::count(std::string_view path) const { return requests(path).size(); }

Seen Origin::last(std::string_view path) const {
  const std::vector<Seen> matching = requests(path);
  return matching.empty() ? Seen{} : matching.back();
}

bool Origin::wait_for_requests(std::string_view path, std::size_t count, std::chrono::milliseconds bound) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, bound, [&] {
    return static_cast<std::size_t>(std::count_if(seen_.begin(), seen_.end(), [&](const Seen& seen) {
             return path.empty() || seen.path == path;
           })) >= count;
  });
}

std::size_t Origin::in_flight() const {
  const std::lock_guard lock(mutex_);
  return in_flight_;
}

std::size_t Origin::peak_in_flight() const {
  const std::lock_guard lock(mutex_);
  return peak_;
}

bool Origin::wait_for_in_flight(std::size_t count, std::chrono::milliseconds bound) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, bound, [&] { return in_flight_ == count; });
}

std::size_t Origin::connections() const {
  const std::lock_guard lock(mutex_);
  return accepted_;
}

std::size_t Origin::open_connections() const {
  const std::lock_guard lock(mutex_);
  return open_;
}

// Shutting down (rather than closing) wakes the thread that owns the descriptor.
void Origin::drop_connections() {
  const std::lock_guard lock(mutex_);
  for (Served& served : served_)
    if (!served.over && served.socket) ::shutdown(served.socket.get(), SHUT_RDWR);
}

}  // namespace weir::testing
