// The walk. Branches gather in check_value(); scalars are tried form by form in scalar_value().
//
//   (1) Every value that comes out has exactly one form of its row, within the row's bounds.
//   (2) Text that came from env: or file: never reaches a message.
//   (3) Depth is the document's (at most 64), steps are its nodes; a node behind an alias is checked at
//       each use.
#include "weir/config/internal/check.h"

#include <algorithm>
#include <optional>

#include "weir/base/ip.h"
#include "weir/base/strings.h"

namespace weir::config::internal {

const Value* Value::find(std::string_view key) const noexcept {
  for (const auto& [name, value] : entries)
    if (name == key) return &value;
  return nullptr;
}

void Diagnostics::error(Position at, std::string message, std::string suggestion) {
  Diagnostic& diagnostic = list_.emplace_back();
  diagnostic.at = at;
  diagnostic.message = std::move(message);
  diagnostic.suggestion = std::move(suggestion);
}

void Diagnostics::warning(Position at, std::string message, std::string suggestion) {
  error(at, std::move(message), std::move(suggestion));
  list_.back().severity = Diagnostic::Severity::warning;
}

bool Diagnostics::any_error() const noexcept {
  return std::any_of(list_.begin(), list_.end(),
                     [](const Diagnostic& d) { return d.severity == Diagnostic::Severity::error; });
}

std::string did_you_mean(std::string_view word) {
  return word.empty() ? std::string{} : "did you mean `" + std::string(word) + "`?";
}

std::string did_you_mean(std::string_view word, const std::vector<std::string_view>& candidates) {
  return did_you_mean(base::closest(word, candidates));
}

std::string relative_to(std::string_view from, std::string_view path) {
  const std::size_t slash = from.rfind('/');
  if (path.starts_with('/') || slash == std::string_view::npos) return std::string(path);
  return std::string(from.substr(0, slash + 1)).append(path);
}

namespace {

std::string quoted(std::string_view text) { return "`" + printable(text) + "`"; }

std::vector<std::string_view> words_of(std::string_view list) {
  return list.empty() ? std::vector<std::string_view>{} : base::split(list, ' ');
}

bool contains_word(std::string_view list, std::string_view word) {
  const auto words = words_of(list);
  return std::find(words.begin(), words.end(), word) != words.end();
}

std::string milliseconds_text(std::uint64_t ms) {
  return duration_text(Duration{static_cast<std::int64_t>(ms) * 1'000'000});
}

// "1 to 1000000", in the unit of the form.
std::string bounds_text(const Row& row, Forms form) {
  if (form == kDuration) return milliseconds_text(row.min) + " to " + milliseconds_text(row.max);
  if (form == kSize) return size_text(row.min) + " to " + size_text(row.max);
  return std::to_string(row.min) + " to " + std::to_string(row.max);
}

struct Noun {
  Forms form;
  std::string_view text;
};

// In the order in which a message lists them.
constexpr Noun kNouns[] = {
    {kListen, "an address such as 127.0.0.1:8080"},
    {kUrl, "http://HOST or http://HOST:PORT, without a path"},
    {kPattern, "a path such as /orders, /orders/* or /users/{id}"},
    {kRewrite, "a path that ends in /*"},
    {kCidr, "an address block such as 10.0.0.0/8"},
    {kMethod, "a method such as GET"},
    {kHost, "a host name without a port"},
    {kHeaderName, "a header's name"},
    {kHeaderValue, "a header's value: visible ASCII on one line"},
    {kName, "a name: letters, digits, `_`, `.` and `-`, at most 64"},
    {kLimitKey,
     "a key: global, client_ip, header:NAME, cookie:NAME, query:NAME, path, method, host or route"},
    {kFailure, "a status such as 503, a class such as 5xx, or connect, timeout, reset, malformed"},
    {kRate, "a rate such as 100/min, 10/s, 5000/h or 20000/d"},
    {kPercent, "a share from 0% to 100%"},
    {kFilePath, "the path of a file"},
    {kBool, "true or false"},
};

}  // namespace

std::string expectation(const Row& row) {
  std::vector<std::string> parts;
  for (std::string_view word : words_of(row.words)) parts.push_back("`" + std::string(word) + "`");
  for (const Noun& noun : kNouns)
    if ((row.forms & noun.form) != 0) parts.emplace_back(noun.text);
  if ((row.forms & kNumber) != 0) parts.push_back("a whole number, " + bounds_text(row, kNumber));
  if ((row.forms & kDuration) != 0)
    parts.push_back("a duration such as 250ms, 2s or 1m, " + bounds_text(row, kDuration));
  if ((row.forms & kSize) != 0)
    parts.push_back("a size such as 512, 64KiB or 1MiB, " + bounds_text(row, kSize));
  if ((row.forms & kText) != 0)
    parts.push_back(row.max > 0 ? "text of " + bounds_text(row, kNumber) + " characters"
                                : std::string(row.min > 0 ? "text that is not empty" : "text"));
  if ((row.forms & kTrue) != 0) parts.emplace_back("`true`");
  if ((row.forms & kAuto) != 0) parts.emplace_back("`auto`");
  if ((row.forms & kOff) != 0) parts.emplace_back("`off`");
  if ((row.forms & kList) != 0) parts.emplace_back("a list");
  if (has_map_form(row)) parts.emplace_back("a map");
  std::string text;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (i > 0) text += i + 1 == parts.size() ? " or " : ", ";
    text += parts[i];
  }
  return text;
}

