// Any bytes as X-Passport: what is read begins with user_id and, written again, reads the same.
#include <cstdlib>

#include "weir/base/base64.h"
#include "weir/passport/passport.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  using namespace weir;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const passport::Reader reader;
  for (const std::string& header : {std::string(bytes), base::base64_encode(bytes)}) {
    const auto passport = reader.read(header, WallTime{});
    if (!passport) continue;
    const auto again = reader.read(base::base64_encode(passport->members.to_text()), WallTime{});
    if (passport->members.members().front().name != "user_id") std::abort();
    if (again && !(again->members == passport->members)) std::abort();
  }
  return 0;
}
