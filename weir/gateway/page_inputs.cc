#include "weir/gateway/page_inputs.h"

#include <algorithm>

#include "weir/base/strings.h"
#include "weir/gateway/identity.h"
#include "weir/gateway/plan.h"
#include "weir/http/uri.h"

namespace weir::gateway {
namespace {

// One member off the front of an RFC 9651 dictionary that weir itself wrote: key, and its bare item as it stands.
bool next_member(std::string_view& rest, std::string_view& key, std::string_view& item) {
  rest = base::trim(rest);
  while (!rest.empty() && rest.front() == ',') rest = base::trim(rest.substr(1));
  if (rest.empty()) return false;
  const std::size_t key_end = std::min(rest.find_first_of("=,;"), rest.size());
  key = base::trim(rest.substr(0, key_end));
  rest.remove_prefix(key_end);
  item = "?1";  // a key alone is true (RFC 9651 3.2)
  if (rest.starts_with('=')) {
    rest.remove_prefix(1);
    std::size_t end = 0;
    if (rest.starts_with('"')) {
      end = 1;
      while (end < rest.size() && rest[end] != '"') end += rest[end] == '\\' ? 2 : 1;
      end = std::min(end + 1, rest.size());
    } else {
      end = std::min(rest.find_first_of(",; \t"), rest.size());
    }
    item = rest.substr(0, end);
    rest.remove_prefix(end);
  }
  rest.remove_prefix(std::min(rest.find(','), rest.size()));  // parameters
  return true;
}

}  // namespace

std::optional<std::string_view> PageInputs::get(bff::Source source, std::string_view name) const {
  switch (source) {
    case bff::Source::path:
      return path_parameter(name);
    case bff::Source::query:
      return query_parameter(name);
    case bff::Source::header: {
      const http::Field* field = exchange_.request.fields.find(name);
      if (field == nullptr) return std::nullopt;
      return field->value;
    }
    case bff::Source::passport:
      return passport_member(name);
    case bff::Source::variant:
      return dictionary_value("X-Experiments", name);
    case bff::Source::flag:
      return dictionary_value("X-Flags", name);
    case bff::Source::item:
    case bff::Source::section:
      break;
  }
  return std::nullopt;
}

std::string_view PageInputs::scope() const {
  if (scope_.empty())
    // No authority has a space in it, no dictionary a line's end: the pieces cannot be mistaken for each other.
    scope_ = exchange_.arena.concat({exchange_.secure ? "https://" : "http://", exchange_.request.authority,
                                     " ", identity("X-Experiments"), "\n", identity("X-Flags")});
  return scope_;
}

std::string_view PageInputs::subject() const {
  if (!subject_.empty()) return subject_;
  const auto append = [](std::string& text, std::string_view name, std::string_view value) {
    text.append(name).append(":").append(std::to_string(value.size())).append(":").append(value);
  };
  std::string& text = exchange_.worker.scratch;
  text.clear();
  append(text, "scope", scope());
  for (const http::Field& field : exchange_.identity_fields()) append(text, field.name, field.value);
  subject_ = exchange_.arena.keep(text);
  return subject_;
}

std::optional<std::string_view> PageInputs::path_parameter(std::string_view name) const {
  std::string_view pattern = exchange_.route->options.path;
  std::string_view path = exchange_.path;
  while (!pattern.empty() && !path.empty()) {
    pattern.remove_prefix(1);
    path.remove_prefix(1);
    const std::string_view segment = pattern.substr(0, std::min(pattern.find('/'), pattern.size()));
    const std::string_view value = path.substr(0, std::min(path.find('/'), path.size()));
    if (segment.size() == name.size() + 2 && segment.front() == '{' &&
        segment.substr(1, name.size()) == name) {
      std::string decoded;
      if (!http::percent_decode(value, decoded)) return std::nullopt;
      return exchange_.arena.keep(decoded);
    }
    pattern.remove_prefix(segment.size());
    path.remove_prefix(value.size());
  }
  return std::nullopt;
}

std::optional<std::string_view> PageInputs::query_parameter(std::string_view name) const {
  const std::optional<std::string_view> raw = http::query_parameter(exchange_.request.query, name);
  if (!raw) return std::nullopt;
  std::string spaced(*raw);
  std::replace(spaced.begin(), spaced.end(), '+', ' ');  // as forms write it
  std::string decoded;
  if (!http::percent_decode(spaced, decoded)) return std::nullopt;
  return exchange_.arena.keep(decoded);
}

std::string_view PageInputs::identity(std::string_view field) const {
  for (const http::Field& one : exchange_.identity_fields())
    if (base::iequals(one.name, field)) return one.value;
  return {};
}

std::optional<std::string_view> PageInputs::passport_member(std::string_view name) const {
  const std::string_view text = passport_text(exchange_, name);
  if (text.empty()) return std::nullopt;
  return text;
}

std::optional<std::string_view> PageInputs::dictionary_value(std::string_view field,
                                                             std::string_view wanted) const {
  std::string_view rest = identity(field);
  std::string_view key, item;
  std::optional<std::string_view> found;
  while (next_member(rest, key, item))
    if (key == wanted) found = item;  // the last one counts (RFC 9651 3.2)
  if (!found) return std::nullopt;
  if (*found == "?1") return "true";
  if (*found == "?0") return "false";
  if (!found->starts_with('"')) return found;
  std::string text;
  for (std::size_t i = 1; i + 1 < found->size(); ++i) {
    if ((*found)[i] == '\\') ++i;
    text.push_back((*found)[i]);
  }
  return exchange_.arena.keep(text);
}

}  // namespace weir::gateway
