// Two validators and a reader that may trust them.
//
//   (1) simdjson's DOM parser checks everything (UTF-8, escapes, numbers, structure) at about two bytes a nanosecond; its
//       On-Demand API does not look into what it skips, so it is not used.
//   (2) It refuses numbers that fit no 64-bit integer or double. They are valid JSON and a service may send them, so such
//       a text is judged by the slow validator.
//   (3) The readers skip a value by counting brackets outside of strings: enough, because the text is valid.
//
// json_test.cc runs both validators over the public vectors, every short text over a JSON alphabet, and mutations.
#include "weir/bff/json.h"

#include <simdjson.h>

#include <algorithm>
#include <array>

#include "weir/base/strings.h"

namespace weir::bff {

struct JsonValidator::Parser {
  simdjson::dom::parser parser;
  std::size_t depth = 0;
};

JsonValidator::JsonValidator() : parser_(std::make_unique<Parser>()) {}
JsonValidator::JsonValidator(JsonValidator&&) noexcept = default;
JsonValidator& JsonValidator::operator=(JsonValidator&&) noexcept = default;
JsonValidator::~JsonValidator() = default;

JsonVerdict JsonValidator::check(std::string& text, std::size_t depth_max) {
  // Shorter than a block of the fast parser, which makes its document anew for such: the slow one is the quicker.
  if (text.size() < kFastFrom) return check_json_slowly(text, depth_max);
  constexpr std::size_t kSmallest = 4096;
  simdjson::dom::parser& parser = parser_->parser;
  if (parser.capacity() < text.size() || parser_->depth != depth_max) {
    const std::size_t capacity = std::max({kSmallest, text.size(), parser.capacity()});
    if (parser.allocate(capacity, depth_max) != simdjson::SUCCESS) return check_json_slowly(text, depth_max);
    parser_->depth = depth_max;
  }
  if (text.capacity() < text.size() + simdjson::SIMDJSON_PADDING)
    text.reserve(text.size() + simdjson::SIMDJSON_PADDING);
  const simdjson::error_code error = parser.parse(text.data(), text.size(), false).error();
  if (error == simdjson::SUCCESS) return JsonVerdict::valid;
  if (error == simdjson::DEPTH_ERROR || error == simdjson::NUMBER_ERROR)
    return check_json_slowly(text, depth_max);
  return JsonVerdict::invalid;
}

namespace {

bool is_space(char c) noexcept { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

// RFC 3629 4: the length of the well-formed sequence at `at`, 0 when there is none.
std::size_t utf8_at(std::string_view text, std::size_t at) noexcept {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[at + i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  const std::size_t size = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() - at < size) return 0;
  for (std::size_t i = 1; i < size; ++i)
    if ((byte(i) & 0xc0) != 0x80) return 0;
  if ((first == 0xe0 && byte(1) < 0xa0) || (first == 0xed && byte(1) > 0x9f)) return 0;
  if ((first == 0xf0 && byte(1) < 0x90) || (first == 0xf4 && byte(1) > 0x8f)) return 0;
  return size;
}

int hex_digit(char c) noexcept {
  if (base::is_digit(c)) return c - '0';
  const char lower = base::ascii_lower(c);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

// Four hexadecimal digits at `at`; -1 when they are not.
int hex4(std::string_view text, std::size_t at) noexcept {
  if (text.size() < at + 4) return -1;
  int value = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    const int digit = hex_digit(text[at + i]);
    if (digit < 0) return -1;
    value = value * 16 + digit;
  }
  return value;
}

class SlowParser {
 public:
  SlowParser(std::string_view text, std::size_t depth_max) : text_(text), depth_max_(depth_max) {}

  JsonVerdict run() noexcept {
    // No recursion: what a stranger nests must not use our stack.
    bool want_value = true;
    for (;;) {
      skip_space();
      if (want_value) {
        if (!begin_value(&want_value)) return deep_ ? JsonVerdict::too_deep : JsonVerdict::invalid;
        continue;
      }
      if (depth_ == 0) return at_ == text_.size() ? JsonVerdict::valid : JsonVerdict::invalid;
      if (!after_value(&want_value)) return JsonVerdict::invalid;
    }
  }

 private:
  char peek() const noexcept { return at_ < text_.size() ? text_[at_] : '\0'; }
  bool eat(char c) noexcept { return peek() == c && at_ < text_.size() ? ++at_, true : false; }
  void skip_space() noexcept {
    while (at_ < text_.size() && is_space(text_[at_])) ++at_;
  }
  bool in_object() const noexcept { return (kinds_[(depth_ - 1) / 8] >> ((depth_ - 1) % 8) & 1) != 0; }

  bool begin_value(bool* want_value) noexcept {
    const char c = peek();
    if (c == '{' || c == '[') {
      ++at_;
      if (!push(c == '{')) return false;
      skip_space();
      if (eat(c == '{' ? '}' : ']')) {
        --depth_;
        *want_value = false;
        return true;
      }
      return c == '[' || key();  // a value follows either way
    }
    *want_value = false;
    if (c == '"') return string();
    if (c == 't') return word("true");
    if (c == 'f') return word("false");
    if (c == 'n') return word("null");
    return number();
  }

  bool after_value(bool* want_value) noexcept {
    if (eat(in_object() ? '}' : ']')) {
      --depth_;
      return true;
    }
    if (!eat(',')) return false;
    *want_value = true;
    skip_space();
    return !in_object() || key();
  }

  bool push(bool object) noexcept {
    if (depth_ == depth_max_ || depth_ == 8 * kinds_.size()) {
      deep_ = true;
      return false;
    }
    unsigned char& byte = kinds_[depth_ / 8];
    const auto bit = static_cast<unsigned char>(1U << (depth_ % 8));
    byte = static_cast<unsigned char>(object ? byte | bit : byte & ~bit);
    ++depth_;
    return true;
  }

  bool key() noexcept {
    if (!string()) return false;
    skip_space();
    return eat(':');
  }

  bool word(std::string_view expected) noexcept {
    if (text_.substr(at_, expected.size()) != expected) return false;
    at_ += expected.size();
    return true;
  }

  bool digits() noexcept {
    const std::size_t before = at_;
    while (base::is_digit(peek())) ++at_;
    return at_ != before;
  }

  bool number() noexcept {
    eat('-');
    if (!eat('0') && !digits()) return false;
    if (eat('.') && !digits()) return false;
    if (!eat('e') && !eat('E')) return true;
    if (!eat('+')) eat('-');
    return digits();
  }

  bool string() noexcept {
    if (!eat('"')) return false;
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '"') return ++at_, true;
      if (static_cast<unsigned char>(c) < 0x20) return false;
      if (c == '\\') {
        if (!escape()) return false;
        continue;
      }
      const std::size_t size = utf8_at(text_, at_);
      if (size == 0) return false;
      at_ += size;
    }
    return false;
  }

