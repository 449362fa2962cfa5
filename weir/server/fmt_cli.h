// `weir fmt FILE...`: lays configuration files out anew, in place; `-` from standard input to standard output.
//
// --check writes nothing and ends with 1 when a file would change, --output json says the same to a machine. What the layout
// is, and when it is refused, stands at config::format_text(). A file is replaced in one step and keeps its mode; what a
// symbolic link points to is replaced, not the link.
#ifndef WEIR_SERVER_FMT_CLI_H_
#define WEIR_SERVER_FMT_CLI_H_

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace weir::server {

struct FmtOptions {
  bool check = false;
  bool json = false;
};

// The exit code: 0, or 1 when a file could not be laid out or, with `check`, would change.
int fmt_files(const std::vector<std::string>& files, const FmtOptions& options);

// `code` is set when the command runs; it must outlive `app`.
void add_fmt_command(CLI::App& app, int& code);

}  // namespace weir::server

#endif  // WEIR_SERVER_FMT_CLI_H_
