// Results, errors, time, randomness and the small containers.
#include <gtest/gtest.h>

#include <cerrno>
#include <deque>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "weir/base/check.h"
#include "weir/base/clock.h"
#include "weir/base/deadline.h"
#include "weir/base/error.h"
#include "weir/base/intrusive_list.h"
#include "weir/base/random.h"
#include "weir/base/result.h"
#include "weir/base/ring.h"

namespace weir {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;

// ---- check

// A broken invariant names its file and condition, and stops the program, in every build.
TEST(CheckDeathTest, StopsTheProgram) {
  EXPECT_DEATH(WEIR_CHECK(1 + 1 == 3), "base_test.cc:[0-9]+: broken invariant: 1 \\+ 1 == 3");
  WEIR_CHECK(true);
}

// ---- Error

// Each code has a name of its own, fit for a metric's label.
TEST(Error, NamesAreDistinct) {
  std::set<std::string_view> names;
  for (int i = 0; i <= static_cast<int>(ErrorCode::unavailable); ++i) {
    const std::string_view name = to_string(static_cast<ErrorCode>(i));
    EXPECT_EQ(name.find_first_not_of("abcdefghijklmnopqrstuvwxyz_"), std::string_view::npos) << name;
    EXPECT_NE(name, "unknown");
    EXPECT_TRUE(names.insert(name).second) << name;
  }
  for (int i = 0; i <= static_cast<int>(ErrorSource::configuration); ++i)
    EXPECT_TRUE(names.insert(to_string(static_cast<ErrorSource>(i))).second);
}

// errno becomes a code, what may pass by itself is retryable, and the words name the call.
TEST(Error, FromErrno) {
  const auto code = [](int number) { return Error::from_errno(number, "call").code; };
  EXPECT_EQ(code(ECONNREFUSED), ErrorCode::connection_refused);
  EXPECT_EQ(code(ECONNRESET), ErrorCode::connection_reset);
  EXPECT_EQ(code(EPIPE), ErrorCode::connection_reset);
  EXPECT_EQ(code(ETIMEDOUT), ErrorCode::timed_out);
  EXPECT_EQ(code(EHOSTUNREACH), ErrorCode::unreachable);
  EXPECT_EQ(code(EMFILE), ErrorCode::out_of_descriptors);
  EXPECT_EQ(code(ENFILE), ErrorCode::out_of_descriptors);
  EXPECT_EQ(code(ENOMEM), ErrorCode::out_of_memory);
  EXPECT_EQ(code(EADDRINUSE), ErrorCode::address_in_use);
  EXPECT_EQ(code(EACCES), ErrorCode::permission_denied);
  EXPECT_EQ(code(ENOENT), ErrorCode::not_found);
  EXPECT_EQ(code(EXDEV), ErrorCode::io_error);
  for (int number = 1; number < 134; ++number) EXPECT_EQ(code(number), code_of_errno(number));

  EXPECT_TRUE(Error::from_errno(EMFILE, "accept").retryable);
  EXPECT_FALSE(Error::from_errno(EADDRINUSE, "bind").retryable);
  const Error error = Error::from_errno(ECONNREFUSED, "connect 127.0.0.1:9001", ErrorSource::upstream);
  EXPECT_EQ(error.source, ErrorSource::upstream);
  EXPECT_TRUE(error.to_text().starts_with("connection_refused: connect 127.0.0.1:9001: "));
  EXPECT_EQ(Error(ErrorCode::cancelled).to_text(), "cancelled");
}

// ---- Result

Result<int> half(int n) {
  if (n % 2 != 0) return Error(ErrorCode::invalid_argument, "odd");
  return n / 2;
}

// A value or an error; both convert silently on the way out of a function.
TEST(Result, ValueOrError) {
  const Result<int> good = half(8);
  ASSERT_TRUE(good);
  EXPECT_TRUE(good.has_value());
  EXPECT_EQ(*good, 4);
  EXPECT_EQ(good.value_or(1), 4);
  const Result<int> bad = half(7);
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error().detail, "odd");
  EXPECT_EQ(bad.value_or(1), 1);
  const auto pass_on = [](int n) -> Result<std::string> {
    const Result<int> result = half(n);
    if (!result) return result.error();
    return std::to_string(*result);
  };
  EXPECT_EQ(*pass_on(8), "4");
  EXPECT_EQ(pass_on(7).error().code, ErrorCode::invalid_argument);
}

