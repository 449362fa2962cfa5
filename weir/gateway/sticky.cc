#include "weir/gateway/sticky.h"

#include <algorithm>
#include <charconv>

#include "weir/base/base64.h"
#include "weir/base/hash.h"
#include "weir/base/strings.h"
#include "weir/gateway/experiments.h"

namespace weir::gateway {
namespace {

constexpr std::string_view kPurpose = "sticky";
constexpr std::size_t kAround = 11;  // two tabs, eight digits, the line's end

std::uint32_t unit_hash(std::string_view unit) noexcept { return base::fnv1a32(unit); }

}  // namespace

StickyMemory StickyMemory::read(std::string_view secret, std::string_view cookie) {
  StickyMemory memory;
  const Result<std::string> text = base::base64url_decode(verified_text(secret, kPurpose, cookie));
  if (!text) return memory;
  for (std::string_view rest = *text; !rest.empty();) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    const std::size_t first = line.find('\t');
    const std::size_t second = line.find('\t', first + 1);
    if (first == std::string_view::npos || second == std::string_view::npos) return {};
    Line& made = memory.lines_.emplace_back();
    made.key = line.substr(0, first);
    made.variant = line.substr(first + 1, second - first - 1);
    const char* end = line.data() + line.size();
    if (std::from_chars(line.data() + second + 1, end, made.unit, 16).ptr != end) return {};
  }
  return memory;
}

std::string_view StickyMemory::variant(std::string_view key, std::string_view unit) const noexcept {
  for (const Line& line : lines_)
    if (line.key == key) return line.unit == unit_hash(unit) ? std::string_view(line.variant) : "";
  return {};
}

std::size_t StickyMemory::bytes() const noexcept {
  std::size_t all = 0;
  for (const Line& line : lines_) all += line.key.size() + line.variant.size() + kAround;
  return all;
}

void StickyMemory::put(std::string_view key, std::string_view variant, std::string_view unit) {
  const std::uint32_t hash = unit_hash(unit);
  const auto found =
      std::find_if(lines_.begin(), lines_.end(), [&](const Line& line) { return line.key == key; });
  if (found != lines_.end() && found->variant == variant && found->unit == hash) return;
  const std::size_t freed = found == lines_.end() ? 0 : found->key.size() + found->variant.size() + kAround;
  if (bytes() - freed + key.size() + variant.size() + kAround > kLinesMax) return;
  Line& line = found != lines_.end() ? *found : lines_.emplace_back();
  line.key = key;
  line.variant = variant;
  line.unit = hash;
  changed_ = true;
}

std::string StickyMemory::sign(std::string_view secret) const {
  std::string text;
  for (const Line& line : lines_) {
    char digits[8] = {};
    for (std::size_t i = 0; i < 8; ++i) digits[i] = "0123456789abcdef"[line.unit >> (28 - 4 * i) & 15];
    text.append(line.key).append("\t").append(line.variant).append("\t").append(digits, 8).append("\n");
  }
  return sign_text(secret, kPurpose, base::base64url_encode(text));
}

}  // namespace weir::gateway
