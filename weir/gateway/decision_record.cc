// fill() copies what the exchange knows as it stands; everything that costs (names, text, JSON) waits until somebody
// asks for a record.
#include "weir/gateway/decision_record.h"

#include <algorithm>
#include <bit>
#include <chrono>
#include <cstring>
#include <ctime>

#include "weir/base/strings.h"
#include "weir/bff/plan.h"
#include "weir/bff/section.h"
#include "weir/experiment/snapshot.h"
#include "weir/gateway/plan.h"
#include "weir/passport/idempotency.h"
#include "weir/resilience/outcome.h"

namespace weir::gateway {
namespace {

std::string_view verdict_word(std::uint8_t verdict) noexcept {
  return to_string(static_cast<Verdict>(verdict));
}

// --- JSON, member by member ---

class Json {
 public:
  explicit Json(std::string& out) : out_(out) {}

  void open(char bracket) { out_.push_back(bracket); }
  void close(char bracket) { out_.push_back(bracket); }
  void name(std::string_view name) {
    if (!out_.ends_with('{')) out_.push_back(',');
    out_.append("\"").append(name).append("\":");
  }
  // The next element of a list.
  void next() {
    if (!out_.ends_with('[')) out_.push_back(',');
  }
  void text(std::string_view member, std::string_view value) {
    name(member);
    quoted(value);
  }
  void quoted(std::string_view value) {
    out_.push_back('"');
    base::append_json_escaped(out_, value);
    out_.push_back('"');
  }
  void number(std::string_view member, std::uint64_t value) {
    name(member);
    out_.append(std::to_string(value));
  }
  void flag(std::string_view member, bool value) {
    name(member);
    out_.append(value ? "true" : "false");
  }

 private:
  std::string& out_;
};

// "2026-11-24T12:00:00.123Z"
std::string time_text(WallTime at) {
  const auto ms = std::chrono::floor<std::chrono::milliseconds>(at.time_since_epoch()).count();
  const std::time_t second = static_cast<std::time_t>(ms / 1000);
  std::tm utc{};
  ::gmtime_r(&second, &utc);
  std::array<char, 40> text{};
  const std::size_t size = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S", &utc);
  const std::string fraction = std::to_string(1000 + ms % 1000);
  return std::string(text.data(), size) + "." + fraction.substr(1) + "Z";
}

template <class T>
const T* at(const std::vector<T>& all, std::size_t index) {
  return index < all.size() ? &all[index] : nullptr;
}

class Renderer {
 public:
  Renderer(const DecisionRecord& record, const RecordContext& context, std::string& out)
      : record_(record), context_(context), json_(out) {
    if (context.names != nullptr && record.route != DecisionRecord::kNoRoute)
      route_ = at(context.names->routes, record.route);
  }

  void all(bool whole) {
    json_.open('{');
    json_.text("id", record_.id_text());
    if (context_.started != WallTime{}) json_.text("time", time_text(context_.started));
    if (!context_.kind.empty()) {
      json_.text("kept_as", context_.kind);
      json_.number("worker", context_.worker);
    }
    const std::string_view method = http::to_string(record_.method);
    json_.text("method", method.empty() ? "-" : method);
    if (record_.path_size != 0) json_.text("path", {record_.path, record_.path_size});
    json_.text("route", route_ == nullptr ? "-" : std::string_view(route_->name));
    if (record_.status != 0) json_.number("status", record_.status);
    decided();
    if (record_.took > Duration::zero())
      json_.number("duration_us", static_cast<std::uint64_t>(record_.took.count()) / 1000);
    if (record_.client_gone) json_.flag("client_gone", true);
    if (record_.degraded) json_.flag("degraded", true);
    if (whole)
      stages(), attempts();
    else
      json_.flag("cut", true);
    if (record_.notes.lost() != 0) json_.number("notes_lost", record_.notes.lost());
    json_.close('}');
  }

 private:
  const Note* find(Note::Kind kind) const { return record_.notes.find(kind); }

  void decided() {
    json_.name("decided_by");
    json_.open('{');
    json_.text("stage", record_.stage);
    const Note* by = find(Note::Kind::decided);
    const bool refused = record_.problem != Problem::none;
    json_.text("verdict", by != nullptr ? verdict_word(by->code()) : refused ? "refuse" : "pass");
    json_.text("reason", describe(record_.problem).name);
    if (record_.why != "-") json_.text("detail", record_.why);
    json_.close('}');
  }

