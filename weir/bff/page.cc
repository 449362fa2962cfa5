// The executor: words of bits for what has settled, a scope for what runs, one awaiter for the end.
//
//   (1) A section starts when the last section that it needs has settled; start() and settle() call each other along the
//       graph, at most 64 deep.
//   (2) The page waits in one place. Children never resume it by themselves: they put it on the loop's ready list, so a
//       child's frame is gone before the scope may be destroyed.
//   (3) The page's own timer is later than every call's deadline (budget.h); it is for fetchers that do not keep theirs.
#include "weir/bff/page.h"

#include <algorithm>
#include <bit>
#include <map>
#include <memory>

#include "weir/async/scope.h"
#include "weir/bff/internal/budget.h"
#include "weir/bff/internal/call.h"
#include "weir/bff/internal/condition.h"

namespace weir::bff {
namespace {

std::uint64_t bit(std::size_t i) noexcept { return std::uint64_t{1} << i; }

class Run final : private async::Timer, private async::Ready {
 public:
  Run(const Plan& plan, const Inputs& inputs, Deadline deadline, Desk& desk, Page& page)
      : plan_(plan), inputs_(inputs), desk_(desk), page_(page), begin_(desk.loop.now()) {
    deadline_ = Deadline::after(begin_, plan.spec().deadline).shrunk_to(deadline);
    calls_left_ = plan.spec().calls_max;
    const std::size_t count = plan.nodes().size();
    all_ = count == 64 ? ~std::uint64_t{0} : bit(count) - 1;
    page.status = 200;
    page.complete = true;
    page.passed_through = false;
    page.body.clear();
    page.content_type = "application/json";
    page.lost.reset();
    page.fields.clear();
    page.sections.resize(count);
    page.scratch.resize(count);
    for (Section& section : page.sections) section.reset();
  }

  void start() {
    for (std::size_t i = 0; i < plan_.nodes().size(); ++i)
      if (plan_.nodes()[i].needs == 0) start(i);
  }
  bool decided() const noexcept { return settled_ == all_ || page_.lost.has_value(); }

  struct Wait {
    Run& run;
    bool await_ready() const noexcept { return run.decided(); }
    void await_suspend(std::coroutine_handle<> waiting) const noexcept {
      run.waiting_ = waiting;
      const TimePoint cut = run.deadline_.when() - internal::kCutOff;
      if (!run.deadline_.is_never()) run.desk_.loop.arm(run, cut);
    }
    void await_resume() const noexcept { run.disarm(); }
  };
  Wait wait() noexcept { return Wait{*this}; }

  void finish() {
    scope_.reset();
    for (std::size_t i = 0; i < page_.sections.size(); ++i)
      if ((settled_ & bit(i)) == 0) cut(i);
    page_.took = desk_.loop.now() - begin_;
    if (page_.lost) return lose();
    assemble();
    if (page_.lost) return lose();
    for (std::size_t i = 0; i < page_.sections.size(); ++i) hand_on(i);
  }

 private:
  class SectionValues final : public Values {
   public:
    SectionValues(const Run& run, std::string_view item) : run_(run), item_(item) {}
    std::optional<Value> get(const Reference& reference) const override {
      Value value;
      if (reference.source == Source::section || reference.source == Source::item) {
        const std::string_view json =
            reference.source == Source::item ? item_ : run_.page_.sections[reference.section].original;
        const std::optional<std::string_view> found = find_json(json, reference.path);
        if (!found || *found == "null" || found->empty()) return std::nullopt;
        value.text = *found;
        value.json = true;
        return value;
      }
      const std::optional<std::string_view> text = run_.inputs_.get(reference.source, reference.name);
      if (!text) return std::nullopt;
      value.text = *text;
      return value;
    }

   private:
    const Run& run_;
    std::string_view item_;
  };

  internal::Job job(std::size_t i, Page::Scratch& scratch) {
    const Plan::Node& node = plan_.nodes()[i];
    return {node.spec,     scratch, inputs_.subject(), inputs_.scope(), deadline_, plan_.spec().depth_max,
            node.spec.need};
  }

  void start(std::size_t i) {
    if (page_.lost) return;
    const Plan::Node& node = plan_.nodes()[i];
    Section& section = page_.sections[i];
    if (!may_call(node, section)) return settle(i);
    if (node.items) return scope_->spawn(run_items(i));
    if (!prepare(node, section, page_.scratch[i], {})) return settle(i);
    --calls_left_;
    scope_->spawn(run_section(i));
  }

