// Base64 (RFC 4648 section 4, padded) and base64url (section 5, unpadded), strict both ways.
//
// Decoding accepts exactly what encoding produces: no white space, no foreign alphabet, padding where it belongs
// (section 3.2), and zero trailing bits (section 3.5). Two texts that decode to the same bytes are therefore equal,
// which caches and signatures rely on. Linear time, one allocation for the result.
#ifndef WEIR_BASE_BASE64_H_
#define WEIR_BASE_BASE64_H_

#include <cstddef>
#include <string>
#include <string_view>

#include "weir/base/result.h"

namespace weir::base {

std::string base64_encode(std::string_view bytes);
std::string base64url_encode(std::string_view bytes);

// Error malformed, with the offset of the first wrong character in `detail`.
Result<std::string> base64_decode(std::string_view text);
Result<std::string> base64url_decode(std::string_view text);

constexpr std::size_t base64_encoded_size(std::size_t bytes) noexcept { return (bytes + 2) / 3 * 4; }

}  // namespace weir::base

#endif  // WEIR_BASE_BASE64_H_
