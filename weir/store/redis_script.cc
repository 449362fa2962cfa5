#include <openssl/evp.h>

#include <array>
#include <utility>

#include "weir/base/check.h"
#include "weir/store/redis_reply.h"

namespace weir::store {

RedisScript::RedisScript(std::string source) : source_(std::move(source)) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned length = 0;
  // Fails only without memory or without SHA-1 in the library, and then no script can be named.
  WEIR_CHECK(EVP_Digest(source_.data(), source_.size(), digest.data(), &length, EVP_sha1(), nullptr) == 1);
  static constexpr std::string_view kHex = "0123456789abcdef";
  for (unsigned i = 0; i < length; ++i) {
    sha1_.push_back(kHex[digest[i] >> 4]);
    sha1_.push_back(kHex[digest[i] & 15]);
  }
}

}  // namespace weir::store
