// Any bytes as a request. The first byte says where they are cut.
//
//   (1) Cut or whole, the verdict and the understanding are the same.
//   (2) What is accepted, the slow twin accepts too, with the same body and the same end.
//   (3) What is understood, written anew and read again, is what was understood.
#include <cstdint>
#include <string>

#include "weir/base/check.h"
#include "weir/http/serializer.h"
#include "weir/http/testing/plain_reader.h"
#include "weir/http/testing/read_message.h"

namespace {

using weir::http::Field;
using weir::http::Parse;

void check_rewritten(std::string_view bytes) {
  weir::http::RequestParser parser;
  weir::http::RequestHead head;
  if (parser.parse(bytes, head) != Parse::done || head.method == weir::http::Method::connect) return;
  weir::http::HeadBuffer out;
  weir::http::append_request_line(out, head.method_text, head.path, head.query, head.has_query);
  for (const Field& field : head.fields)
    if (!field.hop_by_hop && field.id != weir::http::Name::content_length)
      weir::http::append_field(out, field.name, field.value);
  if (!head.fields.has(weir::http::Name::host)) weir::http::append_field(out, "host", "a");
  weir::http::append_framing(out, head.body, head.content_length);
  weir::http::end_head(out);

  weir::http::RequestParser again;
  weir::http::RequestHead written;
  WEIR_CHECK(again.parse(out.view(), written) == Parse::done);
  WEIR_CHECK(again.consumed() == out.size());
  WEIR_CHECK(written.method_text == head.method_text && written.path == head.path);
  WEIR_CHECK(written.query == head.query && written.has_query == head.has_query);
  WEIR_CHECK(written.body == head.body && written.content_length == head.content_length);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const weir::http::testing::Reading whole = weir::http::testing::read_request(bytes);
  const std::size_t cut = data[0] * bytes.size() / 256;
  WEIR_CHECK(weir::http::testing::read_request(bytes, {cut}) == whole);
  WEIR_CHECK(whole.used <= bytes.size());
  if (whole.outcome == weir::http::testing::Outcome::complete) {
    const auto twin = weir::http::testing::plain_request(bytes);
    WEIR_CHECK(twin.has_value());
    WEIR_CHECK(twin->used == whole.used && twin->body == whole.body);
  }
  check_rewritten(bytes);
  return 0;
}
