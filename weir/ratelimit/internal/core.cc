#include "weir/ratelimit/internal/core.h"

#include <algorithm>
#include <cstdlib>

#include "weir/ratelimit/internal/exact_window.h"
#include "weir/ratelimit/internal/segmented_window.h"
#include "weir/ratelimit/internal/simple.h"

namespace weir::ratelimit::internal {
namespace {

// Calls `f` with the cell opened as what the policy says it is.
template <class F>
decltype(auto) opened(const Params& p, Cell& cell, Slab& slab, std::int64_t now, F f) {
  switch (p.algorithm) {
    case Algorithm::automatic:
    case Algorithm::exact_window:
      return f(ExactWindow(p, cell, slab, now));
    case Algorithm::segmented_window:
      return f(SegmentedWindow(p, cell, slab, now));
    case Algorithm::gcra:
      return f(Gcra(p, cell, slab, now));
    case Algorithm::token_bucket:
      return f(TokenBucket(p, cell, slab, now));
    case Algorithm::fixed_window:
      return f(FixedWindow(p, cell, slab, now));
    case Algorithm::concurrency:
      return f(Concurrency(p, cell, slab, now));
  }
  std::abort();
}

template <class Window>
void refuse(const Params& p, Window& window, std::uint32_t cost, std::int64_t wait, Decision& d, Book book) {
  d.reason = Reason::over_limit;
  if (p.count_rejected && book == Book::yes) {
    window.book(cost);
    window.fits(cost, &wait);  // the refused call moved the moment at which the next one fits
  }
  d.retry_after = Duration{std::max<std::int64_t>(wait, 0)};
  if (p.shadow) {
    d.allowed = true;
    d.reason = Reason::shadow;
  }
}

template <class Window>
void decide_as(Window window, const Params& p, std::uint32_t cost, Want want, Book book, Decision& d) {
  std::int64_t wait = 0;
  if (window.fits(cost, &wait)) {
    d.allowed = true;
    if (book == Book::yes) window.book(cost);
  } else {
    refuse(p, window, cost, wait, d, book);
  }
  d.charged_at = TimePoint{Duration{window.effective()}};
  if (want == Want::headers) window.describe(d);
}

}  // namespace

void impossible(const Params& p, Decision& d) noexcept {
  d.limit = p.shown_limit;
  d.allowed = p.shadow;
  d.reason = p.shadow ? Reason::shadow : Reason::cost_exceeds_limit;
}

void decide(const Params& p, Cell& cell, Slab& slab, std::int64_t now, std::uint32_t cost, Want want,
            Book book, Decision& d) noexcept {
  if (cost == 0) {
    cost = 1;
    book = Book::no;
  }
  if (cost > p.max_cost) [[unlikely]] {
    impossible(p, d);
    if (want == Want::headers) describe(p, cell, slab, now, d);
    return;
  }
  d.limit = p.shown_limit;
  if (p.algorithm == Algorithm::exact_window) [[likely]]
    return decide_as(ExactWindow(p, cell, slab, now), p, cost, want, book, d);
  opened(p, cell, slab, now, [&](auto window) { decide_as(window, p, cost, want, book, d); });
}

void charge(const Params& p, Cell& cell, Slab& slab, std::int64_t now, std::uint32_t cost) noexcept {
  cost = std::min(cost, p.shown_limit);
  opened(p, cell, slab, now, [&](auto window) { window.book(cost); });
}

void refund(const Params& p, Cell& cell, Slab& slab, std::int64_t now, std::uint32_t cost,
            std::int64_t when) noexcept {
  opened(p, cell, slab, now, [&](auto window) { window.refund(cost, when); });
}

void describe(const Params& p, Cell& cell, Slab& slab, std::int64_t now, Decision& d) noexcept {
  opened(p, cell, slab, now, [&](auto window) { window.describe(d); });
}

bool fresh(const Params& p, const Cell& cell, std::int64_t now) noexcept {
  const std::int64_t newest = cell.newest.mine();
  const std::uint64_t meta = cell.meta.mine();
  switch (p.algorithm) {
    case Algorithm::automatic:
    case Algorithm::exact_window:
      return (meta >> 16 & 0xffff) == 0 ||
             instant(now, p.shift).floor - instant(newest, p.shift).ceil >= p.window_ticks;
    case Algorithm::segmented_window:
      return meta >> 32 == 0 || divide_down(now, p.segment_ns) - newest > p.segments;
    case Algorithm::gcra:
      return newest <= now;
    case Algorithm::token_bucket: {
      if (meta == 0) return true;
      const std::int64_t ticks = instant(now, p.shift).floor - newest;
      return ticks > 0 && p.limit != 0 && static_cast<std::uint64_t>(ticks) > meta / p.limit;
    }
    case Algorithm::fixed_window:
      return meta == 0 || newest < divide_down(now, p.window_ns) || wall_was_wrong(newest, now, p.window_ns);
    case Algorithm::concurrency:
      return meta == 0;
  }
  return false;
}

void export_events(const Params& p, Cell& cell, Slab& slab, std::int64_t now, Events& out) {
  out.clear();
  opened(p, cell, slab, now, [&](const auto& window) {
    window.export_events(out);
    // The newest booking may have been refunded and the caller's clock have stepped back since: the cell's own
    // clock goes along, else what is booked next would leave the window too early.
    const std::int64_t clock = window.effective();
    if (clock > now && (out.empty() || out.back().at_ns < clock)) out.push_back({clock, 0});
  });
}

bool counts(const Params& p, std::int64_t age_ns) noexcept {
  switch (p.algorithm) {
    case Algorithm::automatic:
    case Algorithm::exact_window:
    case Algorithm::fixed_window:
      return age_ns < p.window_ns;
    case Algorithm::segmented_window:
      return age_ns < p.window_ns + p.segment_ns;
    case Algorithm::gcra:
    case Algorithm::token_bucket:
    case Algorithm::concurrency:
      return true;
  }
  return true;
}

void import_events(const Params& p, Cell& cell, Slab& slab, std::int64_t now, const Events& events) noexcept {
  for (const Event& event : events) {
    const std::int64_t at = p.algorithm == Algorithm::concurrency ? now : event.at_ns;
    charge(p, cell, slab, at, event.units);
  }
  charge(p, cell, slab, now, 0);  // the cell's clock does not step back
}

bool refuses_otherwise(const FastParams& fast, std::uint64_t head, const Cell& cell, std::int64_t now,
                       Decision& d) noexcept {
  switch (algorithm_of(head)) {
    case Algorithm::segmented_window:
      return segmented_refuses(fast, head, cell, now, d);
    case Algorithm::gcra:
      return gcra_refuses(fast, cell, now, d);
    case Algorithm::fixed_window:
      return fixed_refuses(fast, head, cell, now, d);
    case Algorithm::automatic:
    case Algorithm::exact_window:
    case Algorithm::token_bucket:
    case Algorithm::concurrency:
      return false;
  }
  return false;
}

}  // namespace weir::ratelimit::internal