namespace {

class Walk {
 public:
  explicit Walk(const CheckContext& context) : context_(context) {}

  // Nothing when the value is wrong; that is reported then.
  std::optional<Value> check_value(const Node& node, const Row& row, const std::string& label,
                                   Position key_at) {
    Value value;
    value.row = &row;
    value.at = node.at;
    value.key_at = key_at;
    switch (node.kind) {
      case Node::Kind::map:
        if (!has_map_form(row)) return map_without_form(node, row, label, key_at);
        value.form = kMap;
        check_map(node, row.path, value);
        check_required(value, row.path, key_at, context_.diagnostics);
        return value;
      case Node::Kind::list:
        if ((row.forms & kList) == 0) return wrong(node.at, row, label, "a list");
        value.form = kList;
        check_list(node, row, label, value);
        return value;
      case Node::Kind::scalar:
        return scalar_value(node, row, label, std::move(value));
      case Node::Kind::null:
        break;
    }
    return wrong(key_at, row, label, "nothing");
  }

  void check_map(const Node& node, std::string_view path, Value& value) {
    const Row* named = named_row(path);
    for (const Entry& entry : node.entries) {
      const Row* row = named != nullptr ? named : child_row(path, entry.key);
      if (row == nullptr) {
        unknown_key(entry, path);
      } else if (row->later) {
        context_.diagnostics.error(entry.at, "not yet supported: " + entry.key);
      } else if (named == nullptr || name_fits(entry, path)) {
        if (auto checked = check_value(*entry.value, *row, quoted(entry.key), entry.at)) {
          value.entries.emplace_back(entry.key, *std::move(checked));
          continue;
        }
      }
      value.damaged = true;
      // Present though wrong: a missing key is another mistake than a bad value.
      value.entries.emplace_back(entry.key, Value{});
    }
  }

 private:
  std::nullopt_t wrong(Position at, const Row& row, const std::string& label, std::string_view got,
                       std::string suggestion = {}) {
    context_.diagnostics.error(at, label + " must be " + expectation(row) + "; got " + std::string(got),
                               std::move(suggestion));
    return std::nullopt;
  }

