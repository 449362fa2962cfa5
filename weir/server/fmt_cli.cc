#include "weir/server/fmt_cli.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <iterator>
#include <memory>
#include <optional>

#include "weir/base/strings.h"
#include "weir/config/format.h"
#include "weir/config/load.h"

namespace weir::server {
namespace {

constexpr int kFailed = 1;

std::string reason() { return std::strerror(errno); }

// "" when the file now holds `text`; else why not.
std::string replace_file(const std::string& path, std::string_view text) {
  const std::unique_ptr<char, decltype(&std::free)> real(::realpath(path.c_str(), nullptr), &std::free);
  if (real == nullptr) return reason();
  struct stat was{};
  if (::stat(real.get(), &was) != 0) return reason();
  std::string beside = std::string(real.get()) + ".XXXXXX";
  const int fd = ::mkstemp(beside.data());
  if (fd < 0) return reason();
  std::string fault;
  if (::fchmod(fd, was.st_mode & 07777) != 0) fault = reason();
  while (fault.empty() && !text.empty()) {
    const ssize_t n = ::write(fd, text.data(), text.size());
    if (n < 0 && errno != EINTR) fault = reason();
    if (n > 0) text.remove_prefix(static_cast<std::size_t>(n));
  }
  if (fault.empty() && ::fsync(fd) != 0) fault = reason();
  ::close(fd);
  if (fault.empty() && ::rename(beside.c_str(), real.get()) != 0) fault = reason();
  if (!fault.empty()) ::unlink(beside.c_str());
  return fault;
}

struct Outcome {
  std::string file;
  bool changed = false;  // or would be
  std::size_t line = 0;  // the first that differs
  std::string refused;   // why it was not laid out
};

std::size_t first_difference(std::string_view a, std::string_view b) {
  const auto [at, other] = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
  return static_cast<std::size_t>(std::count(a.begin(), at, '\n')) + 1;
}

Outcome lay_out(const std::string& file, bool check) {
  Outcome outcome;
  outcome.file = file == "-" ? "(standard input)" : file;
  std::string text;
  if (file == "-") {
    text.assign(std::istreambuf_iterator<char>(std::cin), {});
  } else {
    Result<std::string> read = config::system_environment().read_file(file);
    if (!read) {
      outcome.refused = file + ":1:1: cannot read the file: " + read.error().detail;
      return outcome;
    }
    text = std::move(*read);
  }
  const config::Formatted result = config::format_text(outcome.file, text);
  for (const config::Diagnostic& diagnostic : result.diagnostics)
    outcome.refused.append(outcome.refused.empty() ? "" : "\n").append(to_text(diagnostic, result.files));
  if (!result.text) return outcome;
  outcome.changed = *result.text != text;
  if (outcome.changed) outcome.line = first_difference(text, *result.text);
  if (file == "-" && !check) std::cout << *result.text;
  if (file != "-" && !check && outcome.changed)
    if (const std::string fault = replace_file(file, *result.text); !fault.empty())
      outcome.refused = file + ":1:1: cannot write the file: " + fault;
  return outcome;
}

void append_json(std::string& out, const Outcome& outcome) {
  out.append(out.empty() ? "{\"file\":\"" : ",\n {\"file\":\"");
  base::append_json_escaped(out, outcome.file);
  out.append("\",\"changed\":").append(outcome.changed ? "true" : "false");
  if (outcome.changed) out.append(",\"line\":").append(std::to_string(outcome.line));
  if (!outcome.refused.empty()) {
    out.append(",\"refused\":\"");
    base::append_json_escaped(out, outcome.refused);
    out.push_back('"');
  }
  out.push_back('}');
}

}  // namespace

int fmt_files(const std::vector<std::string>& files, const FmtOptions& options) {
  int code = 0;
  std::string all;
  for (const std::string& file : files) {
    const Outcome outcome = lay_out(file, options.check);
    if (!outcome.refused.empty() || (options.check && outcome.changed)) code = kFailed;
    if (options.json)
      append_json(all, outcome);
    else if (!outcome.refused.empty())
      std::cerr << outcome.refused << "\n";
    else if (options.check && outcome.changed)
      std::cerr << outcome.file << ":" << outcome.line << ":1: is laid out otherwise by `weir fmt`\n";
  }
  // With `-` and no --check standard output is the file.
  const bool taken = !options.check && std::find(files.begin(), files.end(), "-") != files.end();
  if (options.json) (taken ? std::cerr : std::cout) << "[" << all << "]\n";
  return code;
}

void add_fmt_command(CLI::App& app, int& code) {
  struct Arguments {
    std::vector<std::string> files;
    FmtOptions options;
    std::string output = "text";
  };
  const auto arguments = std::make_shared<Arguments>();
  CLI::App* cmd = app.add_subcommand("fmt", "Lay configuration files out anew, comments kept");
  cmd->add_option("FILE", arguments->files, "YAML files, changed in place; - reads standard input and prints")
      ->required();
  cmd->add_flag("--check", arguments->options.check, "Change nothing; exit 1 when something would change");
  cmd->add_option("--output", arguments->output, "text or json")->check(CLI::IsMember({"text", "json"}));
  cmd->footer(
      "Example:\n  weir fmt --check weir.yaml\nExit: 0 laid out, 1 refused or (--check) different, 2 usage.");
  cmd->callback([arguments, &code] {
    arguments->options.json = arguments->output == "json";
    code = fmt_files(arguments->files, arguments->options);
  });
}

}  // namespace weir::server
