// A template is cut into literals and references once; filling it in is a walk along the pieces.
//
// The check for unsafe segments looks at the result, not at the values, because "{a}{b}" of "." and "." is ".." too.
// Values are encoded, so the first '?' of the result is the template's own.
#include "weir/bff/template.h"

#include <algorithm>

#include "weir/base/strings.h"
#include "weir/bff/json.h"
#include "weir/http/uri.h"

namespace weir::bff {
namespace {

Error wrong(std::size_t offset, std::string_view what) {
  return Error(ErrorCode::invalid_argument, "at " + std::to_string(offset) + ": " + std::string(what),
               ErrorSource::configuration);
}

bool is_name(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return base::is_alpha(c) || base::is_digit(c) || c == '_' || c == '-';
  });
}

std::vector<std::string> steps(const std::vector<std::string_view>& pieces, std::size_t from) {
  return {pieces.begin() + static_cast<std::ptrdiff_t>(std::min(from, pieces.size())), pieces.end()};
}

// The rest of `text` behind its first `pieces` dots: a header or a passport member may have dots of its own.
std::string_view behind(std::string_view text, std::size_t pieces) {
  for (; pieces > 0; --pieces) text.remove_prefix(std::min(text.find('.') + 1, text.size()));
  return text;
}

// "10", "'a b'" or "\"a b\"".
Result<std::string> parse_fallback(std::string_view text, std::size_t offset) {
  if (text.size() >= 2 && (text.front() == '"' || text.front() == '\'')) {
    if (text.back() != text.front()) return wrong(offset, "the text behind ?? has no closing quote");
    return std::string(text.substr(1, text.size() - 2));
  }
  if (text.empty()) return wrong(offset, "nothing stands behind ??");
  return std::string(text);
}

bool is_dot_segment(std::string_view segment) { return segment == "." || segment == ".."; }

}  // namespace

Result<Reference> parse_reference(std::string_view text) {
  const std::vector<std::string_view> pieces = base::split(text, '.');
  for (const std::string_view piece : pieces)
    if (piece.empty())
      return Error(ErrorCode::invalid_argument, "an empty name in '" + std::string(text) + "'");
  Reference reference;
  const auto named = [&](Source source, std::size_t before) -> Result<Reference> {
    reference.source = source;
    reference.name = behind(text, before);
    if (reference.name.empty() || pieces.size() <= before)
      return Error(ErrorCode::invalid_argument, "a name is missing behind '" + std::string(text) + "'");
    return std::move(reference);
  };
  if (pieces[0] == "req") {
    if (pieces.size() >= 2 && pieces[1] == "path") return named(Source::path, 2);
    if (pieces.size() >= 2 && pieces[1] == "query") return named(Source::query, 2);
    if (pieces.size() >= 2 && pieces[1] == "header") return named(Source::header, 2);
    return Error(ErrorCode::invalid_argument,
                 "req has path, query and header, not '" + std::string(text) + "'");
  }
  if (pieces[0] == "header") return named(Source::header, 1);
  if (pieces[0] == "passport") return named(Source::passport, 1);
  if (pieces[0] == "variant") return named(Source::variant, 1);
  if (pieces[0] == "flag") return named(Source::flag, 1);
  if (!is_name(pieces[0]))
    return Error(ErrorCode::invalid_argument, "'" + std::string(pieces[0]) + "' is no name");
  reference.source = pieces[0] == "item" ? Source::item : Source::section;
  reference.name = pieces[0];
  reference.path = steps(pieces, 1);
  return reference;
}

