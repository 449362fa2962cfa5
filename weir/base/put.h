// Copying short texts behind each other: heads of messages and lines of logs are made of pieces that are nearly all
// shorter than 64 bytes, and two overlapping words cost less than a call of memcpy.
#ifndef WEIR_BASE_PUT_H_
#define WEIR_BASE_PUT_H_

#include <array>
#include <cstddef>
#include <cstring>
#include <string_view>

namespace weir::base {

namespace internal {

// A text of N to 2 N bytes, as its first and its last N.
template <std::size_t N>
void copy_ends(char* to, std::string_view text) noexcept {
  std::array<char, N> head;
  std::array<char, N> tail;
  std::memcpy(head.data(), text.data(), N);
  std::memcpy(tail.data(), text.data() + text.size() - N, N);
  std::memcpy(to, head.data(), N);
  std::memcpy(to + text.size() - N, tail.data(), N);
}

}  // namespace internal

// Copies `text` and says where the copy ends. `to` has room for it and does not overlap it. An empty text may be a
// null view.
[[gnu::always_inline]] inline char* put(char* to, std::string_view text) noexcept {
  const std::size_t n = text.size();
  if (n > 64) {
    std::memcpy(to, text.data(), n);
  } else if (n >= 32) {
    internal::copy_ends<32>(to, text);
  } else if (n >= 16) {
    internal::copy_ends<16>(to, text);
  } else if (n >= 8) {
    internal::copy_ends<8>(to, text);
  } else if (n >= 4) {
    internal::copy_ends<4>(to, text);
  } else if (n > 0) {
    to[0] = text[0], to[n / 2] = text[n / 2], to[n - 1] = text[n - 1];
  }
  return to + n;
}

}  // namespace weir::base

#endif  // WEIR_BASE_PUT_H_
