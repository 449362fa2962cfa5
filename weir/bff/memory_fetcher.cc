// A table of answers and a sleep. A rule without a delay answers without waiting at all.
#include "weir/bff/memory_fetcher.h"

#include <algorithm>

namespace weir::bff {

// In flight from the call's start to its end, whichever way it ends.
class MemoryFetcher::Guard {
 public:
  explicit Guard(MemoryFetcher& fetcher) noexcept : fetcher_(fetcher) {
    fetcher_.most_ = std::max(fetcher_.most_, ++fetcher_.in_flight_);
  }
  Guard(const Guard&) = delete;
  Guard& operator=(const Guard&) = delete;
  ~Guard() {
    --fetcher_.in_flight_;
    if (!ended_) ++fetcher_.abandoned_;
  }
  void end() noexcept { ended_ = true; }

 private:
  MemoryFetcher& fetcher_;
  bool ended_ = false;
};

MemoryFetcher::Rule& MemoryFetcher::on(std::string_view upstream, std::string_view target) {
  return rules_[std::string(upstream)][std::string(target)];
}

MemoryFetcher::Rule* MemoryFetcher::find(std::string_view upstream, std::string_view target) {
  const auto rules = rules_.find(upstream);
  if (rules == rules_.end()) return nullptr;
  auto rule = rules->second.find(target);
  if (rule == rules->second.end()) rule = rules->second.find(std::string_view{});
  return rule == rules->second.end() ? nullptr : &rule->second;
}

async::Task<http::FetchFailure> MemoryFetcher::fetch(const http::FetchRequest& request,
                                                     http::FetchResponse& response) {
  Guard guard(*this);
  const TimePoint now = loop_.now();
  if (records_)
    calls_.push_back({std::string(request.upstream), std::string(request.target), std::string(request.body),
                      now, request.deadline});
  Rule* rule = find(request.upstream, request.target);
  http::FetchFailure failure = rule == nullptr ? http::FetchFailure::unknown : rule->failure_;
  if (rule != nullptr) {
    ++rule->calls_;
    const TimePoint ready = rule->hangs_ ? TimePoint::max() : now + rule->delay_;
    // Again when somebody with more time has joined meanwhile.
    TimePoint until = now;
    do {
      until = rule->hangs_ ? ready : std::min(ready, request.until().when());
      if (until <= loop_.now()) break;
      const bool slept = co_await async::sleep_until(loop_, until, nullptr);
      static_cast<void>(slept);
    } while (until < ready);
    if (ready > until) failure = http::FetchFailure::timeout;
  }
  guard.end();
  if (failure != http::FetchFailure::none) co_return failure;
  if (rule->body_.size() > request.body_max) co_return http::FetchFailure::too_large;
  response.status = rule->status_;
  response.body = rule->body_;
  if (!rule->fields_.empty()) {
    http::Fields fields;
    for (const auto& [name, value] : rule->fields_) fields.add({name, value, http::parse_name(name), false});
    response.copy_fields(fields);
  }
  co_return http::FetchFailure::none;
}

}  // namespace weir::bff
