// read_body: the request's body up to request_buffer, before any place is taken.
//
// A client that uploads slowly would otherwise hold one of the few places in flight for as long as it likes, and a body
// that is malformed would reach the upstream as half a request. Belongs to "sanitize" in logs and metrics: what it
// refuses is malformed. What is beyond the buffer streams, behind the gates.
#ifndef WEIR_GATEWAY_STAGES_READ_BODY_H_
#define WEIR_GATEWAY_STAGES_READ_BODY_H_

#include <cstdint>

#include "weir/gateway/stage.h"

namespace weir::gateway {

class ReadBodyStage final : public AsyncStage {
 public:
  explicit ReadBodyStage(std::uint64_t request_buffer) : request_buffer_(request_buffer) {}
  std::string_view name() const noexcept override { return "sanitize"; }
  std::span<const Problem> refusals() const noexcept override;
  bool needs_waiting(const Exchange& exchange) const noexcept override;
  Verdict admit(Exchange& exchange) override;
  async::Task<Verdict> admit_async(Exchange& exchange) override;

 private:
  std::uint64_t request_buffer_;
};

}  // namespace weir::gateway

#endif  // WEIR_GATEWAY_STAGES_READ_BODY_H_