  std::nullopt_t map_without_form(const Node& node, const Row& row, const std::string& label,
                                  Position key_at) {
    // `balance: {hash: ..}`: a map whose keys are all still to come.
    for (const Entry& entry : node.entries) {
      const Row* child = child_row(row.path, entry.key);
      if (child == nullptr || !child->later) continue;
      context_.diagnostics.error(
          key_at, "not yet supported: " + std::string(last_name(row.path)) + ": {" + entry.key + "}");
      return std::nullopt;
    }
    return wrong(node.at, row, label, "a map");
  }

  void check_list(const Node& node, const Row& row, const std::string& label, Value& value) {
    const Row* items = item_row(row.path);
    const std::string item_label = label.starts_with("an entry") ? label : "an entry of " + label;
    for (const Node* item : node.items) {
      if (auto checked = check_value(*item, *items, item_label, item->at))
        value.items.push_back(*std::move(checked));
      else
        value.damaged = true;
    }
  }

  void unknown_key(const Entry& entry, std::string_view path) {
    std::vector<std::string_view> known;
    each_child(path, [&](std::string_view name, const Row&) { known.push_back(name); });
    std::string suggestion = did_you_mean(entry.key, known);
    const std::size_t colon = entry.key.find(':');
    // `{a:1}` is one key for YAML.
    if (entry.value->kind == Node::Kind::null && colon != std::string::npos &&
        child_row(path, entry.key.substr(0, colon)) != nullptr)
      suggestion = "write a space after the colon";
    context_.diagnostics.error(entry.at, "unknown key " + quoted(entry.key), std::move(suggestion));
  }

  bool name_fits(const Entry& entry, std::string_view path) {
    const Row* row = nullptr;
    for (const Row& candidate : all_rows())
      if (candidate.path == path) row = &candidate;
    if (row != nullptr && row->names == "header") {
      if (is_token(entry.key)) return true;
      context_.diagnostics.error(entry.at, quoted(entry.key) + " is not a header's name");
      return false;
    }
    if (is_name(entry.key)) return true;
    context_.diagnostics.error(
        entry.at,
        quoted(entry.key) + " is not a name: letters, digits, `_`, `.` and `-`, at most 64 characters");
    return false;
  }

  // Text of the scalar behind `env:` and `file:`; nothing when it cannot be had, which is reported.
  bool resolve(const Node& node, const std::string& label, Value& value) {
    value.text = node.text;
    if (node.text.starts_with("env:")) {
      const std::string name = node.text.substr(4);
      const auto found = context_.environment.variable(name);
      if (!found) {
        context_.diagnostics.error(node.at,
                                   label + ": the environment variable " + quoted(name) + " is not set");
        return false;
      }
      value.text = *found;
      value.secret = true;
    } else if (node.text.starts_with("file:")) {
      const std::string path = relative_to(context_.files[node.at.file], node.text.substr(5));
      Result<std::string> content = context_.environment.read_file(path);
      if (!content) {
        context_.diagnostics.error(
            node.at, label + ": cannot read the file " + quoted(path) + ": " + content.error().detail);
        return false;
      }
      value.text = *std::move(content);
      if (value.text.ends_with('\n')) value.text.pop_back();
      if (value.text.ends_with('\r')) value.text.pop_back();
      value.secret = true;
    }
    return true;
  }

