// `weir bff test`: what a file declares is what happens, on the simulated network and to the millisecond.
#include "weir/server/bff_cli.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>
#include <vector>

#include "weir/server/cli.h"
#include "weir/server/page_trace.h"
#include "weir/server/page_trial.h"

namespace weir::server {
namespace {

using namespace std::chrono_literals;

struct Ran {
  int code = 0;
  std::string out;
  std::string err;
};

Ran run(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), {"weir", "bff"});
  std::vector<const char*> argv;
  for (const std::string& argument : arguments) argv.push_back(argument.c_str());
  std::ostringstream out, err;
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

class BffTest : public ::testing::Test {
 protected:
  BffTest() : folder_(std::filesystem::temp_directory_path() / ("weir-bff-" + std::to_string(::getpid()))) {
    std::filesystem::create_directories(folder_);
    write("weir.yaml", R"(
listen: 127.0.0.1:0
upstreams:
  users: {endpoints: ["https://users.example"]}
  recs: {endpoints: ["http://recs.example"], circuit_breaker: off}
routes:
  - {path: /static, respond: {status: 200}}
  - path: /home/{id}
    auth: off
    bff:
      deadline: 500ms
      sections:
        user: {upstream: users, path: "/v1/users/{req.path.id}", need: required}
        recs: {upstream: recs, path: "/v1/recs?u={passport.user_id ?? none}", timeout: 100ms, on_error: []}
        beta: {upstream: recs, path: /beta, when: {flag.beta: {eq: true}}, omit_on_error: true}
)");
  }
  ~BffTest() override { std::filesystem::remove_all(folder_); }

  std::string write(const std::string& name, const std::string& text) {
    const std::string path = (folder_ / name).string();
    std::ofstream(path) << text;
    return path;
  }
  // A file with one case whose services are well but for `recs`.
  std::string one(const std::string& recs, const std::string& expect) {
    return write(
        "t.yaml",
        "config: weir.yaml\ncases:\n  - get: /home/17\n    services:\n      users: {body: {id: 17}}\n"
        "      recs: " +
            recs + "\n    expect: " + expect + "\n");
  }

