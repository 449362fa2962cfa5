// Any bytes as a key set: it is refused or read, and whatever was read can be used.
#include <string_view>

#include "weir/passport/jwk.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  using namespace weir::passport;
  KeySet::Options options;
  options.symmetric = size % 2 == 0;
  const auto set = KeySet::parse(std::string_view(reinterpret_cast<const char*>(data), size), options);
  if (set)
    for (const auto& key : set->keys()) (void)key->verify("input", "signature");
  return 0;
}
