// Randomness, handed in: a small seeded generator, so that the same seed gives the same run.
//
// xoshiro256** (Blackman and Vigna 2018), seeded through SplitMix64. Satisfies UniformRandomBitGenerator. Not for
// secrets: tokens and keys come from the operating system (base::random_seed() reads it once, to seed).
// Not thread-safe; each worker owns one.
#ifndef WEIR_BASE_RANDOM_H_
#define WEIR_BASE_RANDOM_H_

#include <array>
#include <bit>
#include <cstdint>
#include <limits>

namespace weir::base {

class Random {
 public:
  using result_type = std::uint64_t;

  explicit constexpr Random(std::uint64_t seed) noexcept : state_{} {
    for (auto& word : state_) {
      seed += 0x9e3779b97f4a7c15ULL;
      std::uint64_t z = seed;
      z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
      z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
      word = z ^ (z >> 31);
    }
  }

  static constexpr result_type min() noexcept { return 0; }
  static constexpr result_type max() noexcept { return std::numeric_limits<result_type>::max(); }

  constexpr result_type operator()() noexcept {
    const std::uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
    const std::uint64_t t = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= t;
    state_[3] = std::rotl(state_[3], 45);
    return result;
  }

  // Uniform in [0, bound); 0 for bound 0. Lemire's multiply-shift: the bias is below bound / 2^64.
  constexpr std::uint64_t below(std::uint64_t bound) noexcept {
    const std::uint64_t x = (*this)();
    // Product of two 64-bit numbers, high half, without __int128 (which -Wpedantic refuses).
    const std::uint64_t xl = x & 0xffffffffU, xh = x >> 32, bl = bound & 0xffffffffU, bh = bound >> 32;
    const std::uint64_t mid = (xl * bl >> 32) + (xh * bl & 0xffffffffU) + xl * bh;
    return xh * bh + (xh * bl >> 32) + (mid >> 32);
  }

  // True with probability numerator / denominator.
  constexpr bool chance(std::uint64_t numerator, std::uint64_t denominator) noexcept {
    return below(denominator) < numerator;
  }

 private:
  std::array<std::uint64_t, 4> state_;
};

// 64 bits from the operating system (getrandom).
std::uint64_t random_seed() noexcept;

}  // namespace weir::base

#endif  // WEIR_BASE_RANDOM_H_