// What can only be moved can be returned, and taken out.
TEST(Result, MoveOnly) {
  Result<std::unique_ptr<int>> result = std::make_unique<int>(5);
  const std::unique_ptr<int> taken = std::move(*result);
  EXPECT_EQ(*taken, 5);
  Result<std::string> text = std::string("abc");
  EXPECT_EQ(text->size(), 3U);
  EXPECT_EQ(std::move(text).value(), "abc");
}

TEST(Result, Void) {
  const Result<void> good;
  EXPECT_TRUE(good);
  const Result<void> bad = Error(ErrorCode::io_error);
  EXPECT_FALSE(bad);
  EXPECT_EQ(bad.error().code, ErrorCode::io_error);
}

// Taking what is not there is a bug, and stops the program.
TEST(ResultDeathTest, WrongSide) {
  EXPECT_DEATH(static_cast<void>(*half(7)), "broken invariant");
  EXPECT_DEATH(static_cast<void>(half(8).error()), "broken invariant");
  EXPECT_DEATH(static_cast<void>(Result<void>().error()), "broken invariant");
}

// ---- time

// The clock of tests moves only by hand; wall time may step without monotonic time.
TEST(ManualClock, MovesByHand) {
  ManualClock clock;
  const TimePoint now = clock.now();
  const WallTime wall = clock.wall_now();
  EXPECT_EQ(clock.now(), now);
  clock.advance(milliseconds{5});
  EXPECT_EQ(clock.now(), now + milliseconds{5});
  EXPECT_EQ(clock.wall_now(), wall + milliseconds{5});
  clock.step_wall(-hours{1});
  EXPECT_EQ(clock.wall_now(), wall + milliseconds{5} - hours{1});
  EXPECT_EQ(clock.now(), now + milliseconds{5});
  clock.set(now);
  EXPECT_EQ(clock.now(), now);
}

// The system's monotonic clock never steps back; its wall clock is of this century.
TEST(SystemClock, Runs) {
  const SystemClock clock;
  TimePoint last = clock.now();
  for (int i = 0; i < 1000; ++i) {
    const TimePoint now = clock.now();
    ASSERT_GE(now, last);
    last = now;
  }
  EXPECT_GT(clock.wall_now(), WallTime{hours{24 * 365 * 50}});
}

// A deadline has passed at its moment, not before; what remains is never negative.
TEST(Deadline, ExpiresAtItsMoment) {
  constexpr TimePoint now{hours{1}};
  constexpr Deadline deadline = Deadline::after(now, milliseconds{500});
  static_assert(!deadline.expired(now));
  EXPECT_FALSE(deadline.expired(now + milliseconds{500} - nanoseconds{1}));
  EXPECT_TRUE(deadline.expired(now + milliseconds{500}));
  EXPECT_EQ(deadline.remaining(now), milliseconds{500});
  EXPECT_EQ(deadline.remaining(now + hours{1}), Duration{0});
}

// It only comes closer.
TEST(Deadline, OnlyShrinks) {
  constexpr TimePoint now{hours{1}};
  const Deadline page = Deadline::after(now, milliseconds{500});
  EXPECT_EQ(page.shrunk_to(now + milliseconds{200}).when(), now + milliseconds{200});
  EXPECT_EQ(page.shrunk_to(now + milliseconds{900}), page);
  EXPECT_EQ(page.shrunk_to(Deadline::never()), page);
  EXPECT_EQ(Deadline::never().shrunk_to(page), page);
  EXPECT_LT(page, Deadline::never());
}

// A duration that leaves the time line means never.
TEST(Deadline, Saturates) {
  constexpr TimePoint now{hours{1}};
  EXPECT_TRUE(Deadline::after(now, Duration::max()).is_never());
  EXPECT_TRUE(Deadline().is_never());
  EXPECT_FALSE(Deadline::never().expired(TimePoint::max() - nanoseconds{1}));
  EXPECT_EQ(Deadline::never().remaining(now), Duration::max());
  EXPECT_FALSE(Deadline::after(now, Duration::max() - now.time_since_epoch() - nanoseconds{1}).is_never());
  EXPECT_TRUE(Deadline::after(now, -milliseconds{1}).expired(now));
}

// ---- randomness

