#include "weir/ratelimit/headers.h"

#include <algorithm>
#include <charconv>
#include <tuple>
#include <utility>

namespace weir::ratelimit {
namespace {

// RFC 9651 3.3.1: integers have at most 15 digits. A Duration has at most 10 digits of seconds.
std::int64_t seconds_up(Duration d) {
  constexpr std::int64_t kSecond = 1'000'000'000;
  return d.count() <= 0 ? 0 : (d.count() - 1) / kSecond + 1;
}

void put(std::string& out, std::int64_t number) {
  char digits[20];
  const auto end = std::to_chars(digits, digits + sizeof digits, number);
  out.append(digits, end.ptr);
}

// RFC 9651 4.1.6: a String is visible ASCII and spaces, with \ before " and \.
void put_quoted(std::string& out, std::string_view text) {
  out.push_back('"');
  for (char c : text) {
    if (c < ' ' || c > '~') continue;
    if (c == '"' || c == '\\') out.push_back('\\');
    out.push_back(c);
  }
  out.push_back('"');
}

bool is_concurrency(const LimitReport& r) { return effective_algorithm(*r.policy) == Algorithm::concurrency; }

// In which time a client may use what "q" says. A bucket of its own size is said by its size (Decision::limit is the
// burst), so "w" is the time in which it fills again: both together are the rate.
Duration window_of(const Policy& policy) {
  if (policy.burst == 0 || policy.limit == 0) return policy.window;
  const double windows = static_cast<double>(policy.burst) / policy.limit;
  const double most = static_cast<double>(kWindowMax.count());
  return Duration{
      static_cast<Duration::rep>(std::min(most, static_cast<double>(policy.window.count()) * windows))};
}

// "w" is a whole number of seconds (draft-10 4.1.2); a shorter window leaves it out.
void put_window(std::string& out, const LimitReport& r) {
  const Duration window = window_of(*r.policy);
  if (is_concurrency(r) || window < std::chrono::seconds{1}) return;
  out.append(";w=");
  put(out, seconds_up(window));
}

bool told(const LimitReport& r) { return !r.policy->shadow; }

// Seconds until more becomes free (draft-10 4.2.2: of t, not the full reset).
std::int64_t until_more(const Decision& d) {
  return seconds_up(d.allowed ? d.next_after : std::max(d.retry_after, d.next_after));
}

// The limit that a client should look at when it is told of one: a refusing one before the others, then the
// fewest left, then the longest wait.
const LimitReport* tightest(std::span<const LimitReport> reports) {
  const LimitReport* found = nullptr;
  const auto rank = [](const LimitReport& r) {
    return std::tuple(r.decision.allowed, r.decision.remaining, -until_more(r.decision));
  };
  for (const LimitReport& r : reports)
    if (told(r) && (found == nullptr || rank(r) < rank(*found))) found = &r;
  return found;
}

// Zero: no Retry-After, either since nothing refused or since waiting does not help.
std::int64_t retry_seconds(std::span<const LimitReport> reports, Duration jitter) {
  Duration longest{0};
  for (const LimitReport& r : reports) {
    if (!told(r) || r.decision.allowed) continue;
    if (!r.decision.waiting_helps()) return 0;
    longest = std::max(longest, r.decision.retry_after);
  }
  return longest == Duration::zero() ? 0 : seconds_up(longest + std::max(jitter, Duration::zero()));
}

// Values are written one after another; views are taken once the buffer no longer moves.
class Writer {
 public:
  explicit Writer(std::string& buffer) : buffer_(buffer) { buffer_.clear(); }

  void begin(std::string_view name) {
    names_[size_] = name;
    starts_[size_++] = buffer_.size();
  }
  HeaderFields finish() const {
    HeaderFields fields;
    for (std::size_t i = 0; i < size_; ++i) {
      const std::size_t end = i + 1 < size_ ? starts_[i + 1] : buffer_.size();
      fields.add({names_[i], std::string_view(buffer_).substr(starts_[i], end - starts_[i])});
    }
    return fields;
  }
  std::string& out() { return buffer_; }
  void field(std::string_view name, std::int64_t number) { begin(name), put(buffer_, number); }

 private:
  std::string& buffer_;
  std::array<std::string_view, 5> names_;
  std::array<std::size_t, 5> starts_{};
  std::size_t size_ = 0;
};

void write_ietf10(Writer& w, std::span<const LimitReport> reports) {
  std::string& out = w.out();
  w.begin("RateLimit-Policy");
  bool first = true;
  for (const LimitReport& r : reports) {
    if (!told(r)) continue;
    if (!std::exchange(first, false)) out.append(", ");
    put_quoted(out, r.policy->name);
    out.append(";q=");
    put(out, r.decision.limit);
    if (is_concurrency(r)) out.append(";qu=\"concurrent-requests\"");
    put_window(out, r);
  }
  w.begin("RateLimit");
  first = true;
  for (const LimitReport& r : reports) {
    if (!told(r)) continue;
    if (!std::exchange(first, false)) out.append(", ");
    put_quoted(out, r.policy->name);
    out.append(";r=");
    put(out, r.decision.remaining);
    if (const std::int64_t t = until_more(r.decision); t > 0) out.append(";t="), put(out, t);
  }
}

void write_old_policy(Writer& w, std::span<const LimitReport> reports) {
  w.begin("RateLimit-Policy");
  bool first = true;
  for (const LimitReport& r : reports) {
    if (!told(r)) continue;
    if (!std::exchange(first, false)) w.out().append(", ");
    put(w.out(), r.decision.limit);
    put_window(w.out(), r);
  }
}

void write_ietf7(Writer& w, std::span<const LimitReport> reports, const LimitReport& r) {
  write_old_policy(w, reports);
  w.begin("RateLimit");
  std::string& out = w.out();
  out.append("limit="), put(out, r.decision.limit);
  out.append(", remaining="), put(out, r.decision.remaining);
  out.append(", reset="), put(out, until_more(r.decision));
}

}  // namespace

std::string_view to_string(HeaderStyle style) noexcept {
  switch (style) {
    case HeaderStyle::ietf10:
      return "ietf10";
    case HeaderStyle::ietf7:
      return "ietf7";
    case HeaderStyle::ietf6:
      return "ietf6";
    case HeaderStyle::x_ratelimit:
      return "x_ratelimit";
    case HeaderStyle::none:
      return "none";
  }
  return "unknown";
}

HeaderFields format_headers(std::span<const LimitReport> reports, const HeaderOptions& options,
                            std::string& buffer) {
  Writer w(buffer);
  const LimitReport* one = tightest(reports);
  if (one == nullptr) return w.finish();
  switch (options.style) {
    case HeaderStyle::ietf10:
      write_ietf10(w, reports);
      break;
    case HeaderStyle::ietf7:
      write_ietf7(w, reports, *one);
      break;
    case HeaderStyle::ietf6:
      w.field("RateLimit-Limit", one->decision.limit);
      w.field("RateLimit-Remaining", one->decision.remaining);
      w.field("RateLimit-Reset", until_more(one->decision));
      write_old_policy(w, reports);
      break;
    case HeaderStyle::x_ratelimit:
      w.field("X-RateLimit-Limit", one->decision.limit);
      w.field("X-RateLimit-Remaining", one->decision.remaining);
      w.field("X-RateLimit-Reset", until_more(one->decision));
      break;
    case HeaderStyle::none:
      break;
  }
  if (const std::int64_t seconds = retry_seconds(reports, options.retry_jitter); seconds > 0)
    w.field("Retry-After", seconds);
  return w.finish();
}

}  // namespace weir::ratelimit
