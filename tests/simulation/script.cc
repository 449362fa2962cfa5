#include "tests/simulation/script.h"

#include <algorithm>
#include <array>

namespace weir::simulation {
namespace {

using std::chrono::milliseconds;

std::string_view prefix_of(Place place) {
  switch (place) {
    case Place::steady:
      return "/steady/";
    case Place::limited:
      return "/limited/";
    case Place::streamed:
      return "/streamed/";
    case Place::small_buffer:
      return "/small/";
    case Place::rewritten:
      return "/old/";
    case Place::named:
      return "/named/";
    case Place::wild:
      return "/wild/";
    case Place::both:
      return "/both/";
    case Place::dead:
      return "/dead/";
    case Place::fixed:
      return "/fixed";
    case Place::fixed_limited:
      return "/fixed-limited";
    case Place::denied:
      return "/denied";
    case Place::nowhere:
      return "/nowhere/";
    case Place::wrong_method:
      return "/get-only";
  }
  return "/";
}

bool has_body_method(std::string_view method) {
  return method == "POST" || method == "PUT" || method == "PATCH";
}

std::size_t draw_size(base::Random& random) {
  switch (random.below(8)) {
    case 0:
      return 0;
    case 1:
      return 1;
    case 2:
      return 60 * 1024 + random.below(8 * 1024);  // around request_buffer and the 64 KiB of an answer
    case 3:
      return 100 * 1024 + random.below(100 * 1024);  // above every buffer
    default:
      return 1 + random.below(3000);
  }
}

void draw_target(base::Random& random, Ask& ask) {
  const std::string prefix(prefix_of(ask.place));
  ask.target = prefix;
  if (!prefix.ends_with('/')) {
    ask.upstream_target = ask.target;
    return;
  }
  const std::string rest = std::to_string(ask.number);
  const std::string query = random.chance(1, 3) ? "?q=" + rest + "&x" : "";
  const std::string upstream_prefix = ask.place == Place::rewritten ? "/new/" : prefix;
  ask.upstream_target = upstream_prefix + rest + query;
  switch (random.below(6)) {  // other spellings of the same path
    case 0:
      ask.target = prefix + "./" + rest + query;
      break;
    case 1:
      ask.target = prefix + "%6eo/../" + rest + query;
      break;
    case 2:
      ask.target = "/" + prefix + rest + query;
      break;
    default:
      ask.target = prefix + rest + query;
  }
}

}  // namespace

std::string pattern(int number, std::size_t bytes) {
  std::string text(bytes, '\0');
  for (std::size_t i = 0; i < bytes; ++i)
    text[i] = static_cast<char>('a' + (static_cast<std::size_t>(number) * 31 + i * 7 + i / 251) % 26);
  return text;
}

std::string answer_body(const Ask& ask) {
  if (ask.manner == Manner::no_content || ask.manner == Manner::not_modified) return {};
  return pattern(ask.number, ask.answer_bytes);
}

int Ask::whole_status() const {
  switch (manner) {
    case Manner::no_content:
      return 204;
    case Manner::not_modified:
      return 304;
    case Manner::failing:
      return 500;
    default:
      return 200;
  }
}

std::string Ask::head_bytes() const {
  const std::string id = std::to_string(number);
  std::string head =
      method + " " + target + " HTTP/1." + std::to_string(version_minor) + "\r\nHost: shop.example\r\n";
  head += "X-Sim: " + id + "\r\nX-Request-Id: sim-" + id + "\r\n";
  if (forged)
    head +=
        "X-Passport: forged\r\nx_passport: forged\r\nX-Forwarded-For: 6.6.6.6\r\nX.Flags: forged\r\n"
        "Connection: X-Dropped\r\nX-Dropped: yes\r\n";
  if (asks_close) head += "Connection: close\r\n";
  if (asks_keep_alive) head += "Connection: keep-alive\r\n";
  if (expects_continue) head += "Expect: 100-continue\r\n";
  if (framing == Framing::length) head += "Content-Length: " + std::to_string(body_bytes) + "\r\n";
  if (framing == Framing::chunked) head += "Transfer-Encoding: chunked\r\n";
  return head + "\r\n";
}

std::string Ask::body_on_wire() const {
  const std::string body = request_body(*this);
  if (framing == Framing::length) return body;
  if (framing != Framing::chunked) return {};
  std::string wire;
  std::size_t size = 1;
  for (std::size_t at = 0; at < body.size(); at += size, size = std::min<std::size_t>(size * 5, 20'000)) {
    const std::string_view piece = std::string_view(body).substr(at, size);
    std::array<char, 32> line;
    const int n =
        std::snprintf(line.data(), line.size(), at % 2 == 0 ? "%zx\r\n" : "%zX;a=b\r\n", piece.size());
    wire.append(line.data(), static_cast<std::size_t>(n)).append(piece).append("\r\n");
  }
  return wire + (number % 2 == 0 ? "0\r\n\r\n" : "0\r\nX-Trailer: t\r\n\r\n");
}

std::string Ask::bytes() const { return head_bytes() + body_on_wire(); }

void draw_ask(base::Random& random, const Weather& weather, Place place, Ask& ask) {
  static constexpr std::array<std::string_view, 8> kMethods{"GET",  "GET",  "GET", "HEAD",
                                                            "POST", "POST", "PUT", "DELETE"};
  ask.place = place;
  ask.method = kMethods[random.below(kMethods.size())];
  if (place == Place::wrong_method && (ask.method == "GET" || ask.method == "HEAD")) ask.method = "DELETE";
  draw_target(random, ask);
  if (random.chance(1, 8)) {
    ask.version_minor = 0;
    ask.asks_keep_alive = random.chance(1, 2);
  } else {
    ask.asks_close = random.chance(1, 10);
  }
  if (has_body_method(ask.method)) {
    ask.framing = ask.version_minor == 1 && random.chance(1, 2) ? Framing::chunked : Framing::length;
    ask.body_bytes = draw_size(random);
    ask.expects_continue = ask.version_minor == 1 && random.chance(1, 6);
  }
  ask.forged = random.chance(1, 5) && !ask.asks_close && !ask.asks_keep_alive;
  const bool any = place == Place::wild || place == Place::both;
  const bool calm = any && !weather.wild_faults && random.chance(1, 2);
  ask.manner = static_cast<Manner>(random.below(any && !calm ? kManners : kGoodManners));
  ask.answer_bytes = draw_size(random);
  ask.answer_delay = milliseconds{random.below(ask.manner == Manner::late ? 250 : 40)};
}

std::string describe(const Ask& ask) {
  std::string text = std::to_string(ask.number) + ": " + ask.method + " " + ask.target + " HTTP/1." +
                     std::to_string(ask.version_minor) + ", body " + std::to_string(ask.body_bytes);
  if (ask.framing == Framing::chunked) text += " in chunks";
  if (ask.expects_continue) text += ", expects 100";
  if (ask.body_stalls) text += ", stalls";
  if (ask.half_closes) text += ", half-closes";
  return text + "; manner " + std::to_string(static_cast<int>(ask.manner)) + ", answer " +
         std::to_string(ask.answer_bytes);
}

// Each ends its connection, so none can be taken for a request's beginning.
const std::vector<Malformed>& malformed_requests() {
  static const std::vector<Malformed> kAll{
      {"GET /wild/x HTTP/1.1\r\n\r\n", 400},
      {"GET /wild/x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},
      {"GET /wild/x HTTP/1.1\nHost: a\n\n", 400},
      {"GET  /wild/x HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"GET /wild/x HTTP/1.1\r\nHost : a\r\n\r\n", 400},
      {"GET /wild/x HTTP/1.1\r\nHost: a\r\n folded: x\r\n\r\n", 400},
      {"POST /wild/x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400},
      {"POST /wild/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
       400},
      {"POST /wild/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400},
      {"POST /wild/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n", 400},
      {"POST /wild/x HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n", 413},
      {"GET /wild/../../x HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"GET /wild/%2e%2e/x HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"GET /wild/a%2Fb HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"GET /wild/x HTTP/3.0\r\nHost: a\r\n\r\n", 505},
      {"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n", 501},
      {"GET /wild/x HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", 501},
      {"\x16\x03\x01\x02\x01\x01\x02 a TLS hello at the wrong door\r\n\r\n", 400},
      {"GET /wild/x HTTP/1.1\r\nHost: a\r\nExpect: a miracle\r\n\r\n", 417},
  };
  return kAll;
}

}  // namespace weir::simulation