  bool may_call(const Plan::Node& node, Section& section) const {
    for (const Condition& condition : node.spec.when) {
      if (internal::holds(condition, inputs_)) continue;
      return skip(section, SectionFailure::condition);
    }
    for (std::uint64_t needs = node.needs; needs != 0; needs &= needs - 1) {
      const Section& producer = page_.sections[static_cast<std::size_t>(std::countr_zero(needs))];
      if (!producer.original.empty()) continue;
      const bool on_purpose = producer.failure == SectionFailure::condition;
      return skip(section, on_purpose ? SectionFailure::condition : SectionFailure::cause);
    }
    return true;
  }

  static bool skip(Section& section, SectionFailure failure) {
    section.state = SectionState::skipped;
    section.failure = failure;
    return false;
  }

  // Target and body; false when there can be no call.
  bool prepare(const Plan::Node& node, Section& section, Page::Scratch& scratch,
               std::string_view item) const {
    scratch.target.clear();
    scratch.body.clear();
    const SectionValues values(*this, item);
    Filled filled = node.target.fill(values, scratch.target);
    if (filled == Filled::ok && node.body) filled = node.body->fill(values, scratch.body);
    if (filled == Filled::ok && calls_left_ > 0) return true;
    section.state = SectionState::error;
    section.failure = filled == Filled::ok       ? SectionFailure::page_size
                      : filled == Filled::absent ? SectionFailure::reference
                                                 : SectionFailure::unsafe;
    if (node.spec.fallback && item.empty()) {
      section.state = SectionState::fallback;
      section.original = trim_json(*node.spec.fallback);
    }
    return false;
  }

  async::Task<void> run_section(std::size_t i) {
    const internal::Job one = job(i, page_.scratch[i]);
    co_await internal::perform(desk_, one, page_.sections[i]);
    settle(i);
  }

  struct Item {
    std::string_view value;
    std::size_t same_as = 0;  // its own index, or that of the first equal item
    Section section;
    Page::Scratch scratch;
  };
  struct Items {
    std::vector<std::unique_ptr<Item>> list;
    std::size_t next = 0;
  };

  async::Task<void> run_items(std::size_t i) {
    const Plan::Node& node = plan_.nodes()[i];
    Section& section = page_.sections[i];
    Items items;
    section.started = desk_.loop.now();
    if (collect(node, section, items)) {
      async::Scope workers;
      for (std::uint32_t n = 0; n < node.spec.for_each->concurrency && items.next < items.list.size(); ++n)
        workers.spawn(work(i, items));
      co_await workers.join();
      section.took = desk_.loop.now() - section.started;
      put_together(node, section, items);
    }
    settle(i);
  }

  bool collect(const Plan::Node& node, Section& section, Items& items) {
    const std::string_view json = page_.sections[node.items->section].original;
    const std::optional<std::string_view> array = find_json(json, node.items->path);
    if (!array || !is_json_array(*array)) {
      section.state = SectionState::error;
      section.failure = array ? SectionFailure::invalid : SectionFailure::reference;
      return false;
    }
    std::map<std::string_view, std::size_t> seen;
    JsonElements elements(*array);
    while (items.list.size() < node.spec.for_each->max && elements.next()) {
      auto item = std::make_unique<Item>();
      item->value = elements.value();
      item->same_as = items.list.size();
      if (node.spec.for_each->distinct)
        item->same_as = seen.emplace(item->value, item->same_as).first->second;
      items.list.push_back(std::move(item));
    }
    return true;
  }

  async::Task<void> work(std::size_t i, Items& items) {
    const Plan::Node& node = plan_.nodes()[i];
    while (items.next < items.list.size()) {
      const std::size_t index = items.next++;
      Item& item = *items.list[index];
      if (item.same_as != index) continue;
      if (!prepare(node, item.section, item.scratch, item.value)) continue;
      --calls_left_;
      const internal::Job one = job(i, item.scratch);
      co_await internal::perform(desk_, one, item.section);
    }
  }