  std::optional<Value> scalar_value(const Node& node, const Row& row, const std::string& label, Value value) {
    if (!resolve(node, label, value)) return std::nullopt;
    const std::string& text = value.text;
    // Quotes say that text is meant; a value from outside cannot show them.
    const bool is_text = node.quoted && !value.secret;
    const std::string got = value.secret  ? "the value of " + quoted(node.text)
                            : node.quoted ? "the text " + quoted(text)
                                          : quoted(text);
    if (word_value(row, is_text, value)) return value;
    if (contains_word(row.later_words, text)) {
      context_.diagnostics.error(node.at,
                                 "not yet supported: " + std::string(last_name(row.path)) + ": " + text);
      return std::nullopt;
    }
    std::string suggestion;
    std::string later;
    for (Forms rest = row.forms; rest != 0; rest &= rest - 1) {
      const Forms form = rest & (~rest + 1);
      const Outcome outcome = parse_form(row, form, is_text, value);
      if (outcome.ok) return value.form = form, std::optional<Value>(std::move(value));
      if (outcome.out_of_bounds) {
        context_.diagnostics.error(node.at, label + " must be " + bounds_text(row, form) + "; got " + got);
        return std::nullopt;
      }
      if (suggestion.empty()) suggestion = outcome.suggestion;
      if (!outcome.later.empty()) later = outcome.later;
    }
    if (!later.empty()) {
      context_.diagnostics.error(
          node.at, "not yet supported: " + (value.secret ? std::string(last_name(row.path)) : later));
      return std::nullopt;
    }
    if (value.secret)
      suggestion.clear();  // it would show what the value looks like
    else if (suggestion.empty())
      suggestion = near_word(row, text);
    return wrong(node.at, row, label, got, did_you_mean(suggestion));
  }

  static std::string near_word(const Row& row, std::string_view text) {
    std::vector<std::string_view> words = words_of(row.words);
    if ((row.forms & kOff) != 0) {
      if (text == "false" || text == "no" || text == "none" || text == "disabled") return "off";
      words.emplace_back("off");
    }
    if ((row.forms & kTrue) != 0) {
      if (text == "on" || text == "yes") return "true";
      words.emplace_back("true");
    }
    if ((row.forms & kAuto) != 0) words.emplace_back("auto");
    if ((row.forms & kBool) != 0) {
      if (text == "yes" || text == "on" || text == "True" || text == "TRUE") return "true";
      if (text == "no" || text == "off" || text == "False" || text == "FALSE") return "false";
      words.insert(words.end(), {"true", "false"});
    }
    return std::string(base::closest(text, words));
  }

  // `off`, `auto` and the row's own words, before anything that takes free text.
  static bool word_value(const Row& row, bool is_text, Value& value) {
    const std::string& text = value.text;
    if ((row.forms & kWord) != 0 && contains_word(row.words, text)) return value.form = kWord, true;
    if ((row.forms & kOff) != 0 && text == "off") return value.form = kOff, true;
    if ((row.forms & kAuto) != 0 && text == "auto") return value.form = kAuto, true;
    if (is_text) return false;
    if ((row.forms & kTrue) != 0 && text == "true") return value.form = kTrue, value.number = 1, true;
    if ((row.forms & kBool) != 0 && (text == "true" || text == "false"))
      return value.form = kBool, value.number = text == "true" ? 1 : 0, true;
    return false;
  }

  struct Outcome {
    bool ok = false;
    bool out_of_bounds = false;
    std::string suggestion;
    std::string later;
  };

  template <class T>
  static Outcome outcome_of(const Parsed<T>& parsed) {
    return Outcome{parsed.value.has_value(), false, parsed.suggestion, parsed.later};
  }

  template <class T>
  static Outcome within(const Row& row, const Parsed<T>& parsed, std::uint64_t scaled) {
    Outcome outcome = outcome_of(parsed);
    outcome.out_of_bounds = outcome.ok && (scaled < row.min || scaled > row.max);
    outcome.ok = outcome.ok && !outcome.out_of_bounds;
    return outcome;
  }

  static Outcome parse_form(const Row& row, Forms form, bool is_text, Value& value) {
    const std::string& text = value.text;
    switch (form) {
      case kNumber: {
        if (is_text) return {false, false, {}, {}};
        const auto number = parse_number(text);
        value.number = number.value.value_or(0);
        return within(row, number, value.number);
      }
      case kSize: {
        if (is_text && base::parse_u64(text)) return {};
        const auto size = parse_size(text);
        value.number = size.value.value_or(0);
        return within(row, size, value.number);
      }
      case kDuration: {
        const auto duration = parse_duration(text);
        value.duration = duration.value.value_or(Duration{});
        return within(row, duration, static_cast<std::uint64_t>(value.duration.count()) / 1'000'000);
      }
      case kRate: {
        const auto rate = parse_rate(text);
        value.number = rate.value.value_or(Rate{}).count;
        value.duration = rate.value.value_or(Rate{}).window;
        return within(row, rate, value.number);
      }
      case kPercent: {
        const auto percent = parse_percent(text);
        value.share = percent.value.value_or(0);
        return outcome_of(percent);
      }
      case kCidr: {
        const auto cidr = base::Cidr::parse(text);
        return {cidr.has_value(), false, cidr ? std::string{} : cidr_suggestion(text), {}};
      }
      default:
        return parse_text_form(row, form, text);
    }
  }

