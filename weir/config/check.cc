// The walk. Branches gather in check_value(); scalars are tried form by form in scalar_value().
//
//   (1) Every value that comes out has exactly one form of its row, within the row's bounds.
//   (2) Text that came from env: or file: never reaches a message.
//   (3) Depth is the document's (at most 64), steps are its nodes; a node behind an alias is checked at
//       each use.
#include "weir/config/internal/check.h"

#include "weir/base/strings.h"
#include "weir/config/internal/scalars.h"

namespace weir::config::internal {

const Value* Value::find(std::string_view key) const noexcept {
  for (const auto& [name, value] : entries)
    if (name == key) return &value;
  return nullptr;
}

std::string shown(const Value& value) {
  return value.source.empty() ? quote(value.text) : "the value of " + quote(value.source);
}

std::string relative_to(std::string_view from, std::string_view path) {
  const std::size_t slash = from.rfind('/');
  if (path.starts_with('/') || slash == std::string_view::npos) return std::string(path);
  return std::string(from.substr(0, slash + 1)).append(path);
}

namespace {

// RFC 8259 6.
bool is_json_number(std::string_view text) {
  const auto digits = [&] {
    const std::size_t before = text.size();
    while (!text.empty() && base::is_digit(text.front())) text.remove_prefix(1);
    return text.size() != before;
  };
  if (text.starts_with('-')) text.remove_prefix(1);
  if (text.starts_with('0'))
    text.remove_prefix(1);
  else if (!digits())
    return false;
  if (text.starts_with('.') && (text.remove_prefix(1), !digits())) return false;
  if (!text.starts_with('e') && !text.starts_with('E')) return text.empty();
  text.remove_prefix(1);
  if (text.starts_with('+') || text.starts_with('-')) text.remove_prefix(1);
  return digits() && text.empty();
}

// YAML's own words and JSON's numbers where they are not in quotes; all other scalars are texts.
void append_json(const Node& node, std::string& out) {
  switch (node.kind) {
    case Node::Kind::null:
      out += "null";
      return;
    case Node::Kind::scalar: {
      const bool plain = !node.quoted && (node.text == "true" || node.text == "false" ||
                                          node.text == "null" || is_json_number(node.text));
      if (!plain) out += '"';
      if (plain)
        out += node.text;
      else
        base::append_json_escaped(out, node.text);
      if (!plain) out += '"';
      return;
    }
    case Node::Kind::list:
      out += '[';
      for (const Node* item : node.items) {
        if (item != node.items.front()) out += ',';
        append_json(*item, out);
      }
      out += ']';
      return;
    case Node::Kind::map:
      break;
  }
  out += '{';
  for (const Entry& entry : node.entries) {
    if (&entry != &node.entries.front()) out += ',';
    out += '"';
    base::append_json_escaped(out, entry.key);
    out += "\":";
    append_json(*entry.value, out);
  }
  out += '}';
}

class Walk {
 public:
  explicit Walk(const CheckContext& context) : context_(context), report_(context.report) {}

  // A value with form 0 when it is wrong; that is reported then.
  Value check_value(const Node& node, const Row& row, const std::string& label, Position key_at) {
    Value value;
    value.at = node.at;
    value.key_at = key_at;
    if ((row.forms & kJson) != 0) {
      value.form = kJson;
      append_json(node, value.text);
      return value;
    }
    switch (node.kind) {
      case Node::Kind::map:
        if (!has_map_form(row)) {
          map_without_form(node, row, label, key_at);
          break;
        }
        value.form = kMap;
        check_map(node, row, value);
        check_count(node.entries.size(), row, label, node.at);
        check_required(value, row.path, key_at, report_);
        break;
      case Node::Kind::list:
        if ((row.forms & kList) == 0) {
          wrong(node.at, row, label, "a list");
          break;
        }
        value.form = kList;
        check_count(node.items.size(), row, label, node.at);
        check_list(node, row, label, value);
        break;
      case Node::Kind::scalar:
        scalar_value(node, row, label, value);
        break;
      case Node::Kind::null:
        wrong(key_at, row, label, "nothing");
        break;
    }
    return value;
  }

