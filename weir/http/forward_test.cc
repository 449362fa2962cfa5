// The whole way of a message through http: read by the parsers, written by the serializer, read again by the
// slow twin of testing/plain_reader.h. What arrives is what was meant, and one message only, however it was
// spelled and cut.
#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "weir/base/random.h"
#include "weir/http/parser.h"
#include "weir/http/serializer.h"
#include "weir/http/testing/plain_reader.h"

namespace weir::http::testing {
namespace {

using Pairs = std::vector<std::pair<std::string, std::string>>;

// A message by its meaning.
struct Meaning {
  std::string method, path, query, reason;
  bool has_query = false;
  int status = 200;
  Pairs fields;  // end to end
  BodyKind kind = BodyKind::none;
  std::string body;
};

std::string pick_text(base::Random& random, std::string_view alphabet, std::size_t least, std::size_t most) {
  std::string text;
  const std::size_t size = least + static_cast<std::size_t>(random.below(most - least + 1));
  for (std::size_t i = 0; i < size; ++i)
    text += alphabet[static_cast<std::size_t>(random.below(alphabet.size()))];
  return text;
}

Meaning random_meaning(base::Random& random, bool request) {
  static const std::vector<std::string> kMethods = {"GET", "POST", "PUT", "DELETE", "PATCH", "BREW", "x-y"};
  static const std::vector<std::string> kFieldNames = {"Accept", "Cookie",        "X-A",
                                                       "x_b",    "Cache-Control", "a",
                                                       "ETag",   "Authorization", "X-Long-Name-Of-A-Field",
                                                       "Via"};
  Meaning meaning;
  meaning.method = kMethods[static_cast<std::size_t>(random.below(kMethods.size()))];
  meaning.path = "/" + pick_text(random, "ab/.-%20;=:@!$&'()*+,", 0, 30);
  meaning.has_query = random.chance(1, 2);
  if (meaning.has_query) meaning.query = pick_text(random, "ab=&?/%[]{}|", 0, 20);
  meaning.status = static_cast<int>(200 + random.below(4) * 100 + random.below(4));
  meaning.reason = pick_text(random, "ab \t\xe9", 0, 12);
  const std::uint64_t n = random.below(12);
  for (std::uint64_t i = 0; i < n; ++i) {
    std::string value = plain::strip(pick_text(random, "ab ,;=\"\t\xe9\x80()<>@:\\/[]?{}", 0, 40));
    meaning.fields.emplace_back(kFieldNames[static_cast<std::size_t>(random.below(kFieldNames.size()))],
                                value);
  }
  const std::uint64_t kind = random.below(3);
  if (kind > 0) {
    meaning.kind = kind == 1 ? BodyKind::length : BodyKind::chunked;
    meaning.body = pick_text(random, std::string_view("ab\r\n\0\xff;:0 ", 10), 0, 200);
  }
  if (!request && meaning.status == 204) meaning.kind = BodyKind::none, meaning.body.clear();
  if (!request && meaning.kind == BodyKind::none && meaning.status != 204) meaning.kind = BodyKind::length;
  return meaning;
}

std::string spaces(base::Random& random) { return pick_text(random, " \t", 0, 3); }

std::string chunked_body(base::Random& random, const std::string& body) {
  std::string out;
  for (std::size_t at = 0; at < body.size();) {
    const auto size = std::min<std::size_t>(1 + static_cast<std::size_t>(random.below(20)), body.size() - at);
    char line[24];
    std::snprintf(line, sizeof line, random.chance(1, 2) ? "%zx" : "%04zX", size);
    out += line;
    if (random.chance(1, 4)) out += ";a=\"b\\\"c\";d";
    out.append("\r\n").append(body, at, size).append("\r\n");
    at += size;
  }
  out += random.chance(1, 4) ? "000\r\n" : "0\r\n";
  if (random.chance(1, 4)) out += "X-Sum: 1\r\n";
  return out + "\r\n";
}

// One of the many spellings of a meaning, with hop-by-hop fields strewn in.
std::string spell(base::Random& random, const Meaning& meaning, bool request) {
  std::string out;
  if (request) {
    if (random.chance(1, 8)) out += "\r\n";
    out += meaning.method + " " + (random.chance(1, 8) ? "http://A.example" : "") + meaning.path;
    if (meaning.has_query) out += "?" + meaning.query;
    out += " HTTP/1.1\r\n";
  } else {
    out += "HTTP/1.1 " + std::to_string(meaning.status) + " " + meaning.reason + "\r\n";
  }
  std::vector<std::string> hops = {"Keep-Alive: timeout=5",
                                   "Connection: keep-alive, X-Hop",
                                   "X-Hop: 1",
                                   "Proxy-Connection: close",
                                   "TE: trailers",
                                   "Upgrade: h2c",
                                   "Content_Length: 3"};
  Pairs fields = meaning.fields;
  if (request) fields.insert(fields.begin(), {"hOST", "a.example"});
  for (const auto& [name, value] : fields) {
    if (random.chance(1, 4)) {
      const std::string& hop = hops[static_cast<std::size_t>(random.below(hops.size()))];
      // X-Hop is only hop-by-hop where Connection says so.
      if (hop == "X-Hop: 1") out += "Connection: x-hop\r\n";
      out += hop + "\r\n";
    }
    out += name + ":" + spaces(random) + value + spaces(random) + "\r\n";
  }
  if (meaning.kind == BodyKind::length)
    out += "Content-length: " + std::to_string(meaning.body.size()) + "\r\n";
  if (meaning.kind == BodyKind::chunked) out += "TRANSFER-encoding: Chunked\r\n";
  out += "\r\n";
  out += meaning.kind == BodyKind::chunked ? chunked_body(random, meaning.body) : meaning.body;
  return out;
}

// Bytes that leave through an encoder whose writes take what they take.
class Wire {
 public:
  Wire(base::Random& random, BodyKind kind, std::uint64_t length, HeadBuffer head) : random_(random) {
    encoder_.start(kind, length, std::move(head));
  }
  void send(std::string_view payload, bool last) {
    iovec pieces[BodyEncoder::kPieces];
    while (!payload.empty() || (last && !encoder_.finished())) {
      const std::size_t n = encoder_.gather(payload, last, pieces);
      if (n == 0) break;
      std::string offered;
      for (std::size_t i = 0; i < n; ++i)
        offered.append(static_cast<const char*>(pieces[i].iov_base), pieces[i].iov_len);
      const auto sent = static_cast<std::size_t>(random_.below(offered.size() + 1));
      out += offered.substr(0, sent);
      payload.remove_prefix(encoder_.wrote(sent));
    }
  }
  bool finished() const { return encoder_.finished(); }
  std::string out;