  // In the order of the items, whatever order they came in.
  static void put_together(const Plan::Node& node, Section& section, Items& items) {
    section.built = "[";
    std::string shaped;
    for (const auto& item : items.list) {
      const Section& one = items.list[item->same_as]->section;
      shaped.clear();
      const bool shown =
          !one.original.empty() && internal::append_shaped(one.original, node.spec.shape, shaped);
      section.called |= one.called;
      if (!shown || one.state != SectionState::ok) ++section.items_failed;
      if (!shown && node.spec.omit_on_error) continue;
      if (section.built.size() > 1) section.built.push_back(',');
      section.built.append(shown ? std::string_view(shaped) : "null");
    }
    section.built.push_back(']');
    section.failure = section.items_failed == 0 ? SectionFailure::none : SectionFailure::items;
    const bool all_failed = section.items_failed != 0 && section.items_failed == items.list.size();
    section.state = section.items_failed == 0 ? SectionState::ok
                    : all_failed              ? SectionState::error
                                              : SectionState::fallback;
    if (!all_failed) section.original = section.built;
  }

  void settle(std::size_t i) {
    settled_ |= bit(i);
    const Plan::Node& node = plan_.nodes()[i];
    show(i);
    const Section& section = page_.sections[i];
    const bool lost = section.original.empty() && section.failure != SectionFailure::condition;
    if (node.spec.need != Need::optional && lost && !page_.lost) page_.lost = i;
    for (std::uint64_t feeds = node.feeds; feeds != 0 && !page_.lost; feeds &= feeds - 1) {
      const auto next = static_cast<std::size_t>(std::countr_zero(feeds));
      if ((plan_.nodes()[next].needs & ~settled_) == 0) start(next);
    }
    if (decided() && waiting_ != nullptr) desk_.loop.make_ready(*this);
  }

  // What the page has under the section's key.
  void show(std::size_t i) {
    const SectionSpec& spec = plan_.nodes()[i].spec;
    Section& section = page_.sections[i];
    if (!section.original.empty()) {
      if (spec.shape.empty() || spec.for_each) {
        section.json = section.original;
        return;
      }
      std::string shaped;
      if (internal::append_shaped(section.original, spec.shape, shaped)) {
        // `original` may lie in `built`: it moves on with it.
        section.json = keep(section, std::move(shaped));
        return;
      }
      section.state = SectionState::error;
      section.failure = SectionFailure::invalid;
      section.original = {};
    }
    if (!spec.omit_on_error) section.json = spec.on_error;
  }

  std::string_view keep(Section& section, std::string shaped) {
    if (section.original.data() == section.built.data()) {
      section.response.storage = std::move(section.built);  // the fields' views are not read any more
      section.response.fields.clear();
      section.original = section.response.storage;
    }
    section.built = std::move(shaped);
    return section.built;
  }

  // Neither settled nor in time.
  void cut(std::size_t i) {
    Section& section = page_.sections[i];
    const Plan::Node& node = plan_.nodes()[i];
    section.original = section.json = {};
    section.state = SectionState::error;
    const bool ran = section.called || section.started != TimePoint{};
    section.failure = page_.lost ? SectionFailure::abandoned
                      : ran      ? SectionFailure::call
                                 : SectionFailure::deadline;
    if (section.failure == SectionFailure::call) section.fetch = http::FetchFailure::timeout;
    if (ran) section.took = desk_.loop.now() - section.started;
    if (!node.spec.omit_on_error) section.json = node.spec.on_error;
    if (node.spec.need != Need::optional && !page_.lost) page_.lost = i;
  }

  void lose() {
    Section& section = page_.sections[*page_.lost];
    page_.complete = false;
    page_.body.clear();
    if (plan_.nodes()[*page_.lost].spec.need == Need::primary && section.failure == SectionFailure::status &&
        internal::passes_through(section.status)) {
      page_.passed_through = true;
      page_.status = section.status;
      page_.body = section.response.body;
      page_.content_type = section.response.fields.value(http::Name::content_type);
      if (section.response.fields.has(http::Name::location))
        page_.fields.push_back(
            {"Location", std::string(section.response.fields.value(http::Name::location))});
      hand_on(*page_.lost);
      return;
    }
    const bool late = section.failure == SectionFailure::deadline ||
                      (section.failure == SectionFailure::call && http::is_timeout(section.fetch));
    page_.status = late ? 504 : 502;
  }

