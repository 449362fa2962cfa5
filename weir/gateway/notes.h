// Notes: the numbers that led to what was decided about one request, as the stages leave them.
//
// Part of every exchange, and most of what a decision record is made of (decision_record.h). A stage that decides by
// numbers adds a note; one that only looks at the request's form needs none, that it was entered says enough.
//
//   (1) Plain numbers and indexes into the plan, 32 bytes each: no allocation, no destructor, copied as they are.
//   (2) Never a key's value, a token or a field of the request: what kind of key a limit has stands in the plan.
//   (3) Bounded: what does not fit is counted, not kept.
//
// What has to be computed from the numbers is computed by who reads them. A note costs some ten instructions.
#ifndef WEIR_GATEWAY_NOTES_H_
#define WEIR_GATEWAY_NOTES_H_

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "weir/base/clock.h"

namespace weir::gateway {

struct Note {
  enum class Kind : std::uint8_t {
    // Those that nearly every proxied request has one of: the first of each has a place of its own.
    limit,  // index: of the limit in the file, code: 1 allowed, n: limit, remaining, tier + 1; wide: retry after
    shed,        // code: 1 admitted, n: in flight (this one included), limit
    breaker,     // index: upstream, code: BreakerBits, wide: the breaker's word, n[2]: retry after in ms
    attempt,     // index: upstream, code: AttemptBits, n: see Attempt
    decided,     // a stage did not let it go on. index: its place in the chain, code: Verdict
    auth,        // code: AuthCode, text: the provider
    experiment,  // index: in the route's list, code: experiment::Reason, text: the variant
    lookup,      // idempotency. code: IdempotencyDecision::Kind, 0xff the store failed
    claim,       // likewise, n: attempt
    fault,       // injected. code: 1 delay, 2 abort, n: milliseconds or status
    section,     // index: in the page, code: bff::SectionState, n: status, microseconds, FetchFailure
  };
  static constexpr std::size_t kTextMax = 24;

  std::uint32_t head;  // kind, code, index: one store
  std::uint32_t n[7];

  static constexpr std::uint32_t make_head(Kind kind, std::uint32_t code, std::uint32_t index) noexcept {
    return static_cast<std::uint32_t>(kind) | code << 8 | index << 16;
  }
  Kind kind() const noexcept { return static_cast<Kind>(head & 0xff); }
  std::uint8_t code() const noexcept { return static_cast<std::uint8_t>(head >> 8); }
  std::uint16_t index() const noexcept { return static_cast<std::uint16_t>(head >> 16); }

  // Of the kinds that say so: 64 bits in n[at] and n[at + 1].
  void set_wide(std::size_t at, std::uint64_t value) noexcept { std::memcpy(&n[at], &value, sizeof value); }
  std::uint64_t wide(std::size_t at) const noexcept {
    std::uint64_t value;
    std::memcpy(&value, &n[at], sizeof value);
    return value;
  }
  // Of the kinds that say so: a text in place of the numbers, cut to kTextMax.
  void set_text(std::string_view text) noexcept {
    std::memset(n, 0, sizeof n);
    std::copy_n(text.data(), std::min(text.size(), kTextMax), reinterpret_cast<char*>(n));
  }
  std::string_view text() const noexcept {
    const char* bytes = reinterpret_cast<const char*>(n);
    return {bytes, ::strnlen(bytes, kTextMax)};
  }
};
static_assert(sizeof(Note) == 32);

enum BreakerBits : std::uint8_t { kBreakerAdmitted = 1, kBreakerProbe = 2 };
enum class AuthCode : std::uint8_t { anonymous, accepted, rejected };

// A time in units of 1.024 us: what a shift makes of nanoseconds. As much as 32 bits hold (73 minutes).
inline std::uint32_t to_ticks(Duration duration) noexcept {
  const auto ticks = static_cast<std::uint64_t>(duration.count()) >> 10;
  return ticks <= UINT32_MAX ? static_cast<std::uint32_t>(ticks) : UINT32_MAX;
}
constexpr std::uint64_t micros_of_ticks(std::uint32_t ticks) noexcept {
  return std::uint64_t{ticks} * 1024 / 1000;
}

// What one attempt at an upstream looked like. Of Note::Kind::attempt.
struct Attempt {
  static constexpr std::uint32_t kNever = UINT32_MAX;
  enum Bits : std::uint8_t {
    kReused = 1,   // the connection
    kRunning = 2,  // its end is not known yet
    kHedge = 4,    // sent because another one was late
  };
  std::uint32_t upstream = 0;
  std::uint32_t endpoint = 0;
  std::uint32_t status = 0;  // 0: no answer
  std::uint8_t error = 0;    // ErrorCode, where there was no answer
  std::uint8_t outcome = 0;  // resilience::Outcome
  std::uint8_t bits = 0;
  // Ticks.
  std::uint32_t start = 0;            // behind the request's first byte
  std::uint32_t connect = kNever;     // until the connection stood
  std::uint32_t first_byte = kNever;  // until the answer's head
  std::uint32_t total = 0;
};

class Notes {
 public:
  // The first four kinds' own places, and twelve more: for further limits and attempts, variants, sections.
  static constexpr std::size_t kFixed = 4;
  static constexpr std::size_t kMost = 12;