 private:
  base::Random& random_;
  BodyEncoder encoder_;
};

// Reads one message that comes in pieces and writes it anew.
template <class Parser, class Head>
std::string forward(base::Random& random, Parser& parser, Head& head, const std::string& bytes,
                    std::string& why) {
  std::size_t arrived = 0;
  Parse verdict = Parse::need_more;
  std::string buffer;
  while (verdict == Parse::need_more && arrived < bytes.size()) {
    arrived = std::min(bytes.size(), arrived + 1 + static_cast<std::size_t>(random.below(60)));
    buffer = std::string(bytes, 0, arrived);
    verdict = parser.parse(buffer, head);
  }
  if (verdict != Parse::done) return why = parser.fault().what, "";
  HeadBuffer out;
  if constexpr (std::is_same_v<Head, RequestHead>)
    append_request_line(out, head.method_text, head.path, head.query, head.has_query);
  else
    append_status_line(out, head.status, head.reason);
  for (const Field& field : head.fields)
    if (!field.hop_by_hop && field.id != Name::content_length) append_field(out, field.name, field.value);
  append_framing(out, head.body, head.content_length);
  end_head(out);

  Wire wire(random, head.body, head.content_length, std::move(out));
  BodyDecoder decoder;
  decoder.start(head.body, head.content_length);
  std::string rest = bytes.substr(parser.consumed());
  while (!decoder.done()) {
    const auto size = std::min<std::size_t>(rest.size(), 1 + static_cast<std::size_t>(random.below(30)));
    const std::string piece = rest.substr(0, size);
    const BodyDecoder::Step step = decoder.next(piece);
    if (step.state == BodyDecoder::State::error) return why = decoder.fault().what, "";
    wire.send(step.data, false);
    rest.erase(0, step.consumed);
  }
  wire.send({}, true);
  if (!wire.finished()) why = "unfinished";
  return rest.empty() ? wire.out : (why = "left over", "");
}

Pairs end_to_end(const PlainMessage& message) {
  Pairs fields;
  for (const auto& pair : message.fields)
    if (plain::lower(pair.first) != "content-length" && plain::lower(pair.first) != "transfer-encoding")
      fields.push_back(pair);
  return fields;
}

constexpr std::uint64_t kSeeds = 20'000;

TEST(Forward, RequestsArriveAsTheyWereMeant) {
  RequestParser parser;
  RequestHead head;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    SCOPED_TRACE(seed);
    base::Random random(seed);
    const Meaning meaning = random_meaning(random, true);
    const std::string bytes = spell(random, meaning, true);
    std::string why;
    parser.reset();
    const std::string out = forward(random, parser, head, bytes, why);
    ASSERT_EQ(why, "") << bytes;
    const auto message = plain_request(out);
    ASSERT_TRUE(message) << "sent:\n" << out;
    ASSERT_EQ(message->used, out.size()) << "more than one message:\n" << out;
    ASSERT_EQ(message->first, meaning.method);
    ASSERT_EQ(message->second, meaning.path + (meaning.has_query ? "?" + meaning.query : ""));
    ASSERT_EQ(message->third, "HTTP/1.1");
    Pairs fields = meaning.fields;
    fields.insert(fields.begin(), {"hOST", "a.example"});
    ASSERT_EQ(end_to_end(*message), fields) << bytes << "\nsent:\n" << out;
    ASSERT_EQ(message->body, meaning.body);
  }
}

TEST(Forward, AnswersArriveAsTheyWereMeant) {
  ResponseParser parser;
  ResponseHead head;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    SCOPED_TRACE(seed);
    base::Random random(seed);
    const Meaning meaning = random_meaning(random, false);
    const std::string bytes = spell(random, meaning, false);
    std::string why;
    parser.reset(Method::get);
    const std::string out = forward(random, parser, head, bytes, why);
    ASSERT_EQ(why, "") << bytes;
    const auto message = plain_response(out);
    ASSERT_TRUE(message) << "sent:\n" << out;
    ASSERT_EQ(message->used, out.size()) << "more than one message:\n" << out;
    ASSERT_EQ(message->second, std::to_string(meaning.status));
    if (!meaning.reason.empty()) {
      ASSERT_EQ(message->third, meaning.reason);
    }
    ASSERT_EQ(end_to_end(*message), meaning.fields) << bytes << "\nsent:\n" << out;
    ASSERT_EQ(message->body, meaning.body);
  }
}

}  // namespace
}  // namespace weir::http::testing