Result<Template> Template::parse(std::string_view text, Kind kind) {
  Template made;
  made.kind_ = kind;
  made.text_ = text;
  Part part;
  bool in_path = kind == Kind::target;
  const auto literal = [&](char c) {
    part.literal.push_back(c);
    if (c == '?') in_path = false;
  };
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    // In JSON braces are the language's own: a reference is a brace right behind a letter-like start, inside a string.
    const bool doubled = i + 1 < text.size() && text[i + 1] == c;
    if (kind == Kind::target && (c == '{' || c == '}') && doubled) {
      literal(c), ++i;
      continue;
    }
    if (kind == Kind::target && c == '}') return wrong(i, "a '}' without its '{'");
    if (c != '{' || (kind == Kind::json && (i + 1 == text.size() || !base::is_alpha(text[i + 1])))) {
      literal(c);
      continue;
    }
    const std::size_t end = text.find('}', i);
    if (end == std::string_view::npos) return wrong(i, "a '{' without its '}'");
    std::string_view inside = text.substr(i + 1, end - i - 1);
    std::optional<std::string> fallback;
    if (const std::size_t mark = inside.find("??"); mark != std::string_view::npos) {
      Result<std::string> parsed = parse_fallback(base::trim(inside.substr(mark + 2)), i);
      if (!parsed) return parsed.error();
      fallback = std::move(*parsed);
      inside = inside.substr(0, mark);
    }
    Result<Reference> reference = parse_reference(base::trim(inside));
    if (!reference) return wrong(i, reference.error().detail);
    reference->fallback = std::move(fallback);
    reference->offset = static_cast<std::uint32_t>(i);
    const bool quoted =
        kind == Kind::json && part.literal.ends_with('"') && end + 1 < text.size() && text[end + 1] == '"';
    // A quote that opens a string and is not an escaped one inside of it.
    part.whole = quoted && !part.literal.ends_with("\\\"");
    part.reference = static_cast<std::int32_t>(made.references_.size());
    made.references_.push_back(std::move(*reference));
    if (part.whole) part.literal.pop_back();
    part.in_path = in_path;
    i = part.whole ? end + 1 : end;
    made.parts_.push_back(std::move(part));
    part = Part();
  }
  made.parts_.push_back(std::move(part));
  if (kind == Kind::json) return made;
  if (!text.starts_with('/')) return wrong(0, "a path starts with '/'");
  const std::string_view path = text.substr(0, text.find('?'));
  for (const std::string_view segment : base::split(path, '/'))
    if (is_dot_segment(segment)) return wrong(0, "a path has no '.' or '..' segments");
  for (const Part& one : made.parts_)
    for (const char c : one.literal)
      if (c == '#' || static_cast<unsigned char>(c) <= 0x20 || static_cast<unsigned char>(c) >= 0x7f)
        return wrong(text.find(c), "a character that a URI cannot hold: percent-encode it");
  return made;
}

bool Template::append_value(const Values::Value& value, const Part& part, std::string& out) const {
  if (kind_ == Kind::json) {
    if (part.whole && value.json) return out.append(value.text), true;
    if (part.whole) return append_json_string(out, value.text), true;
    if (!value.json) return base::append_json_escaped(out, value.text), true;
    std::string text;
    if (!append_json_scalar(value.text, text)) return false;
    base::append_json_escaped(out, text);
    return true;
  }
  if (!value.json) return http::append_percent_encoded(out, value.text), true;
  // Plain scalars need no unescaping, which is nearly all of them.
  if (value.text.empty()) return false;
  const char first = value.text.front();
  if (first == '"' && value.text.find('\\') == std::string_view::npos)
    return http::append_percent_encoded(out, value.text.substr(1, value.text.size() - 2)), true;
  std::string text;
  if (!append_json_scalar(value.text, text)) return false;
  http::append_percent_encoded(out, text);
  return true;
}

Filled Template::fill(const Values& values, std::string& out, const Reference** which) const {
  const std::size_t begin = out.size();
  bool judge = false;
  for (const Part& part : parts_) {
    out.append(part.literal);
    if (part.reference < 0) continue;
    const Reference& reference = references_[static_cast<std::size_t>(part.reference)];
    const std::optional<Values::Value> value = values.get(reference);
    const std::size_t before = out.size();
    bool written = value && append_value(*value, part, out);
    // An empty segment would name another resource: in a path, empty is absent.
    written = written && !(part.in_path && out.size() == before);
    if (!written && reference.fallback) {
      Values::Value fallback;
      fallback.text = *reference.fallback;
      written = append_value(fallback, part, out);
    }
    if (!written) {
      if (which != nullptr) *which = &reference;
      return Filled::absent;
    }
    judge |= part.in_path;
  }
  if (!judge) return Filled::ok;
  const std::string_view path = std::string_view(out).substr(begin);
  std::string_view rest = path.substr(0, path.find('?'));
  while (!rest.empty()) {
    const std::size_t slash = std::min(rest.find('/'), rest.size());
    if (is_dot_segment(rest.substr(0, slash))) return Filled::unsafe;
    rest.remove_prefix(std::min(slash + 1, rest.size()));
  }
  return Filled::ok;
}

}  // namespace weir::bff
