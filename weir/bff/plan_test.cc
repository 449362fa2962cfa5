#include "weir/bff/plan.h"

#include <gtest/gtest.h>

#include "weir/bff/testing/fixture.h"

namespace weir::bff {
namespace {

using namespace std::chrono_literals;
using testing::section;

std::string problems_of(PageSpec page) {
  std::vector<SpecProblem> problems;
  const auto plan = compile(std::move(page), problems);
  EXPECT_EQ(plan == nullptr, !problems.empty());
  std::string text;
  for (const SpecProblem& problem : problems)
    text += (problem.section ? std::to_string(*problem.section) : "-") + "." + problem.key + ": " +
            problem.message + "\n";
  return text;
}

PageSpec page_of(std::vector<SectionSpec> sections) {
  PageSpec page;
  page.sections = std::move(sections);
  return page;
}

// References make the graph; what needs nobody starts at once.
TEST(Plan, FindsOutWhoNeedsWhom) {
  std::vector<SpecProblem> problems;
  const auto plan = compile(page_of({section("user"), section("orders", "/o?u={user.id}"), section("recs"),
                                     section("both", "/b/{orders.id}/{recs.id}?u={user.id}")}),
                            problems);
  ASSERT_NE(plan, nullptr);
  EXPECT_EQ(plan->nodes()[0].needs, 0U);
  EXPECT_EQ(plan->nodes()[1].needs, 1U);
  EXPECT_EQ(plan->nodes()[3].needs, 7U);
  EXPECT_EQ(plan->nodes()[0].feeds, 2U + 8U);
  const Plan::Critical critical = plan->critical_path();
  EXPECT_EQ(critical.path, (std::vector<std::size_t>{0, 1, 3}));
  EXPECT_EQ(critical.worst, Duration(300ms));
  EXPECT_EQ(plan->explain(),
            "deadline 500 ms, at most 4 calls\n"
            "  user: GET user/user, timeout 100 ms, at once\n"
            "  orders: GET orders/o?u={user.id}, timeout 100 ms, after user\n"
            "  recs: GET recs/recs, timeout 100 ms, at once\n"
            "  both: GET both/b/{orders.id}/{recs.id}?u={user.id}, timeout 100 ms, after user, orders, recs\n"
            "critical path: user -> orders -> both, worst case 300 ms\n");
  JsonValidator validator;
  std::string json = plan->explain_json();
  EXPECT_EQ(validator.check(json, 10), JsonVerdict::valid) << json;
}

// Mistakes that show before a request comes, each at its section and key.
TEST(Plan, RefusesWhatCannotWork) {
  EXPECT_EQ(problems_of(page_of({})), "-.: a page has at least one section\n");
  EXPECT_EQ(problems_of(page_of({section("user"), section("orders", "/o?u={usr.id}")})),
            "1.path: there is no section 'usr' (did you mean 'user'?)\n");
  EXPECT_EQ(problems_of(page_of(
                {section("a", "/{b.id}"), section("b", "/{c.id}"), section("c", "/{a.id}"), section("d")})),
            "0.path: sections need each other in a circle: a -> b -> c -> a\n");
  EXPECT_EQ(problems_of(page_of({section("a", "/{a.id}")})), "0.path: a section cannot use its own answer\n");
  EXPECT_EQ(problems_of(page_of({section("a"), section("a")})), "1.: there are two sections called 'a'\n");
  EXPECT_EQ(problems_of(page_of({section("a", "/{item}")})),
            "0.path: {item} has a meaning inside for_each only\n");
  for (const std::string_view name : {"req", "item", "passport", "1a", "", "a b", "_a"})
    EXPECT_NE(problems_of(page_of({section(std::string(name), "/x")})), "") << name;
  SectionSpec bad = section("a");
  bad.on_error = "[1,";
  EXPECT_EQ(problems_of(page_of({bad})), "0.on_error: is not JSON\n");
  SectionSpec body = section("a");
  body.body = "{}";
  EXPECT_EQ(problems_of(page_of({body})), "0.body: GET has no body: set method\n");
  SectionSpec one = section("a"), two = section("b");
  one.need = two.need = Need::primary;
  EXPECT_EQ(problems_of(page_of({one, two})), "1.need: a page has one primary section at most\n");
}

// A chain that cannot even begin its last call in time is a mistake; one millisecond more and it is none.
TEST(Plan, RefusesAChainThatIsLongerThanTheDeadline) {
  PageSpec page = page_of({section("a"), section("b", "/{a.x}"), section("c", "/{b.x}")});
  page.deadline = 17ms;
  EXPECT_EQ(problems_of(page),
            "2.path: stands at the end of a chain of 3 calls, which needs 18 ms at least; the page's "
            "deadline is 17 ms\n");
  page.deadline = 18ms;
  EXPECT_EQ(problems_of(page), "");
}

// Two writers of one key, by name or by flattening, and members that would meet.
TEST(Plan, RefusesTwoWritersOfOneKey) {
  SectionSpec flat = section("flat");
  flat.shape.flatten = true;
  EXPECT_EQ(problems_of(page_of({flat})),
            "0.shape: flatten needs allow, so that it is known which keys it writes\n");
  flat.shape.allow = {"id", "user"};
  EXPECT_EQ(problems_of(page_of({section("user"), flat})),
            "1.shape: writes the key 'user', and so does section 'user'\n");
  flat.shape.rename = {{"user", "who"}};
  EXPECT_EQ(problems_of(page_of({section("user"), flat})), "");
  flat.shape.rename = {{"user", "id"}};
  EXPECT_NE(problems_of(page_of({section("user"), flat})), "");
  SectionSpec renamed = section("a");
  renamed.shape.rename = {{"x", "y"}};
  EXPECT_EQ(problems_of(page_of({renamed})),
            "0.shape: rename to 'y' may meet a member of that name: deny it, or say what to allow\n");
  renamed.shape.deny = {"y"};
  EXPECT_EQ(problems_of(page_of({renamed})), "");
}

}  // namespace
}  // namespace weir::bff
