// What the tests of this folder share: an outside world that is the same on every machine, and short ways to
// load.
#ifndef WEIR_CONFIG_TESTING_H_
#define WEIR_CONFIG_TESTING_H_

#include <regex.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "weir/base/check.h"
#include "weir/config/load.h"
#include "weir/config/schema.h"

namespace weir::config::testing {

inline const std::filesystem::path kCases = WEIR_SOURCE_DIR "/tests/config_cases";

inline std::string slurp(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// Files below tests/config_cases, named relative to it; two environment variables.
inline Environment case_environment() {
  Environment environment;
  environment.variable = [](const std::string& name) -> std::optional<std::string> {
    if (name == "WEIR_TEST_SECRET") return "hunter2";
    if (name == "WEIR_TEST_LONG_SECRET") return "a secret of thirty-two bytes....";
    if (name == "WEIR_TEST_EMPTY") return "";
    return std::nullopt;
  };
  environment.read_file = [](const std::string& path) -> Result<std::string> {
    // Files that a case names beside itself; they are no cases.
    const auto beside = kCases / "beside" / std::filesystem::path(path).filename();
    if (std::filesystem::is_regular_file(beside)) return slurp(beside);
    if (!std::filesystem::is_regular_file(kCases / path))
      return Error(ErrorCode::not_found, "No such file or directory", ErrorSource::configuration);
    return slurp(kCases / path);
  };
  environment.glob = [](const std::string& pattern) {
    std::vector<std::string> found;
    for (const std::string& path : system_environment().glob((kCases / pattern).string()))
      found.push_back(std::filesystem::path(path).lexically_relative(kCases).string());
    return found;
  };
  return environment;
}

// POSIX extended expressions (std::regex of g++ 12 does not compile without warnings under its own
// sanitizers).
class Regex {
 public:
  explicit Regex(const std::string& pattern) {
    WEIR_CHECK(::regcomp(&compiled_, pattern.c_str(), REG_EXTENDED | REG_NOSUB) == 0);
  }
  Regex(const Regex&) = delete;
  Regex& operator=(const Regex&) = delete;
  ~Regex() { ::regfree(&compiled_); }

  // Somewhere in the text: patterns bring their own anchors.
  bool matches(const std::string& text) const {
    return ::regexec(&compiled_, text.c_str(), 0, nullptr, 0) == 0;
  }

 private:
  ::regex_t compiled_{};
};

inline LoadResult load(std::string_view text) { return load_text("weir.yaml", text, case_environment()); }

// All diagnostics, one a line.
inline std::string report(const LoadResult& result) {
  std::string text;
  for (const Diagnostic& diagnostic : result.diagnostics) text += to_text(diagnostic, result.files) + "\n";
  return text;
}

// Paths below tests/config_cases/`folder` with this extension, sorted, relative to tests/config_cases.
inline std::vector<std::string> cases(const std::string& folder, std::string_view extension = {}) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(kCases / folder))
    if (entry.is_regular_file() && (extension.empty() || entry.path().extension() == extension))
      names.push_back(entry.path().lexically_normal().lexically_relative(kCases).string());
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace weir::config::testing

#endif  // WEIR_CONFIG_TESTING_H_
