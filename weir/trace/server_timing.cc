// One header value, written by its grammar: metric-name *( ";" param ). Numbers have one decimal place: the field is
// for people, and finer times would tell a stranger more about a service than he needs.
#include "weir/trace/server_timing.h"

#include <algorithm>

#include "weir/base/strings.h"

namespace weir::trace {
namespace {

bool is_token_char(char c) noexcept {
  return base::is_alpha(c) || base::is_digit(c) || c == '_' || c == '-' || c == '.';
}

}  // namespace

void append_server_timing(std::string& out, std::string_view name, Duration took,
                          std::string_view description) {
  if (!out.empty()) out.append(", ");
  if (name.empty()) out.push_back('_');
  for (const char c : name) out.push_back(is_token_char(c) ? c : '_');
  const auto tenths =
      std::max<std::int64_t>(0, std::chrono::floor<std::chrono::microseconds>(took).count() / 100);
  out.append(";dur=").append(std::to_string(tenths / 10)).push_back('.');
  out.push_back(static_cast<char>('0' + tenths % 10));
  if (description.empty()) return;
  out.append(";desc=\"");
  for (const char c : description) {
    if (c < 0x20 || c > 0x7e)
      continue;  // a quoted string of RFC 9110 has no controls; a log line needs no more
    if (c == '"' || c == '\\') out.push_back('\\');
    out.push_back(c);
  }
  out.push_back('"');
}

}  // namespace weir::trace
