// Any bytes as Idempotency-Key: a key is 1 to 255 visible characters, and quoting it gives the same key.
#include <cstdlib>

#include "weir/passport/idempotency.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  using namespace weir::passport;
  const auto key = parse_idempotency_key(std::string_view(reinterpret_cast<const char*>(data), size));
  if (!key) return 0;
  if (key->empty() || key->size() > 255) std::abort();
  std::string quoted = "\"";
  for (const char c : *key) {
    if (c <= 0x20 || c >= 0x7f) std::abort();
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  const auto again = parse_idempotency_key(quoted + '"');
  if (!again || *again != *key) std::abort();
  return 0;
}
