#include "weir/gateway/stages/cors.h"

#include <algorithm>

#include "weir/base/strings.h"
#include "weir/gateway/exchange.h"

namespace weir::gateway {
namespace {

std::string joined(const std::vector<std::string>& list) {
  std::string all;
  for (const std::string& item : list) all.append(all.empty() ? "" : ", ").append(item);
  return all;
}

}  // namespace

bool is_preflight(const http::RequestHead& request) noexcept {
  return request.method == http::Method::options && request.fields.has(http::Name::origin) &&
         request.fields.find("Access-Control-Request-Method") != nullptr;
}

bool origin_allowed(const std::vector<std::string>& origins, std::string_view origin) noexcept {
  return std::any_of(origins.begin(), origins.end(), [origin](std::string_view allowed) {
    if (allowed == "*" || allowed == origin) return true;
    const std::size_t star = allowed.find("://*.");
    if (star == std::string_view::npos) return false;
    const std::string_view scheme = allowed.substr(0, star + 3);
    const std::string_view below = allowed.substr(star + 4);  // ".example"
    return origin.starts_with(scheme) && origin.ends_with(below) &&
           origin.size() > scheme.size() + below.size();
  });
}

CorsStage::CorsStage(config::Cors cors) : cors_(std::move(cors)), expose_(joined(cors_.expose)) {
  any_ = std::find(cors_.origins.begin(), cors_.origins.end(), "*") != cors_.origins.end();
}

Verdict CorsStage::admit(Exchange& exchange) {
  // Also without an Origin: a cache must not give that answer to a page later.
  if (!any_) exchange.add_answer_field("Vary", "Origin", http::Name::vary);
  const std::string_view origin = exchange.request.fields.value(http::Name::origin);
  if (origin.empty() || !origin_allowed(cors_.origins, origin)) return Verdict::proceed;
  exchange.add_answer_field("Access-Control-Allow-Origin", any_ ? std::string_view("*") : origin);
  if (cors_.credentials) exchange.add_answer_field("Access-Control-Allow-Credentials", "true");
  if (!expose_.empty()) exchange.add_answer_field("Access-Control-Expose-Headers", expose_);
  return Verdict::proceed;
}

PreflightStage::PreflightStage(config::Cors cors) : cors_(std::move(cors)), methods_(joined(cors_.methods)) {
  if (cors_.headers) headers_ = joined(*cors_.headers);
  max_age_ = std::to_string(std::chrono::floor<std::chrono::seconds>(cors_.max_age).count());
}

Verdict PreflightStage::admit(Exchange& exchange) {
  if (!is_preflight(exchange.request)) return Verdict::proceed;
  exchange.own.status = 204;
  if (!origin_allowed(cors_.origins, exchange.request.fields.value(http::Name::origin)))
    return Verdict::answer;
  exchange.add_answer_field("Access-Control-Allow-Methods", methods_);
  std::string_view headers = headers_;
  if (!cors_.headers)
    if (const http::Field* asked = exchange.request.fields.find("Access-Control-Request-Headers"))
      headers = asked->value;
  if (!headers.empty()) exchange.add_answer_field("Access-Control-Allow-Headers", headers);
  exchange.add_answer_field("Access-Control-Max-Age", max_age_);
  return Verdict::answer;
}

}  // namespace weir::gateway