  void stages() {
    json_.name("stages");
    json_.open('[');
    const Note* by = find(Note::Kind::decided);
    std::size_t limits_told = 0;
    for (std::size_t i = 0; route_ != nullptr && i < record_.stages_entered && i < route_->stages.size();
         ++i) {
      const std::string_view name = route_->stages[i];
      const bool last = by != nullptr && by->index() == i;
      begin_stage(name, last ? verdict_word(by->code()) : "pass");
      if (last && record_.problem != Problem::none) json_.text("reason", describe(record_.problem).name);
      // The limits of the second phase stand behind those of the first.
      if (name == "ratelimit") limits_told = limits(limits_told, has_later_limits(i));
      if (name == "passport") auth();
      if (name == "experiment") variants();
      if (name == "load_shed") shed();
      if (name == "idempotency") keyed(has_earlier(i));
      if (name == "fault") fault();
      json_.close('}');
    }
    if (find(Note::Kind::decided) == nullptr) breakers(), upstream(), page();
    json_.close(']');
  }

  void begin_stage(std::string_view name, std::string_view verdict) {
    json_.next();
    json_.open('{');
    json_.text("stage", name);
    json_.text("verdict", verdict);
  }

  bool has_earlier(std::size_t place) const {
    const auto begin = route_->stages.begin();
    return std::find(begin, begin + static_cast<std::ptrdiff_t>(place), route_->stages[place]) !=
           begin + static_cast<std::ptrdiff_t>(place);
  }
  bool has_later_limits(std::size_t place) const {
    const std::size_t end = std::min<std::size_t>(route_->stages.size(), record_.stages_entered);
    for (std::size_t i = place + 1; i < end; ++i)
      if (route_->stages[i] == "ratelimit") return true;
    return false;
  }

  // Of the limits from `first` on: those of this phase, or all that are left. The first phase's are those whose keys
  // need to know nobody.
  std::size_t limits(std::size_t first, bool more_follow) {
    json_.name("limits");
    json_.open('[');
    std::size_t count = 0;
    bool over = false;
    record_.notes.each(Note::Kind::limit, [&](const Note& note) {
      const PlanNames::Limit* names = limit_names(note);
      over = over || (more_follow && names != nullptr && names->needs_identity);
      if (over || count++ < first) return;
      limit(note, names);
    });
    json_.close(']');
    return count;
  }

  const PlanNames::Limit* limit_names(const Note& note) const {
    return context_.names == nullptr ? nullptr : at(context_.names->limits, note.index());
  }

