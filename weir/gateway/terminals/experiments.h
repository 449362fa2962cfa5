// experiments: flags and experiments over HTTP, evaluated here for whoever asks.
//
//   POST /ofrep/v1/evaluate/flags/{key}     OFREP 0.3.0, one flag
//   POST /ofrep/v1/evaluate/flags           all of them; ETag and 304; names the next under `eventStreams`
//   GET  /ofrep/v1/events                   server-sent events: ask again, whenever the rules change
//   POST /v1/experiments/{key}/assign       {"unit", "attributes"} -> {variant, bucket, reason}
//   POST /api/eval/{key}                    GrowthBook's remote evaluation
//   GET  /api/features/{key}                the loaded GrowthBook payload
//   GET  /sub/{key}                         server-sent events: the payload, then again when it changes
//
// Paths are looked at whole, whatever the route's pattern; what is none of them is 404. Bodies are at most 1
// MiB. An answer shows nobody a variant, so no exposure is recorded.
#ifndef WEIR_GATEWAY_TERMINALS_EXPERIMENTS_H_
#define WEIR_GATEWAY_TERMINALS_EXPERIMENTS_H_

#include <memory>
#include <string>
#include <string_view>

#include "weir/experiment/snapshot.h"
#include "weir/gateway/experiments.h"
#include "weir/gateway/stage.h"

namespace weir::gateway {

class ExperimentsTerminal final : public Terminal {
 public:
  static constexpr std::uint64_t kBodyMax = 1024 * 1024;

  explicit ExperimentsTerminal(std::shared_ptr<ExperimentState> state) : state_(std::move(state)) {}
  async::Task<void> serve(Exchange& exchange) override;

 private:
  enum class Answer : std::uint8_t { whole, ofrep_events, growthbook_events };

  // Fills exchange.own, unless the answer is a stream of events.
  Answer answer(Exchange& exchange);
  void evaluate_one(Exchange& exchange, std::string_view key);
  void evaluate_all(Exchange& exchange);
  void assign(Exchange& exchange, std::string_view key);
  void growthbook_features(Exchange& exchange);
  void growthbook_evaluate(Exchange& exchange);
  async::Task<void> stream(Exchange& exchange, Answer kind);
  void append_event(std::string& out, Answer kind) const;
  // Names the snapshot in use, in this process alone: what a client that comes back has missed.
  std::string config_tag() const;

  std::shared_ptr<ExperimentState> state_;
};

}  // namespace weir::gateway

#endif  // WEIR_GATEWAY_TERMINALS_EXPERIMENTS_H_
