// The layout of a configuration file: `weir fmt`.
//
//   Formatted result = format_text("weir.yaml", text);
//   if (result.text) write(*result.text);        // else result.diagnostics says where and why not
//
// Only white space changes: two spaces a level, lists below their key, one space behind `:` and `,`, none inside of
// brackets, comments of neighbouring lines in one column, at most one blank line, one newline at the end. Comments, order,
// quotes and line breaks stay the writer's own.
//
// A file that is not YAML is refused with what is wrong in it; so is one whose meaning a new layout would change, which is
// found out by reading both. Formatting twice changes nothing more. Whether the keys make sense is `weir check`'s business.
// Pure; linear in the file's size, which is bounded as in load.h.
#ifndef WEIR_CONFIG_FORMAT_H_
#define WEIR_CONFIG_FORMAT_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "weir/config/diagnostics.h"

namespace weir::config {

struct Formatted {
  std::optional<std::string> text;  // absent when any diagnostic is there
  std::vector<Diagnostic> diagnostics;
  std::vector<std::string> files;  // the one name, for to_text()
};

Formatted format_text(const std::string& name, std::string_view text);

}  // namespace weir::config

#endif  // WEIR_CONFIG_FORMAT_H_