  bool escape() noexcept {
    const char c = at_ + 1 < text_.size() ? text_[at_ + 1] : '\0';
    at_ += 2;
    if (c != 'u') return c != '\0' && std::string_view("\"\\/bfnrt").find(c) != std::string_view::npos;
    const int unit = hex4(text_, at_);
    if (unit < 0) return false;
    at_ += 4;
    if (unit < 0xd800 || unit > 0xdfff) return true;
    // A surrogate stands only as a high one with its low one behind it (RFC 8259 7).
    if (unit > 0xdbff || text_.substr(at_, 2) != "\\u") return false;
    const int low = hex4(text_, at_ + 2);
    at_ += 6;
    return low >= 0xdc00 && low <= 0xdfff;
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::size_t depth_max_;
  std::size_t depth_ = 0;
  bool deep_ = false;
  std::array<unsigned char, 256> kinds_{};  // a bit a level: object or array; 2048 levels
};

// The end of the string whose opening quote is at `at`: behind its closing quote.
std::size_t string_end(std::string_view text, std::size_t at) noexcept {
  for (std::size_t i = at + 1; i < text.size(); ++i) {
    if (text[i] == '\\')
      ++i;
    else if (text[i] == '"')
      return i + 1;
  }
  return text.size();
}

// The end of the value that begins at the front of `text`.
std::size_t value_end(std::string_view text) noexcept {
  if (text.empty()) return 0;
  if (text.front() == '"') return string_end(text, 0);
  if (text.front() != '{' && text.front() != '[')
    return std::min(text.find_first_of(",]} \t\r\n"), text.size());
  std::size_t depth = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    switch (text[i]) {
      case '"':
        i = string_end(text, i) - 1;
        break;
      case '{':
      case '[':
        ++depth;
        break;
      case '}':
      case ']':
        if (--depth == 0) return i + 1;
        break;
      default:
        break;
    }
  }
  return text.size();
}

std::string_view skip_space(std::string_view text) noexcept {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  return text;
}

std::string_view skip_comma(std::string_view text) noexcept {
  text = skip_space(text);
  if (!text.empty() && text.front() == ',') text = skip_space(text.substr(1));
  return text;
}

void append_utf8(std::string& out, std::uint32_t point) {
  const auto byte = [&out](std::uint32_t value) { out.push_back(static_cast<char>(value)); };
  if (point < 0x80) return byte(point);
  if (point < 0x800) return byte(0xc0 | point >> 6), byte(0x80 | (point & 63));
  if (point < 0x10000)
    return byte(0xe0 | point >> 12), byte(0x80 | (point >> 6 & 63)), byte(0x80 | (point & 63));
  byte(0xf0 | point >> 18), byte(0x80 | (point >> 12 & 63)), byte(0x80 | (point >> 6 & 63)),
      byte(0x80 | (point & 63));
}

// `text`: what stands between the quotes of a valid string.
void append_unescaped(std::string& out, std::string_view text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      out.push_back(text[i]);
      continue;
    }
    switch (text[++i]) {
      case 'b':
        out.push_back('\b');
        break;
      case 'f':
        out.push_back('\f');
        break;
      case 'n':
        out.push_back('\n');
        break;
      case 'r':
        out.push_back('\r');
        break;
      case 't':
        out.push_back('\t');
        break;
      case 'u': {
        auto point = static_cast<std::uint32_t>(hex4(text, i + 1));
        i += 4;
        if (point >= 0xd800 && point <= 0xdbff) {
          point =
              0x10000 + ((point - 0xd800) << 10) + (static_cast<std::uint32_t>(hex4(text, i + 3)) - 0xdc00);
          i += 6;
        }
        append_utf8(out, point);
        break;
      }
      default:
        out.push_back(text[i]);
    }
  }
}

}  // namespace

