// What units were given before, in a signed cookie of theirs: for experiments with `sticky: true`.
//
// The cookie's value is base64url of lines "key TAB variant TAB unit", and a signature. The unit stands there as a
// hash, so that nobody takes up what another user of the same browser was given. The memory only says what was; whether
// it still counts is the engine's to decide, which asks time, targeting and coverage first. Bounded by what browsers
// keep; what finds no room is computed anew each time, like everything without a memory.
//
// One request, one thread.
#ifndef WEIR_GATEWAY_STICKY_H_
#define WEIR_GATEWAY_STICKY_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace weir::gateway {

class StickyMemory {
 public:
  // Of lines. In base64url with signature and attributes it stays below the 4096 bytes of RFC 6265 6.1.
  static constexpr std::size_t kLinesMax = 2'800;

  // Empty when the signature is wrong or the text is none of ours.
  static StickyMemory read(std::string_view secret, std::string_view cookie);

  // What this unit was given for the key; "" when nothing is known. The view is good until the next put().
  std::string_view variant(std::string_view key, std::string_view unit) const noexcept;
  // In place of whatever stood there for the key, for whichever unit. Without room nothing changes.
  void put(std::string_view key, std::string_view variant, std::string_view unit);
  // Lets go of keys for which `gone(key)` says so.
  template <class Gone>
  void forget(Gone&& gone) {
    changed_ |= std::erase_if(lines_, [&](const Line& line) { return gone(std::string_view(line.key)); }) > 0;
  }
  // The cookie has to be sent again.
  bool changed() const noexcept { return changed_; }
  std::string sign(std::string_view secret) const;

 private:
  struct Line {
    std::string key;
    std::string variant;
    std::uint32_t unit = 0;
  };
  std::size_t bytes() const noexcept;

  std::vector<Line> lines_;  // a few dozen at most: looked through in order
  bool changed_ = false;
};

}  // namespace weir::gateway

#endif  // WEIR_GATEWAY_STICKY_H_
