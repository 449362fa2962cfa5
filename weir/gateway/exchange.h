// Exchange: one request on its way through weir, and what is decided about it.
//
// It belongs to the stream it came on (a connection of HTTP/1, later a stream of HTTP/2), is used by one
// worker's thread and never shared. Stages read the request, edit what goes to the upstream and to the
// client, and keep what they hold in slots. It is reused: begin() makes it new without giving up its memory,
// so that a request allocates nothing once the worker is warm.
#ifndef WEIR_GATEWAY_EXCHANGE_H_
#define WEIR_GATEWAY_EXCHANGE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "weir/base/deadline.h"
#include "weir/base/ip.h"
#include "weir/base/strings.h"
#include "weir/gateway/downstream.h"
#include "weir/gateway/notes.h"
#include "weir/gateway/problem.h"
#include "weir/gateway/worker.h"
#include "weir/http/message.h"
#include "weir/io/waiter.h"
#include "weir/passport/verifier.h"
#include "weir/trace/span_context.h"
#include "weir/upstream/upstream.h"

namespace weir::gateway {

struct Route;
struct HeldDecisions;  // stages/experiment.h

// A place in every exchange for one value of type T (at most 64 bytes), given out when the plan is built.
template <class T>
struct Slot {
  std::uint8_t index = 0xff;
};

inline constexpr std::size_t kSlots = 16;
inline constexpr std::size_t kSlotBytes = 64;

// Copies of short texts that live as long as the exchange. Bump allocation in blocks that are kept between
// exchanges.
class TextArena {
 public:
  std::string_view keep(std::string_view text);
  // All pieces, one behind the other.
  std::string_view concat(std::initializer_list<std::string_view> pieces);
  char* allocate(std::size_t bytes) {
    if (block_ == 0 && kFirst - used_ >= bytes) [[likely]] {
      char* place = first_.data() + used_;
      used_ += bytes;
      return place;
    }
    return allocate_slow(bytes);
  }
  // The same, aligned for any object.
  void* allocate_aligned(std::size_t bytes) {
    constexpr std::size_t kAlign = alignof(std::max_align_t);
    char* place = allocate(bytes + kAlign - 1);
    return place + (kAlign - reinterpret_cast<std::uintptr_t>(place) % kAlign) % kAlign;
  }
  void clear() noexcept;

 private:
  char* allocate_slow(std::size_t bytes);

  static constexpr std::size_t kFirst = 1024;
  static constexpr std::size_t kKeptBlocks = 2;
  std::array<char, kFirst> first_;
  std::size_t used_ = 0;
  std::vector<std::pair<std::unique_ptr<char[]>, std::size_t>> blocks_;
  std::size_t block_ = 0;  // index of the block in use, counted from 1; 0 is first_
};

// What is written into log and metrics about an exchange.
struct Record {
  std::string_view stage = "-";  // who decided
  Problem problem = Problem::none;
  std::string_view why = "-";  // a refused credential's reason, one word
  int status = 0;              // sent; 499 when the client went first
  std::string_view upstream;   // name; "" when none was called
  std::uint32_t attempts = 0;
  Duration upstream_time{};
  bool client_gone = false;
  bool degraded = false;  // a page that was not complete
};

// One call made for a request, or the section of a page that the calls under it were made for: for the trace.
struct CallSpan {
  std::uint64_t span = 0;
  std::uint64_t parent = 0;
  TimePoint start{};
  TimePoint end{};
  http::Method method = http::Method::get;
  const upstream::EndpointOptions* endpoint = nullptr;  // of the plan the exchange is on
  std::string_view section;                             // its name, where this is a section
  std::string_view url;                                 // in the exchange's arena
  std::string_view error;                               // static; "" when an answer came
  int status = 0;
  unsigned resent = 0;
  bool joined = false;  // section: another request's call brought it
};

// What is known about the trace that a request is part of.
struct Trace {
  trace::SpanContext context;  // of the request's own span
  std::uint64_t parent = 0;    // of a trusted caller; 0: the request begins the trace
  trace::SpanContext link;     // what a caller said who is not trusted
  std::string_view state;      // tracestate that is passed on
  std::uint64_t call = 0;      // the span that a proxied call is: what `traceparent` says
  bool recording = false;      // spans of calls are kept until the end decides
  std::vector<CallSpan> calls;

  void clear() noexcept {
    context = link = trace::SpanContext{};
    parent = call = 0;
    state = {};
    recording = false;
    calls.clear();
  }
};

class Exchange {
 public:
  explicit Exchange(Worker& owner) : worker(owner) {}
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;
  ~Exchange() { end(); }

  void begin(Downstream& client, io::Waiter& waiter_of_client, TimePoint now) noexcept;
  // Destroys what the slots hold, newest first, and forgets views. Idempotent.
  void end() noexcept;

  // --- where it runs ---
  Worker& worker;
  Downstream* downstream = nullptr;
  io::Waiter* waiter = nullptr;  // wakes for the client and for whatever else this exchange watches
  WorkerPlan* plan = nullptr;    // the plan it started with
  const Route* route = nullptr;
  TimePoint now{};      // of the loop's turn in which it began; decisions of admission take this
  TimePoint started{};  // of the turn that brought the first byte: durations count from it
  Deadline deadline;

