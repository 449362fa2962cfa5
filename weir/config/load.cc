// Files to Config: read, include, check, merge, read part by part, sort what was found.
//
//   (1) Each file is parsed and checked alone, so its positions are its own. Merged are the checked
//       values: maps of names (upstreams, rate_limits) key by key, routes one after the other, anything
//       else may stand in one file only.
//   (2) Order of routes: a file's own, then those of its includes in the order of the list, each with its
//       includes.
//   (3) A file is the same file by its path after `.` and `..` are resolved; reading one twice is an
//       error, which also ends cycles. At most kMaxFiles are read.
#include "weir/config/load.h"

#include <fcntl.h>
#include <glob.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <filesystem>
#include <tuple>

#include "weir/config/internal/check.h"
#include "weir/config/internal/document.h"
#include "weir/config/internal/readers.h"

namespace weir::config {

using namespace internal;  // NOLINT: this file alone, to read easily

namespace {

class Loader {
 public:
  explicit Loader(const Environment& environment) : environment_(environment) {}

  LoadResult load(const std::string& name, std::string_view text) {
    merged_.form = kMap;
    read_file_text(name, text);
    Config config;
    config.files = files_;
    if (!unread_) {  // else every name that the unread file declares would be called missing
      check_required(merged_, "", Position{0, 1, 1}, report_);
      const ReadContext context{config, report_, environment_, files_};
      read_server(merged_, context);
      read_tracing(merged_, context);
      read_upstreams(merged_, context);
      read_rate_limits(merged_, context);
      read_rate_limit_headers(merged_, context);
      read_redis(merged_, context);
      read_auth(merged_, context);
      read_experiments(merged_, context);
      read_routes(merged_, context);
    }
    return finish(std::move(config));
  }

  LoadResult load(const std::string& path) {
    files_.push_back(path);
    Result<std::string> text = environment_.read_file(path);
    if (!text) {
      report_.error(Position{0, 1, 1}, "cannot read the file: " + text.error().detail);
      return finish(Config{});
    }
    files_.pop_back();
    return load(path, *text);
  }

 private:
  LoadResult finish(Config config) {
    LoadResult result;
    result.files = files_;
    if (!report_.any_error()) result.config = std::move(config);
    result.diagnostics = report_.take_sorted();
    return result;
  }

  void read_file_text(const std::string& name, std::string_view text) {
    const auto file = static_cast<std::uint32_t>(files_.size());
    files_.push_back(name);
    normal_.push_back(std::filesystem::path(name).lexically_normal().string());
    // The nodes are not needed after the check: values own their text.
    const Document document = parse_document(text, file, budget_, report_);
    if (!document.readable) {
      unread_ = true;
      return;
    }
    const CheckContext context{environment_, files_, report_, outside_bytes_};
    Value root = check_root(document.root, file, context);
    unread_ = unread_ || root.partial;
    std::vector<Value> includes;
    for (auto& [key, value] : root.entries) {
      if (key == "include")
        includes = std::move(value.items);
      else
        merge(key, std::move(value));
    }
    for (const Value& include : includes) follow(include);
  }

  void merge(const std::string& key, Value value) {
    const auto there = std::find_if(merged_.entries.begin(), merged_.entries.end(),
                                    [&](const auto& entry) { return entry.key == key; });
    if (there == merged_.entries.end()) {
      merged_.entries.push_back({key, std::move(value)});
      return;
    }
    Value& target = there->value;
    if (value.form == 0) return;  // reported
    if (target.form == 0) {
      target = std::move(value);
    } else if (key == "routes") {
      for (Value& route : value.items) target.items.push_back(std::move(route));
    } else if (key == "upstreams" || key == "rate_limits") {
      merge_named(target, std::move(value));
    } else {
      report_.error(value.key_at, "`" + key + "` is already given at " + place(target.key_at));
    }
  }

  void merge_named(Value& target, Value value) {
    for (auto& [name, item] : value.entries) {
      if (const Value* earlier = target.find(name)) {
        if (item.form != 0 && earlier->form != 0)
          report_.error(item.key_at,
                        "duplicate key `" + name + "`: already given at " + place(earlier->key_at));
      } else {
        target.entries.push_back({name, std::move(item)});
      }
    }
  }

