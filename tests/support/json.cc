#include "tests/support/json.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

namespace weir::testing {

class JsonReader {
 public:
  explicit JsonReader(std::string_view text) : rest_(text) {}

  std::optional<Json> whole() {
    Json value;
    if (!read(value, 0)) return std::nullopt;
    skip_space();
    if (!rest_.empty()) return std::nullopt;
    return value;
  }

 private:
  static constexpr int kDepthMax = 64;

  void skip_space() {
    while (!rest_.empty() && std::string_view(" \t\r\n").find(rest_.front()) != std::string_view::npos)
      rest_.remove_prefix(1);
  }
  bool take(char c) {
    skip_space();
    if (rest_.empty() || rest_.front() != c) return false;
    rest_.remove_prefix(1);
    return true;
  }
  bool word(std::string_view text, Json& into, Json::Kind kind) {
    if (!rest_.starts_with(text)) return false;
    rest_.remove_prefix(text.size());
    into.kind_ = kind;
    into.text_ = text;
    return true;
  }

  bool read(Json& into, int depth) {
    skip_space();
    if (rest_.empty() || depth > kDepthMax) return false;
    switch (rest_.front()) {
      case '{':
        return object(into, depth);
      case '[':
        return array(into, depth);
      case '"':
        into.kind_ = Json::Kind::string;
        return string(into.text_);
      case 't':
        return word("true", into, Json::Kind::boolean);
      case 'f':
        return word("false", into, Json::Kind::boolean);
      case 'n':
        return word("null", into, Json::Kind::null);
      default:
        return number(into);
    }
  }

  bool object(Json& into, int depth) {
    into.kind_ = Json::Kind::object;
    take('{');
    if (take('}')) return true;
    do {
      skip_space();
      std::string name;
      if (!string(name) || !take(':')) return false;
      if (std::find(into.names_.begin(), into.names_.end(), name) != into.names_.end()) return false;
      into.names_.push_back(std::move(name));
      if (!read(into.items_.emplace_back(), depth + 1)) return false;
    } while (take(','));
    return take('}');
  }

  bool array(Json& into, int depth) {
    into.kind_ = Json::Kind::array;
    take('[');
    if (take(']')) return true;
    do {
      if (!read(into.items_.emplace_back(), depth + 1)) return false;
    } while (take(','));
    return take(']');
  }

  bool string(std::string& into) {
    if (rest_.empty() || rest_.front() != '"') return false;
    rest_.remove_prefix(1);
    while (!rest_.empty()) {
      const char c = rest_.front();
      rest_.remove_prefix(1);
      if (c == '"') return true;
      if (static_cast<unsigned char>(c) < 0x20) return false;
      if (c != '\\') {
        into += c;
      } else if (!escape(into)) {
        return false;
      }
    }
    return false;
  }

  // Escapes beyond ASCII are kept as they are written: no test looks inside them.
  bool escape(std::string& into) {
    constexpr std::string_view kLetters = "\"\\/bfnrt";
    constexpr std::string_view kMeanings = "\"\\/\b\f\n\r\t";
    if (rest_.empty()) return false;
    const char c = rest_.front();
    rest_.remove_prefix(1);
    if (const std::size_t at = kLetters.find(c); at != std::string_view::npos)
      return into += kMeanings[at], true;
    if (c != 'u' || rest_.size() < 4) return false;
    const std::string digits(rest_.substr(0, 4));
    if (digits.find_first_not_of("0123456789abcdefABCDEF") != std::string::npos) return false;
    rest_.remove_prefix(4);
    const unsigned long code = std::strtoul(digits.c_str(), nullptr, 16);
    if (code < 0x80) {
      into += static_cast<char>(code);
    } else {
      into += "\\u" + digits;
    }
    return true;
  }

  bool number(Json& into) {
    std::size_t at = 0;
    const auto digits = [&] {
      const std::size_t from = at;
      while (at < rest_.size() && rest_[at] >= '0' && rest_[at] <= '9') ++at;
      return at > from;
    };
    if (rest_[at] == '-') ++at;
    const std::size_t first = at;
    if (!digits() || (rest_[first] == '0' && at > first + 1)) return false;
    if (at < rest_.size() && rest_[at] == '.' && (++at, !digits())) return false;
    if (at < rest_.size() && (rest_[at] | 0x20) == 'e') {
      ++at;
      if (at < rest_.size() && (rest_[at] == '+' || rest_[at] == '-')) ++at;
      if (!digits()) return false;
    }
    into.kind_ = Json::Kind::number;
    into.text_ = rest_.substr(0, at);
    rest_.remove_prefix(at);
    return true;
  }

  std::string_view rest_;
};

std::optional<Json> Json::parse(std::string_view text) { return JsonReader(text).whole(); }

double Json::number() const {
  return kind_ == Kind::number ? std::strtod(text_.c_str(), nullptr) : std::nan("");
}

bool Json::has(std::string_view name) const {
  return std::find(names_.begin(), names_.end(), name) != names_.end();
}

const Json& Json::operator[](std::string_view name) const {
  static const Json kAbsent;
  const auto at = std::find(names_.begin(), names_.end(), name);
  return at == names_.end() ? kAbsent : items_[static_cast<std::size_t>(at - names_.begin())];
}

const Json& Json::operator[](std::size_t index) const {
  static const Json kAbsent;
  return index < items_.size() ? items_[index] : kAbsent;
}

std::vector<std::string> Json::names() const { return names_; }

}  // namespace weir::testing
