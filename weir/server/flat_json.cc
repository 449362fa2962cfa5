#include "weir/server/flat_json.h"

#include <charconv>

#include "weir/base/strings.h"

namespace weir::server {

std::optional<std::uint64_t> FlatJson::Member::whole() const {
  return kind == Kind::number ? base::parse_u64(text) : std::nullopt;
}

const FlatJson::Member* FlatJson::find(std::string_view name) const {
  for (const Member& member : members_)
    if (member.name == name) return &member;
  return nullptr;
}

// A cursor. Every step returns false once `fault` is set, and then nothing more is read.
class FlatJson::Reader {
 public:
  Reader(std::string_view text, std::uint32_t line) : text_(text), line_(line) {}

  bool object(std::vector<Member>& members) {
    space();
    if (!take('{')) return fail("an object is expected: { ... }");
    space();
    if (!take('}')) {
      do {
        if (members.size() >= kMembers) return fail("more than 64 members");
        if (!member(members)) return false;
        space();
      } while (take(','));
      if (!take('}')) return fail(ended() ? "the object is not closed" : "`,` or `}` is expected");
    }
    space();
    return ended() || fail("nothing may follow the object");
  }

  Error error() const { return Error(ErrorCode::malformed, fault_); }

 private:
  bool member(std::vector<Member>& members) {
    space();
    Member made;
    made.at = place();
    if (ended() || text_[at_] != '"') return fail("a name in double quotes is expected");
    if (!string(made.name)) return false;
    for (const Member& earlier : members)
      if (earlier.name == made.name) return fail("a name twice: \"" + printable(made.name) + "\"", made.at);
    space();
    if (!take(':')) return fail("`:` is expected");
    space();
    made.value_at = place();
    if (!value(made)) return false;
    members.push_back(std::move(made));
    return true;
  }

  bool value(Member& member) {
    if (ended()) return fail("a value is expected");
    const char c = text_[at_];
    if (c == '"') {
      member.kind = Kind::text;
      return string(member.text);
    }
    if (c == '{' || c == '[') return fail("only texts, numbers, true, false and null are expected here");
    if (c == '-' || base::is_digit(c)) {
      member.kind = Kind::number;
      return number(member.text);
    }
    for (const auto& [word, kind] : {std::pair{std::string_view("true"), Kind::boolean},
                                     {std::string_view("false"), Kind::boolean},
                                     {std::string_view("null"), Kind::null}}) {
      if (text_.substr(at_, word.size()) != word) continue;
      member.kind = kind;
      member.text = word;
      at_ += word.size();
      return true;
    }
    return fail("no JSON value begins like this");
  }

  // RFC 8259 6: no leading zero, no plus, digits on both sides of the point.
  bool number(std::string& out) {
    const std::size_t begin = at_;
    static_cast<void>(take('-'));
    if (!take('0') && !digits()) return fail("a digit is expected");
    if (!ended() && base::is_digit(text_[at_]))
      return fail("a number does not begin with 0", place_of(begin));
    if (take('.') && !digits()) return fail("a digit is expected");
    if (take('e') || take('E')) {
      if (!take('+')) static_cast<void>(take('-'));
      if (!digits()) return fail("a digit is expected");
    }
    out = text_.substr(begin, at_ - begin);
    return true;
  }

  bool digits() {
    const std::size_t begin = at_;
    while (!ended() && base::is_digit(text_[at_])) ++at_;
    return at_ > begin;
  }

  bool string(std::string& out) {
    const Place begin = place();
    ++at_;
    for (;;) {
      if (ended()) return fail("the text is not closed", begin);
      const auto c = static_cast<unsigned char>(text_[at_]);
      if (c == '"') return ++at_, true;
      if (c < 0x20) return fail("a control character in a text; write \\u00XX");
      if (c == '\\') {
        if (!escape(out)) return false;
      } else if (c < 0x80) {
        out += text_[at_++];
      } else if (!utf8(out)) {
        return false;
      }
    }
  }