  void limit(const Note& note, const PlanNames::Limit* names) {
    json_.next();
    json_.open('{');
    json_.text("name", names == nullptr ? "-" : std::string_view(names->name));
    if (names != nullptr) json_.text("key", names->key);
    if (names != nullptr && note.n[2] != 0 && note.n[2] <= names->tiers.size())
      json_.text("tier", names->tiers[note.n[2] - 1]);
    json_.flag("allowed", note.code() != 0);
    json_.number("limit", note.n[0]);
    json_.number("remaining", note.n[1]);
    if (note.code() == 0 && note.wide(3) != 0)
      json_.number("retry_after_ms", (note.wide(3) + 999'999) / 1'000'000);
    json_.close('}');
  }

  void auth() {
    const Note* note = find(Note::Kind::auth);
    if (note == nullptr) return;
    constexpr std::string_view words[] = {"anonymous", "accepted", "rejected"};
    json_.text("credential", words[std::min<std::size_t>(note->code(), 2)]);
    if (record_.why != "-" && note->code() == static_cast<std::uint8_t>(AuthCode::rejected))
      json_.text("why", record_.why);
    if (!note->text().empty()) json_.text("provider", note->text());
  }

  void variants() {
    json_.name("experiments");
    json_.open('[');
    record_.notes.each(Note::Kind::experiment, [&](const Note& note) {
      json_.next();
      json_.open('{');
      const std::string* key = route_ == nullptr ? nullptr : at(route_->experiments, note.index());
      json_.text("key", key == nullptr ? "-" : std::string_view(*key));
      json_.text("variant", note.text().empty() ? "-" : note.text());
      json_.text("reason", experiment::to_string(static_cast<experiment::Reason>(note.code())));
      json_.close('}');
    });
    json_.close(']');
  }

  void shed() {
    const Note* note = find(Note::Kind::shed);
    if (note == nullptr) return;
    json_.number("in_flight", note->n[0]);
    json_.number("limit", note->n[1]);
  }

  void keyed(bool claim) {
    const Note* note = find(claim ? Note::Kind::claim : Note::Kind::lookup);
    if (note == nullptr) return;
    using Kind = passport::IdempotencyDecision::Kind;
    constexpr std::string_view words[] = {"run", "replay", "in_flight", "mismatch", "unknown"};
    static_assert(static_cast<int>(Kind::unknown) == 4);
    json_.text("outcome", note->code() < 5 ? words[note->code()] : "store_failed");
    if (claim && note->n[0] != 0) json_.number("attempt", note->n[0]);
  }

  void fault() {
    record_.notes.each(Note::Kind::fault, [&](const Note& note) {
      json_.number(note.code() == 1 ? "delay_ms" : "abort_status", note.n[0]);
    });
  }

  const PlanNames::Upstream* upstream_names(std::size_t index) const {
    return context_.names == nullptr ? nullptr : at(context_.names->upstreams, index);
  }

  // One a time that a breaker was asked: once an attempt.
  void breakers() {
    record_.notes.each(Note::Kind::breaker, [&](const Note& note) {
      const bool admitted = (note.code() & kBreakerAdmitted) != 0;
      begin_stage("breaker", admitted ? "pass" : "refuse");
      if (!admitted) json_.text("reason", describe(Problem::circuit_open).name);
      const PlanNames::Upstream* names = upstream_names(note.index());
      json_.text("upstream", names == nullptr ? "-" : std::string_view(names->name));
      const resilience::CircuitBreaker::Glance seen = resilience::CircuitBreaker::read(note.wide(0));
      json_.text("state", resilience::to_string(seen.state));
      json_.number("failures", seen.consecutive_failures);
      if (names != nullptr && names->failures_to_open != 0)
        json_.number("failures_to_open", names->failures_to_open);
      if ((note.code() & kBreakerProbe) != 0) json_.flag("probe", true);
      if (!admitted) json_.number("retry_after_ms", note.n[2]);
      json_.close('}');
    });
  }

  void upstream() {
    const bool tried = find(Note::Kind::attempt) != nullptr;
    if (record_.stage != "upstream" && !tried) return;
    const bool refused = record_.problem != Problem::none && record_.stage == "upstream";
    begin_stage("upstream", refused ? "refuse" : "pass");
    if (refused) json_.text("reason", describe(record_.problem).name);
    json_.close('}');
  }

  void page() {
    if (route_ == nullptr || route_->sections.empty()) return;
    const bool refused = record_.problem != Problem::none && record_.stage == "bff";
    begin_stage("bff", refused ? "refuse" : "pass");
    if (refused) json_.text("reason", describe(record_.problem).name);
    json_.name("sections");
    json_.open('[');
    record_.notes.each(Note::Kind::section, [&](const Note& note) {
      json_.next();
      json_.open('{');
      const std::string* name = at(route_->sections, note.index());
      json_.text("name", name == nullptr ? "-" : std::string_view(*name));
      json_.text("state", bff::to_string(static_cast<bff::SectionState>(note.code())));
      if (note.n[0] != 0) json_.number("status", note.n[0]);
      json_.number("duration_us", note.n[1]);
      const std::string_view error = http::proxy_error(static_cast<http::FetchFailure>(note.n[2]));
      if (!error.empty()) json_.text("error", error);
      json_.close('}');
    });
    json_.close(']');
    json_.close('}');
  }

  void attempts() {
    json_.name("attempts");
    json_.open('[');
    record_.notes.each(Note::Kind::attempt, [&](const Note& note) { attempt(attempt_of(note)); });
    json_.close(']');
  }

  void attempt(const Attempt& attempt) {
    json_.next();
    json_.open('{');
    const PlanNames::Upstream* names = upstream_names(attempt.upstream);
    json_.text("upstream", names == nullptr ? "-" : std::string_view(names->name));
    const std::string* endpoint = names == nullptr ? nullptr : at(names->endpoints, attempt.endpoint);
    json_.text("endpoint", endpoint == nullptr ? "-" : std::string_view(*endpoint));
    const bool running = (attempt.bits & Attempt::kRunning) != 0;
    const bool reused = (attempt.bits & Attempt::kReused) != 0;
    json_.number("start_us", micros_of_ticks(attempt.start));
    json_.flag("reused_connection", reused);
    if ((attempt.bits & Attempt::kHedge) != 0) json_.flag("hedge", true);
    if (attempt.connect != Attempt::kNever && !reused)
      json_.number("connect_us", micros_of_ticks(attempt.connect));
    if (attempt.first_byte != Attempt::kNever)
      json_.number("first_byte_us", micros_of_ticks(attempt.first_byte));
    if (running)
      json_.flag("running", true);
    else
      json_.number("total_us", micros_of_ticks(attempt.total));
    if (attempt.status != 0)
      json_.number("status", attempt.status);
    else if (!running)
      json_.text("error", to_string(static_cast<ErrorCode>(attempt.error)));
    if (!running)
      json_.text("outcome", resilience::to_string(static_cast<resilience::Outcome>(attempt.outcome)));
    json_.close('}');
  }

  const DecisionRecord& record_;
  const RecordContext& context_;
  const PlanNames::Route* route_ = nullptr;
  Json json_;
};

std::string render(const DecisionRecord& record, const RecordContext& context, bool whole) {
  std::string out;
  Renderer(record, context, out).all(whole);
  return out;
}

}  // namespace

std::shared_ptr<const PlanNames> names_of(const Plan& plan) {
  auto names = std::make_shared<PlanNames>();
  for (const Route& route : plan.routes) {
    PlanNames::Route& to = names->routes.emplace_back();
    to.name = route.options.name;
    for (const auto& stage : route.stages) to.stages.push_back(stage->name());
    to.experiments = route.options.experiments;
    if (!route.options.bff) continue;
    std::vector<bff::SpecProblem> problems;
    if (const std::shared_ptr<const bff::Plan> page = bff::compile(*route.options.bff, problems))
      for (const auto& node : page->nodes()) to.sections.push_back(node.spec.name);
  }
  const auto needs_identity = [](const config::RateLimit& limit) {
    const auto asks = [](const config::KeyPart& part) {
      return part.kind == config::KeyPart::Kind::passport || part.kind == config::KeyPart::Kind::jwt;
    };
    return std::any_of(limit.key.begin(), limit.key.end(), asks) ||
           (limit.tier_from && asks(*limit.tier_from));
  };
  for (const config::RateLimit& limit : plan.config.rate_limits) {
    PlanNames::Limit& to = names->limits.emplace_back();
    to.name = limit.name;
    to.key = limit.key_text;
    to.needs_identity = needs_identity(limit);
    for (const auto& tier : limit.tiers) to.tiers.push_back(tier.name);
  }
  for (const UpstreamPlan& upstream : plan.upstreams) {
    PlanNames::Upstream& to = names->upstreams.emplace_back();
    to.name = upstream.options.name;
    for (const upstream::EndpointOptions& endpoint : upstream.options.endpoints)
      to.endpoints.push_back(endpoint.url);
    if (upstream.options.breaker) to.failures_to_open = upstream.options.breaker->failures_to_open;
  }
  return names;
}

void fill(DecisionRecord& record, const Exchange& exchange, Duration took) noexcept {
  const Record& known = exchange.record;
  record.started = exchange.started;
  record.took = took;
  record.stage = known.stage;
  record.why = known.why;
  record.plan = exchange.worker.records.plan();
  record.route = exchange.route == nullptr ? DecisionRecord::kNoRoute : exchange.route->index;
  record.status = static_cast<std::uint16_t>(known.client_gone ? 499 : known.status);
  record.problem = known.problem;
  record.method = exchange.request.method;
  record.stages_entered = static_cast<std::uint8_t>(exchange.stages_entered);
  record.client_gone = known.client_gone;
  record.degraded = known.degraded;
  constexpr std::size_t kOwnId = 36;  // one of weir's own: four copies of eight bytes, and one of four
  if (exchange.id.size() == kOwnId) [[likely]] {
    std::memcpy(record.id, exchange.id.data(), kOwnId);
    record.id_size = kOwnId;
  } else {
    record.id_size = static_cast<std::uint8_t>(std::min(exchange.id.size(), DecisionRecord::kIdMax));
    std::copy_n(exchange.id.data(), record.id_size, record.id);
  }
  record.path_size = 0;
  exchange.notes.copy_to(record.notes);
}

void add_path(DecisionRecord& record, const Exchange& exchange) noexcept {
  const std::string_view path = exchange.path.empty() ? exchange.request.path : exchange.path;
  record.path_size = static_cast<std::uint8_t>(std::min(path.size(), DecisionRecord::kPathMax));
  std::copy_n(path.data(), record.path_size, record.path);
}

std::string to_json(const DecisionRecord& record, const RecordContext& context) {
  return render(record, context, true);
}

std::string to_field(const DecisionRecord& record, const RecordContext& context) {
  std::string text = render(record, context, true);
  if (text.size() > kExplainFieldMax) text = render(record, context, false);
  // A field's value is ASCII; names in the file and paths need not be.
  std::replace_if(text.begin(), text.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
  return text;
}

// --- the rings ---

void DecisionRecords::adopt(std::shared_ptr<const PlanNames> names, const config::Explain& bounds) {
  names_[++plan_ % kPlansKept] = std::move(names);
  if (bounds.recent != bounds_.recent || bounds.kept != bounds_.kept) {
    for (std::size_t i = 0; i < kKinds; ++i) {
      Ring& ring = rings_[i];
      ring = Ring();
      ring.size = static_cast<Kind>(i) == Kind::recent ? bounds.recent : bounds.kept;
      // Neither zeroed nor constructed (records are bytes): pages that are never written are never there.
      if (ring.size == 0) continue;
      ring.records.reset(static_cast<DecisionRecord*>(::operator new(ring.size * sizeof(DecisionRecord))));
    }
  }
  bounds_ = bounds;
}

DecisionRecords::Kind DecisionRecords::kind_of(const Exchange& exchange, Duration took) const noexcept {
  const Record& known = exchange.record;
  if (known.problem == Problem::none && !known.client_gone && known.status < 500)
    return took >= bounds_.slow || exchange.explain ? Kind::slow : Kind::recent;
  const bool at_upstream = known.stage == "upstream" || known.stage == "bff";
  return known.client_gone || at_upstream || known.problem == Problem::none ? Kind::failed : Kind::refused;
}

void DecisionRecords::keep(const Exchange& exchange, Duration took) noexcept {
  const Record& known = exchange.record;
  const bool usual = known.problem == Problem::none && !known.client_gone && known.status < 500 &&
                     took < bounds_.slow && !exchange.explain;
  if (!usual) return put(exchange, took, kind_of(exchange, took));
  if (exchange.started >= more_at_) {
    left_ = bounds_.recent;
    more_at_ = exchange.started + std::chrono::seconds{1};
  }
  if (left_ == 0) return;
  --left_;
  put(exchange, took, Kind::recent);
}

// Apart, so that a request that leaves no record does not even save registers.
[[gnu::noinline]] void DecisionRecords::put(const Exchange& exchange, Duration took, Kind kind) noexcept {
  Ring& ring = rings_[static_cast<std::size_t>(kind)];
  if (ring.size == 0) return;
  DecisionRecord& record = ring.records[ring.next];
  fill(record, exchange, took);
  if (kind != Kind::recent) add_path(record, exchange);
  if (ring.used < ring.size) ++ring.used;
  if (++ring.next == ring.size) ring.next = 0;
}

DecisionRecords::Found DecisionRecords::find(std::string_view id) const noexcept {
  Found found;
  for (std::size_t kind = 0; kind < kKinds; ++kind) {
    const Ring& ring = rings_[kind];
    for (std::uint32_t i = 0; i < ring.used; ++i) {
      const DecisionRecord& record = ring.records[i];
      if (record.id_text() != id) continue;
      // An id that a client chose may come twice: the newest.
      if (found.record != nullptr && found.record->started >= record.started) continue;
      found.record = &record;
      found.kind = static_cast<Kind>(kind);
      found.names = names(record.plan);
    }
  }
  return found;
}

const PlanNames* DecisionRecords::names(std::uint32_t plan) const noexcept {
  if (plan_ - plan >= kPlansKept) return nullptr;
  return names_[plan % kPlansKept].get();
}

std::string_view to_string(DecisionRecords::Kind kind) noexcept {
  constexpr std::string_view names[] = {"recent", "refused", "failed", "slow"};
  return names[static_cast<std::size_t>(kind)];
}

}  // namespace weir::gateway
