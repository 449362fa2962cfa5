// Any bytes: the loader returns, and whatever it says has a place inside a file it names.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "weir/config/load.h"
#include "weir/config/schema.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace weir::config;
  Environment environment;
  environment.variable = [](const std::string& name) {
    return name == "SET" ? std::optional<std::string>("value") : std::nullopt;
  };
  environment.read_file = [](const std::string& path) -> weir::Result<std::string> {
    if (path == "other.yaml") return std::string("routes: [{path: /other, respond: {}}]\n");
    return weir::Error(weir::ErrorCode::not_found, "no such file");
  };
  environment.glob = [](const std::string&) { return std::vector<std::string>{"other.yaml"}; };
  const LoadResult result = load_text("fuzz.yaml", {reinterpret_cast<const char*>(data), size}, environment);
  bool error = false;
  for (const Diagnostic& diagnostic : result.diagnostics) {
    error = error || diagnostic.severity == Diagnostic::Severity::error;
    if (diagnostic.at.line == 0 || diagnostic.at.column == 0 || diagnostic.at.file >= result.files.size())
      std::abort();
    if (to_text(diagnostic, result.files).empty() || to_json(diagnostic, result.files).empty()) std::abort();
  }
  if (error == result.config.has_value()) std::abort();
  // What the configuration says of itself loads again.
  if (result.config && !load_text("dump.json", to_json(*result.config), environment).config) std::abort();
  return 0;
}