JsonVerdict check_json_slowly(std::string_view text, std::size_t depth_max) noexcept {
  return SlowParser(text, depth_max).run();
}

std::string_view trim_json(std::string_view text) noexcept {
  text = skip_space(text);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

bool is_json_object(std::string_view json) noexcept { return skip_space(json).starts_with('{'); }
bool is_json_array(std::string_view json) noexcept { return skip_space(json).starts_with('['); }

JsonMembers::JsonMembers(std::string_view object) noexcept : rest_(skip_space(object)) {
  rest_ = rest_.starts_with('{') ? skip_space(rest_.substr(1)) : std::string_view{};
}

bool JsonMembers::next() noexcept {
  rest_ = skip_comma(rest_);
  if (rest_.empty() || rest_.front() != '"') return false;
  const std::size_t key_end = string_end(rest_, 0);
  key_ = rest_.substr(1, key_end - 2);
  rest_ = skip_space(rest_.substr(key_end));
  rest_ = skip_space(rest_.substr(1));  // the colon
  value_ = rest_.substr(0, value_end(rest_));
  rest_.remove_prefix(value_.size());
  return true;
}

bool JsonMembers::is(std::string_view name) const noexcept {
  if (key_.find('\\') == std::string_view::npos) return key_ == name;
  std::string plain;
  append_unescaped(plain, key_);
  return plain == name;
}

JsonElements::JsonElements(std::string_view array) noexcept : rest_(skip_space(array)) {
  rest_ = rest_.starts_with('[') ? skip_space(rest_.substr(1)) : std::string_view{};
}

bool JsonElements::next() noexcept {
  rest_ = skip_comma(rest_);
  if (rest_.empty() || rest_.front() == ']') return false;
  value_ = rest_.substr(0, value_end(rest_));
  rest_.remove_prefix(value_.size());
  return true;
}

std::optional<std::string_view> find_json(std::string_view json, std::span<const std::string> path) noexcept {
  std::string_view at = trim_json(json);
  for (const std::string& step : path) {
    bool found = false;
    if (is_json_array(at)) {
      const std::optional<std::uint64_t> index = base::parse_u64(step);
      JsonElements elements(at);
      for (std::uint64_t i = 0; index && !found && elements.next(); ++i)
        if (i == *index) at = elements.value(), found = true;
    } else {
      JsonMembers members(at);
      while (!found && members.next())
        if (members.is(step)) at = members.value(), found = true;
    }
    if (!found) return std::nullopt;
  }
  return at;
}

bool append_json_scalar(std::string_view json, std::string& out) {
  if (json.empty()) return false;
  switch (json.front()) {
    case '{':
    case '[':
    case 'n':
      return false;
    case '"':
      append_unescaped(out, json.substr(1, json.size() - 2));
      return true;
    default:
      out.append(json);
      return true;
  }
}

void append_json_string(std::string& out, std::string_view text) {
  out.push_back('"');
  base::append_json_escaped(out, text);
  out.push_back('"');
}

}  // namespace weir::bff
