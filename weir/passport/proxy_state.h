// X-Proxy-State: what caches behind the gate may vary on, in one short header.
//
// base64 of `status:sub:country:platform`, always three colons. Each field but sub comes from a closed set, so the
// number of values stays small; sub is a subscription where the claims have one, and the subject where not. That
// direction is the safe one: a value per user wastes cache, a value shared by users who differ leaks.
//
//   ProxyStateRules rules(options);
//   ProxyState state = rules.derive(claims);
//   state.encode();     // active, user_123, US, web: "YWN0aXZlOnVzZXJfMTIzOlVTOndlYg=="
//
// Pure values; const access from any thread. derive() and encode() allocate and run once a verified token.
#ifndef WEIR_PASSPORT_PROXY_STATE_H_
#define WEIR_PASSPORT_PROXY_STATE_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "weir/base/clock.h"
#include "weir/passport/json.h"

namespace weir::passport {

using ClaimPath =
    std::vector<std::string>;  // names from the outside in; a claim's name may hold dots and slashes

struct ProxyState {
  std::string status = "anonymous";
  std::string sub;
  std::string country = "ZZ";
  std::string platform = "other";

  // Fields joined; `%`, `:`, controls and non-ASCII in a field as %XX (upper case), so that no claim shifts a field.
  std::string plain() const;
  // base64 (RFC 4648 4, padded) of plain().
  std::string encode() const;
  friend bool operator==(const ProxyState&, const ProxyState&) = default;
};

class ProxyStateRules {
 public:
  struct Options {
    ClaimPath status{"status"};
    std::vector<ClaimPath> sub{{"subscription"}, {"subscription_tier"}, {"plan"}, {"sub"}};
    ClaimPath country{"country"};
    ClaimPath platform{"platform"};
  };

  ProxyStateRules() = default;
  explicit ProxyStateRules(Options options) : options_(std::move(options)) {}

  // Of a verified token's claims. A missing status is `active`; a value outside a set becomes `other` or `ZZ`.
  ProxyState derive(const Json& claims) const;
  const Options& options() const noexcept { return options_; }

 private:
  Options options_;
};

// Two capital letters, or "ZZ".
std::string_view normal_country(std::string_view text) noexcept;

// About how many different values were seen in the current and the last window; to warn when sub turns out to be a
// value per user. HyperLogLog (Flajolet et al. 2007) with 1024 registers: within about 3 %, 2 KiB. Thread-safe.
class DistinctEstimate {
 public:
  void add(std::uint64_t hash, TimePoint now) noexcept;
  double estimate() const noexcept;
  static constexpr Duration kWindow = std::chrono::minutes{5};

 private:
  static constexpr std::size_t kRegisters = 1024;
  using Registers = std::array<std::atomic<std::uint8_t>, kRegisters>;
  static double count(const Registers& registers) noexcept;

  std::array<Registers, 2> windows_{};
  std::atomic<std::size_t> current_{0};
  std::atomic<Duration::rep> window_ends_{0};
};

}  // namespace weir::passport

#endif  // WEIR_PASSPORT_PROXY_STATE_H_
