// Snapshots of a KeyedRateLimiter.
//
//   "weirlim1" | check of the seed:8 | wall time, ns:8 | keys:8
//   for each key: fingerprint:16 | events:4 | for each event: wall time, ns:8 | units:4
//   SipHash of all before:8
//
// Numbers are little-endian. An event is what was booked at one moment, by wall time, so that a reader whose
// monotonic clock began elsewhere can tell its age. Read back, nothing is younger than now: a wall clock that
// was set back in between makes bookings stay longer, never shorter than they would have.
#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "weir/ratelimit/internal/keyed_state.h"

namespace weir::ratelimit {

using base::Hash128;
using internal::Event;
using internal::Events;
using internal::Held;
using internal::Shard;

namespace {

constexpr std::string_view kMagic = "weirlim1";

template <class T>
void put(std::string& out, T value) {
  for (std::size_t i = 0; i < sizeof(T); ++i)
    out.push_back(static_cast<char>(static_cast<std::uint64_t>(value) >> (8 * i) & 0xff));
}

// Takes numbers from the front; after the end everything is zero and ok() is false.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}

  template <class T>
  T get() {
    if (bytes_.size() < sizeof(T)) {
      ok_ = false;
      return T{};
    }
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < sizeof(T); ++i)
      value |= std::uint64_t{static_cast<std::uint8_t>(bytes_[i])} << (8 * i);
    bytes_.remove_prefix(sizeof(T));
    return static_cast<T>(value);
  }
  bool skip(std::string_view what) {
    ok_ = ok_ && bytes_.starts_with(what);
    if (ok_) bytes_.remove_prefix(what.size());
    return ok_;
  }
  bool ok() const { return ok_; }
  bool empty() const { return bytes_.empty(); }
  std::size_t left() const { return bytes_.size(); }

 private:
  std::string_view bytes_;
  bool ok_ = true;
};

// Bookings of one moment become one event.
void put_key(std::string& out, const Hash128& key, const Events& events, std::int64_t to_wall) {
  put(out, key.low);
  put(out, key.high);
  const std::size_t count_at = out.size();
  put(out, std::uint32_t{0});
  std::uint32_t count = 0;
  for (std::size_t i = 0; i < events.size();) {
    std::uint64_t units = 0;
    std::size_t next = i;
    for (; next < events.size() && events[next].at_ns == events[i].at_ns; ++next) units += events[next].units;
    put(out, events[i].at_ns + to_wall);
    put(out, static_cast<std::uint32_t>(std::min<std::uint64_t>(units, UINT32_MAX)));
    ++count;
    i = next;
  }
  for (std::size_t i = 0; i < sizeof count; ++i)
    out[count_at + i] = static_cast<char>(count >> (8 * i) & 0xff);
}

// Not below zero, and not so far back that a difference could overflow.
std::int64_t age_of(std::int64_t then, std::int64_t now) {
  constexpr std::uint64_t kOldest = std::uint64_t{1} << 61;
  if (then >= now) return 0;
  return static_cast<std::int64_t>(
      std::min(static_cast<std::uint64_t>(now) - static_cast<std::uint64_t>(then), kOldest));
}

Error malformed() { return Error(ErrorCode::malformed, "snapshot: not whole"); }

}  // namespace

std::string KeyedRateLimiter::snapshot(TimePoint now, WallTime wall) const {
  State& state = *state_;
  std::string out(kMagic);
  put(out, base::siphash13(state.options.seed, kMagic));
  put(out, wall.time_since_epoch().count());
  const std::size_t count_at = out.size();
  put(out, std::uint64_t{0});
  std::uint64_t count = 0;
  Events events;
  for (std::uint32_t i = 0; i < state.layout.shards; ++i) {
    Shard& s = state.shards[i];
    Held held(s.lock);
    if (s.params.algorithm == Algorithm::concurrency) break;
    const std::int64_t at = state.line(s.params.algorithm, now);
    const auto save = [&](const Hash128& key, const internal::Place& place) {
      internal::export_events(*place.params, *place.cell, *place.slab, at, events);
      if (events.empty()) return;
      put_key(out, key, events, wall.time_since_epoch().count() - at);
      ++count;
    };
    for (std::uint32_t n = 0; n < s.slot_count(); ++n)
      if (s.taken(n)) save({s.slot(n)->low.mine(), s.slot(n)->high.mine()}, state.at(s, s.slot(n)));
    for (const auto& o : state.overridden[i]) save(o->key, {&o->params, &o->cell, &o->slab, nullptr});
  }
  for (std::size_t i = 0; i < sizeof count; ++i)
    out[count_at + i] = static_cast<char>(count >> (8 * i) & 0xff);
  put(out, base::siphash13(state.options.seed, out));
  return out;
}

Result<std::size_t> KeyedRateLimiter::restore(TimePoint now, WallTime wall, std::string_view bytes) {
  State& state = *state_;
  Reader reader(bytes);
  if (!reader.skip(kMagic)) return malformed();
  if (reader.get<std::uint64_t>() != base::siphash13(state.options.seed, kMagic))
    return reader.ok() ? Error(ErrorCode::invalid_argument, "snapshot: of another seed") : malformed();
  Reader tail(bytes.substr(bytes.size() - std::min<std::size_t>(bytes.size(), 8)));
  if (tail.get<std::uint64_t>() != base::siphash13(state.options.seed, bytes.substr(0, bytes.size() - 8)))
    return malformed();
  reader.get<std::int64_t>();  // when it was taken: each event has its own time
  const auto count = reader.get<std::uint64_t>();
  Events events;
  for (std::uint64_t n = 0; n < count; ++n) {
    const auto low = reader.get<std::uint64_t>();
    const auto high = reader.get<std::uint64_t>();
    const auto events_here = reader.get<std::uint32_t>();
    if (!reader.ok() || events_here > reader.left() / 12) return malformed();
    const Hash128 key{low, high};
    Shard& s = state.shard(key);
    Held held(s.lock);
    const std::int64_t at = state.line(s.params.algorithm, now);
    events.clear();
    for (std::uint32_t i = 0; i < events_here; ++i) {
      const std::int64_t age = age_of(reader.get<std::int64_t>(), wall.time_since_epoch().count());
      const auto units = reader.get<std::uint32_t>();
      if (internal::counts(s.params, age)) events.push_back({at - age, units});
    }
    state.import(s, key, now, events);
  }
  return reader.ok() ? Result<std::size_t>(static_cast<std::size_t>(count))
                     : Result<std::size_t>(malformed());
}

}  // namespace weir::ratelimit
