// Templates and answers of strangers: the first line is a template, the rest a service's answer. Whatever they are, the
// template is refused or fills in to a clean target, and the answer is spliced only when it is JSON.
#include <cstdlib>
#include <string>
#include <string_view>

#include "weir/bff/internal/call.h"
#include "weir/bff/json.h"
#include "weir/bff/plan.h"

namespace {

using namespace weir::bff;

class OneAnswer final : public Values {
 public:
  explicit OneAnswer(std::string_view json) : json_(json) {}
  std::optional<Value> get(const Reference& reference) const override {
    Value value;
    value.json = reference.source == Source::section || reference.source == Source::item;
    if (!value.json) {
      value.text = json_;
      return value;
    }
    const auto found = find_json(json_, reference.path);
    if (!found) return std::nullopt;
    value.text = *found;
    return value;
  }

 private:
  std::string_view json_;
};

void check(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::size_t line = std::min(text.find('\n'), text.size());
  std::string answer(text.substr(std::min(line + 1, text.size())));
  static JsonValidator validator;
  const JsonVerdict verdict = validator.check(answer, 64);
  check(verdict == check_json_slowly(answer, 64));
  if (verdict != JsonVerdict::valid) return 0;
  const std::string_view json = trim_json(answer);

  Shape shape;
  shape.deny = {"a"};
  shape.rename = {{"b", "c"}};
  shape.wrap = "w";
  std::string page = "{\"x\":";
  if (weir::bff::internal::append_shaped(json, shape, page)) {
    page += "}";
    check(check_json_slowly(page, 70) == JsonVerdict::valid);
  }

  PageSpec spec;
  SectionSpec user, next;
  user.name = "user", user.upstream = "u", user.target = "/";
  next.name = "next", next.upstream = "u", next.target = text.substr(0, line);
  spec.sections = {user, next};
  std::vector<SpecProblem> problems;
  const auto plan = compile(spec, problems);
  if (plan == nullptr) return 0;
  std::string target;
  if (plan->nodes()[1].target.fill(OneAnswer(json), target) != Filled::ok) return 0;
  for (const char c : target) check(c > 0x20 && c < 0x7f && c != '#');
  return 0;
}
