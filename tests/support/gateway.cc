#include "tests/support/gateway.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>

namespace weir::testing {
namespace {

// The indentation of a raw string literal in the middle of a test is not part of the YAML.
std::string without_indentation(std::string_view text) {
  std::vector<std::string_view> lines;
  std::size_t indentation = std::string_view::npos;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    const std::size_t first = line.find_first_not_of(' ');
    if (first != std::string_view::npos) indentation = std::min(indentation, first);
    lines.push_back(line);
  }
  std::string result;
  for (const std::string_view line : lines) {
    if (line.size() > indentation) result += line.substr(indentation);
    result += '\n';
  }
  return result;
}

// {a="x",b="y"}: a label is there with that value. Values of ours hold no escapes.
bool carries(std::string_view labels, const Metrics::Labels& wanted) {
  return std::all_of(wanted.begin(), wanted.end(), [&](const auto& label) {
    const std::string text = label.first + "=\"" + label.second + "\"";
    for (std::size_t at = labels.find(text); at != std::string_view::npos; at = labels.find(text, at + 1))
      if (at == 0 || labels[at - 1] == ',' || labels[at - 1] == '{') return true;
    return false;
  });
}

}  // namespace

std::string weir_binary() {
  const char* given = std::getenv("WEIR_BINARY");
  return given != nullptr ? given : WEIR_BINARY_DIR "/bin/weir";
}

std::string with(std::string_view text, const std::vector<std::pair<std::string, std::string>>& values) {
  std::string result = without_indentation(text);
  for (const auto& [name, value] : values) {
    const std::string mark = "$" + name;
    for (std::size_t at = result.find(mark); at != std::string::npos;
         at = result.find(mark, at + value.size()))
      result.replace(at, mark.size(), value);
  }
  return result;
}

std::optional<double> Metrics::value(std::string_view name, const Labels& labels) const {
  std::optional<double> sum;
  std::string_view rest = text_;
  while (!rest.empty()) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    if (!line.starts_with(name) || line.size() == name.size()) continue;
    const char next = line[name.size()];
    if (next != '{' && next != ' ') continue;
    const std::size_t end = next == '{' ? line.rfind('}') + 1 : name.size();
    if (!carries(line.substr(name.size(), end - name.size()), labels)) continue;
    sum = sum.value_or(0) + std::strtod(std::string(line.substr(end)).c_str(), nullptr);
  }
  return sum;
}

Gateway::Gateway(std::string_view configuration, GatewayOptions options)
    : options_(std::move(options)), port_(free_port()), admin_port_(free_port()) {
  path_ = folder_.write("weir.yaml", whole(configuration));
  process_ =
      std::make_unique<Process>(std::vector<std::string>{weir_binary(), "run", path_}, options_.environment);
  if (!options_.wait_until_ready) return;
  const bool ready = eventually([this] { return !process_->running() || admin("/readyz").status == 200; });
  if (process_->wait(std::chrono::milliseconds{0}) == 127) {
    std::fprintf(stderr, "no program %s: build it, or name another in WEIR_BINARY\n", weir_binary().c_str());
    std::exit(2);  // every other test would only wait in vain
  }
  if (!ready || !process_->running())
    ADD_FAILURE() << "the gateway does not come up\n"
                  << read_file(path_) << "\nIts standard error:\n"
                  << process_->err();
}

// A gateway that still has requests to finish (the test ends in
// the middle of something) is not waited for long.
Gateway::~Gateway() {
  process_->signal(SIGTERM);
  const std::optional<int> code = process_->wait(std::chrono::seconds{2});
  if (code.value_or(0) != 0 && !options_.may_be_killed)
    ADD_FAILURE() << "the gateway ended with " << *code << "\nIts standard error:\n" << process_->err();
}

std::string Gateway::whole(std::string_view configuration) const {
  std::string text = "listen: 127.0.0.1:" + std::to_string(port_) + "\n";
  text += "admin: {listen: \"127.0.0.1:" + std::to_string(admin_port_) + "\"";
  if (!options_.admin_token.empty()) text += ", token: " + options_.admin_token;
  text += "}\nworkers: " + std::to_string(options_.workers) + "\n";
  text += "access_log: access.log\n";  // relative to the folder of the file
  return text + without_indentation(options_.extra) + without_indentation(configuration);
}

Answer Gateway::get(std::string_view target, const Fields& fields) const {
  return ask("GET", target, fields);
}

Answer Gateway::ask(std::string_view method, std::string_view target, const Fields& fields,
                    std::string_view body) const {
  return testing::ask(port_, method, target, fields, body);
}

Answer Gateway::admin(std::string_view target) const {
  return testing::ask(admin_port_, "GET", target, {{"Host", "127.0.0.1:" + std::to_string(admin_port_)}});
}

Answer Gateway::admin_post(std::string_view target, std::string_view body) const {
  const Fields fields{{"Host", "127.0.0.1:" + std::to_string(admin_port_)},
                      {"Authorization", "Bearer " + options_.admin_token},
                      {"Content-Length", std::to_string(body.size())}};
  return testing::ask(admin_port_, "POST", target, fields, body);
}

Metrics Gateway::metrics() const { return Metrics(admin("/metrics").body); }

bool Gateway::wait_for_metric(std::string_view name, const Metrics::Labels& labels, double wanted) const {
  return eventually([&] {
    const std::optional<double> value = metrics().value(name, labels);
    return value && std::fabs(*value - wanted) < 1e-9;
  });
}

// A line without its newline is still being written.
std::vector<Json> Gateway::access_log() const {
  std::vector<Json> lines;
  const std::string text = read_file(access_log_path());
  for (std::size_t from = 0, end; (end = text.find('\n', from)) != std::string::npos; from = end + 1) {
    const std::string line = text.substr(from, end - from);
    const std::optional<Json> json = Json::parse(line);
    if (!json || json->kind() != Json::Kind::object) {
      ADD_FAILURE() << "not a JSON object in the access log: " << line;
    } else {
      lines.push_back(*json);
    }
  }
  return lines;
}

Json Gateway::wait_for_log(const std::function<bool(const Json&)>& wanted) const {
  Json found;
  const bool there = eventually([&] {
    for (const Json& line : access_log())
      if (wanted(line)) return found = line, true;
    return false;
  });
  if (!there) ADD_FAILURE() << "no such line in the access log:\n" << read_file(access_log_path());
  return found;
}

void Gateway::rewrite(std::string_view configuration) { folder_.write("weir.yaml", whole(configuration)); }

Answer Gateway::reload(std::string_view configuration) {
  rewrite(configuration);
  return admin_post("/v1/reload");
}

std::optional<int> Gateway::terminate() {
  process_->signal(SIGTERM);
  return process_->wait();
}

}  // namespace weir::testing
