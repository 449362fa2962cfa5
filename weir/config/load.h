// Files to Config, with every mistake reported at once.
//
//   LoadResult result = load_file("weir.yaml", environment);
//   for (const Diagnostic& d : result.diagnostics) std::cerr << to_text(d, result.files) << "\n";
//   if (!result.config) return 1;      // warnings alone still give a config
//
// Unknown and duplicate keys are errors with a suggestion. Reading is bounded: 4 MiB a file, 64 files, depth
// 64, 100,000 nodes and
// 1,000 aliases over all files (an alias counts all nodes it stands for). No exception leaves it.
#ifndef WEIR_CONFIG_LOAD_H_
#define WEIR_CONFIG_LOAD_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "weir/config/config.h"
#include "weir/config/diagnostics.h"

namespace weir::config {

struct LoadResult {
  std::optional<Config> config;  // absent when any diagnostic is an error
  std::vector<Diagnostic> diagnostics;
  std::vector<std::string> files;
};

// How `env:NAME`, `file:PATH` and `include:` reach outside; tests hand in their own.
struct Environment {
  std::function<std::optional<std::string>(const std::string& name)> variable;
  std::function<Result<std::string>(const std::string& path)> read_file;
  std::function<std::vector<std::string>(const std::string& pattern)> glob;  // sorted
};
Environment system_environment();

LoadResult load_file(const std::string& path, const Environment& environment);
// As if a file called `name` held `text`.
LoadResult load_text(const std::string& name, std::string_view text, const Environment& environment);

// The file of experiments alone: weir's own form in YAML, or a GrowthBook payload in JSON.
struct ExperimentsResult {
  std::shared_ptr<const experiment::Snapshot> snapshot;  // null when any diagnostic is an error
  std::vector<Diagnostic> diagnostics;
  std::vector<std::string> files;
  std::uint64_t fingerprint = 0;  // of the text, the same as config::Experiments::fingerprint; 0: not read
};
ExperimentsResult load_experiments(const std::string& path, const Environment& environment);
ExperimentsResult load_experiments_text(const std::string& name, std::string_view text);

}  // namespace weir::config

#endif  // WEIR_CONFIG_LOAD_H_