  void check_map(const Node& node, const Row& map, Value& value) {
    const Row* named = named_row(map.path);
    for (const Entry& entry : node.entries) {
      const Row* fixed = child_row(map.path, entry.key);  // `from` among the names of tiers
      const Row* row = fixed != nullptr ? fixed : named;
      Value checked;  // stays in its place when wrong: a missing key is another mistake
      if (row == nullptr)
        unknown_key(entry, map.path);
      else if (row->later)
        report_.error(entry.at, "not yet supported: " + entry.key);
      else if (row != named || name_fits(entry, map))
        checked = check_value(*entry.value, *row, quote(entry.key), entry.at);
      value.entries.push_back({entry.key, std::move(checked)});
    }
  }

 private:
  void wrong(Position at, const Row& row, const std::string& label, std::string_view got,
             std::string suggestion = {}) {
    report_.error(at, label + " must be " + expectation(row) + "; got " + std::string(got),
                  std::move(suggestion));
  }

  void map_without_form(const Node& node, const Row& row, const std::string& label, Position key_at) {
    // `balance: {hash: ..}`: a map whose keys are all still to come.
    for (const Entry& entry : node.entries) {
      const Row* child = child_row(row.path, entry.key);
      if (child == nullptr || !child->later) continue;
      return report_.error(
          key_at, "not yet supported: " + std::string(last_name(row.path)) + ": {" + entry.key + "}");
    }
    const bool text = (row.forms & (kText | kHeaderValue)) != 0;
    wrong(node.at, row, label, "a map", text ? "put the text in quotes" : "");
  }

  void check_count(std::size_t count, const Row& row, const std::string& label, Position at) {
    if (count < row.least) {
      report_.error(at, label + " must have at least one entry", std::string(row.none_hint));
    } else if (row.most > 0 && count > row.most) {
      report_.error(at, label + " must have at most " + std::to_string(row.most) + " entries; got " +
                            std::to_string(count));
    }
  }

  void check_list(const Node& node, const Row& row, const std::string& label, Value& value) {
    const Row* items = item_row(row.path);
    const std::string item_label = "an entry of " + label;
    for (const Node* item : node.items) {
      Value checked = check_value(*item, *items, item_label, item->at);
      if (checked.form != 0)
        value.items.push_back(std::move(checked));
      else
        value.partial = true;
    }
  }

  void unknown_key(const Entry& entry, std::string_view path) {
    if (report_.full()) return;
    std::vector<std::string_view> known;
    std::string all;
    each_child(path, [&](std::string_view name, const Row& row) {
      known.push_back(name);
      if (!row.later) all.append(all.empty() ? "known here: " : ", ").append(name);
    });
    std::string suggestion = did_you_mean(entry.key, known);
    const std::size_t colon = entry.key.find(':');
    // `{a:1}` is one key for YAML.
    if (entry.value->kind == Node::Kind::null && colon != std::string::npos &&
        child_row(path, entry.key.substr(0, colon)) != nullptr)
      suggestion = "write a space after the colon";
    report_.error(entry.at, "unknown key " + quote(entry.key), suggestion.empty() ? all : suggestion);
  }

  bool name_fits(const Entry& entry, const Row& map) {
    if (map.names == "header") {
      if (is_token(entry.key)) return true;
      report_.error(entry.at, quote(entry.key) + " is not a header's name");
      return false;
    }
    if (is_name(entry.key)) return true;
    report_.error(entry.at, quote(entry.key) +
                                " is not a name: letters, digits, `_`, `.` and `-`, at most 64 characters");
    return false;
  }

