#include "weir/server/cli.h"

#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

#include "weir/config/load.h"
#include "weir/config/schema.h"
#include "weir/server/admin_client.h"
#include "weir/server/bff_cli.h"
#include "weir/server/diff_cli.h"
#include "weir/server/experiment_cli.h"
#include "weir/server/explain_cli.h"
#include "weir/server/fmt_cli.h"
#include "weir/server/log.h"
#include "weir/server/ratelimit_cli.h"
#include "weir/server/server.h"
#include "weir/server/token_cli.h"
#include "weir/server/version.h"

namespace weir::server {
namespace {

constexpr int kFailed = 1;
constexpr int kUsage = 2;

void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

sigset_t handled_signals() {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGUSR1}) ::sigaddset(&set, signal);
  return set;
}

// Waits for signals and does what they ask, until the server has drained. Signals are blocked in every thread
// and taken here one by one, so no handler runs in the middle of anything.
void obey_signals(Server& server) {
  const sigset_t set = handled_signals();
  std::thread waiter([&server] {
    server.wait();
    ::kill(::getpid(), SIGUSR1);  // wakes the loop below, which then sees that it is over
  });
  for (;;) {
    int signal = 0;
    if (::sigwait(&set, &signal) != 0) continue;
    if (signal == SIGUSR1 && server.ended()) break;
    if (signal == SIGUSR1) server.reopen_logs();
    if (signal == SIGHUP) static_cast<void>(server.reload());
    if (signal == SIGTERM || signal == SIGINT) server.drain();
  }
  waiter.join();
}

int serve(config::Config config, ServerOptions options) {
  raise_descriptor_limit();
  std::signal(SIGPIPE, SIG_IGN);
  const sigset_t set = handled_signals();
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);  // before any thread exists: all inherit it
  Log log;
  Server server(std::move(options), log);
  const Result<void> started = server.start(std::move(config));
  if (!started) {
    std::cerr << "weir: "
              << (started.error().detail.empty() ? started.error().to_text() : started.error().detail)
              << "\n";
    return kFailed;
  }
  obey_signals(server);
  return 0;
}

void print(const config::LoadResult& result) {
  for (const config::Diagnostic& diagnostic : result.diagnostics)
    std::cerr << config::to_text(diagnostic, result.files) << "\n";
}

int run(const std::string& file, const gateway::PlanOptions& plan) {
  config::LoadResult loaded = config::load_file(file, config::system_environment());
  print(loaded);
  if (!loaded.config) return kFailed;
  ServerOptions options;
  options.config_file = file;
  options.plan = plan;
  return serve(std::move(*loaded.config), std::move(options));
}

int check(const std::vector<std::string>& files, bool json) {
  int code = 0;
  std::string all;
  for (const std::string& file : files) {
    const config::LoadResult loaded = config::load_file(file, config::system_environment());
    if (!loaded.config) code = kFailed;
    if (!json) {
      print(loaded);
      if (loaded.config) std::cout << file << ": valid\n";
      continue;
    }
    for (const config::Diagnostic& diagnostic : loaded.diagnostics)
      all.append(all.empty() ? "" : ",\n ").append(config::to_json(diagnostic, loaded.files));
  }
  if (json) std::cout << "[" << all << "]\n";
  return code;
}

int diff(const std::string& before, const std::string& after, bool json) {
  const config::LoadResult old_one = config::load_file(before, config::system_environment());
  const config::LoadResult new_one = config::load_file(after, config::system_environment());
  print(old_one);
  print(new_one);
  if (!old_one.config || !new_one.config) return kFailed;
  std::cout << (json ? diff_json(*old_one.config, *new_one.config)
                     : diff_text(*old_one.config, *new_one.config));
  return 0;
}

struct ProxyArguments {
  std::string listen;
  std::string upstream;
  std::string limit;
  std::uint32_t max_in_flight = 1024;
  std::string admin;
};

// The few arguments as the file that they stand for, so that both are read, checked and reported by the same
// code.
std::string proxy_file(const ProxyArguments& arguments) {
  const auto quoted = [](const std::string& text) {
    std::string out = "\"";
    base::append_json_escaped(out, text);
    return out.append("\"");
  };
  std::string upstream = arguments.upstream;
  if (upstream.find("://") == std::string::npos) upstream.insert(0, "http://");
  if (upstream.ends_with('/')) upstream.pop_back();
  std::string file = "listen: " + quoted(arguments.listen) + "\n";
  if (!arguments.admin.empty()) file += "admin: " + quoted(arguments.admin) + "\n";
  file += "load_shed: {max_in_flight: " + std::to_string(arguments.max_in_flight) + "}\n";
  if (!arguments.limit.empty())
    file += "rate_limits: {default: {key: client_ip, limit: " + quoted(arguments.limit) + "}}\n";
  file += "upstreams: {upstream: {endpoints: [" + quoted(upstream) + "]}}\n";
  file += "routes:\n  - {path: /*, upstream: upstream";
  if (!arguments.limit.empty()) file += ", rate_limit: [default]";
  return file + "}\n";
}

