// Plan: the sections of a page and who needs whom, checked and compiled once.
//
//   PageSpec page;
//   page.deadline = 500ms;
//   page.sections.push_back({.name = "user", .upstream = "users", .target = "/v1/users/{passport.user_id}"});
//   page.sections.push_back({.name = "orders", .upstream = "orders", .target = "/v1/orders?user={user.id}"});
//   std::vector<SpecProblem> problems;
//   std::shared_ptr<const Plan> plan = compile(page, problems);     // null: problems says what is wrong, and where
//
// References make the order: `orders` waits for `user` and for nothing else. What can be known to be wrong before a
// request comes is wrong here: names that are not there, circles, two sections that write one key, a chain whose least
// time exceeds the deadline. A plan is immutable and may be used by many pages and threads at once.
#ifndef WEIR_BFF_PLAN_H_
#define WEIR_BFF_PLAN_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "weir/base/clock.h"
#include "weir/bff/template.h"
#include "weir/http/message.h"

namespace weir::bff {

inline constexpr std::size_t kSectionsMax = 64;  // a bit each in the executor's words

enum class Need : std::uint8_t { optional, required, primary };

// What of an answer goes into the page, applied in this order.
struct Shape {
  std::vector<std::string> pick;   // steps to the value that is shown; empty: the whole answer
  std::vector<std::string> allow;  // members that stay; empty: all
  std::vector<std::string> deny;
  std::vector<std::pair<std::string, std::string>> rename;  // from, to
  std::string wrap;                                         // shown as {"wrap": value}
  bool flatten = false;  // its members become the page's own; needs `allow`, so that conflicts show at load

  bool empty() const noexcept {
    return pick.empty() && allow.empty() && deny.empty() && rename.empty() && wrap.empty() && !flatten;
  }
};

struct Condition {
  enum class Operator : std::uint8_t { eq, ne, in, not_in, exists };
  Reference value;  // header, variant, flag or passport
  Operator op = Operator::eq;
  std::vector<std::string> operands;  // exists: "true" or "false"
};

struct ForEach {
  std::string in;          // "user.friends": an array in another section's answer
  std::uint32_t max = 50;  // further items are not called
  std::uint32_t concurrency = 8;
  bool distinct = false;  // equal items are called once and shown where each stands
};

struct SectionSpec {
  std::string name;
  std::string upstream;
  http::Method method = http::Method::get;
  std::string target;               // template
  std::optional<std::string> body;  // JSON template
  std::optional<Duration> timeout;  // none: what the page has left
  Need need = Need::optional;
  std::optional<std::string>
      fallback;                   // JSON that is as good as an answer; nothing is lost when it stands in
  std::string on_error = "null";  // JSON that the page shows for a section that failed
  bool omit_on_error = false;
  std::vector<Condition> when;  // all must hold
  std::optional<ForEach> for_each;
  Shape shape;
  Duration cache_for{};       // fresh; zero: not cached
  Duration stale_if_error{};  // beyond that
  bool shared = false;        // one copy for all callers; else one for each subject
  bool text = false;          // takes what is not JSON, as a string
  std::uint64_t body_max = 1024 * 1024;
  std::vector<std::string> headers;  // of its answer, that go to the page's
};

struct PageSpec {
  Duration deadline = std::chrono::milliseconds{500};
  bool envelope = false;
  std::uint64_t body_max = 8 * 1024 * 1024;
  std::uint32_t depth_max = 256;
  std::uint32_t calls_max = 64;  // of all sections and items together
  bool server_timing = false;
  std::vector<SectionSpec> sections;
};

// Where a mistake is: section index, the key in it ("path", "when", ""), offset into its text.
struct SpecProblem {
  std::optional<std::size_t> section;
  std::string key;
  std::string message;
};

class Plan {
 public:
  struct Node {
    SectionSpec spec;
    Template target;
    std::optional<Template> body;
    std::optional<Reference> items;  // for_each
    std::string key;                 // `"name":`, as it goes into the page
    std::uint64_t needs = 0;         // sections whose answers it uses, a bit each
    std::uint64_t feeds = 0;         // sections that use its answer
  };

  const PageSpec& spec() const noexcept { return spec_; }
  const std::vector<Node>& nodes() const noexcept { return nodes_; }

  // The graph for people: stages, critical path, worst case, calls. Text ends in a newline.
  std::string explain() const;
  std::string explain_json() const;

  // How late the last section may end, and along which sections: each with its timeout, or the page's deadline.
  struct Critical {
    Duration worst{};
    std::vector<std::size_t> path;
  };
  Critical critical_path() const;
  // Calls that one page may make at most.
  std::uint32_t calls_at_most() const noexcept;

 private:
  friend std::shared_ptr<const Plan> compile(PageSpec spec, std::vector<SpecProblem>& problems);

  PageSpec spec_;
  std::vector<Node> nodes_;
};

// Null when `problems` has got something.
std::shared_ptr<const Plan> compile(PageSpec spec, std::vector<SpecProblem>& problems);

}  // namespace weir::bff

#endif  // WEIR_BFF_PLAN_H_
