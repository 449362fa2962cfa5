// What is wrong with a configuration, where, and what would be right.
#ifndef WEIR_CONFIG_DIAGNOSTICS_H_
#define WEIR_CONFIG_DIAGNOSTICS_H_

#include <span>
#include <string>
#include <vector>

#include "weir/config/config.h"

namespace weir::config {

struct Diagnostic {
  enum class Severity : std::uint8_t { error, warning };
  Severity severity = Severity::error;
  Position at;
  std::string message;     // "unknown key `load_shd`"
  std::string suggestion;  // "did you mean `load_shed`?"; may be empty
};

// "weir.yaml:3:5: unknown key `load_shd` (did you mean `load_shed`?)"
std::string to_text(const Diagnostic& diagnostic, std::span<const std::string> files);
// One JSON object {file, line, column, severity, message, suggestion}.
std::string to_json(const Diagnostic& diagnostic, std::span<const std::string> files);

}  // namespace weir::config

#endif  // WEIR_CONFIG_DIAGNOSTICS_H_
