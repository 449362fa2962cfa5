// The schema: every key of the file described once.
//
// The reader, the messages, the JSON Schema of `weir schema` and the reference page all come from the same
// table, so they cannot disagree.
#ifndef WEIR_CONFIG_SCHEMA_H_
#define WEIR_CONFIG_SCHEMA_H_

#include <string>

#include "weir/config/config.h"

namespace weir::config {

// JSON Schema, draft 2020-12, of the whole file.
std::string json_schema();

// The effective configuration as JSON, defaults written out, secrets replaced by "***": what GET /v1/config
// shows.
std::string to_json(const Config& config);

}  // namespace weir::config

#endif  // WEIR_CONFIG_SCHEMA_H_
