#include <gtest/gtest.h>

#include <cstdlib>
#include <functional>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "weir/async/cancel.h"
#include "weir/async/frame_pool.h"
#include "weir/async/scope.h"
#include "weir/async/task.h"
#include "weir/async/timer.h"
#include "weir/async/when_all.h"
#include "weir/base/random.h"

// AddressSanitizer sees each frame as an allocation of its own: the pool is off there (frame_pool.cc).
#if defined(__SANITIZE_ADDRESS__)
#define WEIR_TEST_POOL 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WEIR_TEST_POOL 0
#endif
#endif
#ifndef WEIR_TEST_POOL
#define WEIR_TEST_POOL 1
#endif

namespace {
std::size_t allocations = 0;
}

#if WEIR_TEST_POOL
// Counts what the program takes from the heap. Not inlined: g++ would see a new that is freed by std::free.
[[gnu::noinline]] void* operator new(std::size_t bytes) {
  ++allocations;
  if (void* block = std::malloc(bytes == 0 ? 1 : bytes)) return block;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* block) noexcept { std::free(block); }
[[gnu::noinline]] void operator delete(void* block, std::size_t) noexcept { std::free(block); }
#endif

namespace weir::async {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

// Counts those that live: what a coroutine holds must be gone when it is.
struct Held {
  explicit Held(int& alive) noexcept : alive_(&alive) { ++*alive_; }
  Held(const Held& other) noexcept : alive_(other.alive_) { ++*alive_; }
  Held(Held&& other) noexcept : alive_(other.alive_) { ++*alive_; }
  Held& operator=(const Held&) = delete;
  ~Held() { --*alive_; }
  int* alive_;
};

// ---- Task

Task<int> number(int value) { co_return value; }
Task<std::unique_ptr<int>> boxed(int value) { co_return std::make_unique<int>(value); }
Task<void> note(std::string& log, char what) {
  log += what;
  co_return;
}

void run(Task<void> task) {
  Scope scope;
  scope.spawn(std::move(task));
  EXPECT_EQ(scope.running(), 0U) << "the task waits for something";
}

// Nothing runs before it is awaited; then it runs at once, and its value comes back.
TEST(Task, IsLazyAndGivesItsValue) {
  std::string log;
  struct Body {
    static Task<void> run(std::string& text) {
      Task<void> later = note(text, 'b');
      text += 'a';
      EXPECT_FALSE(later.done());
      co_await std::move(later);
      text += 'c';
      EXPECT_EQ(co_await number(7), 7);
      const std::unique_ptr<int> box = co_await boxed(9);
      EXPECT_EQ(*box, 9);
    }
  };
  run(Body::run(log));
  EXPECT_EQ(log, "abc");
}

// A task that is never awaited costs nothing but its frame; moving hands it over.
TEST(Task, NeverAwaited) {
  int alive = 0;
  struct Body {
    static Task<void> run(Held) { co_return; }
  };
  {
    Task<void> task = Body::run(Held(alive));
    EXPECT_EQ(alive, 1);
    Task<void> other = std::move(task);
    EXPECT_FALSE(task.valid());  // NOLINT(bugprone-use-after-move): defined here
    EXPECT_TRUE(other.valid());
    EXPECT_EQ(alive, 1);
    other.reset();
    EXPECT_EQ(alive, 0);
  }
}

Task<int> depth(int n) {
  if (n == 0) co_return 0;
  co_return 1 + co_await depth(n - 1);
}

// g++ makes the tail calls that a transfer needs from -O2 on, and none under sanitizers; clang always.
#if defined(__clang__) || (defined(__OPTIMIZE__) && !defined(_GLIBCXX_ASSERTIONS))
constexpr int kChain = 100'000;
#else
constexpr int kChain = 1'000;
#endif

// Control is handed over, not stacked: 100,000 awaits one after the other, and as deep, use no more stack
// than one.
TEST(Task, SymmetricTransfer) {
  struct Body {
    static Task<void> run() {
      int sum = 0;
      for (int i = 0; i < kChain; ++i) sum += co_await number(1);
      EXPECT_EQ(sum, kChain);
      EXPECT_EQ(co_await depth(kChain), kChain);
    }
  };
  run(Body::run());
}

// After the first round, tasks come from the thread's lists, not from the heap.
TEST(Task, NoAllocationAfterWarmUp) {
  struct Body {
    static Task<void> run() {
      for (int i = 0; i < 10; ++i) co_await depth(20);
    }
  };
  run(Body::run());
  const std::size_t before = allocations;
  run(Body::run());
  if (WEIR_TEST_POOL) {
    EXPECT_EQ(allocations, before);
  }
}

// ---- frame pool

// Every size comes back usable, reused within its class, with nothing shared between two that are out.
TEST(FramePool, AllSizes) {
  base::Random random(3);
  std::vector<std::pair<unsigned char*, std::size_t>> out;
  for (int step = 0; step < 20'000; ++step) {
    if (out.size() < 200 && random.chance(1, 2)) {
      const std::size_t bytes = random.below(5000);
      auto* frame = static_cast<unsigned char*>(allocate_frame(bytes));
      const auto mark = static_cast<unsigned char>(bytes);
      for (std::size_t i = 0; i < bytes; ++i) frame[i] = mark;
      out.emplace_back(frame, bytes);
    } else if (!out.empty()) {
      std::swap(out[random.below(out.size())], out.back());
      const auto [frame, bytes] = out.back();
      out.pop_back();
      for (std::size_t i = 0; i < bytes; ++i) ASSERT_EQ(frame[i], static_cast<unsigned char>(bytes));
      free_frame(frame, bytes);
    }
  }
  for (const auto& [frame, bytes] : out) free_frame(frame, bytes);
}

// A list keeps at most kKeptPerClass blocks: a burst does not hold memory for ever.
TEST(FramePool, KeepsABoundedNumber) {
  std::vector<void*> frames;
  for (std::size_t i = 0; i < kKeptPerClass + 100; ++i) frames.push_back(allocate_frame(3000));
  for (void* frame : frames) free_frame(frame, 3000);
  frames.clear();
  const std::size_t before = allocations;
  for (std::size_t i = 0; i < kKeptPerClass + 100; ++i) frames.push_back(allocate_frame(3000));
  if (WEIR_TEST_POOL) {
    EXPECT_GE(allocations - before, 100U);
  }
  for (void* frame : frames) free_frame(frame, 3000);
}

// ---- CancelSource

class Hook final : public CancelHook {
 public:
  explicit Hook(std::function<void()> call) : call_(std::move(call)) {}
  void on_cancel() noexcept override { call_(); }

