// One diagnostic as a line for people and as a JSON object for machines.
//
// Messages are made printable where they are made (report.cc), so nothing is escaped here but JSON's own.
#include "weir/config/diagnostics.h"

#include "weir/base/strings.h"

namespace weir::config {
namespace {

std::string_view file_name(const Diagnostic& diagnostic, std::span<const std::string> files) {
  return diagnostic.at.file < files.size() ? std::string_view(files[diagnostic.at.file])
                                           : std::string_view("-");
}

void append_member(std::string& out, std::string_view name, std::string_view text) {
  out.append("\"").append(name).append("\":\"");
  base::append_json_escaped(out, text);
  out += '"';
}

}  // namespace

std::string to_text(const Diagnostic& diagnostic, std::span<const std::string> files) {
  std::string text(file_name(diagnostic, files));
  text += ":" + std::to_string(diagnostic.at.line) + ":" + std::to_string(diagnostic.at.column) + ": ";
  if (diagnostic.severity == Diagnostic::Severity::warning) text += "warning: ";
  text += diagnostic.message;
  if (!diagnostic.suggestion.empty()) text += " (" + diagnostic.suggestion + ")";
  return text;
}

std::string to_json(const Diagnostic& diagnostic, std::span<const std::string> files) {
  std::string json = "{";
  append_member(json, "file", file_name(diagnostic, files));
  json += ",\"line\":" + std::to_string(diagnostic.at.line) +
          ",\"column\":" + std::to_string(diagnostic.at.column) + ",";
  append_member(json, "severity", diagnostic.severity == Diagnostic::Severity::warning ? "warning" : "error");
  json += ',';
  append_member(json, "message", diagnostic.message);
  json += ',';
  append_member(json, "suggestion", diagnostic.suggestion);
  return json += '}';
}

}  // namespace weir::config
