// Compilation: every text is parsed, every name resolved to an index, and the graph looked at as a whole.
//
//   (1) needs is the transitive-free set of producers: the sections that a target, a body or a for_each names.
//   (2) Circles are found by taking away sections that need nobody left until none goes (Kahn 1962); what remains is in
//       a circle or behind one, and a walk along `needs` names it.
//   (3) The least time of a chain is the sum of the budgets below which a call is not started: kLeastCall each. A chain
//       that cannot even start its last call within the deadline is a mistake.
#include "weir/bff/plan.h"

#include <algorithm>
#include <bit>
#include <map>
#include <set>

#include "weir/base/strings.h"
#include "weir/bff/internal/budget.h"
#include "weir/bff/json.h"

namespace weir::bff {
namespace {

using std::chrono::duration_cast;
using std::chrono::milliseconds;

std::uint64_t bit(std::size_t i) noexcept { return std::uint64_t{1} << i; }

bool is_section_name(std::string_view name) {
  constexpr std::string_view reserved[] = {"req", "header", "passport", "variant", "flag", "item"};
  if (name.empty() || std::find(std::begin(reserved), std::end(reserved), name) != std::end(reserved))
    return false;
  if (!base::is_alpha(name.front())) return false;  // a token of RFC 9651, for Weir-Sections
  return std::all_of(name.begin(), name.end(),
                     [](char c) { return base::is_alpha(c) || base::is_digit(c) || c == '_' || c == '-'; });
}

std::string quoted(std::string_view text) { return "'" + std::string(text) + "'"; }

class Compiler {
 public:
  Compiler(const PageSpec& spec, std::vector<Plan::Node>& nodes, std::vector<SpecProblem>& problems)
      : spec_(spec), nodes_(nodes), problems_(problems) {}

  void run() {
    if (spec_.sections.empty()) report({}, "", "a page has at least one section");
    if (spec_.sections.size() > kSectionsMax) return report({}, "", "more than 64 sections");
    collect_names();
    for (std::size_t i = 0; i < spec_.sections.size(); ++i) add(i);
    if (!problems_.empty()) return;
    check_keys();
    check_circles();
    if (!problems_.empty()) return;
    check_time();
  }

 private:
  void report(std::optional<std::size_t> section, std::string key, std::string message) {
    problems_.push_back({section, std::move(key), std::move(message)});
  }

  void collect_names() {
    std::size_t primaries = 0;
    for (std::size_t i = 0; i < spec_.sections.size(); ++i) {
      const SectionSpec& section = spec_.sections[i];
      if (!is_section_name(section.name))
        report(i, "",
               quoted(section.name) +
                   " cannot name a section: letters, digits, '_' and '-', and not req, "
                   "header, passport, variant, flag or item");
      if (!names_.emplace(section.name, i).second)
        report(i, "", "there are two sections called " + quoted(section.name));
      if (section.need == Need::primary && ++primaries == 2)
        report(i, "need", "a page has one primary section at most");
    }
  }

  void add(std::size_t i) {
    Plan::Node& node = nodes_.emplace_back();
    node.spec = spec_.sections[i];
    const SectionSpec& section = node.spec;
    append_json_string(node.key, section.name);
    node.key.push_back(':');
    if (section.for_each) add_items(i, node);
    if (Result<Template> target = Template::parse(section.target, Template::Kind::target)) {
      node.target = std::move(*target);
      resolve(i, "path", node.target.references());
    } else {
      report(i, "path", target.error().detail);
    }
    if (section.body) add_body(i, node);
    for (const Condition& condition : section.when)
      if (condition.value.source == Source::section || condition.value.source == Source::item)
        report(i, "when",
               "asks for header, variant, flag or passport, not for " + quoted(condition.value.name));
    if (check_json_slowly(section.on_error, spec_.depth_max) != JsonVerdict::valid)
      report(i, "on_error", "is not JSON");
    if (section.fallback && check_json_slowly(*section.fallback, spec_.depth_max) != JsonVerdict::valid)
      report(i, "fallback", "is not JSON");
    const bool safe = section.method == http::Method::get || section.method == http::Method::head;
    if (!safe && (section.cache_for.count() != 0 || section.stale_if_error.count() != 0))
      report(i, "cache", "only answers to GET are kept");
    if (section.shape.flatten) check_flatten(i, section);
  }

