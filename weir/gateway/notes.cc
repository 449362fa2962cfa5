#include "weir/gateway/notes.h"

namespace weir::gateway {

Note& Notes::add_more(Note::Kind kind, std::uint32_t code, std::uint32_t index) noexcept {
  // Where nothing fits any more the last place is written again: who writes a note need not know.
  if (count_ == kMost) ++lost_;
  Note& note = items_[count_ == kMost ? kMost - 1 : count_++];
  note.head = Note::make_head(kind, code, index);
  return note;
}

void Notes::drop_attempt() noexcept {
  for (std::uint32_t i = count_; i-- > 0;) {
    if (items_[i].kind() != Note::Kind::attempt) continue;
    std::copy(items_.begin() + i + 1, items_.begin() + count_, items_.begin() + i);
    --count_;
    return;
  }
  fixed_taken_ &= ~(1U << static_cast<std::uint32_t>(Note::Kind::attempt));
}

const Note* Notes::find(Note::Kind kind) const noexcept {
  const Note* found = nullptr;
  each(kind, [&](const Note& note) {
    if (found == nullptr) found = &note;
  });
  return found;
}

Attempt attempt_of(const Note& note) noexcept {
  Attempt attempt;
  attempt.upstream = note.index();
  attempt.bits = note.code();
  attempt.endpoint = note.n[0] >> 16;
  attempt.status = note.n[0] & 0xffff;
  attempt.error = static_cast<std::uint8_t>(note.n[1]);
  attempt.outcome = static_cast<std::uint8_t>(note.n[1] >> 8);
  attempt.start = note.n[2];
  attempt.connect = note.n[3];
  attempt.first_byte = note.n[4];
  attempt.total = note.n[5];
  return attempt;
}

}  // namespace weir::gateway
