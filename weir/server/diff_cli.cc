// Both configurations as JSON (config::to_json), walked side by side. What only one side has is reported at its root, so
// that a new route is one line and not twenty.
#include "weir/server/diff_cli.h"

#include <simdjson.h>

#include <algorithm>
#include <optional>
#include <string_view>
#include <vector>

#include "weir/base/check.h"
#include "weir/base/strings.h"
#include "weir/config/schema.h"

namespace weir::server {
namespace {

using simdjson::dom::element;
using simdjson::dom::element_type;

struct Change {
  std::string path;
  std::optional<std::string> before;  // compact JSON
  std::optional<std::string> after;
};

struct Fate {
  std::string_view what;  // "limit", "semaphore", "breaker"
  std::string name;
  std::string_view fate;  // "kept", "new", "gone"
};

std::string compact(const element& value) { return simdjson::minify(value); }

std::string member_path(const std::string& parent, std::string_view name) {
  return parent.empty() ? std::string(name) : parent + "." + std::string(name);
}

class Walk {
 public:
  std::vector<Change> changes;

  void compare(const std::string& path, const element& before, const element& after) {
    if (before.type() == element_type::OBJECT && after.type() == element_type::OBJECT)
      return compare_objects(path, before.get_object(), after.get_object());
    if (before.type() == element_type::ARRAY && after.type() == element_type::ARRAY && named(before) &&
        named(after))
      return compare_named(path, before.get_array(), after.get_array());
    const std::string old_text = compact(before);
    const std::string new_text = compact(after);
    if (old_text != new_text) changes.push_back({path, old_text, new_text});
  }

 private:
  static std::optional<std::string_view> name_of(const element& member) {
    std::string_view name;
    if (member["name"].get(name) != simdjson::SUCCESS) return std::nullopt;
    return name;
  }
  // A list whose members all have a name is a dictionary that has an order.
  static bool named(const element& list) {
    const simdjson::dom::array members = list.get_array();
    return std::all_of(members.begin(), members.end(),
                       [](const element& member) { return name_of(member).has_value(); });
  }
  static std::optional<element> find(const simdjson::dom::array& list, std::string_view name) {
    for (const element member : list)
      if (name_of(member) == name) return member;
    return std::nullopt;
  }

  void compare_objects(const std::string& path, const simdjson::dom::object& before,
                       const simdjson::dom::object& after) {
    for (const auto& [name, old_value] : before) {
      element new_value;
      if (after[name].get(new_value) == simdjson::SUCCESS)
        compare(member_path(path, name), old_value, new_value);
      else
        changes.push_back({member_path(path, name), compact(old_value), std::nullopt});
    }
    for (const auto& [name, new_value] : after) {
      element old_value;
      if (before[name].get(old_value) != simdjson::SUCCESS)
        changes.push_back({member_path(path, name), std::nullopt, compact(new_value)});
    }
  }

  void compare_named(const std::string& path, const simdjson::dom::array& before,
                     const simdjson::dom::array& after) {
    std::vector<std::string_view> old_order;
    std::vector<std::string_view> new_order;
    for (const element old_value : before) {
      const std::string_view name = *name_of(old_value);
      const std::string at = path + "[" + std::string(name) + "]";
      if (const std::optional<element> new_value = find(after, name)) {
        old_order.push_back(name);
        compare(at, old_value, *new_value);
      } else {
        changes.push_back({at, compact(old_value), std::nullopt});
      }
    }
    for (const element new_value : after) {
      const std::string_view name = *name_of(new_value);
      if (find(before, name))
        new_order.push_back(name);
      else
        changes.push_back({path + "[" + std::string(name) + "]", std::nullopt, compact(new_value)});
    }
    // The first route that matches wins, so their order is a part of what a file says.
    if (old_order != new_order)
      changes.push_back({path + " (order)", list_text(old_order), list_text(new_order)});
  }

