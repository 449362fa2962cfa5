// What became of each section, in the three fields that say it.
#include <utility>

#include "weir/bff/page.h"
#include "weir/trace/server_timing.h"

namespace weir::bff {
namespace {

using std::chrono::duration_cast;

void append_milliseconds(std::string& out, Duration time) {
  out.append(std::to_string(duration_cast<std::chrono::milliseconds>(time).count()));
}

}  // namespace

void Page::append_sections(const Plan& plan, std::string& out) const {
  bool first = true;
  for (std::size_t i = 0; i < sections.size(); ++i) {
    const Section& section = sections[i];
    if (!std::exchange(first, false)) out.append(", ");
    out.append(plan.nodes()[i].spec.name).append(";s=").append(to_string(section.state));
    if (section.called) {
      out.append(";d=");
      append_milliseconds(out, section.took);
    }
    if (section.state == SectionState::stale) {
      out.append(";age=").append(std::to_string(duration_cast<std::chrono::seconds>(section.age).count()));
    }
    if (section.failure == SectionFailure::none || section.failure == SectionFailure::condition) continue;
    out.append(";e=").append(error_word(section.failure, section.fetch));
    if (section.failure == SectionFailure::status) out.append(";st=").append(std::to_string(section.status));
    if (section.items_failed != 0) out.append(";n=").append(std::to_string(section.items_failed));
  }
}

void Page::append_server_timing(const Plan& plan, std::string& out) const {
  for (std::size_t i = 0; i < sections.size(); ++i) {
    const Section& section = sections[i];
    if (!section.called) continue;
    const std::string_view state =
        section.state == SectionState::ok ? std::string_view{} : to_string(section.state);
    trace::append_server_timing(out, plan.nodes()[i].spec.name, section.took, state);
  }
}

void Page::append_proxy_status(const Plan& plan, std::string_view proxy, std::string& out) const {
  for (std::size_t i = 0; i < sections.size(); ++i) {
    const Section& section = sections[i];
    if (section.failure != SectionFailure::call && section.failure != SectionFailure::status) continue;
    if (!out.empty()) out.append(", ");
    out.append(proxy);
    if (section.failure == SectionFailure::call)
      out.append(";error=").append(http::proxy_error(section.fetch));
    else
      out.append(";received-status=").append(std::to_string(section.status));
    out.append(";next-hop=\"").append(plan.nodes()[i].spec.upstream).append("\"");
  }
}

}  // namespace weir::bff
