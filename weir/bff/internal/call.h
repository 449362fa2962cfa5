// One call of a page, from the cache or from the service, judged and kept: what plans and the C++ API share.
#ifndef WEIR_BFF_INTERNAL_CALL_H_
#define WEIR_BFF_INTERNAL_CALL_H_

#include "weir/bff/page.h"

namespace weir::bff::internal {

struct Job {
  const SectionSpec& spec;
  Page::Scratch& scratch;  // target and body are filled in
  std::string_view subject;
  std::string_view scope;
  Deadline deadline;  // the page's
  std::uint32_t depth_max;
  Need need;
};

// Fills `out` but for its `json`. Never fails otherwise: what went wrong is in `out`.
async::Task<void> perform(Desk& desk, const Job& job, Section& out);

// The whole answer of a primary section stands as it came: redirects and what the client did wrong.
bool passes_through(int status) noexcept;

// Applies the shape to `json` (valid) and appends. False when it does not fit: no object where members are asked for.
bool append_shaped(std::string_view json, const Shape& shape, std::string& out);

}  // namespace weir::bff::internal

#endif  // WEIR_BFF_INTERNAL_CALL_H_
