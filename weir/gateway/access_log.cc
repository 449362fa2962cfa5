#include "weir/gateway/access_log.h"

#include <array>
#include <charconv>

#include "weir/gateway/plan.h"

namespace weir::gateway {
namespace {

constexpr std::size_t kTextMax = 1024;  // of a path or user agent: enough to recognise, not enough to fill a disk

void append_text(std::string& out, std::string_view name, std::string_view text) {
  out.append(",\"").append(name).append("\":\"");
  base::append_json_escaped(out, text.substr(0, kTextMax));
  out.push_back('"');
}

void append_number(std::string& out, std::string_view name, std::int64_t value) {
  std::array<char, 24> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
  out.append(",\"").append(name).append("\":").append(digits.data(), end);
}

std::int64_t microseconds(Duration duration) {
  return std::chrono::duration_cast<std::chrono::microseconds>(duration).count();
}

}  // namespace

void append_access_line(std::string& out, Exchange& exchange, Duration took) {
  const Record& record = exchange.record;
  out.append(R"({"time":")");
  exchange.worker.append_time(out);
  out.push_back('"');
  append_text(out, "id", exchange.id);
  append_text(out, "method", exchange.request.method_text);
  append_text(out, "path", exchange.path.empty() ? exchange.request.path : exchange.path);
  append_text(out, "route", exchange.route == nullptr ? "-" : std::string_view(exchange.route->options.name));
  append_number(out, "status", record.client_gone ? 499 : record.status);
  append_text(out, "stage", record.stage);
  append_text(out, "reason", describe(record.problem).name);
  append_text(out, "upstream", record.upstream.empty() ? "-" : record.upstream);
  append_number(out, "attempts", record.attempts);
  append_number(out, "duration_us", microseconds(took));
  out.append(",\"client\":\"").append(exchange.client_text()).push_back('"');
  append_number(out, "upstream_us", microseconds(record.upstream_time));
  append_number(out, "bytes_in", static_cast<std::int64_t>(exchange.downstream->body_received()));
  append_number(out, "bytes_out", static_cast<std::int64_t>(exchange.downstream->bytes_sent()));
  append_text(out, "user_agent", exchange.request.fields.value(http::Name::user_agent));
  out.push_back('}');
}

}  // namespace weir::gateway