 private:
  std::function<void()> call_;
};

// Each hook is called once, in the order of registration; one that comes too late at once.
TEST(CancelSource, CallsEachHookOnce) {
  CancelSource source;
  std::string log;
  Hook a([&] { log += 'a'; }), b([&] { log += 'b'; }), c([&] { log += 'c'; });
  auto gone = std::make_unique<Hook>([&] { log += 'x'; });
  source.add(a);
  source.add(*gone);
  source.add(b);
  gone.reset();
  EXPECT_FALSE(source.cancelled());
  source.cancel();
  source.cancel();
  EXPECT_TRUE(source.cancelled());
  source.add(c);
  EXPECT_EQ(log, "abc");
}

// Children are cancelled with their parent, not the other way round; a child of the cancelled is born
// cancelled.
TEST(CancelSource, Tree) {
  CancelSource root;
  CancelSource left(&root), right(&root), leaf(&left);
  left.cancel();
  EXPECT_TRUE(leaf.cancelled());
  EXPECT_FALSE(root.cancelled());
  EXPECT_FALSE(right.cancelled());
  root.cancel();
  EXPECT_TRUE(right.cancelled());
  CancelSource late(&root);
  EXPECT_TRUE(late.cancelled());
}

// A hook may destroy the others, and itself.
TEST(CancelSource, HooksMayDestroyHooks) {
  CancelSource source;
  std::unique_ptr<Hook> first, second;
  int calls = 0;
  first = std::make_unique<Hook>([&] {
    ++calls;
    second.reset();
  });
  second = std::make_unique<Hook>([&] { ++calls; });
  source.add(*first);
  source.add(*second);
  source.cancel();
  EXPECT_EQ(calls, 1);
}

// ---- timers

// sleep_until resumes at its moment, not before, in the order of moments.
TEST(Sleep, WakesInOrder) {
  ManualLoop loop;
  std::string log;
  struct Body {
    static Task<void> run(Loop& on, Duration in, char what, std::string& text) {
      const TimePoint due = on.now() + in;
      EXPECT_TRUE(co_await sleep_until(on, due, nullptr));
      EXPECT_EQ(on.now(), due);
      text += what;
    }
  };
  Scope scope;
  scope.spawn(Body::run(loop, milliseconds{30}, 'c', log));
  scope.spawn(Body::run(loop, milliseconds{10}, 'a', log));
  scope.spawn(Body::run(loop, milliseconds{20}, 'b', log));
  scope.spawn(Body::run(loop, milliseconds{0}, '0', log));
  EXPECT_EQ(log, "0") << "a moment that has come needs no wait";
  loop.advance(milliseconds{9});
  EXPECT_EQ(log, "0");
  loop.advance(hours{1});
  EXPECT_EQ(log, "0abc");
}

// Cancelled before, during, and together with its moment: false, and once.
TEST(Sleep, Cancelled) {
  struct Body {
    static Task<void> run(Loop& on, CancelSource& cancel, std::vector<bool>& results) {
      results.push_back(co_await sleep_until(on, on.now() + seconds{1}, &cancel));
    }
  };
  ManualLoop loop;
  CancelSource cancel;
  std::vector<bool> results;
  Scope scope;
  scope.spawn(Body::run(loop, cancel, results));
  cancel.cancel();
  EXPECT_TRUE(results.empty()) << "whoever cancels is not interrupted by what it cancels";
  loop.run();
  scope.spawn(Body::run(loop, cancel, results));
  loop.advance(seconds{2});
  EXPECT_EQ(results, (std::vector<bool>{false, false}));

  CancelSource late;
  scope.spawn(Body::run(loop, late, results));
  loop.advance(seconds{1});
  late.cancel();
  loop.run();
  EXPECT_EQ(results, (std::vector<bool>{false, false, true}));
  EXPECT_EQ(scope.running(), 0U);
}

// ---- Scope

Task<void> nap(Loop& loop, Duration time, CancelSource* cancel, int& ended, Held) {
  co_await sleep_until(loop, loop.now() + time, cancel);
  ++ended;
}

// spawn() runs a child until it first waits; join() resumes when the last has ended, or at once.
TEST(Scope, Joins) {
  ManualLoop loop;
  int alive = 0, ended = 0;
  bool joined = false;
  struct Body {
    static Task<void> run(Scope& children, bool& done) {
      co_await children.join();
      done = true;
    }
  };
  Scope children;
  Scope outer;
  outer.spawn(Body::run(children, joined));
  EXPECT_TRUE(joined);
  for (int i = 1; i <= 3; ++i) children.spawn(nap(loop, seconds{i}, nullptr, ended, Held(alive)));
  joined = false;
  outer.spawn(Body::run(children, joined));
  EXPECT_EQ(children.running(), 3U);
  loop.advance(seconds{2});
  EXPECT_EQ(ended, 2);
  EXPECT_EQ(alive, 1) << "a finished child's frame is freed at once";
  EXPECT_FALSE(joined);
  loop.advance(seconds{1});
  EXPECT_TRUE(joined);
  EXPECT_EQ(alive, 0);
}

// cancel() asks the children to end; they do so in good order, and a scope is cancelled with its parent.
TEST(Scope, Cancels) {
  ManualLoop loop;
  int alive = 0, ended = 0;
  CancelSource parent;
  Scope scope(&parent);
  for (int i = 0; i < 5; ++i) scope.spawn(nap(loop, hours{1}, &scope.cancel_source(), ended, Held(alive)));
  parent.cancel();
  EXPECT_EQ(ended, 0);
  loop.run();
  EXPECT_EQ(ended, 5);
  EXPECT_EQ(alive, 0);
  EXPECT_EQ(scope.running(), 0U);
}

// Destroying a scope destroys its children where they wait; nobody is resumed later.
TEST(Scope, Abandons) {
  ManualLoop loop;
  int alive = 0, ended = 0;
  {
    Scope scope;
    for (int i = 0; i < 5; ++i)
      scope.spawn(nap(loop, seconds{i}, i % 2 == 0 ? &scope.cancel_source() : nullptr, ended, Held(alive)));
    EXPECT_EQ(alive, 4);
  }
  EXPECT_EQ(alive, 0);
  EXPECT_EQ(ended, 1);
  loop.advance(hours{1});
  EXPECT_EQ(ended, 1);
}

// Whoever waits in join() may be destroyed there: the scope goes on, and nobody is resumed when it is empty.
TEST(Scope, TheJoinerMayGoFirst) {
  ManualLoop loop;
  int alive = 0, ended = 0;
  struct Body {
    static Task<void> run(Scope& children, Held, int& after) {
      co_await children.join();
      ++after;
    }
  };
  int after = 0;
  Scope children;
  children.spawn(nap(loop, seconds{1}, nullptr, ended, Held(alive)));
  {
    Scope outer;
    outer.spawn(Body::run(children, Held(alive), after));
    EXPECT_EQ(alive, 2);
  }
  EXPECT_EQ(alive, 1);
  loop.advance(seconds{1});
  EXPECT_EQ(ended, 1);
  EXPECT_EQ(after, 0);

  // And the scope may go first: the joiner waits for nothing, until it is destroyed.
  auto gone = std::make_unique<Scope>();
  gone->spawn(nap(loop, seconds{1}, nullptr, ended, Held(alive)));
  Scope outer;
  outer.spawn(Body::run(*gone, Held(alive), after));
  gone.reset();
  loop.advance(seconds{1});
  EXPECT_EQ(after, 0);
  EXPECT_EQ(outer.running(), 1U);
}

// A child may spawn brothers; all are joined.
TEST(Scope, ChildrenSpawnChildren) {
  ManualLoop loop;
  struct Body {
    static Task<void> run(Loop& on, Scope& scope, int left, int& ended) {
      if (left > 0) {
        scope.spawn(run(on, scope, left - 1, ended));
        scope.spawn(run(on, scope, left - 1, ended));
      }
      co_await sleep_until(on, on.now() + seconds{left}, nullptr);
      ++ended;
    }
  };
  int ended = 0;
  Scope scope;
  scope.spawn(Body::run(loop, scope, 6, ended));
  loop.advance(seconds{6});
  EXPECT_EQ(ended, 127);
  EXPECT_EQ(scope.running(), 0U);
}

// ---- when_all

Task<int> later(Loop& loop, Duration time, int value) {
  co_await sleep_until(loop, loop.now() + time, nullptr);
  co_return value;
}

// All run side by side; the results keep the order of the tasks, whatever the order of ending.
TEST(WhenAll, KeepsOrder) {
  ManualLoop loop;
  std::vector<int> results;
  struct Body {
    static Task<void> run(Loop& on, std::vector<int>& into) {
      std::vector<Task<int>> tasks;
      for (int i = 0; i < 10; ++i) tasks.push_back(later(on, seconds{(i * 7) % 10}, i));
      into = co_await when_all(std::move(tasks));
    }
  };
  Scope scope;
  scope.spawn(Body::run(loop, results));
  loop.advance(seconds{8});
  EXPECT_TRUE(results.empty());
  loop.advance(seconds{1});
  EXPECT_EQ(results, (std::vector{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
}

// No tasks, and tasks that do not wait, resume at once.
TEST(WhenAll, NeedNotSuspend) {
  struct Body {
    static Task<void> run() {
      std::vector<Task<int>> none;
      EXPECT_TRUE((co_await when_all(std::move(none))).empty());
      std::vector<Task<int>> two;
      two.push_back(number(1));
      two.push_back(number(2));
      const std::vector<int> both = co_await when_all(std::move(two));
      EXPECT_TRUE(both.size() == 2 && both[0] == 1 && both[1] == 2);
      std::string log;
      std::vector<Task<void>> voids;
      voids.push_back(note(log, 'a'));
      voids.push_back(note(log, 'b'));
      co_await when_all(std::move(voids));
      EXPECT_EQ(log, "ab");
    }
  };
  run(Body::run());
}

// ---- everything at once, ended at every point

// A small program with every kind of wait. `steps` counts the moments it has passed.
Task<int> leaf(Loop& loop, Duration time, CancelSource* cancel, Held, int& steps) {
  const bool slept = co_await sleep_until(loop, loop.now() + time, cancel);
  ++steps;
  co_return slept ? 1 : 0;
}

Task<void> program(Loop& loop, CancelSource* cancel, int& alive, int& steps, bool& finished) {
  const Held held(alive);
  co_await leaf(loop, seconds{1}, cancel, held, steps);
  {
    Scope children(cancel);
    struct Child {
      static Task<void> run(Task<int> task) { co_await std::move(task); }
    };
    for (int i = 1; i <= 3; ++i)
      children.spawn(Child::run(leaf(loop, seconds{i}, &children.cancel_source(), held, steps)));
    co_await children.join();
  }
  std::vector<Task<int>> tasks;
  for (int i = 1; i <= 3; ++i) tasks.push_back(leaf(loop, seconds{i}, cancel, held, steps));
  const std::vector<int> results = co_await when_all(std::move(tasks));
  EXPECT_EQ(results.size(), 3U);
  co_await leaf(loop, seconds{1}, cancel, held, steps);
  finished = true;
}

constexpr int kProgramSteps = 8;

// Destroyed at any moment, between any two steps, nothing is left and nothing is resumed.
TEST(Async, AbandonedAtEveryAwait) {
  for (int stop_at = 0; stop_at <= kProgramSteps; ++stop_at) {
    SCOPED_TRACE(stop_at);
    ManualLoop loop;
    int alive = 0, steps = 0;
    bool finished = false;
    {
      Scope scope;
      scope.spawn(program(loop, nullptr, alive, steps, finished));
      while (steps < stop_at) loop.advance(milliseconds{500});
      EXPECT_EQ(finished, stop_at == kProgramSteps);
    }
    const int at_end = steps;
    loop.advance(hours{1});
    EXPECT_EQ(alive, 0);
    EXPECT_EQ(steps, at_end);
  }
}

// Cancelled at any moment, it runs to its end without waiting any more, and gives back everything.
TEST(Async, CancelledAtEveryAwait) {
  for (int stop_at = 0; stop_at <= kProgramSteps; ++stop_at) {
    SCOPED_TRACE(stop_at);
    ManualLoop loop;
    CancelSource cancel;
    int alive = 0, steps = 0;
    bool finished = false;
    Scope scope;
    scope.spawn(program(loop, &cancel, alive, steps, finished));
    while (steps < stop_at) loop.advance(milliseconds{500});
    const TimePoint at = loop.now();
    cancel.cancel();
    loop.run();
    EXPECT_TRUE(finished);
    EXPECT_EQ(steps, kProgramSteps);
    EXPECT_EQ(loop.now(), at);
    EXPECT_EQ(alive, 0);
    EXPECT_EQ(scope.running(), 0U);
  }
}

// Cancelled and destroyed before the loop could resume anybody.
TEST(Async, CancelledThenAbandoned) {
  for (int stop_at = 0; stop_at < kProgramSteps; ++stop_at) {
    SCOPED_TRACE(stop_at);
    ManualLoop loop;
    CancelSource cancel;
    int alive = 0, steps = 0;
    bool finished = false;
    {
      Scope scope(&cancel);
      scope.spawn(program(loop, &cancel, alive, steps, finished));
      while (steps < stop_at) loop.advance(milliseconds{500});
      cancel.cancel();
    }
    loop.run();
    EXPECT_FALSE(finished);
    EXPECT_EQ(alive, 0);
  }
}

// Once warm, a program with sleeps, children and joins takes its frames from the pool; only vectors cost.
TEST(Async, OnlyVectorsAllocateAfterWarmUp) {
  ManualLoop loop;
  std::size_t before = 0;
  int alive = 0, steps = 0;
  bool finished = false;
  for (int round = 0; round < 3; ++round) {
    before = allocations;
    Scope scope;
    scope.spawn(program(loop, nullptr, alive, steps, finished));
    loop.advance(hours{1});
  }
  // tasks grows 1, 2, 4; when_all's results and values.
  if (WEIR_TEST_POOL) {
    EXPECT_EQ(allocations - before, 5U);
  }
}

}  // namespace
}  // namespace weir::async
