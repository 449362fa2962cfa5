#include "weir/upstream/body_window.h"

#include <cstring>

#include "weir/base/check.h"

namespace weir::upstream {

// Offsets are from the start of the block; the Buffer's own begin and end are set again in finish().
const char* BodyWindow::base() const noexcept { return buffer_ == nullptr ? nullptr : buffer_->block(); }
char* BodyWindow::base() noexcept { return buffer_ == nullptr ? nullptr : buffer_->block(); }

void BodyWindow::start(io::Buffer& buffer, http::BodyKind kind, std::uint64_t length,
                       const http::ParserLimits& limits, bool keep_head) {
  buffer_ = &buffer;
  decoder_.start(kind, length, limits);
  payload_begin_ = payload_end_ = raw_begin_ = buffer.begin_offset();
  raw_end_ = raw_begin_ + buffer.size();
  floor_ = keep_head ? raw_begin_ : 0;
  received_ = 0;
  state_ = decoder_.done() ? State::done : State::open;
}

std::span<char> BodyWindow::room() {
  if (buffer_->capacity() == 0) {  // no block yet: everything is empty
    static_cast<void>(buffer_->room());
    payload_begin_ = payload_end_ = raw_begin_ = raw_end_ = floor_ = 0;
  }
  if (raw_begin_ == raw_end_ && payload_begin_ == payload_end_) {
    payload_begin_ = payload_end_ = raw_begin_ = raw_end_ = floor_;
  } else if (raw_end_ == buffer_->capacity()) {
    // Full: close the gaps in front of the payload and between payload and raw bytes.
    const std::size_t payload_size = payload_end_ - payload_begin_;
    const std::size_t raw_size = raw_end_ - raw_begin_;
    std::memmove(base() + floor_, base() + payload_begin_, payload_size);
    std::memmove(base() + floor_ + payload_size, base() + raw_begin_, raw_size);
    payload_begin_ = floor_;
    payload_end_ = raw_begin_ = floor_ + payload_size;
    raw_end_ = raw_begin_ + raw_size;
  }
  return {base() + raw_end_, buffer_->capacity() - raw_end_};
}

BodyWindow::State BodyWindow::added(std::size_t n) {
  raw_end_ += n;
  return decode();
}

BodyWindow::State BodyWindow::decode() {
  while (state_ == State::open) {
    const http::BodyDecoder::Step step = decoder_.next({base() + raw_begin_, raw_end_ - raw_begin_});
    if (!step.data.empty()) {
      char* to = base() + payload_end_;
      if (step.data.data() != to) std::memmove(to, step.data.data(), step.data.size());
      payload_end_ += step.data.size();
      received_ += step.data.size();
    }
    raw_begin_ += step.consumed;
    if (step.state == http::BodyDecoder::State::done) state_ = State::done;
    if (step.state == http::BodyDecoder::State::error) state_ = State::failed;
    if (step.state == http::BodyDecoder::State::need_more) break;
  }
  return state_;
}

BodyWindow::State BodyWindow::end_of_input() {
  if (state_ == State::open)
    state_ = decoder_.end_of_input() == http::BodyDecoder::State::done ? State::done : State::failed;
  return state_;
}

void BodyWindow::finish() noexcept {
  if (buffer_ == nullptr) return;
  buffer_->set_window(raw_begin_, raw_end_);
  buffer_ = nullptr;
}

bool BodyWindow::grow() {
  WEIR_DCHECK(floor_ == 0);
  buffer_->set_window(0, raw_end_);  // grow() copies up to the end of the bytes
  return buffer_->grow();
}

}  // namespace weir::upstream
