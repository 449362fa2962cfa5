// ExportQueue: encoded spans on their way to a collector, bounded in number and bytes.
//
// When it is full, new spans are dropped and counted; nobody ever waits for a collector. One thread: each worker has its
// own, so no line of memory is shared and no lock is taken.
//
//   trace::ExportQueue queue({}, trace::Encoding::protobuf);
//   queue.add(span);                                       // where a span ends
//   if (std::size_t n = queue.batch(resource, body)) ...   // up to 512 of the oldest, as a request's body
//   queue.pop(n);                                          // they were taken, or given up
//
// add() encodes into the queue's own buffer: no allocation once that has its size.
#ifndef WEIR_TRACE_EXPORT_QUEUE_H_
#define WEIR_TRACE_EXPORT_QUEUE_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>

#include "weir/trace/otlp.h"

namespace weir::trace {

class ExportQueue {
 public:
  // Numbers of OpenTelemetry's batch processor; the bytes are ours: 2048 spans of a kilobyte and a half.
  struct Options {
    std::size_t spans_max = 2048;
    std::size_t bytes_max = 3 * 1024 * 1024;
    std::size_t batch_max = 512;
  };

  ExportQueue(const Options& options, Encoding encoding) : options_(options), encoding_(encoding) {}

  // False: full, the span was dropped and counted.
  bool add(const Span& span);
  // Writes the oldest up to batch_max spans into `body`; returns how many. They stay until pop().
  std::size_t batch(std::span<const std::pair<std::string, std::string>> resource, std::string& body) const;
  void pop(std::size_t spans) noexcept;

  std::size_t size() const noexcept { return sizes_.size(); }
  bool batch_ready() const noexcept { return sizes_.size() >= options_.batch_max; }
  std::uint64_t dropped() const noexcept { return dropped_; }
  void count_dropped(std::uint64_t spans) noexcept { dropped_ += spans; }
  Encoding encoding() const noexcept { return encoding_; }

 private:
  Options options_;
  Encoding encoding_;
  std::string bytes_;  // encoded spans, oldest first, from begin_ on
  std::size_t begin_ = 0;
  std::deque<std::uint32_t> sizes_;
  std::uint64_t dropped_ = 0;
};

}  // namespace weir::trace

#endif  // WEIR_TRACE_EXPORT_QUEUE_H_
