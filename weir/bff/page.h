// make_page: runs a plan and puts the page together.
//
//   bff::Desk desk{fetcher, loop, validator};                   // what a worker has anyway
//   bff::Page page;                                             // reused: keeps its memory
//   co_await bff::make_page(*plan, inputs, Deadline::never(), desk, page);
//   send(page.status, page.body);
//
// Sections whose values are there are called at once and side by side; a section that needs another's answer starts when
// that has come. Each call may take as long as its timeout, but not longer than what the page's deadline leaves; a call
// that could not come in time is not started. The page is done when all sections are, when a required one is lost, or at
// the deadline with what is there: what still runs then is abandoned.
//
//   (1) Whatever a service does, the page is valid JSON, and the bytes of other sections are what they would have been.
//   (2) Every call lives in the page: destroying the task ends them all, and nothing outlives it.
//   (3) After warm-up a page allocates nothing but what its bodies need (for_each sections excepted).
//
// One thread. `inputs`, `desk`, `plan` and `page` outlive the task.
#ifndef WEIR_BFF_PAGE_H_
#define WEIR_BFF_PAGE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "weir/async/task.h"
#include "weir/async/timer.h"
#include "weir/bff/json.h"
#include "weir/bff/plan.h"
#include "weir/bff/section.h"
#include "weir/http/fetcher.h"

namespace weir::bff {

// Where the values come from that are not another section's.
class Inputs {
 public:
  // The decoded text; nothing when there is none. The text stays good for as long as the page is made.
  virtual std::optional<std::string_view> get(Source source, std::string_view name) const = 0;
  // All that makes answers differ between callers: answers are shared between callers of one subject only.
  virtual std::string_view subject() const = 0;
  // What answers depend on even where they are everybody's: the host that was asked for, variants and flags. A part of
  // every key.
  virtual std::string_view scope() const { return {}; }

 protected:
  ~Inputs() = default;
};

// What pages are made with; outlives them.
struct Desk {
  http::Fetcher& fetcher;
  async::Loop& loop;
  JsonValidator& validator;
  SectionCache* cache = nullptr;  // null: nothing is kept
};

// What of an answer's fields a section hands to the page.
struct PageField {
  std::string name;
  std::string value;
};

struct Page {
  int status = 200;             // 502 or 504 when a required section was lost
  bool complete = true;         // nothing is missing, stale or made up
  bool passed_through = false;  // the primary's own answer stands in the page's place (3xx, 4xx)
  std::string body;             // JSON; empty when the page is lost
  std::string content_type = "application/json";
  std::optional<std::size_t> lost;  // the required section that was
  std::vector<Section> sections;    // as the plan's; reused
  std::vector<PageField> fields;    // of sections that hand some on
  Duration took{};

  // Weir-Sections: user;s=ok;d=12, orders;s=error;e=http_response_timeout (RFC 9651).
  void append_sections(const Plan& plan, std::string& out) const;
  // Server-Timing of every section that was called.
  void append_server_timing(const Plan& plan, std::string& out) const;
  // Proxy-Status of every call that failed (RFC 9209), one list member each; `proxy` names who says it.
  void append_proxy_status(const Plan& plan, std::string_view proxy, std::string& out) const;

  // Storage of the run: targets, bodies, keys of the cache.
  struct Scratch {
    std::string target;
    std::string body;
    std::string cache_key;
  };
  std::vector<Scratch> scratch;
};

// `deadline`: the caller's own, as of a trusted peer; the plan's is counted from now.
async::Task<void> make_page(const Plan& plan, const Inputs& inputs, Deadline deadline, Desk& desk,
                            Page& page);

}  // namespace weir::bff

#endif  // WEIR_BFF_PAGE_H_
