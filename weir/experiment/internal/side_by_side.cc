#include "weir/experiment/internal/side_by_side.h"

#include <array>
#include <cstring>

#include "weir/base/check.h"

namespace weir::experiment::internal {
namespace {

constexpr std::uint32_t kPrime = 0x01000193U;

void eight_plain(std::string_view text, std::uint32_t* states) noexcept {
  std::array<std::uint32_t, kSideBySide> s;
  std::memcpy(s.data(), states, sizeof s);
  for (const char c : text)
    for (std::uint32_t& state : s) state = (state ^ static_cast<std::uint8_t>(c)) * kPrime;
  std::memcpy(states, s.data(), sizeof s);
}

#if defined(__x86_64__)
using Eight = std::uint32_t __attribute__((vector_size(32)));

// A multiplication of eight takes ten cycles, and two begin in each: eight registers keep it busy.
template <std::size_t kRegisters>
[[gnu::target("avx2")]] void blocks(std::string_view text, std::uint32_t* states) noexcept {
  Eight s[kRegisters];
  for (std::size_t i = 0; i < kRegisters; ++i) std::memcpy(&s[i], states + 8 * i, sizeof s[i]);
  for (const char c : text) {
    const std::uint32_t byte = static_cast<std::uint8_t>(c);
    for (std::size_t i = 0; i < kRegisters; ++i) s[i] = (s[i] ^ byte) * kPrime;
  }
  for (std::size_t i = 0; i < kRegisters; ++i) std::memcpy(states + 8 * i, &s[i], sizeof s[i]);
}
#endif

}  // namespace

void fnv1a32_side_by_side_plain(std::string_view text, std::span<std::uint32_t> states) noexcept {
  for (; states.size() >= kSideBySide; states = states.subspan(kSideBySide)) eight_plain(text, states.data());
}

void fnv1a32_side_by_side(std::string_view text, std::span<std::uint32_t> states) noexcept {
  WEIR_DCHECK(states.size() % kSideBySide == 0);
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2")) {
    for (; states.size() >= 64; states = states.subspan(64)) blocks<8>(text, states.data());
    if (states.size() >= 32) {
      blocks<4>(text, states.data());
      states = states.subspan(32);
    }
    for (; states.size() >= 8; states = states.subspan(8)) blocks<1>(text, states.data());
    return;
  }
#endif
  fnv1a32_side_by_side_plain(text, states);
}

}  // namespace weir::experiment::internal
