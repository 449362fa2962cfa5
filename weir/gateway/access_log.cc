// The line is rendered into one buffer of the worker with plain stores: at some ten members a line, appending to a
// std::string piece by piece was a fifth of everything weir does for a request. Texts are cut so that the buffer always
// suffices (kLineMax), and what needs no escaping, nearly everything, is copied sixteen bytes at a time.
#include "weir/gateway/access_log.h"

#include <charconv>
#include <cstdint>
#include <cstring>

#include "weir/base/put.h"
#include "weir/gateway/plan.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace weir::gateway {
namespace {

constexpr std::size_t kTextMax =
    1024;  // of a path or user agent: enough to recognise, not enough to fill a disk
// A byte becomes six at the most (\u00XX).
constexpr std::size_t kLineMax =
    2 * (6 * kTextMax) + 8 * kTextMax;  // two escaped texts, the rest is bounded by 1 KiB each

// Visible ASCII without " and \: what JSON takes as it is.
bool is_plain(char c) { return c >= ' ' && c <= '~' && c != '"' && c != '\\'; }

// Length of the plain run at the front of `text`.
std::size_t plain_run(std::string_view text) {
  std::size_t i = 0;
#if defined(__SSE2__)
  const __m128i below = _mm_set1_epi8(' ');
  const __m128i del = _mm_set1_epi8(0x7f);
  const __m128i quote = _mm_set1_epi8('"');
  const __m128i slash = _mm_set1_epi8('\\');
  for (; i + 16 <= text.size(); i += 16) {
    __m128i bytes;
    std::memcpy(&bytes, text.data() + i, sizeof bytes);
    // Signed comparison: bytes from 0x80 on are below ' ' too.
    const __m128i special =
        _mm_or_si128(_mm_or_si128(_mm_cmplt_epi8(bytes, below), _mm_cmpeq_epi8(bytes, del)),
                     _mm_or_si128(_mm_cmpeq_epi8(bytes, quote), _mm_cmpeq_epi8(bytes, slash)));
    const auto mask = static_cast<unsigned>(_mm_movemask_epi8(special));
    if (mask != 0) return i + static_cast<std::size_t>(__builtin_ctz(mask));
  }
#endif
  while (i < text.size() && is_plain(text[i])) ++i;
  return i;
}

class Line {
 public:
  explicit Line(std::string& buffer) : buffer_(buffer) {
    if (buffer_.size() < kLineMax) buffer_.resize(kLineMax);
    at_ = buffer_.data();
  }

  void raw(std::string_view text) { at_ = base::put(at_, text); }
  // `name` with its punctuation: R"(,"path":")".
  void text(std::string_view name, std::string_view text) {
    raw(name);
    text = text.substr(0, kTextMax);
    const std::size_t plain = plain_run(text);
    raw(text.substr(0, plain));
    if (plain < text.size()) {
      std::string escaped;
      base::append_json_escaped(escaped, text.substr(plain));
      raw(escaped);
    }
    *at_++ = '"';
  }
  // `text` is known to need no escaping: tokens, ids, names that the configuration has checked.
  void clean(std::string_view name, std::string_view text) {
    raw(name);
    raw(text);
    *at_++ = '"';
  }
  void number(std::string_view name, std::int64_t value) {
    raw(name);
    at_ = std::to_chars(at_, at_ + 24, value).ptr;
  }
  std::string_view finish() {
    *at_++ = '}';
    return {buffer_.data(), static_cast<std::size_t>(at_ - buffer_.data())};
  }

 private:
  std::string& buffer_;
  char* at_;
};

std::int64_t microseconds(Duration duration) {
  return std::chrono::duration_cast<std::chrono::microseconds>(duration).count();
}

}  // namespace

std::string_view render_access_line(Exchange& exchange, Duration took) {
  const Record& record = exchange.record;
  Line line(exchange.worker.log_line);
  line.raw(R"({"time":")");
  line.raw(exchange.worker.time_text());
  line.clean(R"(","id":")", exchange.id);
  line.clean(R"(,"method":")", exchange.request.method_text);
  line.text(R"(,"path":")", exchange.path.empty() ? exchange.request.path : exchange.path);
  line.clean(R"(,"route":")", exchange.route == nullptr ? "-" : std::string_view(exchange.route->json_name));
  line.number(R"(,"status":)", record.client_gone ? 499 : record.status);
  line.clean(R"(,"stage":")", record.stage);
  line.clean(R"(,"reason":")", describe(record.problem).name);
  line.clean(R"(,"upstream":")", record.upstream.empty() ? "-" : record.upstream);
  line.number(R"(,"attempts":)", record.attempts);
  line.number(R"(,"duration_us":)", microseconds(took));
  line.clean(R"(,"client":")", exchange.client_text());
  line.number(R"(,"upstream_us":)", microseconds(record.upstream_time));
  line.number(R"(,"bytes_in":)", static_cast<std::int64_t>(exchange.downstream->body_received()));
  line.number(R"(,"bytes_out":)", static_cast<std::int64_t>(exchange.downstream->bytes_sent()));
  if (record.why != "-") line.clean(R"(,"auth":")", record.why);
  line.text(R"(,"user_agent":")", exchange.request.fields.value(http::Name::user_agent));
  return line.finish();
}

}  // namespace weir::gateway
