// Any bytes as the fields that decide what is kept: an answer is never stored without time to live, and nothing crashes.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "weir/base/check.h"
#include "weir/cache/http_rules.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace weir;
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  const auto line = [&rest] {
    const std::string_view taken = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(taken.size() == rest.size() ? taken.size() : taken.size() + 1);
    return taken;
  };
  http::Fields fields;
  for (const std::string_view name : {"Cache-Control", "Expires", "Date", "Age", "Vary", "CDN-Cache-Control",
                                      "If-None-Match", "If-Modified-Since"}) {
    const std::string_view value = line();
    if (!value.empty()) fields.add({name, value, http::parse_name(name), false});
  }
  cache::AnswerContext context;
  context.now = WallTime{std::chrono::seconds{1'750'000'000}};
  context.authorized = size % 2 == 0;
  const cache::AnswerRules rules = cache::judge_answer(200, fields, context);
  WEIR_CHECK(!rules.store || (rules.age >= Duration{} && rules.age < rules.lifetime));
  const auto names = cache::vary_names(fields);
  WEIR_CHECK(!names || names->size() <= 32);
  static_cast<void>(cache::judge_request(fields));
  static_cast<void>(cache::is_not_modified(fields, "\"a\"", "Sun, 06 Nov 1994 08:49:37 GMT", 1'750'000'000));
  return 0;
}
