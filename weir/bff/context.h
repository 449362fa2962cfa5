// Context: a page written in C++, with the calls of a plan.
//
//   async::Task<void> home(bff::Context& cx) {
//     auto [user, recs] = co_await cx.all(cx.call("users").path("/v1/users/{}", cx.value(bff::Source::path, "id")),
//                                         cx.call("recs").path("/v1/recs").timeout(150ms).on_error("[]"));
//     if (!user->good()) co_return cx.fail(*user);
//     auto [orders] = co_await cx.all(cx.call("orders").path("/v1/orders?user={}", cx.text(*user, {"id"})));
//     cx.show("user", *user);
//     cx.show("orders", *orders);
//     cx.show("recs", *recs);
//   }
//   co_await home(cx);
//   send(cx.status(), cx.body());
//
// The same calls as a YAML section makes: one deadline for all, strict validation, fallbacks, cache, sharing. Sections
// belong to the context; what they point to stays good as long as it lives. Leaving the coroutine ends its calls. One
// thread.
#ifndef WEIR_BFF_CONTEXT_H_
#define WEIR_BFF_CONTEXT_H_

#include <array>
#include <deque>
#include <initializer_list>
#include <string>
#include <string_view>

#include "weir/async/scope.h"
#include "weir/bff/page.h"

namespace weir::bff {

class Context {
 public:
  // One call that is being described; made by Context::call().
  class Call {
   public:
    // "{}" is replaced by the next value, percent-encoded. A value that would be a segment of dots, or is empty in a
    // path, fails the section without a call.
    template <class... Texts>
    Call& path(std::string_view text, const Texts&... values) {
      return fill(text, {std::string_view(values)...});
    }
    Call& method(http::Method method) { return made_->spec.method = method, *this; }
    Call& json(std::string body) { return made_->scratch.body = std::move(body), *this; }
    Call& timeout(Duration time) { return made_->spec.timeout = time, *this; }
    Call& on_error(std::string json) { return made_->spec.on_error = std::move(json), *this; }
    Call& fallback(std::string json) { return made_->spec.fallback = std::move(json), *this; }
    Call& cache(Duration fresh, Duration stale_if_error) {
      made_->spec.cache_for = fresh, made_->spec.stale_if_error = stale_if_error;
      return *this;
    }
    Call& shared() { return made_->spec.shared = true, *this; }
    Call& shape(Shape shape) { return made_->spec.shape = std::move(shape), *this; }

   private:
    friend class Context;
    struct Made {
      SectionSpec spec;
      Page::Scratch scratch;
      Section section;
      bool callable = true;
    };
    explicit Call(Made& made) noexcept : made_(&made) {}
    Call& fill(std::string_view text, std::initializer_list<std::string_view> values);
    Made* made_;
  };

  // `deadline`: of the whole page; what the calls share out.
  Context(Desk& desk, const Inputs& inputs, Deadline deadline) noexcept
      : desk_(desk), inputs_(inputs), deadline_(deadline) {}

  Call call(std::string_view upstream);
  // Side by side; resumes when the last has ended.
  template <class... Calls>
  async::Task<std::array<const Section*, sizeof...(Calls)>> all(Calls... calls) {
    const std::array<Call::Made*, sizeof...(Calls)> made{calls.made_...};
    async::Scope scope;
    for (Call::Made* one : made) scope.spawn(run(*one));
    co_await scope.join();
    std::array<const Section*, sizeof...(Calls)> sections{};
    for (std::size_t i = 0; i < made.size(); ++i) sections[i] = &made[i]->section;
    co_return sections;
  }

  // "" when it is absent.
  std::string_view value(Source source, std::string_view name) const {
    return inputs_.get(source, name).value_or("");
  }
  // The text at a path of a section's answer; "" when there is none. Kept by the context.
  std::string_view text(const Section& section, std::initializer_list<std::string> path);

  // Adds a member to the page: the section's own bytes, or what stands in for it.
  void show(std::string_view name, const Section& section);
  // Gives the page up: 504 when the section was late, else 502.
  void fail(const Section& section);

  int status() const noexcept { return status_; }
  bool complete() const noexcept { return complete_; }
  // The page; complete once the coroutine has ended.
  std::string body() const { return status_ == 200 ? body_ + "}" : std::string(); }

 private:
  async::Task<void> run(Call::Made& made);

  Desk& desk_;
  const Inputs& inputs_;
  Deadline deadline_;
  std::deque<Call::Made> made_;
  std::deque<std::string> texts_;
  std::string body_ = "{";
  int status_ = 200;
  bool complete_ = true;
};

}  // namespace weir::bff

#endif  // WEIR_BFF_CONTEXT_H_
