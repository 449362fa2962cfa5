// W3C Baggage: a caller's own pairs, carried along.
//
// Baggage is a peer's data on its way inward, so it is taken over from trusted peers only, and passed on within the
// bounds that the specification makes everybody keep: 64 members, 8192 bytes; above them whole members are left out,
// the last first, never a part of one.
//
//   trace::Baggage baggage = trace::Baggage::parse(values);
//   baggage.get("tenant");              // decoded; null when absent
//   std::string header = baggage.to_header();
//
// A malformed member is left out, the others stay. Not thread-safe. Linear in the text.
// Source: https://www.w3.org/TR/baggage/ section 3.
#ifndef WEIR_TRACE_BAGGAGE_H_
#define WEIR_TRACE_BAGGAGE_H_

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace weir::trace {

class Baggage {
 public:
  static constexpr std::size_t kMembersMax = 64;  // 3.3.2
  static constexpr std::size_t kBytesMax = 8192;

  struct Member {
    std::string key;
    std::string value;       // decoded; bytes that are not UTF-8 became U+FFFD
    std::string properties;  // as received, "a=1;b", without the leading semicolon; may be empty
  };

  // All values of the header, in their order.
  static Baggage parse(std::span<const std::string_view> values);

  const std::vector<Member>& members() const noexcept { return members_; }
  bool empty() const noexcept { return members_.empty(); }
  // The value of the first member with that key, or null.
  const std::string* get(std::string_view key) const noexcept;
  // Adds or replaces. False, and nothing changes, for a key that is no token (RFC 9110 5.6.2).
  bool set(std::string_view key, std::string_view value);

  // The header's value; "" for none. At most kMembersMax members and kBytesMax bytes.
  std::string to_header() const;

 private:
  std::vector<Member> members_;
};

}  // namespace weir::trace

#endif  // WEIR_TRACE_BAGGAGE_H_
