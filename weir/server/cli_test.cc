// The command line: exit codes, and that `proxy` stands for the file it says.
#include "weir/server/cli.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <fstream>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include "weir/server/cgroup.h"
#include "weir/server/version.h"

namespace weir::server {
namespace {

struct Ran {
  int code = 0;
  std::string out;
  std::string err;
};

Ran run(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "weir");
  std::vector<const char*> argv;
  for (const std::string& argument : arguments) argv.push_back(argument.c_str());
  std::ostringstream out;
  std::ostringstream err;
  std::streambuf* const old_out = std::cout.rdbuf(out.rdbuf());
  std::streambuf* const old_err = std::cerr.rdbuf(err.rdbuf());
  Ran ran;
  ran.code = run_command(static_cast<int>(argv.size()), argv.data());
  std::cout.rdbuf(old_out);
  std::cerr.rdbuf(old_err);
  ran.out = out.str();
  ran.err = err.str();
  return ran;
}

class File {
 public:
  explicit File(std::string_view text) {
    std::string name = ::testing::TempDir() + "weir-cli-XXXXXX";
    const int fd = ::mkstemp(name.data());
    ::close(fd);
    path = name;
    std::ofstream(path) << text;
  }
  ~File() { ::unlink(path.c_str()); }
  std::string path;
};

// 0 valid, 1 invalid, 2 wrong usage; all of several files are looked at.
TEST(Cli, Check) {
  const File good("listen: 127.0.0.1:0\nroutes: [{path: /*, respond: {status: 200}}]\n");
  const File bad("listen: 127.0.0.1:0\nrouts: []\n");
  EXPECT_EQ(run({"check", good.path}).code, 0);
  const Ran both = run({"check", good.path, bad.path});
  EXPECT_EQ(both.code, 1);
  EXPECT_NE(both.out.find(good.path + ": valid"), std::string::npos);
  EXPECT_NE(both.err.find(bad.path + ":2:1: "), std::string::npos) << both.err;
  EXPECT_NE(both.err.find("did you mean"), std::string::npos) << both.err;
  EXPECT_EQ(run({"check"}).code, 2);
  EXPECT_EQ(run({"check", "/nonexistent/file.yaml"}).code, 1);
  const Ran json = run({"check", bad.path, "--output", "json"});
  EXPECT_EQ(json.code, 1);
  EXPECT_TRUE(json.out.starts_with("[{")) << json.out;
  EXPECT_EQ(run({"check", good.path, "--output", "xml"}).code, 2);
}

// What needs no file.
TEST(Cli, VersionSchemaHelp) {
  EXPECT_EQ(run({"version"}).out, "weir " + std::string(kVersion) + "\n");
  EXPECT_NE(run({"schema"}).out.find("\"rate_limits\""), std::string::npos);
  EXPECT_EQ(run({"--help"}).code, 0);
  EXPECT_EQ(run({}).code, 2);
  EXPECT_EQ(run({"frobnicate"}).code, 2);
  for (const char* command : {"run", "check", "proxy", "reload", "schema", "version"})
    EXPECT_EQ(run({command, "--help"}).code, 0) << command;
}

// `proxy` is checked as the file that it stands for: whatever is put into an argument stays an argument.
TEST(Cli, ProxyChecksItsArguments) {
  EXPECT_EQ(run({"proxy", "127.0.0.1:0"}).code, 2);
  EXPECT_EQ(run({"proxy", "nonsense", "http://127.0.0.1:1"}).code, 2);
  EXPECT_EQ(run({"proxy", "127.0.0.1:0", "ftp://127.0.0.1:1"}).code, 2);
  EXPECT_EQ(run({"proxy", "127.0.0.1:0", "http://127.0.0.1:1", "--limit", "many"}).code, 2);
  EXPECT_EQ(run({"proxy", "127.0.0.1:0", "http://127.0.0.1:1", "--max-in-flight", "x"}).code, 2);
  const Ran smuggled = run({"proxy", "127.0.0.1:0\"\nadmin: \"127.0.0.1:1", "http://127.0.0.1:1"});
  EXPECT_EQ(smuggled.code, 2);
  EXPECT_NE(smuggled.err.find("listen"), std::string::npos) << smuggled.err;
}

// A file that cannot be served says why in one line.
TEST(Cli, RunRefuses) {
  EXPECT_EQ(run({"run", "/nonexistent/file.yaml"}).code, 1);
  const File bad("listen: 127.0.0.1:0\nrouts: []\n");
  const Ran ran = run({"run", bad.path});
  EXPECT_EQ(ran.code, 1);
  EXPECT_NE(ran.err.find(bad.path), std::string::npos);
  const File no_admin("listen: 127.0.0.1:0\nroutes: [{path: /*, respond: {status: 200}}]\n");
  EXPECT_EQ(run({"reload", no_admin.path}).code, 1);
  const File dead_admin(
      "listen: 127.0.0.1:0\nadmin: 127.0.0.1:1\nroutes: [{path: /*, respond: {status: 200}}]\n");
  EXPECT_EQ(run({"reload", dead_admin.path}).code, 1);
}

// At least one core, and not more than a machine has.
TEST(Cgroup, UsableCores) {
  EXPECT_GE(usable_cores(), 1U);
  EXPECT_LE(usable_cores(), 65'536U);
}

}  // namespace
}  // namespace weir::server
