// Any bytes as a token: the verifier answers, and accepts none that its key did not sign.
#include <cstdlib>

#include "weir/passport/testing.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  using namespace weir::passport;
  static const auto key = Key::from_secret("a secret of thirty-two bytes....", Algorithm::hs256, "k").value();
  static const Verifier verifier({testing::provider_with({key}, {Algorithm::hs256})}, IdentityRules());
  const std::string_view token(reinterpret_cast<const char*>(data), size);
  if (verifier.verify(token, testing::wall()).reject == Reject::none) std::abort();
  Jws jws;
  parse_compact(token, JwsLimits(), jws);
  return 0;
}
