#include "weir/gateway/stages/load_shed.h"

#include <array>
#include <optional>

#include "weir/gateway/stages/limit_keys.h"

namespace weir::gateway {
namespace {

// A place comes free when some request ends, which nobody can foretell: the shortest wait that the field can say.
constexpr Duration kRetryAfter = std::chrono::seconds{1};

std::optional<resilience::Priority> parse_priority(std::string_view word) {
  if (word == "critical") return resilience::Priority::critical;
  if (word == "normal") return resilience::Priority::normal;
  if (word == "low") return resilience::Priority::low;
  return std::nullopt;
}

}  // namespace

std::span<const Problem> LoadShedStage::refusals() const noexcept {
  static constexpr std::array kRefusals{Problem::load_shed};
  return kRefusals;
}

Verdict LoadShedStage::admit(Exchange& exchange) { return admit_as(exchange, resilience::Priority::normal); }

resilience::Priority TieredLoadShedStage::priority_of(Exchange& exchange) const {
  if (!options_.header.empty() && exchange.peer_trusted) {
    const http::Field* field = exchange.request.fields.find(options_.header);
    if (field != nullptr)
      if (const auto said = parse_priority(field->value)) return *said;
  }
  std::string_view claim;
  if (!options_.claim.empty() && exchange.identity != nullptr &&
      limit_key(exchange, options_.claim, {}, &claim))
    if (const auto said = parse_priority(claim)) return *said;
  return options_.priority;
}

Verdict LoadShedStage::admit_as(Exchange& exchange, resilience::Priority priority) {
  std::optional<resilience::LoadShedder::Permit> permit = shedder_->try_acquire(priority);
  Note& note = exchange.notes.set<Note::Kind::shed>(permit.has_value(), 0);
  note.n[0] = shedder_->in_flight();
  note.n[1] = shedder_->limit();
  if (permit) {
    exchange.keep(permit_, std::move(*permit));
    return Verdict::proceed;
  }
  exchange.set_retry_after(kRetryAfter);
  exchange.refuse(name(), Problem::load_shed);
  return Verdict::refuse;
}

}  // namespace weir::gateway
