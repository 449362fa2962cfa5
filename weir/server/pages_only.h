// A configuration's pages without what stands before them: for the commands that look at one page at a time.
//
//   keep_pages_only(config);                              // no limits, tokens, records, health checks, log, traces
//   options.custom_stages.push_back(known_caller(callers));
#ifndef WEIR_SERVER_PAGES_ONLY_H_
#define WEIR_SERVER_PAGES_ONLY_H_

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "weir/config/config.h"
#include "weir/gateway/plan.h"

namespace weir::server {

// Who asks, said instead of proved.
struct Caller {
  std::string passport;                                       // a JSON object; "": nobody
  std::vector<std::pair<std::string, std::string>> variants;  // key, variant
  std::vector<std::pair<std::string, std::string>> flags;     // key, JSON
};

void keep_pages_only(config::Config& config);

// By X-Request-Id; outlives the plan. The stage tells upstreams and templates what the passport and experiment stages
// would have.
using Callers = std::map<std::string, Caller, std::less<>>;
gateway::CustomStage known_caller(const Callers& callers);

}  // namespace weir::server

#endif  // WEIR_SERVER_PAGES_ONLY_H_
