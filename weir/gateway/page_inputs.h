// The values of a page's templates and conditions, taken from the exchange: path and query, headers, and what the stages
// before have said about the caller.
//
// Passport members are those that upstreams are told, variants and flags come from X-Experiments and X-Flags themselves:
// a section sees exactly what its service is told. Everything is decoded when it is first asked for; texts live in the exchange's
// arena. One exchange, one thread.
#ifndef WEIR_GATEWAY_PAGE_INPUTS_H_
#define WEIR_GATEWAY_PAGE_INPUTS_H_

#include <optional>
#include <string>
#include <string_view>

#include "weir/bff/page.h"
#include "weir/gateway/exchange.h"

namespace weir::gateway {

class PageInputs final : public bff::Inputs {
 public:
  explicit PageInputs(Exchange& exchange) noexcept : exchange_(exchange) {}

  std::optional<std::string_view> get(bff::Source source, std::string_view name) const override;
  // All identity fields, names and lengths included, and the origin; never "".
  std::string_view subject() const override;
  // The scheme and host that the client asked for, and the variants and flags it has: services are told both.
  std::string_view scope() const override;

 private:
  std::optional<std::string_view> path_parameter(std::string_view name) const;
  std::optional<std::string_view> query_parameter(std::string_view name) const;
  std::optional<std::string_view> passport_member(std::string_view name) const;
  // The value under `key` in an RFC 9651 dictionary, as text: "treatment", true, 12.
  std::optional<std::string_view> dictionary_value(std::string_view field, std::string_view key) const;
  std::string_view identity(std::string_view field) const;

  Exchange& exchange_;
  mutable std::string_view subject_;
  mutable std::string_view scope_;
};

}  // namespace weir::gateway

#endif  // WEIR_GATEWAY_PAGE_INPUTS_H_
