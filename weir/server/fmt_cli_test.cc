// `weir fmt` on files: in place, its mode kept; --check touches nothing; what is refused stays as it was.
#include "weir/server/fmt_cli.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <iterator>

namespace weir::server {
namespace {

class Fmt : public ::testing::Test {
 protected:
  Fmt() : folder_(std::filesystem::path(::testing::TempDir()) / ("fmt" + std::to_string(::getpid()))) {
    std::filesystem::create_directories(folder_);
  }
  ~Fmt() override { std::filesystem::remove_all(folder_); }

  std::string write(const std::string& name, const std::string& text) const {
    const std::string path = folder_ / name;
    std::ofstream(path, std::ios::binary) << text;
    return path;
  }
  static std::string read(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  std::filesystem::path folder_;
};

constexpr const char* kUgly = "listen:   :0 # all\nroutes: [ {path: /a,respond: { } } ]\n";
constexpr const char* kNeat = "listen: :0  # all\nroutes: [{path: /a, respond: {}}]\n";

TEST_F(Fmt, ChangesInPlaceAndKeepsTheMode) {
  const std::string path = write("weir.yaml", kUgly);
  ASSERT_EQ(::chmod(path.c_str(), 0640), 0);
  const std::string link = folder_ / "link.yaml";
  std::filesystem::create_symlink(path, link);
  EXPECT_EQ(fmt_files({link}, {}), 0);
  EXPECT_EQ(read(path), kNeat);
  EXPECT_TRUE(std::filesystem::is_symlink(link));
  struct stat now{};
  ASSERT_EQ(::stat(path.c_str(), &now), 0);
  EXPECT_EQ(now.st_mode & 07777, 0640U);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 2)
      << "nothing is left beside it";
}

TEST_F(Fmt, CheckTouchesNothing) {
  const std::string ugly = write("ugly.yaml", kUgly);
  const std::string neat = write("neat.yaml", kNeat);
  ::testing::internal::CaptureStderr();
  EXPECT_EQ(fmt_files({neat, ugly}, {.check = true}), 1);
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), ugly + ":1:1: is laid out otherwise by `weir fmt`\n");
  EXPECT_EQ(read(ugly), kUgly);
  EXPECT_EQ(fmt_files({neat}, {.check = true}), 0);
}

TEST_F(Fmt, RefusesWhatItCannotRead) {
  const std::string broken = write("broken.yaml", "a: [1\nb: 2\n");
  ::testing::internal::CaptureStderr();
  EXPECT_EQ(fmt_files({broken, folder_ / "missing.yaml"}, {}), 1);
  const std::string said = ::testing::internal::GetCapturedStderr();
  EXPECT_NE(said.find(broken + ":"), std::string::npos) << said;
  EXPECT_NE(said.find("missing.yaml:1:1: cannot read the file: No such file"), std::string::npos) << said;
  EXPECT_EQ(read(broken), "a: [1\nb: 2\n");
}

TEST_F(Fmt, SpeaksJson) {
  const std::string ugly = write("ugly.yaml", kUgly);
  ::testing::internal::CaptureStdout();
  EXPECT_EQ(fmt_files({ugly}, {.check = true, .json = true}), 1);
  EXPECT_EQ(::testing::internal::GetCapturedStdout(),
            "[{\"file\":\"" + ugly + "\",\"changed\":true,\"line\":1}]\n");
}

}  // namespace
}  // namespace weir::server