  // --- the request ---
  http::RequestHead request;
  std::string_view path;  // canonical
  std::string path_scratch;
  bool encoded_slash = false;
  base::IpAddress peer;        // the other end of the socket
  std::string_view peer_text;  // the same as text; the transport's
  base::IpAddress client;      // who asks: peer, or what a trusted proxy says
  // The client's address as text, rendered once.
  std::string_view client_text() {
    if (client == peer) return peer_text;
    if (client_text_.empty()) {
      char* text = arena.allocate(base::IpAddress::kTextMax);
      client_text_ = {text, client.write_text(text)};
    }
    return client_text_;
  }
  bool peer_trusted = false;
  bool secure = false;           // the client's transport was TLS
  std::string_view id;           // X-Request-Id
  std::string_view wildcard;     // what the route's "*" matched, without a leading slash
  std::string_view traceparent;  // to send upstream
  // Who asks, once the passport stage has passed; null on routes that do not ask. Somebody without a credential is an
  // identity too, with `anonymous`.
  std::shared_ptr<const passport::Identity> identity;
  std::string_view proxy_state;  // the value of X-Proxy-State; "" without `identity`
  Trace tracing;
  // Body read before load_shed; what is beyond request_buffer is still in downstream.
  std::string body;

  // --- edits ---
  // Replaces or adds a field of the request as the upstream will see it. Both texts must outlive the
  // exchange.
  void set_request_field(http::Name id_of_name, std::string_view name, std::string_view value);
  // What weir tells upstreams about the caller (passport, proxy state, experiments, flags); replaces an
  // earlier one of that name. The one place for such fields: proxied requests and the calls of a page both
  // take them from identity_fields(), and an upstream that is `external` gets none. Both texts must outlive
  // the exchange.
  void set_identity_field(std::string_view name, std::string_view value);
  const http::Fields& identity_fields() const noexcept { return identity_fields_; }
  // Fields that weir puts on the answer, whoever gives it; they replace the upstream's of the same name.
  void add_answer_field(std::string_view name, std::string_view value,
                        http::Name id_of_name = http::Name::other) {
    answer_fields_.add({name, value, id_of_name, false});
  }
  const http::Fields& answer_fields() const noexcept { return answer_fields_; }

  // --- experiments ---
  // What the experiment stage decided; null on routes without one. Good until the exchange ends.
  const HeldDecisions* decisions = nullptr;
  // What the client sent in X-Experiment-Override, which sanitize took away; not looked at yet. Only on routes
  // with experiments or flags.
  std::string_view override_text;
  // The upstream that a variant chose in place of the route's; index in the plan.
  std::optional<std::uint32_t> chosen_upstream;

  AnswerHead answer;  // scratch for the terminal that builds the head: keeps its capacity between exchanges

  // --- weir's own answer ---
  // Refuses with a problem; `detail` must outlive the exchange (static, or arena.keep()). Returns
  // Verdict::refuse's meaning to the caller through the record. `status` 0 takes the problem's own.
  void refuse(std::string_view stage, Problem problem, std::string_view detail = {}, int status = 0);
  // Retry-After in whole seconds, rounded up, at least 1.
  void set_retry_after(Duration wait);
  struct OwnAnswer {
    int status = 0;  // 0: none given
    std::string_view content_type;
    std::string_view body;
    const std::vector<http::Field>* fields = nullptr;  // of a kept answer: weir's own replace them
    bool close = false;                                // the connection cannot go on
  };
  OwnAnswer own;
  std::string own_body;  // storage for own.body

  // Who else sees the upstream's answer; may be null. Lives in a slot.
  AnswerTee* tee = nullptr;

  // --- slots ---
  template <class T>
  T& keep(Slot<T> slot, T value) {
    static_assert(sizeof(T) <= kSlotBytes && alignof(T) <= alignof(std::max_align_t));
    WEIR_DCHECK(slot.index < kSlots && destroy_[slot.index] == nullptr);
    T* kept = ::new (slots_[slot.index].bytes) T(std::move(value));
    slots_used_ |= 1U << slot.index;
    destroy_[slot.index] = [](void* object) noexcept { static_cast<T*>(object)->~T(); };
    return *kept;
  }
  // Null when nothing is kept there.
  template <class T>
  T* get(Slot<T> slot) noexcept {
    return destroy_[slot.index] == nullptr ? nullptr
                                           : std::launder(reinterpret_cast<T*>(slots_[slot.index].bytes));
  }
  template <class T>
  void drop(Slot<T> slot) noexcept {
    destroy_slot(slot.index);
  }

  TextArena arena;
  Record record;
  Notes notes;           // the numbers that led to what was decided
  bool explain = false;  // the answer is to say why: who asked holds the admin's token
  // Called by the terminal when the upstream's answer is complete or abandoned: stages give their places
  // back. Idempotent; the pipeline calls it at the latest before settling.
  void release_stages() noexcept;

  // Set by the pipeline: how many of the route's stages were entered.
  std::size_t stages_entered = 0;

 private:
  friend class Pipeline;
  void destroy_slot(std::size_t index) noexcept;

  struct alignas(std::max_align_t) SlotStorage {
    unsigned char bytes[kSlotBytes];
  };
  std::array<SlotStorage, kSlots> slots_;
  std::array<void (*)(void*) noexcept, kSlots> destroy_{};
  std::uint32_t slots_used_ = 0;  // a bit each: most exchanges use one or none
  http::Fields identity_fields_;
  http::Fields answer_fields_;
  std::string_view client_text_;
  bool released_ = false;
};

}  // namespace weir::gateway

#endif  // WEIR_GATEWAY_EXCHANGE_H_
