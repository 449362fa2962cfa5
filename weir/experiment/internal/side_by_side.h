// FNV-1a of one text from many states at once: the salts of all experiments on a route, over the same unit.
//
// One chain is a multiplication after another, each waiting for the last (3 to 4 cycles a byte); chains do not wait for
// each other, so many cost little more than one. Eight to a register where the processor has AVX2, else side by side in
// plain registers. 50 chains over 36 bytes: about 0.3 us in place of 1.
#ifndef WEIR_EXPERIMENT_INTERNAL_SIDE_BY_SIDE_H_
#define WEIR_EXPERIMENT_INTERNAL_SIDE_BY_SIDE_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace weir::experiment::internal {

// States are taken in blocks of so many; a caller pads with anything.
inline constexpr std::size_t kSideBySide = 8;

// Each state becomes base::fnv1a32(text, state). Their number is a multiple of kSideBySide.
void fnv1a32_side_by_side(std::string_view text, std::span<std::uint32_t> states) noexcept;
// The same without the processor's help: what the other must equal.
void fnv1a32_side_by_side_plain(std::string_view text, std::span<std::uint32_t> states) noexcept;

}  // namespace weir::experiment::internal

#endif  // WEIR_EXPERIMENT_INTERNAL_SIDE_BY_SIDE_H_