  bool escape(std::string& out) {
    static constexpr std::string_view kShort = "\"\\/bfnrt";
    static constexpr std::string_view kMeans = "\"\\/\b\f\n\r\t";
    const Place begin = place();
    ++at_;
    if (ended()) return fail("the text is not closed", begin);
    const char c = text_[at_];
    if (const std::size_t known = kShort.find(c); known != std::string_view::npos) {
      out += kMeans[known];
      ++at_;
      return true;
    }
    if (c != 'u') return fail("no such escape", begin);
    ++at_;
    std::uint32_t code = 0;
    if (!four_digits(code)) return fail("\\u needs four hexadecimal digits", begin);
    if (code >= 0xdc00 && code <= 0xdfff) return fail("half a surrogate pair", begin);
    if (code >= 0xd800 && code <= 0xdbff) {
      std::uint32_t low = 0;
      if (text_.substr(at_, 2) != "\\u") return fail("half a surrogate pair", begin);
      at_ += 2;
      if (!four_digits(low) || low < 0xdc00 || low > 0xdfff) return fail("half a surrogate pair", begin);
      code = 0x10000 + ((code - 0xd800) << 10U) + (low - 0xdc00);
    }
    append_utf8(out, code);
    return true;
  }

  bool four_digits(std::uint32_t& code) {
    const std::string_view hex = text_.substr(at_, 4);
    const auto [end, error] = std::from_chars(hex.data(), hex.data() + hex.size(), code, 16);
    if (hex.size() != 4 || error != std::errc{} || end != hex.data() + 4) return false;
    at_ += 4;
    return true;
  }

  static void append_utf8(std::string& out, std::uint32_t code) {
    const auto put = [&out](std::uint32_t byte) { out += static_cast<char>(byte); };
    if (code < 0x80) return put(code);
    if (code < 0x800) return put(0xc0 | code >> 6U), put(0x80 | (code & 63U));
    if (code < 0x10000)
      return put(0xe0 | code >> 12U), put(0x80 | (code >> 6U & 63U)), put(0x80 | (code & 63U));
    put(0xf0 | code >> 18U), put(0x80 | (code >> 12U & 63U)), put(0x80 | (code >> 6U & 63U));
    put(0x80 | (code & 63U));
  }

  // RFC 3629 4: the shortest form, no surrogates, nothing above U+10FFFF.
  bool utf8(std::string& out) {
    const auto byte = [this](std::size_t i) {
      return at_ + i < text_.size() ? static_cast<unsigned char>(text_[at_ + i]) : 0U;
    };
    const unsigned first = byte(0);
    const std::size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    std::uint32_t code = first & (0x7fU >> length);
    for (std::size_t i = 1; i < length; ++i) {
      if ((byte(i) & 0xc0U) != 0x80) return fail("no UTF-8");
      code = code << 6U | (byte(i) & 63U);
    }
    static constexpr std::uint32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
    if (first < 0xc2 || first > 0xf4 || code < kLeast[length] || code > 0x10ffff ||
        (code >= 0xd800 && code <= 0xdfff))
      return fail("no UTF-8");
    out += text_.substr(at_, length);
    at_ += length;
    return true;
  }

  static std::string printable(std::string_view text) {
    std::string out;
    base::append_json_escaped(out, text.substr(0, 64));
    return out;
  }

  bool ended() const { return at_ >= text_.size(); }
  bool take(char c) {
    if (ended() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  void space() {
    while (!ended() && std::string_view(" \t\r\n").find(text_[at_]) != std::string_view::npos) ++at_;
  }
  Place place() const { return place_of(at_); }
  Place place_of(std::size_t offset) const {
    Place place;
    place.line = line_;
    for (std::size_t i = 0; i < offset; ++i) {
      ++place.column;
      if (text_[i] == '\n') ++place.line, place.column = 1;
    }
    return place;
  }
  bool fail(const std::string& what) { return fail(what, place()); }
  bool fail(const std::string& what, Place at) {
    fault_ = at.to_text() + ": " + what;
    return false;
  }

  std::string_view text_;
  std::uint32_t line_;
  std::size_t at_ = 0;
  std::string fault_;
};

Result<FlatJson> FlatJson::parse(std::string_view text, std::uint32_t line) {
  if (text.size() > kBytes) {
    Place place;
    place.line = line;
    return Error(ErrorCode::too_large, place.to_text() + ": more than 64 KiB");
  }
  Reader reader(text, line);
  FlatJson json;
  if (!reader.object(json.members_)) return reader.error();
  return json;
}

}  // namespace weir::server