  std::filesystem::path folder_;
};

// Every fault that can be declared, with the word that the page has for it; the other section's bytes never change.
TEST_F(BffTest, PlaysEveryFault) {
  const std::vector<std::pair<std::string, std::string>> cases{
      {"{fault: refused}", "error"},
      {"{fault: black_hole}", "error"},
      {"{fault: hang}", "error"},
      {"{fault: drip, body: [1, 2, 3, 4, 5]}", "error"},
      {"{fault: truncated, body: [1, 2]}", "error"},
      {"{fault: reset, body: [1, 2]}", "error"},
      {"{fault: closed}", "error"},
      {"{fault: garbage}", "error"},
      {"{fault: oversized}", "error"},
      {"{status: 500}", "error"},
      {"{status: 404}", "error"},
      {"{status: 429, headers: {Retry-After: \"1\"}}", "error"},
      {"{text: \"{\\\"a\\\":1,}\"}", "error"},
      {"{after: 101ms}", "error"},
  };
  for (const auto& [recs, state] : cases) {
    const Ran ran = run({"test", one(recs,
                                     "{status: 200, complete: false, body: {user: {id: 17}, recs: []}, "
                                     "sections: {user: ok, recs: " +
                                         state + "}, within: 103ms}")});
    EXPECT_EQ(ran.code, 0) << recs << "\n" << ran.out << ran.err;
  }
  const Ran good =
      run({"test", one("{body: [1], after: 90ms}", "{complete: true, body: {user: {id: 17}, recs: [1]}}")});
  EXPECT_EQ(good.code, 0) << good.out << good.err;
  const Ran none =
      run({"test", one("{status: 204}", "{complete: true, body: {user: {id: 17}, recs: null}}")});
  EXPECT_EQ(none.code, 0) << none.out << none.err;
}

// A page that is another one fails, with what was expected and what there was; the code says so.
TEST_F(BffTest, SaysWhatIsDifferent) {
  const std::string file =
      one("{body: [2]}", "{status: 201, body: {user: {id: 17}, recs: [1]}, sections: {recs: stale}}");
  const Ran ran = run({"test", file});
  EXPECT_EQ(ran.code, 1);
  EXPECT_NE(ran.out.find("FAILED  GET /home/17"), std::string::npos) << ran.out;
  EXPECT_NE(ran.out.find("t.yaml:3"), std::string::npos) << ran.out;
  EXPECT_NE(ran.out.find("status: expected 201"), std::string::npos) << ran.out;
  EXPECT_NE(ran.out.find("body: expected {\"user\":{\"id\":17},\"recs\":[1]}"), std::string::npos) << ran.out;
  EXPECT_NE(ran.out.find("it was   {\"user\":{\"id\":17},\"recs\":[2]}"), std::string::npos) << ran.out;
  EXPECT_NE(ran.out.find("section recs: expected stale"), std::string::npos) << ran.out;
  EXPECT_NE(ran.out.find("1 cases, 1 failed"), std::string::npos) << ran.out;
  const Ran json = run({"test", file, "--output", "json"});
  EXPECT_EQ(json.code, 1);
  EXPECT_NE(json.out.find("\"passed\":false"), std::string::npos) << json.out;
}

// Who asks, and what he sees, is declared.
TEST_F(BffTest, KnowsTheCaller) {
  const std::string file = write("t.yaml", R"(
config: weir.yaml
cases:
  - name: known
    get: /home/17
    passport: {user_id: u1}
    flags: {beta: true}
    services:
      users: {paths: {/v1/users/17: {body: {id: 17}}}}
      recs: {paths: {"/v1/recs?u=u1": {body: [u1]}, /beta: {body: {on: true}}}}
    expect: {body: {user: {id: 17}, recs: [u1], beta: {on: true}}}
  - name: unknown
    get: /home/17
    services:
      users: {body: {id: 17}}
      recs: {paths: {"/v1/recs?u=none": {body: [nobody]}}}
    expect: {body: {user: {id: 17}, recs: [nobody]}, sections: {beta: skipped}}
)");
  const Ran ran = run({"test", file});
  EXPECT_EQ(ran.code, 0) << ran.out << ran.err;
}

// Mistakes in the file are found with their places, all at once, before anything runs.
TEST_F(BffTest, FindsMistakes) {
  const std::string file = write("t.yaml", R"(
config: weir.yaml
cases:
  - get: home
    services: {users: {stauts: 200, fault: hung, after: 20}}
    expect: {}
  - gett: /x
)");
  const Ran ran = run({"test", file});
  EXPECT_EQ(ran.code, 1);
  for (const char* line : {"t.yaml:5:24: unknown key `stauts` (did you mean `status`?)", "`hung` is no fault",
                           "a duration such as 20ms is expected", "the case expects nothing",
                           "the case asks for nothing", "unknown key `gett`"})
    EXPECT_NE(ran.err.find(line), std::string::npos) << line << "\n" << ran.err;
  EXPECT_EQ(run({"test", (folder_ / "absent.yaml").string()}).code, 1);
  EXPECT_EQ(run({"test"}).code, 2);
  const std::string upstream =
      one("{}", "{status: 200}\n  - {get: /home/1, services: {none: {}}, expect: {status: 200}}");
  const Ran wrong = run({"test", upstream});
  EXPECT_EQ(wrong.code, 1);
  EXPECT_NE(wrong.out.find("no upstream none"), std::string::npos) << wrong.out;
}

// The example's own tests hold.
TEST_F(BffTest, RunsTheExample) {
  const std::string file = std::string(WEIR_SOURCE_DIR) + "/examples/bff/pages_test.yaml";
  const Ran ran = run({"test", file});
  EXPECT_EQ(ran.code, 0) << ran.out << ran.err;
}

// The waterfall shows sections and calls where they were in time, and no byte of a stranger's breaks its frame.
TEST(Waterfall, ShowsTime) {
  PageTrace trace;
  trace.method = "GET", trace.target = "/<home>", trace.trace_id = "4bf92f3577b34da6a3ce929d0e0e4736";
  trace.status = 200, trace.took_ms = 100, trace.deadline_ms = 500;
  trace.bars = {{"user", "ok", 0, 50, true, true, true},
                {"GET http://a/1?\x1b[2J\"", "200", 0, 50, false, true, true},
                {"recs", "skipped needs_failed", 0, 0, true, false, false}};
  const std::string text = waterfall_text(trace);
  EXPECT_NE(text.find("GET /<home>  200  100.0 ms of 500 ms  not complete"), std::string::npos) << text;
  EXPECT_NE(text.find("|########################........................|"), std::string::npos) << text;
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
  const std::string svg = waterfall_svg(trace);
  EXPECT_NE(svg.find("/&lt;home&gt;"), std::string::npos);
  EXPECT_EQ(svg.find("/<home>"), std::string::npos);
  EXPECT_NE(waterfall_json(trace).find(R"({"name":"recs","result":"skipped needs_failed","from_ms":null)"),
            std::string::npos)
      << waterfall_json(trace);
}

}  // namespace
}  // namespace weir::server
