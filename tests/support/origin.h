// Origin: a service behind the gateway that does what the test says, and remembers what it was asked.
//
//   Origin origin;
//   Gate gate;
//   origin.on("/slow", [&](Call& call) { if (call.wait(gate)) call.reply(200, "done"); });
//   ... send a request through the gateway ...
//   ASSERT_TRUE(origin.wait_for_requests("/slow", 1));   // it has arrived and is being held
//   gate.open();
//
// Any other path gets 200 "ok". Each connection has a thread, which reads one request after another and runs
// the behaviour of its path; a behaviour may block, drip, lie, close or reset. Everything that waits ends
// with the Origin (waits answer false), whose destructor joins all threads.
#ifndef WEIR_TESTS_SUPPORT_ORIGIN_H_
#define WEIR_TESTS_SUPPORT_ORIGIN_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "tests/support/client.h"
#include "tests/support/socket.h"
#include "tests/support/wait.h"

namespace weir::testing {

// Something to wait for, that poll() understands. Thread-safe. Its destructor sends away whoever still waits,
// and returns when all have gone, so a gate may die before the origin whose behaviours name it.
class Gate {
 public:
  Gate();
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;
  ~Gate();
  // Lets everybody through, now and later.
  void open();
  // Lets `count` waiters through.
  void let(std::uint64_t count = 1);
  // Returns when so many stand at the gate: from then on it may be destroyed, which sends them away.
  void wait_for_waiters(std::size_t count);

 private:
  friend class Call;
  friend class Origin;

  enum class Passage { yes, no, gone };

  void ring(std::uint64_t count);
  // Takes one passage if there is one.
  Passage pass();
  void enter();
  void leave();

  Fd fd_;
  std::mutex mutex_;
  std::condition_variable moved_;  // somebody has come or left
  bool open_ = false;
  bool gone_ = false;
  std::size_t waiting_ = 0;
};

struct Seen {
  std::string method;
  std::string target;
  std::string path;  // the target without its query
  std::string version;
  Fields fields;
  std::string head;    // as received
  std::string body;    // what the behaviour has read of it, without framing
  int connection = 0;  // which connection brought it, counted from 1

  std::string field(std::string_view name) const { return field_of(fields, name); }
  std::size_t count(std::string_view name) const { return count_of(fields, name); }
};

class Origin;

// One request that is being answered. Belongs to the connection's thread.
class Call {
 public:
  const Seen& request() const noexcept { return seen_; }

  // The whole body. False when the connection ended before it did, or it was framed wrongly.
  bool read_body();
  // Waits for some bytes of the body (as they are on the wire, framing included); "" at the connection's end.
  std::string read_some();
  // 200-like answers with Content-Length; a HEAD gets the head alone. False when the peer is gone.
  bool reply(int status, std::string_view body = {}, const Fields& fields = {});
  bool send(std::string_view bytes);
  // True when `gate` let it pass; false when the peer has gone away, or the gate or the test has ended.
  bool wait(Gate& gate);
  // Waits until the peer closes or resets the connection; false when the test ended first.
  bool wait_for_end();
  void close() noexcept { keep_ = false; }  // after what was sent (FIN)
  void reset();                             // at once (RST)

 private:
  friend class Origin;
  Call(Origin& origin, Fd& socket, std::string& buffer) : origin_(origin), socket_(socket), buffer_(buffer) {}

  // Adds bytes to the buffer. False at the end of the connection or of the test.
  bool fill();
  bool read_chunked();

  Origin& origin_;
  Fd& socket_;
  std::string& buffer_;
  Seen seen_;
  std::size_t index_ = 0;  // in the Origin's list
  bool ended_ = false;     // no longer counted as in flight
  bool body_read_ = false;
  bool keep_ = true;
};

class Origin {
 public:
  using Behaviour = std::function<void(Call&)>;

  // Port 0 takes a free one.
  explicit Origin(std::uint16_t port = 0);
  Origin(const Origin&) = delete;
  Origin& operator=(const Origin&) = delete;
  ~Origin();

  std::uint16_t port() const noexcept { return port_; }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }

  // For exactly this path; the last one given counts. Without a body to read, `behaviour` gets the request as
  // soon as its head is complete.
  void on(const std::string& path, Behaviour behaviour);
  // Shorthands: a fixed status, raw bytes and then FIN, everything held until the gate lets it go.
  void on_status(const std::string& path, int status, std::string body = {});
  void on_raw(const std::string& path, std::string bytes);
  void on_hold(const std::string& path, Gate& gate);

  // Requests whose head has arrived, and what the behaviours have
  // read of them, oldest first; "" for all paths.
  std::vector<Seen> requests(std::string_view path = {}) const;
  std::size_t count(std::string_view path = {}) const;
  Seen last(std::string_view path = {}) const;  // of those; a Seen without method if there is none
  bool wait_for_requests(std::string_view path, std::size_t count,
                         std::chrono::milliseconds bound = kPatience);

  // Requests that have arrived and are not answered, and the most there ever were. An answer by reply() ends
  // its request before its first byte is sent: whoever has read the answer finds it counted out.
  std::size_t in_flight() const;
  std::size_t peak_in_flight() const;
  bool wait_for_in_flight(std::size_t count, std::chrono::milliseconds bound = kPatience);
  std::size_t connections() const;  // accepted so far
  std::size_t open_connections() const;
  // Ends every open connection once its behaviour, if any, has returned.
  void drop_connections();

 private:
  friend class Call;

  struct Served {
    Fd socket;
    std::thread thread;
    std::atomic<bool> over{false};
  };

  void accept_loop();
  void serve(Served& served, int number);
  bool serve_one(Served& served, std::string& buffer, int number);
  static bool parse(std::string_view head, Seen& seen);
  Behaviour behaviour_of(const std::string& path) const;
  void note_begin(Call& call);
  void note_body(const Call& call);
  void note_end(Call& call);

  Fd listener_;
  std::uint16_t port_ = 0;
  Gate stop_;
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::map<std::string, Behaviour> behaviours_;
  std::vector<Seen> seen_;
  std::size_t in_flight_ = 0;
  std::size_t peak_ = 0;
  std::size_t accepted_ = 0;
  std::size_t open_ = 0;
  std::list<Served> served_;
  std::thread acceptor_;
};

}  // namespace weir::testing

#endif  // WEIR_TESTS_SUPPORT_ORIGIN_H_
