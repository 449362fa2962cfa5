// `weir diff OLD NEW`: what a reload from one file to the other would change, and which state would survive it.
//
// Compared is what the files mean, defaults written out, not how they are written: moving a key or naming a default is no
// difference. Members of lists that have a name (routes, providers) are matched by it. Secrets are never shown, only that
// they differ. Which state lives on is told by the rule of the gateway itself: limits, semaphores and breakers are found
// by name (docs/design/0004-state-by-name.md).
//
// Both configurations must be valid. Single-threaded; linear in the size of the files.
#ifndef WEIR_SERVER_DIFF_CLI_H_
#define WEIR_SERVER_DIFF_CLI_H_

#include <string>

#include "weir/config/config.h"

namespace weir::server {

// Lines for a person, or one JSON object for a machine:
// {"changes": [{"path", "old", "new"}], "secrets_differ": false, "state": [{"what", "name", "fate"}]}, `old` or `new`
// absent where something is added or taken away; fate is "kept", "new" or "gone".
std::string diff_text(const config::Config& before, const config::Config& after);
std::string diff_json(const config::Config& before, const config::Config& after);

}  // namespace weir::server

#endif  // WEIR_SERVER_DIFF_CLI_H_