  void clear() noexcept { fixed_taken_ = count_ = lost_ = 0; }
  // The place of a new note; one that goes nowhere when all are taken.
  template <Note::Kind kKind>
  Note& add(std::uint32_t code, std::uint32_t index) noexcept {
    constexpr auto place = static_cast<std::uint32_t>(kKind);
    if constexpr (place < kFixed) {
      if ((fixed_taken_ & (1U << place)) == 0) [[likely]] {
        fixed_taken_ |= 1U << place;
        fixed_[place].head = Note::make_head(kKind, code, index);
        return fixed_[place];
      }
    }
    return add_more(kKind, code, index);
  }
  // Of a kind that is noted once at most.
  template <Note::Kind kKind>
  Note& set(std::uint32_t code, std::uint32_t index) noexcept {
    constexpr auto place = static_cast<std::uint32_t>(kKind);
    static_assert(place < kFixed);
    fixed_taken_ |= 1U << place;
    fixed_[place].head = Note::make_head(kKind, code, index);
    return fixed_[place];
  }
  void add(const Attempt& attempt) noexcept {
    Note& note = add<Note::Kind::attempt>(attempt.bits, attempt.upstream);
    note.n[0] = attempt.endpoint << 16 | attempt.status;
    note.n[1] = static_cast<std::uint32_t>(attempt.error) | static_cast<std::uint32_t>(attempt.outcome) << 8;
    note.n[2] = attempt.start;
    note.n[3] = attempt.connect;
    note.n[4] = attempt.first_byte;
    note.n[5] = attempt.total;
  }
  // The newest attempt is no longer one.
  void drop_attempt() noexcept;

  void copy_to(Notes& other) const noexcept {
    other.fixed_taken_ = fixed_taken_;
    other.count_ = count_;
    other.lost_ = lost_;
    other.fixed_ = fixed_;
    for (std::uint32_t i = 0; i < count_; ++i) other.items_[i] = items_[i];
  }
  std::uint32_t lost() const noexcept { return lost_; }  // that did not fit

  // Each note of that kind, in the order in which they were made.
  template <class Visit>
  void each(Note::Kind kind, Visit visit) const {
    const auto place = static_cast<std::uint32_t>(kind);
    if (place < kFixed && (fixed_taken_ & (1U << place)) != 0) visit(fixed_[place]);
    for (std::uint32_t i = 0; i < count_; ++i)
      if (items_[i].kind() == kind) visit(items_[i]);
  }
  // The first one; null when there is none.
  const Note* find(Note::Kind kind) const noexcept;

 private:
  [[gnu::noinline]] Note& add_more(Note::Kind kind, std::uint32_t code, std::uint32_t index) noexcept;

  std::uint32_t fixed_taken_ = 0;  // a bit each
  std::uint16_t count_ = 0;
  std::uint16_t lost_ = 0;
  std::array<Note, kFixed> fixed_;  // uninitialised where not taken
  std::array<Note, kMost> items_;   // likewise
};

Attempt attempt_of(const Note& note) noexcept;

}  // namespace weir::gateway

#endif  // WEIR_GATEWAY_NOTES_H_