  void add_body(std::size_t i, Plan::Node& node) {
    if (node.spec.method == http::Method::get || node.spec.method == http::Method::head)
      report(i, "body", "GET has no body: set method");
    // Placeholders stand inside of strings, so the text is JSON before they are filled in.
    if (check_json_slowly(*node.spec.body, spec_.depth_max) != JsonVerdict::valid)
      return report(i, "body", "is not JSON");
    Result<Template> body = Template::parse(*node.spec.body, Template::Kind::json);
    if (!body) return report(i, "body", body.error().detail);
    node.body = std::move(*body);
    resolve(i, "body", node.body->references());
  }

  void add_items(std::size_t i, Plan::Node& node) {
    std::string_view in = node.spec.for_each->in;
    if (in.ends_with("[*]")) in.remove_suffix(3);
    Result<Reference> items = parse_reference(in);
    if (!items) return report(i, "for_each", items.error().detail);
    if (items->source != Source::section)
      return report(i, "for_each", "goes over an array in another section's answer, as in user.friends");
    std::vector<Reference> one{std::move(*items)};
    resolve(i, "for_each", one);
    node.items = std::move(one.front());
    if (node.spec.for_each->max == 0 || node.spec.for_each->concurrency == 0)
      report(i, "for_each", "max and concurrency are at least 1");
    if (node.spec.need == Need::primary)
      report(i, "need", "a for_each has no status of its own to be primary");
  }

  void resolve(std::size_t i, std::string_view key, std::vector<Reference>& references) {
    for (Reference& reference : references) {
      if (reference.source == Source::item && !nodes_[i].spec.for_each)
        report(i, std::string(key), "{item} has a meaning inside for_each only");
      if (reference.source != Source::section) continue;
      const auto found = names_.find(reference.name);
      if (found == names_.end()) {
        std::vector<std::string_view> known{"req", "passport", "variant", "flag"};
        for (const auto& [name, index] : names_) known.push_back(name);
        const std::string_view near = base::closest(reference.name, known);
        report(i, std::string(key),
               "there is no section " + quoted(reference.name) +
                   (near.empty() ? "" : " (did you mean " + quoted(near) + "?)"));
        continue;
      }
      if (found->second == i) report(i, std::string(key), "a section cannot use its own answer");
      reference.section = static_cast<std::uint32_t>(found->second);
      nodes_[i].needs |= bit(found->second);
    }
  }

  void check_flatten(std::size_t i, const SectionSpec& section) {
    if (section.shape.allow.empty())
      report(i, "shape", "flatten needs allow, so that it is known which keys it writes");
    if (section.for_each || !section.shape.wrap.empty())
      report(i, "shape", "flatten puts the members of one object into the page: not with for_each or wrap");
    const std::string_view literal = trim_json(section.on_error);
    if (literal != "null" && !is_json_object(literal))
      report(i, "on_error", "of a flattened section is an object or null");
  }

  // Two sections that write one key of the page.
  void check_keys() {
    std::map<std::string, std::size_t> writers;
    const auto write = [&](std::size_t i, const std::string& key, std::string_view where) {
      const auto [other, fresh] = writers.emplace(key, i);
      if (!fresh)
        report(i, std::string(where),
               "writes the key " + quoted(key) + ", and so does section " +
                   quoted(spec_.sections[other->second].name));
    };
    for (std::size_t i = 0; i < spec_.sections.size(); ++i) {
      const SectionSpec& section = spec_.sections[i];
      if (!section.shape.flatten) {
        write(i, section.name, "");
        continue;
      }
      for (const std::string& member : section.shape.allow)
        write(i, shown_as(section.shape, member), "shape");
    }
    for (std::size_t i = 0; i < spec_.sections.size(); ++i) check_renames(i, spec_.sections[i].shape);
  }

  static std::string shown_as(const Shape& shape, const std::string& member) {
    for (const auto& [from, to] : shape.rename)
      if (from == member) return to;
    return member;
  }

