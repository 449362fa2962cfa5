#include "examples/services/answers.h"

#include <algorithm>
#include <array>
#include <optional>

#include "weir/base/strings.h"
#include "weir/http/serializer.h"
#include "weir/http/uri.h"

namespace weir::examples {
namespace {

constexpr std::uint64_t kSleepMax = 60'000;
constexpr std::uint64_t kFreshMax = 86'400;
constexpr std::uint64_t kBytesMax = 1024 * 1024;

// Whatever a gateway adds for the services behind it.
constexpr std::array<std::string_view, 8> kShown{"x-request-id",  "traceparent", "x-forwarded-for",
                                                 "forwarded",     "x-passport",  "x-proxy-state",
                                                 "x-experiments", "x-flags"};

std::optional<std::uint64_t> number(const Request& request, std::string_view name) {
  const std::optional<std::string_view> text = http::query_parameter(request.query, name);
  return text ? base::parse_u64(*text) : std::nullopt;
}

void append_member(std::string& json, std::string_view name, std::string_view value) {
  if (json.back() != '{') json += ", ";
  json += '"';
  base::append_json_escaped(json, name);
  json += "\": \"";
  base::append_json_escaped(json, value);
  json += '"';
}

// "/users/42" has the segments users and 42. A leading version, as in /v1/users, does not count.
std::vector<std::string_view> segments(std::string_view path) {
  std::vector<std::string_view> all = base::split(path.substr(1), '/');
  if (!all.empty() && (all.front() == "v1" || all.front() == "v2")) all.erase(all.begin());
  std::erase(all, std::string_view{});
  return all;
}

// The service's own data; empty for a path that it does not know.
std::string data_of(const Request& request) {
  const std::vector<std::string_view> path = segments(request.path);
  const std::string_view kind = path.empty() ? std::string_view{} : path.front();
  const std::string_view id = path.size() > 1 ? path[1] : std::string_view{"1"};
  if (kind == "users") {
    std::string json = "{";
    append_member(json, "id", id);
    append_member(json, "name", "Ada Lovelace");
    append_member(json, "email", "ada@example.com");
    return json + "}";
  }
  if (kind == "orders") {
    return R"([{"id": "1001", "item": "difference engine", "cents": 129900}, )"
           R"({"id": "1002", "item": "punched cards", "cents": 990}])";
  }
  if (kind == "recs") {
    static constexpr std::array<std::string_view, 5> kItems{"loom", "abacus", "slide rule", "telegraph",
                                                            "orrery"};
    const std::size_t count = std::min<std::uint64_t>(number(request, "n").value_or(3), kItems.size());
    std::string json = "[";
    for (std::size_t i = 0; i < count; ++i)
      json.append(i == 0 ? "\"" : ", \"").append(kItems[i]).append("\"");
    return json + "]";
  }
  if (kind == "health") return R"("ok")";
  return "";
}

}  // namespace

Request::Request(const http::RequestHead& head)
    : method(head.method_text),
      path(head.path),
      query(head.query),
      head_only(head.method == http::Method::head),
      keep_alive(head.keep_alive) {
  for (const http::Field& field : head.fields)
    if (std::find(kShown.begin(), kShown.end(), base::to_lower(field.name)) != kShown.end())
      seen.emplace_back(base::to_lower(field.name), field.value);
}

Reply answer(std::string_view service, const Request& request) {
  Reply reply;
  reply.after = std::chrono::milliseconds(std::min(number(request, "sleep").value_or(0), kSleepMax));
  if (const auto bytes = number(request, "bytes")) {
    reply.content_type = "text/plain";
    reply.body.assign(std::min(*bytes, kBytesMax), 'x');
  } else {
    const std::string data = data_of(request);
    if (data.empty()) reply.status = 404;
    reply.body = "{";
    append_member(reply.body, "service", service);
    append_member(reply.body, "path", request.path);
    reply.body += ", \"data\": " + (data.empty() ? std::string("null") : data) + ", \"seen\": {";
    for (const auto& [name, value] : request.seen) append_member(reply.body, name, value);
    reply.body += "}}\n";
  }
  reply.fresh = std::min(number(request, "fresh").value_or(0), kFreshMax);
  const std::uint64_t status = number(request, "status").value_or(0);
  if (status >= 200 && status <= 599) reply.status = static_cast<int>(status);
  return reply;
}

std::string to_message(const Reply& reply, const Request& request) {
  const bool bodiless = reply.status == 204 || reply.status == 304;  // RFC 9110 15.3.5, 15.4.5
  http::HeadBuffer out;
  http::append_status_line(out, reply.status);
  if (!request.keep_alive) http::append_field(out, "connection", "close");
  if (!bodiless) {
    http::append_field(out, "content-type", reply.content_type);
    if (reply.fresh > 0)
      http::append_field(out, "cache-control", "public, max-age=" + std::to_string(reply.fresh));
    http::append_framing(out, http::BodyKind::length, reply.body.size());
  }
  http::end_head(out);
  if (!bodiless && !request.head_only) out.append(reply.body);
  return std::string(out.view());
}

}  // namespace weir::examples
