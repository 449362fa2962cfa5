// cors: lets pages of other origins read a route's answers (the Fetch standard, 3.2).
//
// CorsStage stands early and puts the fields on whatever answer comes, refusals included, so that a page can
// read why it was refused. PreflightStage answers OPTIONS with Origin and Access-Control-Request-Method,
// behind the first rate limit. An origin that may not is not refused: it gets no fields, and the browser
// keeps the answer from the page.
#ifndef WEIR_GATEWAY_STAGES_CORS_H_
#define WEIR_GATEWAY_STAGES_CORS_H_

#include <string>
#include <string_view>
#include <vector>

#include "weir/config/config.h"
#include "weir/gateway/stage.h"
#include "weir/http/message.h"

namespace weir::gateway {

// OPTIONS by which a browser asks before it sends (Fetch 4.8).
bool is_preflight(const http::RequestHead& request) noexcept;
// Whether `origin` is one of them: "*", the same text, or below `scheme://*.host`.
bool origin_allowed(const std::vector<std::string>& origins, std::string_view origin) noexcept;

class CorsStage final : public Stage {
 public:
  explicit CorsStage(config::Cors cors);
  std::string_view name() const noexcept override { return "cors"; }
  Verdict admit(Exchange& exchange) override;

 private:
  config::Cors cors_;
  bool any_ = false;    // "*": one answer for all origins
  std::string expose_;  // "X-A, X-B"
};

class PreflightStage final : public Stage {
 public:
  explicit PreflightStage(config::Cors cors);
  std::string_view name() const noexcept override { return "cors"; }
  Verdict admit(Exchange& exchange) override;

 private:
  config::Cors cors_;
  std::string methods_;  // "GET, POST"
  std::string headers_;
  std::string max_age_;  // seconds
};

}  // namespace weir::gateway

#endif  // WEIR_GATEWAY_STAGES_CORS_H_