  void check_renames(std::size_t i, const Shape& shape) {
    std::set<std::string> to;
    for (const auto& [from, target] : shape.rename) {
      const bool kept = std::find(shape.allow.begin(), shape.allow.end(), target) != shape.allow.end();
      const bool moved = std::any_of(shape.rename.begin(), shape.rename.end(),
                                     [&](const auto& r) { return r.first == target; });
      if (!to.insert(target).second || (kept && !moved))
        report(i, "shape", "two members would be called " + quoted(target));
      if (shape.allow.empty() && !moved &&
          std::find(shape.deny.begin(), shape.deny.end(), target) == shape.deny.end())
        report(
            i, "shape",
            "rename to " + quoted(target) + " may meet a member of that name: deny it, or say what to allow");
    }
  }

  void check_circles() {
    std::uint64_t left = spec_.sections.size() == 64 ? ~std::uint64_t{0} : bit(spec_.sections.size()) - 1;
    for (bool gone = true; gone;) {
      gone = false;
      for (std::size_t i = 0; i < nodes_.size(); ++i)
        if ((left & bit(i)) != 0 && (nodes_[i].needs & left) == 0) left &= ~bit(i), gone = true;
    }
    if (left == 0) {
      for (std::size_t i = 0; i < nodes_.size(); ++i)
        for (std::size_t j = 0; j < nodes_.size(); ++j)
          if ((nodes_[i].needs & bit(j)) != 0) nodes_[j].feeds |= bit(i);
      return;
    }
    // Along `needs` within what is left one never comes to an end, so a section comes twice.
    std::vector<std::size_t> walk{static_cast<std::size_t>(std::countr_zero(left))};
    for (;;) {
      const auto next = static_cast<std::size_t>(std::countr_zero(nodes_[walk.back()].needs & left));
      const std::ptrdiff_t from = std::find(walk.begin(), walk.end(), next) - walk.begin();
      walk.push_back(next);
      if (from == static_cast<std::ptrdiff_t>(walk.size()) - 1) continue;
      std::string circle;
      for (auto at = walk.begin() + from; at != walk.end(); ++at)
        circle.append(circle.empty() ? "" : " -> ").append(spec_.sections[*at].name);
      return report(next, "path", "sections need each other in a circle: " + circle);
    }
  }

  void check_time() {
    std::vector<std::size_t> length(nodes_.size(), 0);
    std::size_t longest = 0;
    for (std::size_t round = 0; round < nodes_.size(); ++round)
      for (std::size_t i = 0; i < nodes_.size(); ++i) {
        std::size_t before = 0;
        for (std::size_t j = 0; j < nodes_.size(); ++j)
          if ((nodes_[i].needs & bit(j)) != 0) before = std::max(before, length[j]);
        length[i] = before + 1;
        if (length[i] > length[longest]) longest = i;
      }
    const Duration least =
        static_cast<std::int64_t>(length[longest]) * internal::kLeastCall + internal::kReserve;
    if (least > spec_.deadline)
      report(longest, "path",
             "stands at the end of a chain of " + std::to_string(length[longest]) + " calls, which needs " +
                 std::to_string(duration_cast<milliseconds>(least).count()) +
                 " ms at least; the page's deadline is " +
                 std::to_string(duration_cast<milliseconds>(spec_.deadline).count()) + " ms");
  }

  const PageSpec& spec_;
  std::vector<Plan::Node>& nodes_;
  std::vector<SpecProblem>& problems_;
  std::map<std::string, std::size_t, std::less<>> names_;
};

std::string milliseconds_text(Duration time) {
  return std::to_string(duration_cast<milliseconds>(time).count()) + " ms";
}

}  // namespace

std::shared_ptr<const Plan> compile(PageSpec spec, std::vector<SpecProblem>& problems) {
  auto plan = std::make_shared<Plan>();
  plan->spec_ = std::move(spec);
  std::vector<SpecProblem> found;
  Compiler(plan->spec_, plan->nodes_, found).run();
  if (found.empty()) return plan;
  problems.insert(problems.end(), found.begin(), found.end());
  return nullptr;
}

std::uint32_t Plan::calls_at_most() const noexcept {
  std::uint64_t calls = 0;
  for (const Node& node : nodes_) calls += node.items ? node.spec.for_each->max : 1;
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(calls, spec_.calls_max));
}

