#include "weir/http/fetcher.h"

namespace weir::http {

std::string_view proxy_error(FetchFailure failure) noexcept {
  switch (failure) {
    case FetchFailure::none:
      return "";
    case FetchFailure::unresolved:
      return "dns_error";
    case FetchFailure::refused:
      return "connection_refused";
    case FetchFailure::connect_timeout:
      return "connection_timeout";
    case FetchFailure::timeout:
      return "http_response_timeout";
    case FetchFailure::broken:
      return "http_response_incomplete";
    case FetchFailure::malformed:
      return "http_protocol_error";
    case FetchFailure::too_large:
      return "http_response_body_size";
    case FetchFailure::unencoded:
      return "http_response_content_coding";
    case FetchFailure::unavailable:
      return "destination_unavailable";
    case FetchFailure::overloaded:
      return "connection_limit_reached";
    case FetchFailure::unknown:
      break;
  }
  return "proxy_configuration_error";
}

void FetchResponse::copy_fields(const Fields& from) {
  fields.clear();
  storage.clear();
  std::size_t size = 0;
  for (const Field& field : from) size += field.hop_by_hop ? 0 : field.name.size() + field.value.size();
  storage.reserve(size);  // once: the views below must stay
  for (const Field& field : from) {
    if (field.hop_by_hop) continue;
    const std::size_t at = storage.size();
    storage.append(field.name).append(field.value);
    const std::string_view kept = std::string_view(storage).substr(at);
    fields.add({kept.substr(0, field.name.size()), kept.substr(field.name.size()), field.id, false});
  }
}

}  // namespace weir::http
