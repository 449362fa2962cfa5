// Texts that conditions compare as something else: versions and moments.
//
// Both are parsed at every evaluation for attributes (about 15 ns) and once for what a rule names. No
// allocation.
#ifndef WEIR_EXPERIMENT_INTERNAL_SCALARS_H_
#define WEIR_EXPERIMENT_INTERNAL_SCALARS_H_

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace weir::experiment::internal {

// SemVer 2.0.0. A leading "v" and a missing minor or patch are allowed, since that is what applications send;
// the build part is read over.
struct Version {
  std::array<std::uint64_t, 3> numbers{};
  std::string_view prerelease;  // view into the text
};
std::optional<Version> parse_version(std::string_view text) noexcept;
// SemVer 2.0.0 section 11: negative, zero or positive.
int compare(const Version& a, const Version& b) noexcept;

// RFC 3339 ("2026-01-31T08:00:00Z", any offset, fraction dropped below the millisecond; also a date alone, at
// midnight UTC) to milliseconds since 1970. Years 1970 to 9999.
std::optional<std::int64_t> parse_time_ms(std::string_view text) noexcept;

// "3", "-0.5", "1e3": the whole text, as JSON writes numbers.
std::optional<double> parse_number(std::string_view text) noexcept;

}  // namespace weir::experiment::internal

#endif  // WEIR_EXPERIMENT_INTERNAL_SCALARS_H_
