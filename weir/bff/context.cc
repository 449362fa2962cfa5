#include "weir/bff/context.h"

#include <algorithm>
#include <vector>

#include "weir/bff/internal/call.h"
#include "weir/http/uri.h"

namespace weir::bff {

Context::Call Context::call(std::string_view upstream) {
  Call::Made& made = made_.emplace_back();
  made.spec.name = upstream;
  made.spec.upstream = upstream;
  return Call(made);
}

Context::Call& Context::Call::fill(std::string_view text, std::initializer_list<std::string_view> values) {
  std::string& target = made_->scratch.target;
  target.clear();
  const auto* next = values.begin();
  bool in_path = true;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text.substr(i, 2) != "{}" || next == values.end()) {
      in_path = in_path && text[i] != '?';
      target.push_back(text[i]);
      continue;
    }
    if (in_path && next->empty()) made_->callable = false;
    http::append_percent_encoded(target, *next++);
    ++i;
  }
  const std::string_view path = std::string_view(target).substr(0, target.find('?'));
  for (std::size_t at = 0; at < path.size();) {
    const std::size_t end = std::min(path.find('/', at), path.size());
    const std::string_view segment = path.substr(at, end - at);
    if (segment == "." || segment == "..") made_->callable = false;
    at = end + 1;
  }
  return *this;
}

async::Task<void> Context::run(Call::Made& made) {
  Section& section = made.section;
  if (!made.callable) {
    section.failure = SectionFailure::unsafe;
  } else {
    const internal::Job job{made.spec, made.scratch, inputs_.subject(), inputs_.scope(),
                            deadline_, 256,          made.spec.need};
    co_await internal::perform(desk_, job, section);
  }
  section.json = section.original.empty() ? std::string_view(made.spec.on_error) : section.original;
  if (section.original.empty() || made.spec.shape.empty()) co_return;
  std::string& shaped = texts_.emplace_back();
  if (internal::append_shaped(section.original, made.spec.shape, shaped)) {
    section.json = shaped;
  } else {
    section.state = SectionState::error;
    section.failure = SectionFailure::invalid;
    section.json = made.spec.on_error;
  }
}

std::string_view Context::text(const Section& section, std::initializer_list<std::string> path) {
  const std::vector<std::string> steps(path);
  const std::optional<std::string_view> found = find_json(section.original, steps);
  std::string& text = texts_.emplace_back();
  if (!found || !append_json_scalar(*found, text)) text.clear();
  return text;
}

void Context::show(std::string_view name, const Section& section) {
  if (section.json.empty()) return;
  if (body_.size() > 1) body_.push_back(',');
  append_json_string(body_, name);
  body_.push_back(':');
  body_.append(section.json);
  complete_ = complete_ && section.state == SectionState::ok;
}

void Context::fail(const Section& section) {
  const bool late = section.failure == SectionFailure::deadline ||
                    (section.failure == SectionFailure::call && http::is_timeout(section.fetch));
  status_ = late ? 504 : 502;
  complete_ = false;
}

}  // namespace weir::bff
