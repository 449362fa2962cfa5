// What happens in a run, drawn from its seed before it happens: requests, how their upstreams behave, how
// their clients do; and, written beside each while it runs, what became of it.
//
// A request is known everywhere by its number: the client sends it in X-Sim and X-Request-Id, the service
// finds in the script what it is to answer, the observing stages write down what weir decided, and the
// client knows from it which bytes it must get.
#ifndef WEIR_TESTS_SIMULATION_SCRIPT_H_
#define WEIR_TESTS_SIMULATION_SCRIPT_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tests/simulation/wire.h"
#include "weir/base/clock.h"
#include "weir/base/random.h"

namespace weir::simulation {

// Where a request goes; see World's configuration.
enum class Place : std::uint8_t {
  steady,         // a service that always answers well
  limited,        // the same behind a limit of the client's address
  streamed,       // the same, request_buffer 0
  small_buffer,   // the same, request_buffer 1KiB
  rewritten,      // the same, under another path
  named,          // the same, by name
  wild,           // a service that does what the manner says
  both,           // the same behind two limits
  dead,           // nobody listens
  fixed,          // respond
  fixed_limited,  // respond, behind the limit
  denied,         // 403
  nowhere,        // 404
  wrong_method,   // 405
};
inline constexpr int kPlaces = 14;

// How a service answers.
enum class Manner : std::uint8_t {
  // well
  with_length,
  chunked,
  until_close,
  in_pieces,     // with pauses
  late,          // some time before the first byte
  no_content,    // 204
  not_modified,  // 304 with a length
  with_hints,    // 103 first
  old,           // HTTP/1.0
  closing,       // says close
  // well, but early: before the body has been read
  early,
  early_close,  // and closes
  failing,      // 500
  // badly
  too_short,
  cut_chunks,
  two_lengths,
  garbage,
  bad_chunk,
  smuggled,  // Content-Length and Transfer-Encoding
  reset_before,
  reset_inside,
  close_before,
  stall_inside,  // half of the body, then nothing
  never,
  surplus,        // bytes behind a good answer
  hang_up_after,  // a good answer, then closes although it did not say so
};
inline constexpr int kGoodManners = 10;
inline constexpr int kManners = 26;

// The answer, as the client must see it, is whole: with its status and every byte.
constexpr bool is_whole(Manner manner) {
  return manner <= Manner::failing || manner == Manner::surplus || manner == Manner::hang_up_after;
}

enum class Fate : std::uint8_t {
  waiting,
  unsent,      // its turn never came: the connection was over before
  answered,    // completely
  cut,         // the answer broke off where the client could see it
  unanswered,  // the connection ended without a byte of an answer
  left,        // the client went first
  lost,        // the client's network failed
};

struct Ask {
  int number = 0;
  std::string method = "GET";
  Place place = Place::steady;
  std::string target;           // as sent
  std::string upstream_target;  // as the service must see it
  int version_minor = 1;
  bool asks_close = false;
  bool asks_keep_alive = false;  // HTTP/1.0
  bool expects_continue = false;
  bool forged = false;  // carries what only weir may say
  Framing framing = Framing::none;
  std::size_t body_bytes = 0;
  bool body_stalls = false;  // the client never sends all of it
  bool half_closes = false;  // the client closes its sending side behind the request
  Manner manner = Manner::with_length;
  std::size_t answer_bytes = 0;
  Duration answer_delay{0};

  // What weir decided; written by the observing stages.
  int entered = 0;
  int settled = 0;
  int permits = 0;
  bool permit_out = false;
  bool breaker_refuses = false;
  std::string problem = "-";
  std::string stage = "-";

  // At the service.
  int seen = 0;
  int at_service = 0;  // connections on which it is being answered now
  bool answer_written = false;

  // At the client.
  bool sent = false;
  TimePoint sent_at{};
  Fate fate = Fate::waiting;
  int status = 0;

  bool idempotent() const { return method != "POST" && method != "PATCH"; }
  bool whole_body_sent() const { return !body_stalls; }
  int whole_status() const;   // of the answer that its service gives
  std::string bytes() const;  // the request as sent
  std::string head_bytes() const;
  std::string body_on_wire() const;
};

std::string describe(const Ask& ask);  // for a trace

// Bodies that nobody can confuse: a function of number and position.
std::string pattern(int number, std::size_t bytes);
inline std::string request_body(const Ask& ask) { return pattern(ask.number + 1'000'000, ask.body_bytes); }
std::string answer_body(const Ask& ask);

// How a client uses a connection.
enum class Conduct : std::uint8_t {
  serial,       // one after another
  pipelined,    // several at once
  dripping,     // in small pieces with pauses
  slow_reader,  // takes answers slowly
  leaving,      // goes at a random moment
  half_closing,
  stalling,   // stops in mid-body
  malformed,  // sends what is no request
};

struct ClientScript {
  Conduct conduct = Conduct::serial;
  Duration start{0};
  Duration gap{0};          // before each further request
  Duration leave_after{0};  // leaving
  bool leave_by_reset = false;
  std::uint32_t address = 0;  // 10.1.0.address
  std::vector<Ask*> asks;
  std::size_t malformed = 0;  // which
};

// What is no request, and what it must be answered with; connections close after it.
struct Malformed {
  std::string_view bytes;
  int status;
};
const std::vector<Malformed>& malformed_requests();

// What kind of world the seed makes.
struct Weather {
  bool client_faults = false;  // resets and silence towards clients
  bool steady_choppy = false;  // pieces, delays, short reads and writes: changes nothing for anybody
  bool wild_faults = false;    // refusals, resets, black holes
  bool drain_early = false;    // in mid-run
  bool cut_off = false;        // the drain is cut short
  int reloads = 0;
  int workers = 1;
};

// Draws a request for `place`.
void draw_ask(base::Random& random, const Weather& weather, Place place, Ask& ask);

}  // namespace weir::simulation

#endif  // WEIR_TESTS_SIMULATION_SCRIPT_H_
