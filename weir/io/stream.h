// A byte stream between two peers, as non-blocking operations and the events that say when to try again.
//
// The rule of the house: try first. read() and write() attempt the operation at once and say would_block when there
// is nothing to do; the stream then raises `readable` or `writable` when trying again makes sense. Events are edges:
// they come once per change, so a caller goes on until would_block. Events go to the one EventSink that watches.
//
// TCP (epoll_reactor), the simulated network (simulated_reactor) and later TLS implement this interface; nothing
// above io/ knows which one it holds. One thread: the stream's reactor. Destroying a stream closes it.
#ifndef WEIR_IO_STREAM_H_
#define WEIR_IO_STREAM_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include <sys/uio.h>

#include "weir/async/frame_pool.h"
#include "weir/base/error.h"
#include "weir/io/address.h"

namespace weir::io {

enum class IoStatus : std::uint8_t {
  ok,           // `bytes` were moved, at least one
  would_block,  // nothing now; an event will say when
  end,          // read: the peer has closed its sending side, all its bytes have been read
  error,        // the connection is broken; `error` says how
};

struct IoResult {
  IoStatus status = IoStatus::would_block;
  ErrorCode error = ErrorCode::io_error;
  std::size_t bytes = 0;
};

enum Event : unsigned {
  kReadable = 1,  // read() may give bytes or end
  kWritable = 2,  // write() may take bytes; after connect: it has succeeded or failed
  kHangup = 4,    // the peer has closed its sending side (bytes may still wait to be read)
  kBroken = 8,    // reset or error: nothing more will arrive
};

class Stream;

class EventSink {
 public:
  // `events` are Event bits. Called from the reactor's loop; may destroy the stream.
  virtual void on_event(Stream& stream, unsigned events) noexcept = 0;

 protected:
  ~EventSink() = default;
};

class Stream : public async::Pooled {
 public:
  Stream() noexcept = default;
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  virtual ~Stream() = default;

  // Reads what is there, up to into.size() (not zero).
  virtual IoResult read(std::span<char> into) noexcept = 0;
  // Writes the pieces in order, as one system call; may stop anywhere.
  virtual IoResult write(std::span<const iovec> pieces) noexcept = 0;
  // After Reactor::connect(): would_block while the handshake runs, ok once, error with its reason.
  virtual IoResult finish_connect() noexcept = 0;
  // No more writes; the peer reads to the end. Reading goes on.
  virtual void shutdown_write() noexcept = 0;
  // The destructor will send RST instead of FIN and drop what is unsent (SO_LINGER 0).
  virtual void reset_on_close() noexcept = 0;

  // More about the last error, where the stream knows more than its code; static storage.
  virtual std::string_view fault() const noexcept { return {}; }

  virtual Address peer() const noexcept = 0;
  virtual Address local() const noexcept = 0;

  // What may be tried: false between would_block and the event that ends it. Starts true.
  bool may_read() const noexcept { return (ready_ & kReadable) != 0; }
  bool may_write() const noexcept { return (ready_ & kWritable) != 0; }
  // Sticky: the peer has closed its sending side, or the connection broke.
  bool hung_up() const noexcept { return (ready_ & (kHangup | kBroken)) != 0; }
  bool broken() const noexcept { return (ready_ & kBroken) != 0; }

  // Where events go from now on; null drops them (the flags above still move).
  void watch(EventSink* sink) noexcept { sink_ = sink; }

 protected:
  void set_ready(unsigned events) noexcept { ready_ |= events; }
  void clear_ready(unsigned events) noexcept { ready_ &= ~events; }
  // For implementations: notes the events and tells the sink. The sink may destroy *this: the last thing to do.
  void raise(unsigned events) noexcept {
    ready_ |= events;
    if (sink_ != nullptr) sink_->on_event(*this, events);
  }

 private:
  EventSink* sink_ = nullptr;
  unsigned ready_ = kReadable | kWritable;
};

}  // namespace weir::io

#endif  // WEIR_IO_STREAM_H_
