// Encoded spans in one string, their sizes beside it.
//
//   (1) bytes_[begin_, end) are the spans that wait, sizes_ their lengths in order.
//   (2) pop() moves begin_ on; the front is cut off when it is half of the string, so each byte moves once at most for
//       each byte that was popped.
#include "weir/trace/export_queue.h"

#include <algorithm>

#include "weir/base/check.h"

namespace weir::trace {

bool ExportQueue::add(const Span& span) {
  if (sizes_.size() >= options_.spans_max || bytes_.size() - begin_ >= options_.bytes_max) {
    ++dropped_;
    return false;
  }
  const std::size_t before = bytes_.size();
  append_span(encoding_, span, bytes_);
  sizes_.push_back(static_cast<std::uint32_t>(bytes_.size() - before));
  return true;
}

std::size_t ExportQueue::batch(std::span<const std::pair<std::string, std::string>> resource,
                               std::string& body) const {
  const std::size_t count = std::min(sizes_.size(), options_.batch_max);
  body.clear();
  if (count == 0) return 0;
  BatchWriter writer(encoding_, resource, body);
  std::size_t at = begin_;
  for (std::size_t i = 0; i < count; ++i) {
    writer.add(std::string_view(bytes_).substr(at, sizes_[i]));
    at += sizes_[i];
  }
  writer.finish();
  return count;
}

void ExportQueue::pop(std::size_t spans) noexcept {
  WEIR_CHECK(spans <= sizes_.size());
  for (std::size_t i = 0; i < spans; ++i) {
    begin_ += sizes_.front();
    sizes_.pop_front();
  }
  if (begin_ * 2 < bytes_.size()) return;
  bytes_.erase(0, begin_);
  begin_ = 0;
}

}  // namespace weir::trace
