// Section: what became of one call of a page, and what the page shows in its place.
#ifndef WEIR_BFF_SECTION_H_
#define WEIR_BFF_SECTION_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "weir/base/clock.h"
#include "weir/cache/memory_cache.h"
#include "weir/http/fetcher.h"

namespace weir::bff {

enum class SectionState : std::uint8_t { ok, stale, fallback, error, skipped };
std::string_view to_string(SectionState state) noexcept;

enum class SectionFailure : std::uint8_t {
  none,
  call,     // the fetch failed: `fetch` says how
  status,   // the answer's status is no success
  invalid,  // not valid JSON, or not the kind of value that its shape needs
  too_deep,
  not_json,   // another content type, and the section does not take text
  reference,  // a value of its template is absent
  unsafe,     // a value would have changed the path
  deadline,   // too little time was left to begin
  cause,      // a section that it needs has failed
  condition,  // its `when` does not hold
  page_size,  // no room left in the page
  items,      // some items of a for_each failed
  abandoned,  // the page was decided before it came
};
// A stable word for Weir-Sections: the Proxy-Status error of RFC 9209 where there is one, else weir's own.
std::string_view error_word(SectionFailure failure, http::FetchFailure fetch) noexcept;

// What is kept of a good answer.
struct CachedSection {
  std::string json;
};
using SectionCache = cache::MemoryCache<CachedSection>;

struct Section {
  SectionState state = SectionState::error;
  SectionFailure failure = SectionFailure::abandoned;
  http::FetchFailure fetch = http::FetchFailure::none;
  int status = 0;  // of the answer; 0: none came
  bool called = false;
  bool from_cache = false;
  TimePoint started{};  // when the call began
  Duration took{};
  Duration age{};  // of what was cached
  std::uint32_t items_failed = 0;
  std::string_view json;      // what the page shows: a whole JSON value; empty: the key is left out
  std::string_view original;  // the answer as it came, for references; empty when there is none
  http::FetchResponse response;
  std::string built;  // for_each arrays, texts as strings
  std::shared_ptr<const CachedSection> cached;

  // Live, fresh or stale data of the service; a literal is not.
  bool good() const noexcept { return state == SectionState::ok || state == SectionState::stale; }
  void reset() noexcept {
    state = SectionState::error;
    failure = SectionFailure::abandoned;
    fetch = http::FetchFailure::none;
    status = 0;
    called = from_cache = false;
    started = TimePoint{};
    took = age = Duration{};
    items_failed = 0;
    json = original = {};
    response.clear();
    built.clear();
    cached.reset();
  }
};

}  // namespace weir::bff

#endif  // WEIR_BFF_SECTION_H_