  static Outcome parse_text_form(const Row& row, Forms form, const std::string& text) {
    switch (form) {
      case kText: {
        const bool fits = text.size() >= row.min && (row.max == 0 || text.size() <= row.max);
        return {fits, false, {}, {}};
      }
      case kFilePath:
        return {!text.empty() && text.find('\0') == std::string::npos, false, {}, {}};
      case kListen:
        return outcome_of(parse_listen(text));
      case kUrl:
        return outcome_of(parse_url(text));
      case kPattern:
        return outcome_of(parse_pattern(text));
      case kRewrite:
        return outcome_of(parse_rewrite(text));
      case kMethod:
        return outcome_of(parse_method(text));
      case kHost:
        return outcome_of(parse_host(text, row.path == "routes[].host"));
      case kLimitKey:
        return outcome_of(parse_limit_key(text));
      case kFailure:
        return outcome_of(parse_failure(text));
      case kHeaderName:
        return {is_token(text), false, {}, {}};
      case kHeaderValue:
        return {is_header_value(text), false, {}, {}};
      case kName:
        return {is_name(text), false, {}, {}};
      default:
        return {};  // kMap, kList and words: not scalars, or tried already
    }
  }

  // "10.1.0.0/8" has host bits: the block that was meant.
  static std::string cidr_suggestion(std::string_view text) {
    const std::size_t slash = text.find('/');
    const auto ip = base::IpAddress::parse(text.substr(0, slash));
    if (!ip || slash == std::string_view::npos) return {};
    const auto prefix = base::parse_u64(text.substr(slash + 1));
    if (!prefix || *prefix > ip->bits()) return {};
    base::Cidr block;
    block.prefix = static_cast<unsigned>(*prefix);
    block.network = ip->masked(block.prefix);
    return block.to_text();
  }

  const CheckContext& context_;
};

}  // namespace

Value check_root(const Node* root, std::uint32_t file, const CheckContext& context) {
  Value value;
  value.form = kMap;
  value.at = value.key_at = Position{file, 1, 1};
  if (root == nullptr) return value;
  value.at = value.key_at = root->at;
  if (root->kind == Node::Kind::null) return value;
  if (root->kind != Node::Kind::map) {
    context.diagnostics.error(
        root->at, std::string("the file must be a map of keys such as `listen` and `routes`; got ") +
                      (root->kind == Node::Kind::list ? "a list" : "a single value"));
    value.damaged = true;
    return value;
  }
  Walk(context).check_map(*root, "", value);
  return value;
}

void check_required(const Value& map, std::string_view path, Position at, Diagnostics& diagnostics) {
  each_child(path, [&](std::string_view name, const Row& row) {
    if (!row.required || map.find(name) != nullptr) return;
    const std::string_view wanted[] = {name};
    for (const auto& [key, value] : map.entries)  // mistyped, and reported as unknown
      if (child_row(path, key) == nullptr && !base::closest(key, wanted).empty()) return;
    std::string where;
    if (!path.empty()) where = " in this map";
    diagnostics.error(at, "`" + std::string(name) + "` is missing" + where,
                      row.example.empty()
                          ? std::string{}
                          : "write `" + std::string(name) + ": " + std::string(row.example) + "`");
  });
}

}  // namespace weir::config::internal
