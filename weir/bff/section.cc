#include "weir/bff/section.h"

namespace weir::bff {

std::string_view to_string(SectionState state) noexcept {
  switch (state) {
    case SectionState::ok:
      return "ok";
    case SectionState::stale:
      return "stale";
    case SectionState::fallback:
      return "fallback";
    case SectionState::error:
      return "error";
    case SectionState::skipped:
      break;
  }
  return "skipped";
}

std::string_view error_word(SectionFailure failure, http::FetchFailure fetch) noexcept {
  switch (failure) {
    case SectionFailure::none:
      return "";
    case SectionFailure::call:
      return http::proxy_error(fetch);
    case SectionFailure::status:
      return "http_status";
    case SectionFailure::invalid:
      return "invalid_json";
    case SectionFailure::too_deep:
      return "json_too_deep";
    case SectionFailure::not_json:
      return "not_json";
    case SectionFailure::reference:
      return "value_absent";
    case SectionFailure::unsafe:
      return "value_unsafe";
    case SectionFailure::deadline:
      return "deadline_exhausted";
    case SectionFailure::cause:
      return "needs_failed";
    case SectionFailure::condition:
      return "condition";
    case SectionFailure::page_size:
      return "page_too_large";
    case SectionFailure::items:
      return "items_failed";
    case SectionFailure::abandoned:
      break;
  }
  return "abandoned";
}

}  // namespace weir::bff
