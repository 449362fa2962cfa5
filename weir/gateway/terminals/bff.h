// bff: a page from several services, in place of one service's answer.
//
//   (1) The page is made in a scope of its own beside the wait for the client: a client that leaves ends every call.
//   (2) Permit and tickets are back before a byte of the page goes out.
//   (3) A lost required section is the problem section-required, 502 or 504; everything else is a page.
#ifndef WEIR_GATEWAY_TERMINALS_BFF_H_
#define WEIR_GATEWAY_TERMINALS_BFF_H_

#include <array>
#include <memory>
#include <vector>

#include "weir/bff/page.h"
#include "weir/gateway/plan.h"
#include "weir/gateway/stage.h"

namespace weir::gateway {

class BffTerminal final : public Terminal {
 public:
  // A counter for each state, by section.
  using SectionCounters = std::vector<std::array<metrics::CounterId, 5>>;

  BffTerminal(std::shared_ptr<const bff::Plan> plan, std::shared_ptr<bff::SectionCache> cache,
              StageCounters counters, SectionCounters sections)
      : plan_(std::move(plan)),
        cache_(std::move(cache)),
        counters_(std::move(counters)),
        section_counters_(std::move(sections)) {}

  async::Task<void> serve(Exchange& exchange) override;
  const bff::Plan& plan() const noexcept { return *plan_; }

 private:
  void answer(Exchange& exchange, bff::Page& page);
  void count(Exchange& exchange, const bff::Page& page) const;

  std::shared_ptr<const bff::Plan> plan_;
  std::shared_ptr<bff::SectionCache> cache_;
  StageCounters counters_;
  SectionCounters section_counters_;
};

}  // namespace weir::gateway

#endif  // WEIR_GATEWAY_TERMINALS_BFF_H_