Plan::Critical Plan::critical_path() const {
  // Sections in an order in which every producer stands before its users: by rounds, as there is no circle.
  std::vector<Duration> ends(nodes_.size());
  std::vector<std::optional<std::size_t>> after(nodes_.size());
  for (std::size_t round = 0; round < nodes_.size(); ++round) {
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
      Duration begin{};
      for (std::size_t j = 0; j < nodes_.size(); ++j)
        if ((nodes_[i].needs & bit(j)) != 0 && ends[j] > begin) begin = ends[j], after[i] = j;
      ends[i] = begin + nodes_[i].spec.timeout.value_or(spec_.deadline);
    }
  }
  Critical critical;
  const auto last = static_cast<std::size_t>(std::max_element(ends.begin(), ends.end()) - ends.begin());
  critical.worst = std::min(ends[last], spec_.deadline - internal::kReserve);
  for (std::optional<std::size_t> at = last; at; at = after[*at])
    critical.path.insert(critical.path.begin(), *at);
  return critical;
}

std::string Plan::explain() const {
  std::string out = "deadline " + milliseconds_text(spec_.deadline) + ", at most " +
                    std::to_string(calls_at_most()) + " calls\n";
  for (const Node& node : nodes_) {
    const SectionSpec& section = node.spec;
    out.append("  ").append(section.name).append(": ").append(http::to_string(section.method));
    out.append(" ").append(section.upstream).append(section.target);
    out.append(", timeout ").append(milliseconds_text(section.timeout.value_or(spec_.deadline)));
    if (section.need != Need::optional)
      out.append(section.need == Need::required ? ", required" : ", primary");
    if (section.for_each)
      out.append(", for each of ")
          .append(section.for_each->in)
          .append(" (at most ")
          .append(std::to_string(section.for_each->max))
          .append(", ")
          .append(std::to_string(section.for_each->concurrency))
          .append(" at a time)");
    if (!section.when.empty()) out.append(", conditional");
    std::string after;
    for (std::size_t j = 0; j < nodes_.size(); ++j)
      if ((node.needs & bit(j)) != 0) after.append(after.empty() ? "" : ", ").append(nodes_[j].spec.name);
    out.append(after.empty() ? ", at once" : ", after " + after).append("\n");
  }
  const Critical critical = critical_path();
  out.append("critical path: ");
  for (std::size_t i = 0; i < critical.path.size(); ++i)
    out.append(i == 0 ? "" : " -> ").append(nodes_[critical.path[i]].spec.name);
  return out.append(", worst case ").append(milliseconds_text(critical.worst)).append("\n");
}

std::string Plan::explain_json() const {
  const Critical critical = critical_path();
  const auto number = [](Duration time) { return std::to_string(duration_cast<milliseconds>(time).count()); };
  std::string out = "{\"deadline_ms\":" + number(spec_.deadline) +
                    ",\"calls_max\":" + std::to_string(calls_at_most()) +
                    ",\"worst_ms\":" + number(critical.worst) + ",\"critical_path\":[";
  for (std::size_t i = 0; i < critical.path.size(); ++i) {
    if (i != 0) out.push_back(',');
    append_json_string(out, nodes_[critical.path[i]].spec.name);
  }
  out.append("],\"sections\":[");
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    const SectionSpec& section = nodes_[i].spec;
    out.append(i == 0 ? "{\"name\":" : ",{\"name\":");
    append_json_string(out, section.name);
    out.append(",\"upstream\":");
    append_json_string(out, section.upstream);
    out.append(",\"path\":");
    append_json_string(out, section.target);
    out.append(",\"timeout_ms\":")
        .append(number(section.timeout.value_or(spec_.deadline)))
        .append(",\"after\":[");
    bool first = true;
    for (std::size_t j = 0; j < nodes_.size(); ++j) {
      if ((nodes_[i].needs & bit(j)) == 0) continue;
      if (!std::exchange(first, false)) out.push_back(',');
      append_json_string(out, nodes_[j].spec.name);
    }
    out.append("]}");
  }
  return out.append("]}\n");
}

}  // namespace weir::bff