  std::string place(Position at) const {
    return files_[at.file] + ":" + std::to_string(at.line) + ":" + std::to_string(at.column);
  }

  void follow(const Value& include) {
    const std::string pattern = relative_to(files_[include.at.file], include.text);
    std::vector<std::string> paths{pattern};
    if (pattern.find_first_of("*?[") != std::string::npos) {
      paths = environment_.glob(pattern);
      if (paths.empty()) report_.warning(include.at, "no file matches " + shown(include));
    }
    for (const std::string& path : paths) include_file(include.at, path);
  }

  void include_file(Position at, const std::string& path) {
    const std::string normal = std::filesystem::path(path).lexically_normal().string();
    if (std::find(normal_.begin(), normal_.end(), normal) != normal_.end()) {
      report_.error(at, "the file " + quote(path) + " is read already");
    } else if (files_.size() >= kMaxFiles) {
      if (!too_many_files_) report_.error(at, "more than " + std::to_string(kMaxFiles) + " files");
      too_many_files_ = true;
    } else if (Result<std::string> text = environment_.read_file(path); !text) {
      report_.error(at, "cannot read the file " + quote(path) + ": " + text.error().detail);
    } else {
      read_file_text(path, *text);
    }
  }

  const Environment& environment_;
  Report report_;
  Budget budget_;
  std::size_t outside_bytes_ = 0;
  std::vector<std::string> files_;
  std::vector<std::string> normal_;  // the same, for comparing
  Value merged_;
  bool unread_ = false;  // a file is no YAML, or no map
  bool too_many_files_ = false;
};

// No exception leaves: what is left to throw is std::bad_alloc and the like.
template <class Load>
LoadResult guarded(const std::string& name, Load load) {
  try {
    return load();
  } catch (const std::exception& exception) {
    LoadResult result;
    result.files = {name};
    Diagnostic& diagnostic = result.diagnostics.emplace_back();
    diagnostic.at = Position{0, 1, 1};
    diagnostic.message = std::string("the file cannot be read: ") + exception.what();
    return result;
  }
}

Result<std::string> read_system_file(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return Error(ErrorCode::not_found, std::strerror(errno), ErrorSource::configuration);
  std::string text;
  int fault = 0;
  // One byte above the cap tells "too large" from "just fits"; endless files end here, too.
  while (text.size() <= kMaxFileBytes) {
    char chunk[64 * 1024];
    const ssize_t n = ::read(fd, chunk, sizeof chunk);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fault = errno;
    if (n <= 0) break;
    text.append(chunk, static_cast<std::size_t>(n));
  }
  ::close(fd);
  if (fault != 0) return Error(ErrorCode::io_error, std::strerror(fault), ErrorSource::configuration);
  if (text.size() > kMaxFileBytes)
    return Error(ErrorCode::too_large, "it is larger than 4 MiB", ErrorSource::configuration);
  return text;
}

std::vector<std::string> system_glob(const std::string& pattern) {
  ::glob_t found{};
  std::vector<std::string> paths;
  if (::glob(pattern.c_str(), 0, nullptr, &found) == 0)
    paths.assign(found.gl_pathv, found.gl_pathv + found.gl_pathc);
  ::globfree(&found);
  std::sort(paths.begin(), paths.end());  // by bytes: the locale must not decide which route comes first
  return paths;
}

}  // namespace

Environment system_environment() {
  Environment environment;
  environment.variable = [](const std::string& name) -> std::optional<std::string> {
    const char* value = std::getenv(name.c_str());
    if (value == nullptr) return std::nullopt;
    return value;
  };
  environment.read_file = read_system_file;
  environment.glob = system_glob;
  return environment;
}

LoadResult load_file(const std::string& path, const Environment& environment) {
  return guarded(path, [&] { return Loader(environment).load(path); });
}

LoadResult load_text(const std::string& name, std::string_view text, const Environment& environment) {
  return guarded(name, [&] { return Loader(environment).load(name, text); });
}

}  // namespace weir::config