// xoshiro256** seeded by SplitMix64, as published; the same seed gives the same numbers for ever.
TEST(Random, IsTheOneItSays) {
  std::uint64_t state[4];
  std::uint64_t mix = 0;
  for (auto& word : state) {
    mix += 0x9e3779b97f4a7c15;
    std::uint64_t z = mix;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    word = z ^ (z >> 31);
  }
  EXPECT_EQ(state[0], 0xe220a8397b1dcdafU) << "SplitMix64's first output for 0, as in its reference";
  const auto left = [](std::uint64_t x, int by) { return (x << by) | (x >> (64 - by)); };
  base::Random random(0);
  for (int i = 0; i < 1000; ++i) {
    const std::uint64_t expected = left(state[1] * 5, 7) * 9;
    const std::uint64_t t = state[1] << 17;
    state[2] ^= state[0];
    state[3] ^= state[1];
    state[1] ^= state[2];
    state[0] ^= state[3];
    state[2] ^= t;
    state[3] = left(state[3], 45);
    ASSERT_EQ(random(), expected);
  }
}

// below(n) is the high half of a 128-bit product: always under n, and every value comes.
TEST(Random, Below) {
  __extension__ using Wide = unsigned __int128;
  base::Random random(9), twin(9);
  for (int i = 0; i < 20'000; ++i) {
    const std::uint64_t bound = twin() >> (i % 64);
    static_cast<void>(random());
    const auto expected = static_cast<std::uint64_t>(Wide{twin()} * bound >> 64);
    const std::uint64_t got = random.below(bound);
    ASSERT_EQ(got, expected);
    ASSERT_TRUE(got < bound || bound == 0);
  }
  std::array<int, 7> seen{};
  for (int i = 0; i < 7000; ++i) ++seen[random.below(7)];
  for (const int count : seen) EXPECT_NEAR(count, 1000, 200);
  EXPECT_EQ(random.below(0), 0U);
  EXPECT_EQ(random.below(1), 0U);
}

TEST(Random, Chance) {
  base::Random random(3);
  int hits = 0;
  for (int i = 0; i < 10'000; ++i) {
    EXPECT_FALSE(random.chance(0, 10));
    EXPECT_TRUE(random.chance(10, 10));
    hits += random.chance(3, 10) ? 1 : 0;
  }
  EXPECT_NEAR(hits, 3000, 200);
  EXPECT_NE(base::random_seed(), base::random_seed());
}

// ---- Ring

// A queue that refuses what it has no room for. Compared with a deque, for capacities that are and are not
// powers of two.
TEST(Ring, AgreesWithADeque) {
  for (const std::size_t capacity :
       {std::size_t{0}, std::size_t{1}, std::size_t{2}, std::size_t{3}, std::size_t{8}, std::size_t{100}}) {
    base::Random random(capacity);
    base::Ring<int> ring(capacity);
    std::deque<int> twin;
    for (int step = 0; step < 5000; ++step) {
      if (random.chance(5, 9)) {
        const bool fits = twin.size() < capacity;
        ASSERT_EQ(ring.push(step), fits);
        if (fits) twin.push_back(step);
      } else if (!twin.empty()) {
        ASSERT_EQ(ring.front(), twin.front());
        ASSERT_EQ(ring.pop(), twin.front());
        twin.pop_front();
      }
      ASSERT_EQ(ring.size(), twin.size());
      ASSERT_EQ(ring.empty(), twin.empty());
      ASSERT_EQ(ring.full(), twin.size() == capacity);
      for (std::size_t i = 0; i < twin.size(); ++i) ASSERT_EQ(ring[i], twin[i]);
    }
  }
}

// pop() leaves nothing of the element behind.
TEST(Ring, ReleasesWhatIsTaken) {
  base::Ring<std::shared_ptr<int>> ring(2);
  const auto shared = std::make_shared<int>(1);
  ASSERT_TRUE(ring.push(shared));
  EXPECT_EQ(shared.use_count(), 2);
  ring.pop();
  EXPECT_EQ(shared.use_count(), 1);
}

TEST(RingDeathTest, EmptyAndOutOfRange) {
  base::Ring<int> ring(2);
  EXPECT_DEATH(ring.pop(), "broken invariant");
  EXPECT_DEATH(static_cast<void>(ring[0]), "broken invariant");
}

// ---- IntrusiveList

struct Tag {};
struct Element : base::ListNode<>, base::ListNode<Tag> {
  explicit Element(int n = 0) : number(n) {}
  int number;
};
using List = base::IntrusiveList<Element>;
using OtherList = base::IntrusiveList<Element, Tag>;

