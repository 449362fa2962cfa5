// Any bytes as an answer whose sender then closes. The first byte says where they are cut and what was asked.
//
//   (1) Cut or whole, the verdict and the understanding are the same.
//   (2) What is accepted, the slow twin accepts too, with the same body and the same end.
#include <cstdint>
#include <string>

#include "weir/base/check.h"
#include "weir/http/testing/plain_reader.h"
#include "weir/http/testing/read_message.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using weir::http::Method;
  using weir::http::testing::read_response;
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const Method method = data[0] % 8 == 0 ? Method::head : Method::get;
  const weir::http::testing::Reading whole = read_response(bytes, method, true);
  const std::size_t cut = data[0] * bytes.size() / 256;
  WEIR_CHECK(read_response(bytes, method, true, {cut}) == whole);
  WEIR_CHECK(whole.used <= bytes.size());
  if (whole.outcome == weir::http::testing::Outcome::complete) {
    const auto twin = weir::http::testing::plain_response(bytes, method == Method::head);
    WEIR_CHECK(twin.has_value());
    WEIR_CHECK(twin->used == whole.used && twin->body == whole.body);
  }
  return 0;
}
