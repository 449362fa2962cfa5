#include "tests/simulation/peer.h"

#include <algorithm>
#include <array>

namespace weir::simulation {

async::Task<Io> Peer::connected(Deadline deadline) {
  for (;;) {
    const io::IoResult result = stream_->finish_connect();
    if (result.status == io::IoStatus::ok) co_return Io::ok;
    if (result.status == io::IoStatus::error) co_return Io::broken;
    const io::Wake wake = co_await waiter_.wait(deadline);
    if (wake == io::Wake::timeout) co_return Io::timed_out;
  }
}

// One read; `moved_` says whether it gave bytes.
Io Peer::read_some() {
  moved_ = false;
  if (state_ != Io::ok) return state_;
  std::array<char, 16 * 1024> bytes;
  const io::IoResult result = stream_->read({bytes.data(), std::min(bytes.size(), read_max_)});
  if (result.status == io::IoStatus::ok) in.append(bytes.data(), result.bytes), moved_ = true;
  if (result.status == io::IoStatus::end) state_ = Io::end;
  if (result.status == io::IoStatus::error) state_ = Io::broken;
  return state_;
}

async::Task<Io> Peer::fill(Deadline deadline) {
  if (read_pause_ > Duration{0}) {
    const TimePoint resume = std::min(reactor_.now() + read_pause_, deadline.when());
    const bool slept = co_await async::sleep_until(reactor_, resume, nullptr);
    static_cast<void>(slept);
  }
  for (;;) {
    const Io state = read_some();
    if (moved_ || state != Io::ok) co_return state;
    const io::Wake wake = co_await waiter_.wait(deadline);
    if (wake == io::Wake::timeout) co_return Io::timed_out;
  }
}

async::Task<Io> Peer::send(std::string bytes, Deadline deadline) {
  std::size_t sent = 0;
  while (sent < bytes.size()) {
    const iovec piece{bytes.data() + sent, bytes.size() - sent};
    const io::IoResult result = stream_->write({&piece, 1});
    if (result.status == io::IoStatus::error) co_return Io::broken;
    if (result.status == io::IoStatus::ok) {
      sent += result.bytes;
      continue;
    }
    const Io state = read_some();
    if (state == Io::broken) co_return state;
    if (moved_) continue;
    const io::Wake wake = co_await waiter_.wait(deadline);
    if (wake == io::Wake::timeout) co_return Io::timed_out;
  }
  co_return Io::ok;
}

async::Task<bool> Peer::ended(Deadline deadline) {
  for (;;) {
    const Io state = co_await fill(deadline);
    if (state == Io::timed_out) co_return false;
    if (state != Io::ok) co_return true;
  }
}

}  // namespace weir::simulation
