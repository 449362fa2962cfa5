// The parsers against their slow twin (testing/plain_reader.h): on every short input over small alphabets,
// and on seeded mutations of the tables' messages.
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "weir/base/random.h"
#include "weir/http/testing/accepted_requests.h"
#include "weir/http/testing/plain_reader.h"
#include "weir/http/testing/read_message.h"
#include "weir/http/testing/responses.h"

namespace weir::http::testing {
namespace {

// What the parsers say, in the twin's terms.
std::string twin_text(const std::optional<PlainMessage>& message) {
  if (!message) return "no message";
  std::string text =
      message->first + "|" + message->second + "|" + message->third + "|" + message->framing + "|";
  for (const auto& [name, value] : message->fields) text.append(name).append("=").append(value).append(";");
  return text + "|" + message->body + "|" + std::to_string(message->used);
}

std::string without_marks(const std::string& fields) {
  std::string text;
  bool starts = true;
  for (const char c : fields) {
    if (!(starts && c == '-')) text += c;
    starts = c == ';';
  }
  return text;
}

// Both must agree on whether a message is there, on its body and on where it ends; fields are compared by
// their text, with hop-by-hop marks taken off (the generators below put neither ';' nor a leading '-' into
// names or values).
void expect_same(const Reading& reading, const std::optional<PlainMessage>& twin, std::string_view bytes) {
  ASSERT_EQ(reading.outcome == Outcome::complete, twin.has_value())
      << "parser: " << reading.what << " / " << reading.head << "\ntwin: " << twin_text(twin) << "\ninput:\n"
      << bytes;
  if (!twin) return;
  ASSERT_EQ(reading.body, twin->body) << bytes;
  ASSERT_EQ(reading.used, twin->used) << bytes;
  std::string fields;
  for (const auto& [name, value] : twin->fields) fields.append(name).append("=").append(value).append(";");
  ASSERT_EQ(without_marks(reading.fields), without_marks(fields)) << bytes;
  ASSERT_NE(reading.head.find(" " + (twin->framing == "length" ? "length:" + std::to_string(twin->body.size())
                                                               : twin->framing)),
            std::string::npos)
      << reading.head << " is not " << twin->framing << "\n"
      << bytes;
}

// Calls visit with every concatenation of up to `most` of the pieces.
template <class Visit>
void every_text(const std::vector<std::string>& pieces, int most, const std::string& so_far, Visit&& visit) {
  visit(so_far);
  if (most == 0 || ::testing::Test::HasFatalFailure()) return;
  for (const std::string& piece : pieces) every_text(pieces, most - 1, so_far + piece, visit);
}

// Request lines of up to six pieces.
TEST(Differential, EveryShortRequestLine) {
  const std::vector<std::string> pieces = {"GET", "OPTIONS",  " ",        "/",  "*",
                                           "?",   "HTTP/1.1", "http://a", "\r", "\n"};
  std::size_t n = 0;
  every_text(pieces, 5, "", [&](const std::string& start) {
    const std::string bytes = start + "\r\nHost: a\r\n\r\n";
    expect_same(read_request(bytes), plain_request(bytes), bytes);
    ++n;
  });
  EXPECT_GT(n, 100'000U);
}

// Field sections of up to six pieces, behind a sound request line.
TEST(Differential, EveryShortFieldSection) {
  const std::vector<std::string> pieces = {"a", ":", " ", "\t", "\r", "\n", "\r\n"};
  every_text(pieces, 6, "", [&](const std::string& section) {
    const std::string bytes = "GET / HTTP/1.1\r\nHost: a\r\n" + section + "\r\n\r\n";
    expect_same(read_request(bytes), plain_request(bytes), bytes);
  });
}

// Framing fields in every order and number up to four.
TEST(Differential, EveryShortListOfFramingFields) {
  const std::vector<std::string> pieces = {"Host: a\r\n",
                                           "Content-Length: 0\r\n",
                                           "Content-Length: 3\r\n",
                                           "Content-Length: 03\r\n",
                                           "content-length:\r\n",
                                           "Transfer-Encoding: chunked\r\n",
                                           "transfer-encoding: gzip\r\n",
                                           "Transfer-Encoding: chunked, chunked\r\n",
                                           "Connection: close\r\n",
                                           "Expect: 100-continue\r\n"};
  for (const std::string version : {"1.0", "1.1"}) {
    every_text(pieces, 4, "", [&](const std::string& section) {
      const std::string bytes = "POST / HTTP/" + version + "\r\n" + section + "\r\n3\r\nabc\r\n0\r\n\r\n";
      expect_same(read_request(bytes), plain_request(bytes), bytes);
    });
  }
}

// Chunked bodies of up to seven pieces.
TEST(Differential, EveryShortChunkedBody) {
  const std::vector<std::string> pieces = {"0", "2", "\r\n", "\r", "\n", ";", "a", "=", "\"", " "};
  const std::string head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
  every_text(pieces, 5, "", [&](const std::string& body) {
    for (const std::string end : {"", "\r\n\r\n", "\r\n0\r\n\r\n"}) {
      const std::string bytes = head + body + end;
      expect_same(read_request(bytes), plain_request(bytes), bytes);
    }
  });
}

// Status lines of up to five pieces.
TEST(Differential, EveryShortStatusLine) {
  const std::vector<std::string> pieces = {"HTTP/1.1", "HTTP/1.0", " ",  "200", "99", "600",
                                           "204",      "\t",       "\r", "\n",  "OK"};
  every_text(pieces, 5, "", [&](const std::string& start) {
    const std::string bytes = start + "\r\nContent-Length: 1\r\n\r\nx";
    expect_same(read_response(bytes, Method::get, true), plain_response(bytes), bytes);
  });
}

// What an attacker's editor would do to a message.
std::string mutate(std::string bytes, base::Random& random) {
  static const std::vector<std::string> kPieces = {"\r\n",
                                                   "\n",
                                                   "\r",
                                                   " ",
                                                   "\t",
                                                   ":",
                                                   ",",
                                                   ";",
                                                   "\"",
                                                   "=",
                                                   "0",
                                                   "5",
                                                   "a",
                                                   "chunked",
                                                   "HTTP/1.0",
                                                   "\xff",
                                                   "\x7f",
                                                   "Content-Length: 5\r\n",
                                                   "Transfer-Encoding: chunked\r\n",
                                                   "Connection: close\r\n",
                                                   "Host: a\r\n",
                                                   "\r\n\r\n",
                                                   "Content-Length",
                                                   "http://a",
                                                   "*",
                                                   "#",
                                                   "x",
                                                   "X-A: b\r\n",
                                                   "0\r\n\r\n",
                                                   "5\r\nhello\r\n"};
  const std::uint64_t edits = 1 + random.below(3);
  for (std::uint64_t i = 0; i < edits; ++i) {
    const auto at = static_cast<std::size_t>(random.below(bytes.size() + 1));
    const auto size = static_cast<std::size_t>(random.below(8));
    const std::string& piece = kPieces[static_cast<std::size_t>(random.below(kPieces.size()))];
    switch (random.below(5)) {
      case 0:
        bytes.erase(at, 1);
        break;
      case 1:
        bytes.erase(at, size);
        break;
      case 2:
        bytes.insert(at, piece);
        break;
      case 3:
        bytes.replace(at, 1, piece.substr(0, 1));
        break;
      default:
        bytes.insert(at, bytes.substr(static_cast<std::size_t>(random.below(bytes.size() + 1)), size * 4));
        break;
    }
  }
  return bytes;
}

constexpr std::uint64_t kSeeds = 20;
constexpr int kMutationsASeed = 10000;

// The twin has no bounds: messages that test them are left out.
bool comparable(const std::string& bytes) {
  for (const char* bound : {"aaaaaaaa", ",a,a,a", "Connection: a\r\nConnection", "b\r\nX-A: b", "x\r\n1;"})
    if (bytes.find(bound) != std::string::npos) return false;
  return bytes.size() < 400;
}

TEST(Differential, MutatedRequests) {
  std::vector<std::string> messages;
  for (const auto& one : accepted_requests())
    if (comparable(one.bytes)) messages.push_back(one.bytes);
  for (const auto& one : refused_requests())
    if (comparable(one.bytes)) messages.push_back(one.bytes);
  int complete = 0;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    base::Random random(seed);
    for (int i = 0; i < kMutationsASeed; ++i) {
      const std::string bytes =
          mutate(messages[static_cast<std::size_t>(random.below(messages.size()))], random);
      const Reading whole = read_request(bytes);
      expect_same(whole, plain_request(bytes), bytes);
      complete += whole.outcome == Outcome::complete ? 1 : 0;
      const auto cut = static_cast<std::size_t>(random.below(bytes.size() + 1));
      ASSERT_EQ(read_request(bytes, {cut}), whole) << bytes;
      if (HasFatalFailure()) FAIL() << "seed " << seed << ", mutation " << i;
    }
  }
  // The mutations are mild enough to leave many messages sound: both verdicts are tried.
  EXPECT_GT(complete, 10'000);
  EXPECT_LT(complete, 150'000);
}

TEST(Differential, MutatedResponses) {
  std::vector<std::string> messages;
  for (const auto& one : accepted_responses())
    if (comparable(one.bytes)) messages.push_back(one.bytes);
  for (const auto& one : refused_responses())
    if (comparable(one.bytes)) messages.push_back(one.bytes);
  int complete = 0;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    base::Random random(seed);
    for (int i = 0; i < kMutationsASeed; ++i) {
      const std::string bytes =
          mutate(messages[static_cast<std::size_t>(random.below(messages.size()))], random);
      const bool to_head = random.chance(1, 8);
      const Method method = to_head ? Method::head : Method::get;
      const Reading whole = read_response(bytes, method, true);
      expect_same(whole, plain_response(bytes, to_head), bytes);
      complete += whole.outcome == Outcome::complete ? 1 : 0;
      const auto cut = static_cast<std::size_t>(random.below(bytes.size() + 1));
      ASSERT_EQ(read_response(bytes, method, true, {cut}), whole) << bytes;
      if (HasFatalFailure()) FAIL() << "seed " << seed << ", mutation " << i;
    }
  }
  // The mutations are mild enough to leave many messages sound: both verdicts are tried.
  EXPECT_GT(complete, 10'000);
  EXPECT_LT(complete, 150'000);
}

}  // namespace
}  // namespace weir::http::testing