  static std::string list_text(const std::vector<std::string_view>& names) {
    std::string text = "[";
    for (const std::string_view name : names) {
      text.append(text.size() > 1 ? ",\"" : "\"");
      base::append_json_escaped(text, name);
      text.push_back('"');
    }
    return text + "]";
  }
};

std::vector<Change> changes_of(const config::Config& before, const config::Config& after) {
  simdjson::dom::parser old_parser;
  simdjson::dom::parser new_parser;
  element old_root;
  element new_root;
  const std::string old_text = config::to_json(before);
  const std::string new_text = config::to_json(after);
  // What weir has written itself is JSON.
  WEIR_CHECK(old_parser.parse(old_text).get(old_root) == simdjson::SUCCESS);
  WEIR_CHECK(new_parser.parse(new_text).get(new_root) == simdjson::SUCCESS);
  Walk walk;
  walk.compare({}, old_root, new_root);
  return std::move(walk.changes);
}

void fates_of(std::string_view what, const std::vector<std::string>& before,
              const std::vector<std::string>& after, std::vector<Fate>& out) {
  const auto in = [](const std::vector<std::string>& names, const std::string& name) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  for (const std::string& name : before) out.push_back({what, name, in(after, name) ? "kept" : "gone"});
  for (const std::string& name : after)
    if (!in(before, name)) out.push_back({what, name, "new"});
}

template <class List, class Keep>
std::vector<std::string> names_of(const List& list, Keep keep) {
  std::vector<std::string> names;
  for (const auto& member : list)
    if (keep(member)) names.push_back(member.name);
  return names;
}

std::vector<Fate> fates(const config::Config& before, const config::Config& after) {
  std::vector<Fate> all;
  const auto every = [](const auto&) { return true; };
  const auto own = [](const config::Route& route) { return route.load_shed == config::Route::LoadShed::own; };
  const auto broken = [](const config::Upstream& upstream) { return upstream.circuit_breaker.has_value(); };
  fates_of("limit", names_of(before.rate_limits, every), names_of(after.rate_limits, every), all);
  fates_of("semaphore of route", names_of(before.routes, own), names_of(after.routes, own), all);
  fates_of("breaker", names_of(before.upstreams, broken), names_of(after.upstreams, broken), all);
  return all;
}

}  // namespace

std::string diff_text(const config::Config& before, const config::Config& after) {
  std::string text;
  for (const Change& change : changes_of(before, after)) {
    text.append(!change.before ? "+ " : !change.after ? "- " : "~ ").append(change.path).append(": ");
    if (change.before) text.append(*change.before);
    if (change.before && change.after) text.append(" -> ");
    if (change.after) text.append(*change.after);
    text.push_back('\n');
  }
  if (before.secrets != after.secrets) text.append("~ secrets differ (they are never shown)\n");
  if (text.empty()) return "no difference\n";
  text.append("state:\n");
  for (const Fate& fate : fates(before, after))
    text.append("  ").append(fate.what).append(" ").append(fate.name).append(": ").append(fate.fate).append(
        "\n");
  return text;
}

std::string diff_json(const config::Config& before, const config::Config& after) {
  const auto quoted = [](std::string_view value) {
    std::string text = "\"";
    base::append_json_escaped(text, value);
    return text + "\"";
  };
  std::string text = "{\"changes\": [";
  bool first = true;
  for (const Change& change : changes_of(before, after)) {
    text.append(first ? "{\"path\": " : ", {\"path\": ").append(quoted(change.path));
    if (change.before) text.append(", \"old\": ").append(*change.before);
    if (change.after) text.append(", \"new\": ").append(*change.after);
    text.push_back('}');
    first = false;
  }
  text.append("], \"secrets_differ\": ").append(before.secrets != after.secrets ? "true" : "false");
  text.append(", \"state\": [");
  first = true;
  for (const Fate& fate : fates(before, after)) {
    text.append(first ? "{\"what\": " : ", {\"what\": ").append(quoted(fate.what));
    text.append(", \"name\": ").append(quoted(fate.name)).append(", \"fate\": ").append(quoted(fate.fate));
    text.push_back('}');
    first = false;
  }
  return text + "]}\n";
}

}  // namespace weir::server
