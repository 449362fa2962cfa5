// Experiments: the keys of the configuration, and the file that they name.
//
// The file is YAML of weir's own form, read into a tree that keeps its places and checked by weir/experiment;
// or JSON with GrowthBook's `features`. Its mistakes are reported in that file's own lines.
#include <algorithm>

#include "weir/base/strings.h"
#include "weir/config/internal/document.h"
#include "weir/config/internal/readers.h"
#include "weir/experiment/growthbook.h"
#include "weir/experiment/snapshot.h"

namespace weir::config {

using namespace internal;  // NOLINT: this file alone, to read easily

namespace {

experiment::Place place_of(Position at) { return {at.line, at.column}; }

// YAML's plain scalars by JSON's grammar: `1.5` is a number, `012`, `1.2.3` and `yes` are texts.
experiment::Value scalar_of(const Node& node) {
  const std::string& text = node.text;
  if (node.quoted) return experiment::Value::of(std::string_view(text));
  if (text == "true" || text == "false") return experiment::Value::of(text == "true");
  if (text == "null" || text == "~" || text.empty()) return {};
  const bool number = base::is_digit(text.front()) || (text.front() == '-' && text.size() > 1);
  if (number && text.find_first_not_of("0123456789+-.eE") == std::string::npos)
    if (const auto parsed = experiment::parse_json(text);
        parsed && parsed->is(experiment::Value::Kind::number))
      return *parsed;
  return experiment::Value::of(std::string_view(text));
}

// Depth is the document's, at most kMaxDepth.
experiment::Value tree_of(const Node& node) {
  experiment::Value value;
  switch (node.kind) {
    case Node::Kind::null:
      break;
    case Node::Kind::scalar:
      value = scalar_of(node);
      break;
    case Node::Kind::list:
      value = experiment::Value::list();
      for (const Node* item : node.items) value.items.push_back(tree_of(*item));
      break;
    case Node::Kind::map:
      value = experiment::Value::map();
      for (const Entry& entry : node.entries) {
        experiment::Value member = tree_of(*entry.value);
        member.key_at = place_of(entry.at);
        value.members.push_back({entry.key, std::move(member)});
      }
      break;
  }
  value.at = place_of(node.at);
  return value;
}

std::shared_ptr<const experiment::Snapshot> compile_reported(experiment::Definitions definitions,
                                                             experiment::Issues& issues, std::uint32_t file,
                                                             Report& report) {
  auto snapshot = experiment::compile(std::move(definitions), issues);
  for (const experiment::Issue& issue : issues.list()) {
    const Position at{file, std::max(1U, issue.at.line), std::max(1U, issue.at.column)};
    if (issue.error)
      report.error(at, issue.message, issue.suggestion);
    else
      report.warning(at, issue.message, issue.suggestion);
  }
  return snapshot;
}

std::shared_ptr<const experiment::Snapshot> read_text(std::string_view text, std::uint32_t file,
                                                      Report& report) {
  experiment::Issues issues;
  experiment::Definitions definitions;
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  if (first != std::string_view::npos && text[first] == '{') {
    experiment::JsonLimits limits;
    limits.bytes = kMaxFileBytes;
    limits.depth = kMaxDepth;
    if (auto payload = experiment::parse_json(text, limits); payload && experiment::is_growthbook(*payload)) {
      definitions.growthbook = experiment::GrowthBook::read(std::move(*payload), issues);
      return compile_reported(std::move(definitions), issues, file, report);
    }
  }
  Budget budget;
  const Document document = parse_document(text, file, budget, report);
  if (!document.readable) return nullptr;
  experiment::Value root;
  if (document.root != nullptr) root = tree_of(*document.root);
  if (experiment::is_growthbook(root))
    definitions.growthbook = experiment::GrowthBook::read(std::move(root), issues);
  else
    definitions = experiment::read_native(root, issues);
  return compile_reported(std::move(definitions), issues, file, report);
}

std::optional<AttributeSource> parse_source(std::string_view text) {
  using Kind = AttributeSource::Kind;
  struct Form {
    std::string_view prefix;
    Kind kind;
    bool named;
  };
  static constexpr Form kForms[] = {{"passport.", Kind::passport, true},   {"header:", Kind::header, true},
                                    {"cookie:", Kind::cookie, true},       {"query:", Kind::query, true},
                                    {"client_ip", Kind::client_ip, false}, {"method", Kind::method, false},
                                    {"path", Kind::path, false},           {"host", Kind::host, false}};
  for (const Form& form : kForms) {
    if (!form.named && text != form.prefix) continue;
    if (form.named && (!text.starts_with(form.prefix) || text.size() == form.prefix.size())) continue;
    AttributeSource source;
    source.kind = form.kind;
    if (form.named) source.name = text.substr(form.prefix.size());
    return source;
  }
  return std::nullopt;
}

void read_attributes(const Value& map, const ReadContext& context, Experiments& target) {
  const Value* attributes = sound(map, "attributes");
  if (attributes == nullptr) return;
  for (const auto& [name, value] : attributes->entries) {
    if (value.form == 0) continue;
    std::optional<AttributeSource> source = parse_source(value.text);
    if (!source) {
      context.report.error(value.at, shown(value) + " is no source of an attribute",
                           "passport.M, header:N, cookie:N, query:N, client_ip, method, path or host");
      continue;
    }
    source->attribute = name;
    target.attributes.push_back(std::move(*source));
  }
}

}  // namespace

namespace internal {

void read_experiments(const Value& root, const ReadContext& context) {
  const Value* map = sound(root, "experiments");
  if (map == nullptr) return;
  Experiments& target = context.config.experiments.emplace();
  target.at = map->at;
  read_attributes(*map, context, target);
  if (const Value* anonymous = sound(*map, "anonymous"))
    target.anonymous = anonymous->is(kOff)            ? Experiments::Anonymous::off
                       : anonymous->text == "address" ? Experiments::Anonymous::address
                                                      : Experiments::Anonymous::cookie;
  if (const Value* cookie = sound(*map, "cookie")) target.cookie = cookie->text;
  if (const Value* cookie = sound(*map, "sticky_cookie")) target.sticky_cookie = cookie->text;
  if (target.cookie == target.sticky_cookie)
    context.report.error(target.at, "`cookie` and `sticky_cookie` must have two names");
  if (const Value* secret = sound(*map, "secret")) {
    target.secret = free_text(*secret, context);
    if (secret->source.empty())
      context.report.warning(secret->at, "the secret stands in the file for everyone who may read it",
                             "write `env:NAME` or `file:PATH`");
    else if (target.secret.size() < 16)
      context.report.warning(secret->at, "a secret of less than 16 bytes can be guessed");
  }
  if (const Value* exposures = sound(*map, "exposures"))
    target.exposures = exposures->is(kFilePath) ? relative_to(context.file_of(exposures->at), exposures->text)
                                                : exposures->text;
  const Value* file = sound(*map, "file");
  if (file == nullptr) return;
  target.file = relative_to(context.file_of(file->at), file->text);
  const Result<std::string> text = context.environment.read_file(target.file);
  if (!text)
    return context.report.error(file->at,
                                "cannot read the file " + quote(target.file) + ": " + text.error().detail);
  const auto number = static_cast<std::uint32_t>(context.files.size());
  context.files.push_back(target.file);
  context.config.files.push_back(target.file);
  target.snapshot = read_text(*text, number, context.report);
  target.fingerprint = base::fnv1a64(*text);
}

}  // namespace internal

ExperimentsResult load_experiments_text(const std::string& name, std::string_view text) {
  ExperimentsResult result;
  result.files.push_back(name);
  result.fingerprint = base::fnv1a64(text);
  Report report;
  try {
    result.snapshot = read_text(text, 0, report);
  } catch (const std::exception& exception) {  // std::bad_alloc and the like
    report.error(Position{0, 1, 1}, std::string("the file cannot be read: ") + exception.what());
  }
  if (report.any_error()) result.snapshot = nullptr;
  result.diagnostics = report.take_sorted();
  return result;
}

ExperimentsResult load_experiments(const std::string& path, const Environment& environment) {
  const Result<std::string> text = environment.read_file(path);
  if (text) return load_experiments_text(path, *text);
  ExperimentsResult result;
  result.files.push_back(path);
  Report report;
  report.error(Position{0, 1, 1}, "cannot read the file: " + text.error().detail);
  result.diagnostics = report.take_sorted();
  return result;
}

}  // namespace weir::config