int proxy(const ProxyArguments& arguments, const gateway::PlanOptions& plan) {
  config::LoadResult loaded =
      config::load_text("(command line)", proxy_file(arguments), config::system_environment());
  print(loaded);
  if (!loaded.config) return kUsage;
  ServerOptions options;
  options.plan = plan;
  return serve(std::move(*loaded.config), std::move(options));
}

int reload(const std::string& file) {
  const config::LoadResult loaded = config::load_file(file, config::system_environment());
  print(loaded);
  if (!loaded.config) return kFailed;
  if (!loaded.config->admin) {
    std::cerr << "weir: " << file << " has no `admin`; send SIGHUP to the process instead\n";
    return kFailed;
  }
  const Result<HttpReply> reply =
      post(loaded.config->admin->address, "/v1/reload", loaded.config->admin->token);
  if (!reply) {
    std::cerr << "weir: " << reply.error().detail << "\n";
    return kFailed;
  }
  (reply->status == 200 ? std::cout : std::cerr) << reply->body;
  return reply->status == 200 ? 0 : kFailed;
}

}  // namespace

int run_command(int argc, const char* const* argv, const gateway::PlanOptions& options) {
  CLI::App app{"weir, an API gateway: limits, load shedding and circuit breaking in front of your services",
               "weir"};
  app.require_subcommand(1);
  app.set_help_all_flag("--help-all", "Help of all commands");
  int code = 0;

  std::string file;
  CLI::App* run_cmd = app.add_subcommand("run", "Serve with a configuration file, in the foreground");
  run_cmd->add_option("FILE", file, "YAML configuration")->required();
  run_cmd->footer(
      "Example:\n  weir run weir.yaml\nSignals: SIGTERM and SIGINT drain, SIGHUP reloads, SIGUSR1 reopens "
      "logs.");
  run_cmd->callback([&] { code = run(file, options); });

  std::vector<std::string> files;
  std::string output = "text";
  CLI::App* check_cmd = app.add_subcommand("check", "Check configuration files: 0 valid, 1 invalid, 2 usage");
  check_cmd->add_option("FILE", files, "YAML configuration")->required();
  check_cmd->add_option("--output", output, "text or json")->check(CLI::IsMember({"text", "json"}));
  check_cmd->footer("Example:\n  weir check weir.yaml --output json");
  check_cmd->callback([&] { code = check(files, output == "json"); });

  std::string file_after;
  CLI::App* diff_cmd =
      app.add_subcommand("diff", "What a reload from one file to another would change and keep");
  diff_cmd->add_option("OLD", file, "YAML configuration in use")->required();
  diff_cmd->add_option("NEW", file_after, "YAML configuration to come")->required();
  diff_cmd->add_option("--output", output, "text or json")->check(CLI::IsMember({"text", "json"}));
  diff_cmd->footer(
      "Example:\n  weir diff weir.yaml weir.new.yaml\nExit: 0 both are valid, 1 one is not, 2 usage.");
  diff_cmd->callback([&] { code = diff(file, file_after, output == "json"); });

  add_fmt_command(app, code);
  add_explain_command(app, code);

  ProxyArguments arguments;
  CLI::App* proxy_cmd = app.add_subcommand("proxy", "Put a gateway in front of one service, without a file");
  proxy_cmd->add_option("LISTEN", arguments.listen, "Address to listen on; :8080 is every address")
      ->required();
  proxy_cmd->add_option("UPSTREAM", arguments.upstream, "Where requests go: http://127.0.0.1:9000")
      ->required();
  proxy_cmd->add_option("--limit", arguments.limit, "Requests of one client: 100/min, 10/s; none by default");
  proxy_cmd->add_option("--max-in-flight", arguments.max_in_flight, "Requests at the same time")
      ->capture_default_str();
  proxy_cmd->add_option("--admin", arguments.admin, "Address of the admin; none by default");
  proxy_cmd->footer("Example:\n  weir proxy :8080 http://127.0.0.1:9000 --limit 100/min --max-in-flight 50");
  proxy_cmd->callback([&] { code = proxy(arguments, options); });

  CLI::App* reload_cmd =
      app.add_subcommand("reload", "Ask a running gateway, through its admin, to read its file again");
  reload_cmd->add_option("FILE", file, "The file it runs with: names the admin's address and token")
      ->required();
  reload_cmd->footer("Example:\n  weir reload weir.yaml");
  reload_cmd->callback([&] { code = reload(file); });

  add_token_commands(app, code);

  CLI::App* schema_cmd = app.add_subcommand("schema", "Print the JSON Schema of the configuration");
  schema_cmd->footer("Example:\n  weir schema > weir.schema.json");
  schema_cmd->callback([] { std::cout << config::json_schema(); });

  add_bff_commands(app, code);
  add_experiment_commands(app, code);
  add_ratelimit_commands(app, code);

  CLI::App* version_cmd = app.add_subcommand("version", "Print the version");
  version_cmd->footer("Example:\n  weir version");
  version_cmd->callback([] { std::cout << "weir " << kVersion << "\n"; });

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // Help and version requests come as "errors" with code 0.
    return app.exit(error) == 0 ? 0 : kUsage;
  }
  return code;
}

}  // namespace weir::server