  // The text of the scalar, or what `env:` or `file:` stands for; false when that cannot be had, which is
  // reported.
  bool resolve(const Node& node, const std::string& label, Value& value) {
    value.text = node.text;
    if (node.text.starts_with("env:")) {
      const std::string name = node.text.substr(4);
      const auto found = context_.environment.variable(name);
      if (!found) {
        report_.error(node.at, label + ": the environment variable " + quote(name) + " is not set");
        return false;
      }
      value.text = *found;
      value.source = node.text;
    } else if (node.text.starts_with("file:")) {
      const std::string path = relative_to(context_.files[node.at.file], node.text.substr(5));
      Result<std::string> content = context_.environment.read_file(path);
      if (!content) {
        report_.error(node.at,
                      label + ": cannot read the file " + quote(path) + ": " + content.error().detail);
        return false;
      }
      context_.outside_bytes += content->size();
      if (context_.outside_bytes > kMaxOutsideBytes) {
        report_.error(node.at, label + ": the values of `file:` are larger than 64 MiB together");
        return false;
      }
      value.text = *std::move(content);
      if (value.text.ends_with('\n')) value.text.pop_back();
      if (value.text.ends_with('\r')) value.text.pop_back();
      value.source = node.text;
    }
    return true;
  }

  void scalar_value(const Node& node, const Row& row, const std::string& label, Value& value) {
    if (!resolve(node, label, value)) return;
    // Quotes say that text is meant; a value from outside has none.
    const bool outside = !value.source.empty();
    const bool is_text = node.quoted && !outside;
    if (match_word(row, value.text, is_text, value)) return;
    if (contains_word(row.later_words, value.text))
      return report_.error(node.at,
                           "not yet supported: " + std::string(last_name(row.path)) + ": " + value.text);
    const std::string got = (is_text ? "the text " : "") + shown(value);

    Match best;
    Forms out_of_bounds = 0;
    each_form(row.forms, [&](Forms form) {
      if (value.form != 0 || out_of_bounds != 0) return;
      Match match = match_form(row, form, value.text, is_text, value);
      if (match.out_of_bounds) out_of_bounds = form;
      if (best.suggestion.empty()) best.suggestion = std::move(match.suggestion);
      if (best.hint.empty()) best.hint = std::move(match.hint);
      if (best.later.empty()) best.later = std::move(match.later);
    });
    if (value.form != 0) return;
    if (out_of_bounds != 0)
      return report_.error(node.at, label + " must be " + bounds_text(row, out_of_bounds) + "; got " + got);
    if (!best.later.empty())
      return report_.error(node.at,
                           "not yet supported: " + (outside ? std::string(last_name(row.path)) : best.later));
    if (outside) return wrong(node.at, row, label, got);  // a suggestion would show what the value looks like
    if (best.hint.empty() && best.suggestion.empty()) best.suggestion = near_word(row, value.text);
    wrong(node.at, row, label, got, best.hint.empty() ? did_you_mean(best.suggestion) : best.hint);
  }

  const CheckContext& context_;
  Report& report_;
};

}  // namespace

Value check_root(const Node* root, std::uint32_t file, const CheckContext& context) {
  static constexpr Row kRoot{.path = "", .forms = kMap};
  Value value;
  value.form = kMap;
  value.at = value.key_at = Position{file, 1, 1};
  if (root == nullptr || root->kind == Node::Kind::null) return value;
  value.at = value.key_at = root->at;
  value.partial = root->kind != Node::Kind::map;
  if (!value.partial)
    Walk(context).check_map(*root, kRoot, value);
  else
    context.report.error(root->at,
                         std::string("the file must be a map of keys such as `listen` and `routes`; got ") +
                             (root->kind == Node::Kind::list ? "a list" : "a single value"));
  return value;
}

void check_required(const Value& map, std::string_view path, Position at, Report& report) {
  each_child(path, [&](std::string_view name, const Row& row) {
    if (!row.required || map.find(name) != nullptr) return;
    const std::string_view wanted[] = {name};
    for (const auto& [key, value] : map.entries)  // mistyped, and reported as unknown
      if (child_row(path, key) == nullptr && !base::closest(key, wanted).empty()) return;
    std::string suggestion;
    if (!row.example.empty())
      suggestion = "write `" + std::string(name) + ": " + std::string(row.example) + "`";
    report.error(at, "`" + std::string(name) + "` is missing" + (path.empty() ? "" : " here"),
                 std::move(suggestion));
  });
}

}  // namespace weir::config::internal
