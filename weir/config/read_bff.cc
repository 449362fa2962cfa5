// Pages: from checked values to what the bff part compiles.
//
//   (1) A page is compiled here already, so that a circle or an unknown section is a mistake of the file with its place.
//   (2) What the bff part reports by section and key is shown at that key's value, or at the section's name.
#include "weir/base/strings.h"
#include "weir/config/internal/readers.h"

namespace weir::config::internal {
namespace {

void read_strings(const Value& map, std::string_view key, std::vector<std::string>& target) {
  if (const Value* list = sound(map, key))
    for (const Value& item : list->items) target.push_back(item.text);
}

class SectionReader {
 public:
  SectionReader(const Value& map, const ReadContext& context) : map_(map), context_(context) {}

  bff::SectionSpec read_all(const std::string& name) {
    spec_.name = name;
    if (const Value* upstream = sound(map_, "upstream")) spec_.upstream = upstream->text;
    if (const Value* path = sound(map_, "path")) spec_.target = path->text;
    read_method();
    if (const Value* timeout = sound(map_, "timeout")) spec_.timeout = timeout->duration;
    if (const Value* need = sound(map_, "need"))
      spec_.need = need->text == "required"  ? bff::Need::required
                   : need->text == "primary" ? bff::Need::primary
                                             : bff::Need::optional;
    if (const Value* literal = sound(map_, "on_error")) spec_.on_error = literal->text;
    read(map_, "omit_on_error", spec_.omit_on_error);
    if (const Value* literal = sound(map_, "fallback")) spec_.fallback = literal->text;
    if (const Value* when = sound(map_, "when"))
      for (const auto& [key, condition] : when->entries) read_condition(key, condition);
    read_for_each();
    if (const Value* shape = sound(map_, "shape")) read_shape(*shape);
    if (const Value* cache = sound(map_, "cache")) {
      read(*cache, "ttl", spec_.cache_for);
      read(*cache, "stale_if_error", spec_.stale_if_error);
      if (const Value* scope = sound(*cache, "scope")) spec_.shared = scope->text == "public";
    }
    read(map_, "text", spec_.text);
    if (const Value* bytes = sound(map_, "max_body")) spec_.body_max = bytes->number;
    read_strings(map_, "headers", spec_.headers);
    return std::move(spec_);
  }

 private:
  void read_method() {
    if (const Value* method = sound(map_, "method")) {
      spec_.method = http::parse_method(method->text);
      const bool usable = spec_.method == http::Method::get || spec_.method == http::Method::post ||
                          spec_.method == http::Method::put || spec_.method == http::Method::patch ||
                          spec_.method == http::Method::delete_;
      if (!usable)
        context_.report.error(method->at, "a section is called with GET, POST, PUT, PATCH or DELETE");
    }
    if (const Value* body = sound(map_, "body"))
      if (const Value* json = sound(*body, "json")) spec_.body = json->text;
  }

  void read_condition(const std::string& key, const Value& value) {
    if (value.form == 0) return;
    Result<bff::Reference> reference = bff::parse_reference(key);
    const bool usable =
        reference && (reference->source == bff::Source::header || reference->source == bff::Source::variant ||
                      reference->source == bff::Source::flag || reference->source == bff::Source::passport);
    if (!usable) {
      context_.report.error(value.key_at,
                            quote(key) + " is no header.NAME, variant.KEY, flag.KEY or passport.MEMBER");
      return;
    }
    using Operator = bff::Condition::Operator;
    for (const auto& [word, operand] : value.entries) {
      if (operand.form == 0) continue;
      bff::Condition condition;
      condition.value = *reference;
      condition.op = word == "eq"       ? Operator::eq
                     : word == "ne"     ? Operator::ne
                     : word == "in"     ? Operator::in
                     : word == "not_in" ? Operator::not_in
                                        : Operator::exists;
      if (operand.is(kList))
        for (const Value& item : operand.items) condition.operands.push_back(item.text);
      else
        condition.operands.push_back(operand.is(kBool) ? (operand.number != 0 ? "true" : "false")
                                                       : operand.text);
      spec_.when.push_back(std::move(condition));
    }
  }

  void read_for_each() {
    const Value* each = sound(map_, "for_each");
    if (each == nullptr) return;
    bff::ForEach& target = spec_.for_each.emplace();
    if (!each->is(kMap)) {
      target.in = each->text;
      return;
    }
    if (const Value* in = sound(*each, "in")) target.in = in->text;
    read(*each, "max", target.max);
    read(*each, "concurrency", target.concurrency);
    read(*each, "distinct", target.distinct);
  }

  void read_shape(const Value& shape) {
    if (const Value* pick = sound(shape, "pick"))
      for (const std::string_view step : base::split(pick->text, '.')) spec_.shape.pick.emplace_back(step);
    read_strings(shape, "allow", spec_.shape.allow);
    read_strings(shape, "deny", spec_.shape.deny);
    if (const Value* rename = sound(shape, "rename"))
      for (const auto& [from, to] : rename->entries)
        if (to.form != 0) spec_.shape.rename.emplace_back(from, to.text);
    if (const Value* wrap = sound(shape, "wrap")) spec_.shape.wrap = wrap->text;
    read(shape, "flatten", spec_.shape.flatten);
  }

  const Value& map_;
  const ReadContext& context_;
  bff::SectionSpec spec_;
};

bool is_damaged(const Value& value) {
  if (value.form == 0 || value.partial) return true;
  for (const auto& [key, entry] : value.entries)
    if (is_damaged(entry)) return true;
  return false;
}

void report_problem(const bff::SpecProblem& problem, const Value& bff,
                    const std::vector<const Member*>& sections, const ReadContext& context) {
  Position at = bff.key_at;
  if (problem.section) {
    const Value& section = sections[*problem.section]->value;
    at = section.key_at;
    if (const Value* value = section.find(problem.key)) at = value->at;
  }
  const std::string key = problem.key.empty() ? "" : "`" + problem.key + "` ";
  context.report.error(at, key + problem.message);
}

}  // namespace

std::optional<bff::PageSpec> read_bff(const Value& bff, const ReadContext& context,
                                      const std::function<void(const Value& name)>& check_upstream) {
  bff::PageSpec page;
  read(bff, "deadline", page.deadline);
  if (const Value* reply = sound(bff, "reply")) page.envelope = reply->text == "envelope";
  read(bff, "server_timing", page.server_timing);
  if (const Value* bytes = sound(bff, "max_body")) page.body_max = bytes->number;
  read(bff, "max_calls", page.calls_max);
  const Value* sections = sound(bff, "sections");
  if (sections == nullptr) return std::nullopt;
  std::vector<const Member*> places;
  for (const Member& member : sections->entries) {
    if (!member.value.is(kMap)) continue;
    if (const Value* name = sound(member.value, "upstream")) check_upstream(*name);
    page.sections.push_back(SectionReader(member.value, context).read_all(member.key));
    places.push_back(&member);
  }
  // What is damaged has been reported; what depends on it would only be noise.
  if (is_damaged(bff)) return std::nullopt;
  std::vector<bff::SpecProblem> problems;
  bff::compile(page, problems);
  for (const bff::SpecProblem& problem : problems) report_problem(problem, bff, places, context);
  return page;
}

}  // namespace weir::config::internal