  void hand_on(std::size_t i) {
    const SectionSpec& spec = plan_.nodes()[i].spec;
    const Section& section = page_.sections[i];
    for (const std::string& name : spec.headers)
      for (const http::Field& field : section.response.fields)
        if (base_equals(field.name, name))
          page_.fields.push_back({std::string(field.name), std::string(field.value)});
    if (spec.need == Need::primary && section.state == SectionState::ok && section.called &&
        !page_.passed_through && section.status != 204)
      page_.status = section.status;
  }

  static bool base_equals(std::string_view a, std::string_view b) {
    return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) {
             return (x >= 'A' && x <= 'Z' ? x | 0x20 : x) == (y >= 'A' && y <= 'Z' ? y | 0x20 : y);
           });
  }

  void assemble() {
    std::size_t size = 64;
    for (std::size_t i = 0; i < page_.sections.size(); ++i)
      size += plan_.nodes()[i].key.size() + page_.sections[i].json.size() + 1;
    std::string& out = page_.body;
    out.reserve(std::min<std::size_t>(size, plan_.spec().body_max + 1024));
    out.append(plan_.spec().envelope ? "{\"sections\":{" : "{");
    const std::size_t begin = out.size();
    for (std::size_t i = 0; i < page_.sections.size() && !page_.lost; ++i) {
      fit(i, out.size());
      append_section(i, begin, out);
      const Section& section = page_.sections[i];
      page_.complete &= section.state == SectionState::ok || section.failure == SectionFailure::condition;
    }
    out.push_back('}');
    if (plan_.spec().envelope) append_errors(out);
  }

  // No room left: the section gives way, not the page.
  void fit(std::size_t i, std::size_t written) {
    Section& section = page_.sections[i];
    const Plan::Node& node = plan_.nodes()[i];
    if (written + section.json.size() + node.key.size() <= plan_.spec().body_max) return;
    section.state = SectionState::error;
    section.failure = SectionFailure::page_size;
    section.original = {};
    section.json = node.spec.omit_on_error ? std::string_view{} : std::string_view(node.spec.on_error);
    if (node.spec.need != Need::optional) page_.lost = i;
  }

  void append_section(std::size_t i, std::size_t begin, std::string& out) const {
    const Plan::Node& node = plan_.nodes()[i];
    const std::string_view json = page_.sections[i].json;
    if (json.empty()) return;
    if (!node.spec.shape.flatten) {
      if (out.size() != begin) out.push_back(',');
      out.append(node.key).append(json);
      return;
    }
    JsonMembers members(json);
    while (members.next()) {
      if (out.size() != begin) out.push_back(',');
      out.append("\"").append(members.key()).append("\":").append(members.value());
    }
  }

  void append_errors(std::string& out) const {
    out.append(",\"errors\":[");
    bool first = true;
    for (std::size_t i = 0; i < page_.sections.size(); ++i) {
      const Section& section = page_.sections[i];
      if (section.failure == SectionFailure::none || section.failure == SectionFailure::condition) continue;
      out.append(std::exchange(first, false) ? "{\"section\":" : ",{\"section\":");
      append_json_string(out, plan_.nodes()[i].spec.name);
      out.append(",\"type\":\"").append(error_word(section.failure, section.fetch)).append("\",\"status\":");
      out.append(section.status == 0 ? "null" : std::to_string(section.status)).append("}");
    }
    out.append("]}");
  }

  void on_timer() noexcept override { resume(); }
  void on_ready() noexcept override { resume(); }
  void resume() noexcept {
    if (waiting_ != nullptr) std::exchange(waiting_, nullptr).resume();
  }

  const Plan& plan_;
  const Inputs& inputs_;
  Desk& desk_;
  Page& page_;
  TimePoint begin_;
  Deadline deadline_;
  std::uint64_t all_ = 0;
  std::uint64_t settled_ = 0;
  std::uint32_t calls_left_ = 0;
  std::coroutine_handle<> waiting_ = nullptr;
  std::optional<async::Scope> scope_{std::in_place, nullptr};  // last: what runs ends before what it uses
};

}  // namespace

async::Task<void> make_page(const Plan& plan, const Inputs& inputs, Deadline deadline, Desk& desk,
                            Page& page) {
  Run run(plan, inputs, deadline, desk, page);
  run.start();
  co_await run.wait();
  run.finish();
}

}  // namespace weir::bff
