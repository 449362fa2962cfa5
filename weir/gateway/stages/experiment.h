// experiment: what the unit sees on this route, told to the upstream and acted upon.
//
// Evaluates the route's experiments and flags for the unit of the request (the passport's user, else a signed
// cookie of weir's own, else the address, by choice), with what a signed cookie says it had before, sends X-Experiments and X-Flags (RFC 9651 dictionaries)
// to upstreams that are not external, and lets a variant choose the upstream and change header fields. An
// exposure is recorded when the exchange ends, if its request went on to be answered: a refused one showed
// nobody anything.
//
// Each worker keeps its own binding to the snapshot (the keys' places, a context that is used again, and a
// reference count of its own), so that a request touches no line that other workers write.
#ifndef WEIR_GATEWAY_STAGES_EXPERIMENT_H_
#define WEIR_GATEWAY_STAGES_EXPERIMENT_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "weir/config/config.h"
#include "weir/experiment/snapshot.h"
#include "weir/gateway/exchange.h"
#include "weir/gateway/experiments.h"
#include "weir/gateway/stage.h"
#include "weir/gateway/sticky.h"

namespace weir::gateway {

// What an exchange keeps of its decisions. Views into the snapshot that `snapshot` keeps alive, and into the
// arena.
struct HeldDecisions {
  std::shared_ptr<const void> snapshot;
  std::span<const experiment::Decision> experiments;
  std::span<const experiment::Decision> flags;
  std::string_view unit;

  // The variant of an experiment of this route; "" when the unit is not in it.
  std::string_view variant(std::string_view key) const noexcept;
  // The value of a flag of this route; null when the route has no such flag.
  const experiment::Value* flag(std::string_view key) const noexcept;
};

class ExperimentStage final : public Stage {
 public:
  struct Effect {
    std::string experiment;
    std::string variant;
    std::optional<std::uint32_t> upstream;  // index in the plan
    config::HeaderEdit request;
    config::HeaderEdit response;
  };
  struct Options {
    std::shared_ptr<ExperimentState> state;
    std::vector<std::string> experiments;
    std::vector<std::string> flags;
    std::vector<Effect> effects;  // the first of a request's variants that names an upstream chooses it
    std::vector<config::AttributeSource> attributes;
    config::Experiments::Anonymous anonymous = config::Experiments::Anonymous::cookie;
    std::string cookie;         // of the unit
    std::string sticky_cookie;  // of what it was given, for sticky experiments
    std::string secret;
  };

  ExperimentStage(Options options, std::size_t workers, Slot<HeldDecisions> slot);
  ~ExperimentStage() override;
  std::string_view name() const noexcept override { return "experiment"; }
  Verdict admit(Exchange& exchange) override;
  void settle(Exchange& exchange) noexcept override;

 private:
  struct Binding;

  Binding& bind(std::size_t worker);
  void fill(Exchange& exchange, Binding& binding) const;
  std::string_view source_text(Exchange& exchange, const config::AttributeSource& source) const;
  // The passport that upstreams are told, as JSON; null for who has none.
  static const experiment::Value* passport_of(const Exchange& exchange, Binding& binding);
  std::string_view anonymous_unit(Exchange& exchange) const;
  // 180 days: the lifetime that GrowthBook's cookies have.
  void set_cookie(Exchange& exchange, std::string_view name, std::string_view value) const;
  // What the cookie says of this route's sticky entries goes into the context; then what was decided is kept.
  StickyMemory recall(const Exchange& exchange, Binding& binding) const;
  void remember(Exchange& exchange, Binding& binding, std::span<const experiment::Decision> decisions,
                StickyMemory& memory) const;
  void take_overrides(Exchange& exchange, experiment::Context& context) const;
  void write_members(Binding& binding) const;
  static std::string_view experiments_field(Exchange& exchange, const Binding& binding,
                                            const HeldDecisions& held);
  void tell_upstream(Exchange& exchange, const Binding& binding, const HeldDecisions& held) const;
  void apply(Exchange& exchange, const HeldDecisions& held) const;

  Options options_;
  Slot<HeldDecisions> slot_;
  std::vector<std::unique_ptr<Binding>> bindings_;  // by worker; each touched by its own thread alone
};

// RFC 9651: `key="variant"`, `key` for true, `key=?0`, numbers, anything else as a string (of JSON, where it
// is none). Nothing when the key is no key of a dictionary.
void append_dictionary_member(std::string& out, std::string_view key, const experiment::Value& value);
// A key may stand in a dictionary: lower-case letters, digits, `_-.*`, a letter or `*` first (RFC 9651
// 3.1.2).
bool is_dictionary_key(std::string_view key) noexcept;

}  // namespace weir::gateway

#endif  // WEIR_GATEWAY_STAGES_EXPERIMENT_H_