std::vector<int> numbers(List& list) {
  std::vector<int> all;
  list.for_each([&](Element& element) { all.push_back(element.number); });
  return all;
}

// In and out at both ends, and an element leaves by itself when destroyed.
TEST(IntrusiveList, Order) {
  List list;
  Element a(1), b(2), c(3);
  auto dying = std::make_unique<Element>(9);
  list.push_back(b);
  list.push_back(*dying);
  list.push_back(c);
  list.push_front(a);
  EXPECT_EQ(list.size(), 4U);
  dying.reset();
  EXPECT_EQ(numbers(list), (std::vector{1, 2, 3}));
  EXPECT_EQ(list.front().number, 1);
  EXPECT_EQ(list.back().number, 3);
  EXPECT_EQ(list.pop_front().number, 1);
  EXPECT_FALSE(static_cast<base::ListNode<>&>(a).linked());
  static_cast<base::ListNode<>&>(b).unlink();
  static_cast<base::ListNode<>&>(b).unlink();  // in no list: no effect
  EXPECT_EQ(numbers(list), std::vector{3});
}

// One element, two lists: a tag for each.
TEST(IntrusiveList, Tags) {
  List list;
  OtherList other;
  Element a(1), b(2);
  list.push_back(a);
  list.push_back(b);
  other.push_back(b);
  other.push_back(a);
  EXPECT_EQ(list.pop_front().number, 1);
  EXPECT_EQ(other.pop_front().number, 2);
  EXPECT_EQ(list.size(), 1U);
  EXPECT_EQ(other.size(), 1U);
}

// A list that goes first leaves its elements free.
TEST(IntrusiveList, TheListMayGoFirst) {
  Element a(1), b(2);
  {
    List list;
    list.push_back(a);
    list.push_back(b);
  }
  EXPECT_FALSE(static_cast<base::ListNode<>&>(a).linked());
  List list;
  list.push_back(b);
  EXPECT_EQ(numbers(list), std::vector{2});
}

// splice_back takes all, in order; from and into empty lists too. for_each may unlink what it is given.
TEST(IntrusiveList, SpliceAndForEach) {
  List one, two;
  Element elements[] = {Element(1), Element(2), Element(3), Element(4)};
  one.splice_back(two);
  EXPECT_TRUE(one.empty());
  two.push_back(elements[0]);
  two.push_back(elements[1]);
  one.splice_back(two);
  EXPECT_TRUE(two.empty());
  two.push_back(elements[2]);
  two.push_back(elements[3]);
  one.splice_back(two);
  EXPECT_EQ(numbers(one), (std::vector{1, 2, 3, 4}));
  one.for_each([](Element& element) {
    if (element.number % 2 == 0) static_cast<base::ListNode<>&>(element).unlink();
  });
  EXPECT_EQ(numbers(one), (std::vector{1, 3}));
}

// Random operations on three lists, compared with three vectors.
TEST(IntrusiveList, AgreesWithVectors) {
  base::Random random(12);
  std::vector<Element> elements(20);
  for (std::size_t i = 0; i < elements.size(); ++i) elements[i].number = static_cast<int>(i);
  std::array<List, 3> lists;
  std::array<std::vector<int>, 3> twins;
  const auto forget = [&](int number) {
    for (auto& twin : twins) std::erase(twin, number);
  };
  for (int step = 0; step < 20'000; ++step) {
    Element& element = elements[random.below(elements.size())];
    auto& node = static_cast<base::ListNode<>&>(element);
    const std::size_t to = random.below(3), from = random.below(3);
    switch (random.below(4)) {
      case 0:
        node.unlink();
        forget(element.number);
        break;
      case 1:
        node.unlink();
        forget(element.number);
        lists[to].push_front(element);
        twins[to].insert(twins[to].begin(), element.number);
        break;
      case 2:
        if (to == from) break;
        lists[to].splice_back(lists[from]);
        twins[to].insert(twins[to].end(), twins[from].begin(), twins[from].end());
        twins[from].clear();
        break;
      default:
        node.unlink();
        forget(element.number);
        lists[to].push_back(element);
        twins[to].push_back(element.number);
    }
    for (std::size_t i = 0; i < 3; ++i) ASSERT_EQ(numbers(lists[i]), twins[i]);
  }
}

}  // namespace
}  // namespace weir
