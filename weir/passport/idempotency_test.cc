// Idempotency keys: their syntax, what makes requests equal, and every order in which a crash can strike.
#include "weir/passport/idempotency.h"

#include <map>
#include <set>

#include <gtest/gtest.h>

namespace weir::passport {
namespace {

using Kind = IdempotencyDecision::Kind;
using State = IdempotencyRecord::State;
using Record = std::optional<IdempotencyRecord>;

std::string key_of(std::string_view field) {
  const Result<std::string> key = parse_idempotency_key(field);
  return key ? *key : "-";
}

// A quoted string and the bare text are one key; what is neither is refused.
TEST(IdempotencyKey, Syntax) {
  EXPECT_EQ(key_of("abc"), "abc");
  EXPECT_EQ(key_of("\"abc\""), "abc");
  EXPECT_EQ(key_of("8e03978e-40d5-43dd-bc93-6894a57f9324"), "8e03978e-40d5-43dd-bc93-6894a57f9324");
  EXPECT_EQ(key_of(R"("a\"b\\c")"), R"(a"b\c)");
  EXPECT_EQ(key_of(R"(a\b)"), R"(a\b)");
  EXPECT_EQ(key_of(std::string(255, 'k')), std::string(255, 'k'));
  EXPECT_EQ(key_of("\"" + std::string(255, 'k') + "\""), std::string(255, 'k'));
  for (const std::string_view bad :
       {"", "\"\"", "\"abc", "abc\"", "a b", "\"a b\"", "a,b", "\"a\",\"b\"", "\"a\"b", "\"a\";p=1",
        "\"a\\n\"", "\"a\\", "a\tb", "\x7f", "caf\xc3\xa9", "\"\xc3\xa9\""})
    EXPECT_EQ(key_of(bad), "-") << bad;
  EXPECT_EQ(key_of(std::string(256, 'k')), "-");
  EXPECT_EQ(key_of("\"" + std::string(256, 'k') + "\""), "-");
}

// Pieces cannot be moved across their borders, and a body in parts is the body.
TEST(IdempotencyKey, FingerprintsAreUnambiguous) {
  const auto of = [](std::vector<std::string> pieces, std::vector<std::string> body) {
    Fingerprint print;
    for (const std::string& piece : pieces) print.add_piece(piece);
    for (const std::string& part : body) print.add_body(part);
    return print.finish();
  };
  EXPECT_EQ(of({"POST", "/a"}, {"xyz"}), of({"POST", "/a"}, {"x", "", "yz"}));
  EXPECT_NE(of({"POST", "/a"}, {"xyz"}), of({"POST", "/ax"}, {"yz"}));
  EXPECT_NE(of({"POST/", "a"}, {}), of({"POST", "/a"}, {}));
  EXPECT_NE(of({"a"}, {}), of({"a", ""}, {}));
  EXPECT_NE(idempotency_id("r", "ab", "c"), idempotency_id("r", "a", "bc"));
  EXPECT_NE(idempotency_id("r1", "p", "k"), idempotency_id("r2", "p", "k"));
}

constexpr Sha256 kPrint{'a'};
constexpr Sha256 kOther{'b'};

IdempotencyTimes at(std::int64_t now) {
  IdempotencyTimes times;
  times.now_ms = now;
  times.lease_ms = 100;
  times.ttl_ms = 1000;
  return times;
}

IdempotencyTicket ticket(std::string owner, std::uint32_t attempt = 1) {
  IdempotencyTicket out;
  out.owner = std::move(owner);
  out.attempt = attempt;
  return out;
}

TEST(IdempotencyRecord, LivesAsTold) {
  Record record;
  EXPECT_EQ(idempotency::claim(record, kPrint, "o1", "r", at(0)).kind, Kind::run);
  EXPECT_EQ(idempotency::claim(record, kPrint, "o2", "r", at(1)).kind, Kind::in_flight);
  EXPECT_EQ(idempotency::claim(record, kPrint, "o2", "r", at(1)).retry_after_ms, 99);
  EXPECT_EQ(idempotency::claim(record, kOther, "o2", "r", at(1)).kind, Kind::mismatch);
  EXPECT_FALSE(idempotency::complete(record, ticket("o2"), {}, at(2)));
  EXPECT_TRUE(idempotency::renew(record, ticket("o1"), at(50)));
  EXPECT_EQ(idempotency::claim(record, kPrint, "o2", "r", at(149)).kind, Kind::in_flight);
  StoredAnswer answer;
  answer.status = 201;
  EXPECT_TRUE(idempotency::complete(record, ticket("o1"), answer, at(149)));
  EXPECT_FALSE(idempotency::complete(record, ticket("o1"), {}, at(150)));
  EXPECT_FALSE(idempotency::release(record, ticket("o1")));
  EXPECT_EQ(idempotency::claim(record, kPrint, "o2", "r", at(1148)).kind, Kind::replay);
  EXPECT_EQ(record->answer.status, 201);
  EXPECT_EQ(idempotency::claim(record, kOther, "o2", "r", at(1148)).kind, Kind::mismatch);
  EXPECT_EQ(idempotency::claim(record, kPrint, "o2", "r", at(1149)).kind, Kind::run)
      << "forgotten after its time";
  EXPECT_EQ(record->attempt, 2U);
}

// powertools #8049: a lease that dies makes the outcome unknown; it never lets a second one run.
TEST(IdempotencyRecord, DeadLeasesAreUnknown) {
  Record record;
  idempotency::claim(record, kPrint, "o1", "r", at(0));
  EXPECT_EQ(idempotency::look_up(record, kPrint, at(100)).kind, Kind::unknown);
  EXPECT_EQ(idempotency::claim(record, kPrint, "o2", "r", at(100)).kind, Kind::unknown);
  EXPECT_EQ(record->state, State::unknown);
  StoredAnswer late;
  late.status = 200;
  EXPECT_TRUE(idempotency::complete(record, ticket("o1"), late, at(150))) << "late, but it is the truth";
  EXPECT_EQ(idempotency::claim(record, kPrint, "o2", "r", at(160)).kind, Kind::replay);
}

TEST(IdempotencyRecord, UnknownIsResolvedByAPerson) {
  Record record;
  idempotency::claim(record, kPrint, "o1", "r", at(0));
  EXPECT_FALSE(idempotency::resolve(record, std::nullopt, at(50))) << "in flight is not unknown";
  EXPECT_TRUE(idempotency::mark_unknown(record, ticket("o1"), at(50)));
  EXPECT_EQ(idempotency::claim(record, kPrint, "o2", "r", at(60)).kind, Kind::unknown);
  Record copy = record;
  EXPECT_TRUE(idempotency::resolve(copy, std::nullopt, at(60)));
  EXPECT_EQ(idempotency::claim(copy, kPrint, "o2", "r", at(61)).kind, Kind::run);
  StoredAnswer answer;
  answer.status = 200;
  EXPECT_TRUE(idempotency::resolve(record, answer, at(60)));
  EXPECT_EQ(idempotency::claim(record, kPrint, "o2", "r", at(61)).kind, Kind::replay);
}

TEST(IdempotencyRecord, ReleasedKeysAreFree) {
  Record record;
  idempotency::claim(record, kPrint, "o1", "r", at(0));
  EXPECT_TRUE(idempotency::release(record, ticket("o1")));
  EXPECT_FALSE(record.has_value());
  EXPECT_EQ(idempotency::claim(record, kOther, "o2", "r", at(1)).kind, Kind::run);
  EXPECT_FALSE(idempotency::complete(record, ticket("o1"), {}, at(2))) << "a ticket used up";
}

// --- every schedule -----------------------------------------------------------------------------------------------

// Two gateways serve the same key, each step by step: claim, send, (upstream runs it), complete, answer. Either may
// crash before any step, and time may pass a lease between any two. Explored exhaustively: every order of steps, every
// place of a crash. A client that got no answer comes again until it has one or is told that the outcome is unknown.
struct World {
  enum class Phase : std::uint8_t { claim, send, complete, answer, done };
  struct Gateway {
    Phase phase = Phase::claim;
    IdempotencyTicket ticket;
    bool crashed = false;
    Kind told = Kind::in_flight;
  };
  Record record;  // durable: what a crash leaves
  std::array<Gateway, 2> gateways;
  std::int64_t now = 0;
  int executions = 0;
  int expiries = 0;
  std::optional<int> answered;  // status that a client saw
};

void check(const World& world) {
  ASSERT_LE(world.executions, 1) << "executed twice";
  if (world.answered) {
    // An answer that a client has seen can be given again, forever within its time.
    ASSERT_TRUE(world.record && world.record->state == State::completed);
    ASSERT_EQ(world.record->answer.status, *world.answered);
  }
  if (world.executions == 1 && !world.answered) {
    ASSERT_TRUE(world.record.has_value()) << "executed without a trace";
  }
}

void step(World& world, std::size_t who) {
  World::Gateway& gateway = world.gateways[who];
  switch (gateway.phase) {
    case World::Phase::claim: {
      const std::string owner = "o" + std::to_string(who);
      const IdempotencyDecision decision =
          idempotency::claim(world.record, kPrint, owner, "r", at(world.now));
      gateway.told = decision.kind;
      gateway.ticket = ticket(owner, decision.attempt);
      if (decision.kind == Kind::replay) world.answered = world.record->answer.status;
      gateway.phase = decision.kind == Kind::run ? World::Phase::send : World::Phase::done;
      break;
    }
    case World::Phase::send:
      ++world.executions;
      gateway.phase = World::Phase::complete;
      break;
    case World::Phase::complete: {
      StoredAnswer answer;
      answer.status = 200 + static_cast<int>(who);
      const bool stored = idempotency::complete(world.record, gateway.ticket, answer, at(world.now));
      gateway.phase = stored ? World::Phase::answer : World::Phase::done;
      break;
    }
    case World::Phase::answer:
      world.answered = 200 + static_cast<int>(who);
      gateway.phase = World::Phase::done;
      break;
    case World::Phase::done:
      break;
  }
}

std::size_t explore(const World& world, int depth) {
  check(world);
  if (::testing::Test::HasFatalFailure()) return 0;
  std::size_t seen = 1;
  for (std::size_t who = 0; who < world.gateways.size(); ++who) {
    const World::Gateway& gateway = world.gateways[who];
    if (gateway.crashed || gateway.phase == World::Phase::done) continue;
    World next = world;
    step(next, who);
    seen += explore(next, depth + 1);
    next = world;
    next.gateways[who].crashed = true;
    seen += explore(next, depth + 1);
  }
  if (world.expiries < 2) {
    World next = world;
    next.now += 100;  // exactly a lease
    ++next.expiries;
    seen += explore(next, depth + 1);
  }
  return seen;
}

TEST(IdempotencyRecord, NoScheduleExecutesTwiceOrLosesAnAnswer) {
  const std::size_t worlds = explore(World(), 0);
  RecordProperty("schedules", static_cast<int>(worlds));
  EXPECT_GT(worlds, 1000U);
}

// After any schedule of crashes a repeat is told something within a lease: nothing stays in flight for ever.
TEST(IdempotencyRecord, NoKeyStaysStuckAfterItsLease) {
  for (const bool crashed_after_send : {false, true}) {
    World world;
    step(world, 0);
    if (crashed_after_send) step(world, 0);
    world.gateways[0].crashed = true;
    world.now += 100;
    step(world, 1);
    EXPECT_EQ(world.gateways[1].told, Kind::unknown);
  }
}

TEST(IdempotencyRecord, RetrySignals) {
  for (const int status : {408, 425, 429, 503}) EXPECT_TRUE(is_retry_signal(status));
  for (const int status : {200, 201, 302, 400, 404, 409, 422, 500, 502, 504})
    EXPECT_FALSE(is_retry_signal(status));
}

}  // namespace
}  // namespace weir::passport
