// Paths against a plain twin on every short input, and the small readers beside them.
#include "weir/http/uri.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace weir::http {
namespace {

struct PathCase {
  std::string_view raw;
  std::string_view path;
  PathFault fault = PathFault::none;
  bool encoded_slash = false;
};

const std::vector<PathCase> kPaths = {
    {"/", "/"},
    {"*", "*"},
    {"", ""},
    {"/a", "/a"},
    {"/a/", "/a/"},
    {"/a/b.c", "/a/b.c"},
    // "//" is merged.
    {"//", "/"},
    {"///a", "/a"},
    {"/a//b///c", "/a/b/c"},
    {"/a//", "/a/"},
    // Literal dot segments (RFC 3986 5.2.4).
    {"/.", "/"},
    {"/./", "/"},
    {"/./a", "/a"},
    {"/a/.", "/a/"},
    {"/a/..", "/"},
    {"/a/../", "/"},
    {"/a/b/..", "/a/"},
    {"/a/b/../", "/a/"},
    {"/a/b/../c", "/a/c"},
    {"/a/b/c/../../d", "/a/d"},
    {"/a//../b", "/b"},
    {"/a/./../b", "/b"},
    {"/mid/content=5/../6", "/mid/6"},
    // Names that only look like dot segments.
    {"/...", "/..."},
    {"/.well-known/x", "/.well-known/x"},
    {"/..a/b", "/..a/b"},
    {"/a./b..", "/a./b.."},
    {"/a;..", "/a;.."},
    // Escapes: unreserved decoded, others in capitals.
    {"/%7euser", "/~user"},
    {"/%41%62%2D%2e%5f", "/Ab-._"},
    {"/a%20b", "/a%20b"},
    {"/%c3%a9", "/%C3%A9"},
    {"/a%3fb%23", "/a%3Fb%23"},
    {"/a%2520b", "/a%2520b"},
    {"/%252e%252e/a", "/%252e%252e/a"},
    {"/a%0d%0aX-A:%20b", "/a%0D%0AX-A:%20b"},
    {"/a%2eb", "/a.b"},
    {"/%2e%2e%2e", "/..."},
    {"/%2ea", "/.a"},
    // Encoded slashes are reported.
    {"/a%2fb", "/a%2Fb", PathFault::none, true},
    {"/%2F", "/%2F", PathFault::none, true},
    {"/a%2Fb/../c", "/c", PathFault::none, true},
    // Ways out of the root.
    {"/..", "", PathFault::above_root},
    {"/../", "", PathFault::above_root},
    {"/../a", "", PathFault::above_root},
    {"/a/../..", "", PathFault::above_root},
    {"/a/../../b", "", PathFault::above_root},
    {"//..", "", PathFault::above_root},
    {"/./..", "", PathFault::above_root},
    // Dot segments in disguise.
    {"/%2e", "", PathFault::encoded_dot_segment},
    {"/%2E%2e/a", "", PathFault::encoded_dot_segment},
    {"/a/%2e%2e/b", "", PathFault::encoded_dot_segment},
    {"/a/.%2e/b", "", PathFault::encoded_dot_segment},
    {"/a/%2e./b", "", PathFault::encoded_dot_segment},
    {"/a/..%2fb", "", PathFault::encoded_dot_segment},
    {"/a/b%2f..", "", PathFault::encoded_dot_segment},
    {"/a/b%2f..%2Fc", "", PathFault::encoded_dot_segment},
    {"/a/b%2f%2e%2e%2Fc", "", PathFault::encoded_dot_segment},
    {"/a/..;/b", "", PathFault::encoded_dot_segment},
    {"/a/..;x=y/b", "", PathFault::encoded_dot_segment},
    {"/a/.;/b", "", PathFault::encoded_dot_segment},
    {"/a/..%3b/b", "", PathFault::encoded_dot_segment},
    // Backslashes, NUL, broken escapes.
    {"/a\\b", "", PathFault::encoded_backslash},
    {"/..\\..\\a", "", PathFault::encoded_backslash},
    {"/a%5cb", "", PathFault::encoded_backslash},
    {"/a%5Cb", "", PathFault::encoded_backslash},
    {"/a%00", "", PathFault::encoded_nul},
    {"/%00/..", "", PathFault::encoded_nul},
    {"/a%", "", PathFault::bad_escape},
    {"/a%2", "", PathFault::bad_escape},
    {"/a%2/b", "", PathFault::bad_escape},
    {"/a%zz", "", PathFault::bad_escape},
    {"/a%%20", "", PathFault::bad_escape},
    {"/a%u002f", "", PathFault::bad_escape},
    {"/a% 20", "", PathFault::bad_escape},
    {"/a%+20", "", PathFault::bad_escape},
};

// Each path becomes its one canonical form, or the fault that the table names.
TEST(CanonicalPath, IsWhatTheTableSays) {
  std::string scratch;
  for (const PathCase& one : kPaths) {
    SCOPED_TRACE(one.raw);
    const CanonicalPath got = canonical_path(one.raw, scratch);
    EXPECT_EQ(to_string(got.fault), to_string(one.fault));
    EXPECT_EQ(got.path, one.path);
    if (one.fault == PathFault::none) {
      EXPECT_EQ(got.encoded_slash, one.encoded_slash);
    }
  }
}

// A canonical path is handed back as it lies, without a copy.
TEST(CanonicalPath, CopiesNothingThatIsCanonical) {
  std::string scratch;
  for (const std::string_view raw : {"/", "/orders/123", "/a/b/", "/a.b/c;d=e/f,g:h@i", "*"}) {
    EXPECT_EQ(canonical_path(raw, scratch).path.data(), raw.data());
  }
  EXPECT_TRUE(scratch.empty());
}

// The twin: decode everything, split at literal slashes, and think in lists.
struct PlainPath {
  std::string path;
  bool encoded_slash = false;
};

bool is_hex(char c) { return std::string("0123456789abcdefABCDEF").find(c) != std::string::npos; }

std::optional<PlainPath> plain_path(const std::string& raw) {
  PlainPath result;
  std::vector<std::string> list;
  std::vector<std::string> segments;
  std::string current;
  for (const char c : raw.substr(1)) {
    if (c == '/') {
      segments.push_back(current);
      current.clear();
    } else {
      current += c;
    }
  }
  segments.push_back(current);
  bool open = false;
  for (const std::string& segment : segments) {
    std::string shown;
    std::string meant;
    for (std::size_t i = 0; i < segment.size(); ++i) {
      if (segment[i] != '%') {
        shown += segment[i];
        meant += segment[i];
        continue;
      }
      if (i + 2 >= segment.size() || !is_hex(segment[i + 1]) || !is_hex(segment[i + 2])) return std::nullopt;
      const char decoded = static_cast<char>(std::stoi(segment.substr(i + 1, 2), nullptr, 16));
      if (decoded == 0) return std::nullopt;
      if (decoded == '/') result.encoded_slash = true;
      meant += decoded;
      if (std::isalnum(static_cast<unsigned char>(decoded)) != 0 ||
          std::string("-._~").find(decoded) != std::string::npos) {
        shown += decoded;
      } else {
        char escape[4];
        std::snprintf(escape, sizeof escape, "%%%02X", static_cast<unsigned char>(decoded));
        shown += escape;
      }
      i += 2;
    }
    if (meant.find('\\') != std::string::npos) return std::nullopt;
    open = segment.empty() || segment == "." || segment == "..";
    if (segment.empty() || segment == ".") continue;
    if (segment == "..") {
      if (list.empty()) return std::nullopt;
      list.pop_back();
      continue;
    }
    // For a server that decodes or cuts parameters first, no part may be a dot segment.
    std::string parts = meant + "/";
    for (std::size_t from = 0; from < parts.size();) {
      const std::size_t to = parts.find('/', from);
      std::string part = parts.substr(from, to - from);
      part = part.substr(0, part.find(';'));
      if (part == "." || part == "..") return std::nullopt;
      from = to + 1;
    }
    list.push_back(shown);
  }
  for (const std::string& segment : list) result.path += "/" + segment;
  if (open) result.path += "/";
  return result;
}

template <class Visit>
void every_text(const std::vector<std::string>& pieces, int most, const std::string& so_far, Visit&& visit) {
  visit(so_far);
  if (most == 0 || ::testing::Test::HasFatalFailure()) return;
  for (const std::string& piece : pieces) every_text(pieces, most - 1, so_far + piece, visit);
}

// On every path of up to six pieces the twin agrees, the result is canonical itself, and nothing that a
// reader could take for a dot segment, an empty segment or a backslash is left.
TEST(CanonicalPath, AgreesWithItsTwinOnEveryShortPath) {
  const std::vector<std::string> pieces = {"/", ".", "a", ";", "%2e", "%2F", "%5c", "%41", "%", "\\"};
  std::string scratch;
  std::string again;
  every_text(pieces, 5, "/", [&](const std::string& raw) {
    const CanonicalPath got = canonical_path(raw, scratch);
    const std::optional<PlainPath> twin = plain_path(raw);
    ASSERT_EQ(got.fault == PathFault::none, twin.has_value()) << raw << " " << to_string(got.fault);
    if (!twin) {
      ASSERT_EQ(got.path, "") << raw;
      return;
    }
    ASSERT_EQ(got.path, twin->path) << raw;
    ASSERT_EQ(got.encoded_slash, twin->encoded_slash) << raw;
    const std::string path(got.path);
    ASSERT_EQ(path.front(), '/') << raw;
    ASSERT_EQ((path + "/").find("/../"), std::string::npos) << raw;
    ASSERT_EQ((path + "/").find("/./"), std::string::npos) << raw;
    ASSERT_EQ(path.find("//"), std::string::npos) << raw;
    const CanonicalPath twice = canonical_path(path, again);
    ASSERT_EQ(twice.fault, PathFault::none) << raw;
    ASSERT_EQ(twice.path, path) << raw;
  });
}

// Decoding is the inverse of encoding, for every byte; '+' is no space.
TEST(PercentCode, IsItsOwnInverse) {
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
  std::string encoded;
  append_percent_encoded(encoded, all);
  std::string decoded = "left over";
  ASSERT_TRUE(percent_decode(encoded, decoded));
  EXPECT_EQ(decoded, all);
  encoded = "x";
  append_percent_encoded(encoded, "a b/\xe9~");
  EXPECT_EQ(encoded, "xa%20b%2F%E9~");
  ASSERT_TRUE(percent_decode("a+b%2b", decoded));
  EXPECT_EQ(decoded, "a+b+");
  for (const char* broken : {"%", "%1", "a%g1", "%1g", "%%"})
    EXPECT_FALSE(percent_decode(broken, decoded)) << broken;
}

// The first parameter of a name counts, its name decoded, its value raw.
TEST(QueryParameter, FindsTheFirstOfItsName) {
  EXPECT_EQ(query_parameter("a=1&b=2&a=3", "a"), "1");
  EXPECT_EQ(query_parameter("a=1&b=2&a=3", "b"), "2");
  EXPECT_EQ(query_parameter("a", "a"), "");
  EXPECT_EQ(query_parameter("a=", "a"), "");
  EXPECT_EQ(query_parameter("&&x=y&", "x"), "y");
  EXPECT_EQ(query_parameter("%61=1", "a"), "1");
  EXPECT_EQ(query_parameter("a%3db=1", "a=b"), "1");
  EXPECT_EQ(query_parameter("a=b=c%20d", "a"), "b=c%20d");
  EXPECT_EQ(query_parameter("", "a"), std::nullopt);
  EXPECT_EQ(query_parameter("aa=1", "a"), std::nullopt);
  EXPECT_EQ(query_parameter("A=1", "a"), std::nullopt);
  EXPECT_EQ(query_parameter("b=a=1", "a"), std::nullopt);
  EXPECT_EQ(query_parameter("%6=1", "a"), std::nullopt);
  EXPECT_EQ(query_parameter("=1", ""), "1");
}

// host, host:port, [v6], [v6]:port.
TEST(ParseAuthority, SplitsWhatIsSound) {
  const auto text = [](std::string_view from) {
    const auto authority = parse_authority(from);
    if (!authority) return std::string("malformed");
    return std::string(authority->host) + " " + (authority->port ? std::to_string(*authority->port) : "-");
  };
  EXPECT_EQ(text("a"), "a -");
  EXPECT_EQ(text("a.example:8080"), "a.example 8080");
  EXPECT_EQ(text("127.0.0.1:0"), "127.0.0.1 0");
  EXPECT_EQ(text("[::1]"), "::1 -");
  EXPECT_EQ(text("[2001:db8::1]:65535"), "2001:db8::1 65535");
  for (const char* bad : {"",    ":80",    "a:",     "a:b",  "a:-1",   "a:65536", "a:123456", "a:80:80",
                          "a b", "a/b",    "u@a",    "a%20", "a,b",    "[",       "[]",       "[::1",
                          "::1", "[::1]x", "[::1]:", "[1]",  "[v1.x]", "[::g]",   "[:::]",    "a\\b"})
    EXPECT_EQ(text(bad), "malformed") << bad;
}

// IPv6 as RFC 3986 3.2.2 spells it.
TEST(ParseAuthority, KnowsIpv6) {
  for (const char* good : {"::", "::1", "1::", "1::8", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7::",
                           "::2:3:4:5:6:7:8", "fe80::204:61ff:fe9d:f156", "::ffff:192.0.2.1",
                           "1:2:3:4:5:6:192.0.2.1", "::192.0.2.1", "ABCD:EF01:2345:6789:abcd:ef01:2345:6789"})
    EXPECT_TRUE(parse_authority("[" + std::string(good) + "]")) << good;
  for (const char* bad : {":",
                          ":1",
                          "1:",
                          "1:2",
                          "1:2:3:4:5:6:7",
                          "1:2:3:4:5:6:7:8:9",
                          "1::2::3",
                          ":::",
                          "12345::",
                          "::1:2:3:4:5:6:7:8",
                          "1:2:3:4:5:6:7:192.0.2.1",
                          "::192.0.2",
                          "::192.0.2.256",
                          "::01.2.3.4",
                          "::1.2.3.4.5",
                          "1.2.3.4",
                          "1.2.3.4::",
                          "::1%eth0",
                          "::g",
                          " ::1",
                          "::1 "})
    EXPECT_FALSE(parse_authority("[" + std::string(bad) + "]")) << bad;
}

}  // namespace
}  // namespace weir::http
