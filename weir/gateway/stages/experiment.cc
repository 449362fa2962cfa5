#include "weir/gateway/stages/experiment.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstring>
#include <memory>

#include "weir/base/base64.h"
#include "weir/gateway/plan.h"
#include "weir/http/uri.h"

namespace weir::gateway {
namespace {

using experiment::Decision;
using experiment::Value;

constexpr std::string_view kBetween = ", ";  // of members
constexpr std::size_t kNotedMax = 8;
constexpr std::size_t kFieldMax = 8 * 1024;  // of X-Experiments or X-Flags; members beyond it are left out

// RFC 6265 4.2.1: "a=1; b=2". The first of that name.
std::string_view cookie_value(const http::Fields& fields, std::string_view name) {
  for (const http::Field& field : fields) {
    if (field.id != http::Name::cookie) continue;
    for (std::string_view rest = field.value; !rest.empty();) {
      const std::size_t end = rest.find(';');
      const std::string_view pair = base::trim(rest.substr(0, end));
      rest = end == std::string_view::npos ? std::string_view{} : rest.substr(end + 1);
      const std::size_t equals = pair.find('=');
      if (equals != std::string_view::npos && pair.substr(0, equals) == name) return pair.substr(equals + 1);
    }
  }
  return {};
}

// RFC 9651 3.3.3, or 3.3.8 (a display string) where a character is not ASCII.
void append_string(std::string& out, std::string_view text) {
  static constexpr char kHex[] = "0123456789abcdef";
  const bool ascii = std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c < 0x7f; });
  out.append(ascii ? "\"" : "%\"");
  for (char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (ascii) {
      if (c == '"' || c == '\\') out += '\\';
      out += c;
    } else if (byte < 0x20 || byte >= 0x7f || c == '%' || c == '"') {
      out += '%';
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    } else {
      out += c;
    }
  }
  out += '"';
}

// RFC 9651 3.3.1 and 3.3.2: integers of 15 digits, decimals of 12 and 3. Others go as strings.
void append_number(std::string& out, double number) {
  const double thousandths = number * 1000;
  if (number == std::floor(number) && std::fabs(number) < 1e15) {
    out.append(std::to_string(static_cast<std::int64_t>(number)));
  } else if (thousandths == std::floor(thousandths) && std::fabs(number) < 1e12) {
    out.append(experiment::number_text(number));
  } else {
    append_string(out, experiment::number_text(number));
  }
}

}  // namespace

bool is_dictionary_key(std::string_view key) noexcept {
  if (key.empty() || (!(key.front() >= 'a' && key.front() <= 'z') && key.front() != '*')) return false;
  return std::all_of(key.begin(), key.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || base::is_digit(c) || c == '_' || c == '-' || c == '.' || c == '*';
  });
}

void append_dictionary_member(std::string& out, std::string_view key, const Value& value) {
  if (!is_dictionary_key(key)) return;
  const std::size_t before = out.size();
  out.append(out.empty() ? "" : ", ").append(key);
  switch (value.kind) {
    case Value::Kind::boolean:
      if (!value.boolean) out.append("=?0");
      break;
    case Value::Kind::number:
      out += '=';
      append_number(out, value.number);
      break;
    case Value::Kind::text:
      out += '=';
      append_string(out, value.text);
      break;
    default:
      out += '=';
      append_string(out, experiment::to_json(value));
  }
  if (out.size() > kFieldMax) out.resize(before);
}

std::string_view HeldDecisions::variant(std::string_view key) const noexcept {
  for (const Decision& decision : experiments)
    if (decision.key == key) return decision.variant;
  return {};
}

const Value* HeldDecisions::flag(std::string_view key) const noexcept {
  for (const Decision& decision : flags)
    if (decision.key == key) return decision.value;
  return nullptr;
}

struct ExperimentStage::Binding {
  std::uint64_t generation = 0;
  std::shared_ptr<const experiment::Snapshot> snapshot;
  // The same with a count of its own, which this worker's exchanges alone write.
  std::shared_ptr<const void> counted;
  std::vector<experiment::EntryId> ids;  // of the experiments, then of the flags
  std::size_t experiments = 0;
  // X-Experiments' member for each variant of an experiment, written once. A variant is known by where the snapshot
  // keeps its name.
  struct Member {
    const char* name = nullptr;
    std::uint32_t from = 0;  // of `texts`; each begins with kBetween
    std::uint32_t size = 0;
  };
  std::vector<Member> members;        // experiment by experiment, side by side: all are read in every request
  std::vector<std::uint32_t> begins;  // of each experiment's, and the end
  std::string texts;
  std::size_t longest = 1;  // of the field, with kBetween before it
  struct Sticky {
    experiment::EntryId id;
    std::size_t decision = 0;  // its place among the decisions: experiments, then flags
  };
  std::vector<Sticky> sticky;
  std::optional<experiment::Context> context;
  std::string passport_text;  // the last one seen and what it says: requests of one client come together
  Value passport;
};

ExperimentStage::ExperimentStage(Options options, std::size_t workers, Slot<HeldDecisions> slot)
    : options_(std::move(options)), slot_(slot), bindings_(workers) {}

ExperimentStage::~ExperimentStage() = default;

ExperimentStage::Binding& ExperimentStage::bind(std::size_t worker) {
  std::unique_ptr<Binding>& binding = bindings_[worker];
  const std::uint64_t generation = options_.state->engine().generation();
  if (binding != nullptr && binding->generation == generation) return *binding;
  if (binding == nullptr) binding = std::make_unique<Binding>();
  // The generation first: a swap between the two lines makes the next request look again, never miss one.
  binding->generation = generation;
  binding->snapshot = options_.state->engine().snapshot();
  binding->counted = std::make_shared<std::shared_ptr<const experiment::Snapshot>>(binding->snapshot);
  binding->ids.clear();
  for (const auto* keys : {&options_.experiments, &options_.flags})
    for (const std::string& key : *keys) binding->ids.push_back(binding->snapshot->find(key));
  binding->experiments = options_.experiments.size();
  binding->sticky.clear();
  for (std::size_t i = 0; i < binding->ids.size(); ++i)
    if (binding->snapshot->is_sticky(binding->ids[i])) binding->sticky.push_back({binding->ids[i], i});
  write_members(*binding);
  binding->context.emplace(*binding->snapshot);
  return *binding;
}

void ExperimentStage::write_members(Binding& binding) const {
  binding.members.clear();
  binding.texts.clear();
  binding.begins.assign(1, 0);
  binding.longest = 1;
  for (std::size_t i = 0; i < binding.experiments; ++i) {
    std::uint32_t longest = 0;
    if (is_dictionary_key(options_.experiments[i]))
      for (const std::string_view variant : binding.snapshot->variants(binding.ids[i])) {
        const auto from = static_cast<std::uint32_t>(binding.texts.size());
        binding.texts.append(kBetween).append(options_.experiments[i]).append("=");
        append_string(binding.texts, variant);
        const std::uint32_t size = static_cast<std::uint32_t>(binding.texts.size()) - from;
        binding.members.push_back({variant.data(), from, size});
        longest = std::max(longest, size);
      }
    binding.begins.push_back(static_cast<std::uint32_t>(binding.members.size()));
    binding.longest += longest;
  }
}

std::string_view ExperimentStage::source_text(Exchange& exchange,
                                              const config::AttributeSource& source) const {
  using Kind = config::AttributeSource::Kind;
  switch (source.kind) {
    case Kind::passport:
      return {};  // by value, in fill()
    case Kind::header: {
      const http::Field* field = exchange.request.fields.find(source.name);
      return field == nullptr ? std::string_view{} : field->value;
    }
    case Kind::cookie:
      return cookie_value(exchange.request.fields, source.name);
    case Kind::query: {
      const auto raw = http::query_parameter(exchange.request.query, source.name);
      std::string decoded;
      if (!raw || raw->find('%') == std::string_view::npos) return raw.value_or(std::string_view{});
      return http::percent_decode(*raw, decoded) ? exchange.arena.keep(decoded) : std::string_view{};
    }
    case Kind::client_ip:
      return exchange.client_text();
    case Kind::method:
      return exchange.request.method_text;
    case Kind::path:
      return exchange.path;
    case Kind::host:
      return exchange.request.authority;
  }
  return {};
}

const Value* ExperimentStage::passport_of(const Exchange& exchange, Binding& binding) {
  const config::Passport& options = exchange.plan->plan->config.passport;
  for (const http::Field& field : exchange.identity_fields()) {
    if (!base::iequals(field.name, options.header)) continue;
    if (field.value != binding.passport_text) {
      binding.passport_text = field.value;
      const bool url =
          field.value.find_first_of("-_") != std::string_view::npos || field.value.size() % 4 != 0;
      const Result<std::string> json =
          url ? base::base64url_decode(field.value) : base::base64_decode(field.value);
      Result<Value> parsed = json ? experiment::parse_json(*json) : Result<Value>(json.error());
      binding.passport = parsed ? std::move(*parsed) : Value{};
    }
    return binding.passport.is(Value::Kind::map) ? &binding.passport : nullptr;
  }
  return nullptr;
}

std::string_view ExperimentStage::anonymous_unit(Exchange& exchange) const {
  using Anonymous = config::Experiments::Anonymous;
  if (options_.anonymous == Anonymous::off) return {};
  if (options_.anonymous == Anonymous::address) return exchange.client_text();
  const std::string_view sent = cookie_value(exchange.request.fields, options_.cookie);
  if (const std::string_view unit = verified_text(options_.secret, kUnitPurpose, sent); !unit.empty())
    return unit;
  std::array<char, 32> digits;
  constexpr char kHex[] = "0123456789abcdef";
  for (std::size_t half = 0; half < 2; ++half) {
    std::uint64_t word = exchange.worker.random();
    for (std::size_t i = 0; i < 16; ++i, word >>= 4) digits[half * 16 + i] = kHex[word & 15];
  }
  const std::string fresh = sign_text(options_.secret, kUnitPurpose, {digits.data(), digits.size()});
  set_cookie(exchange, options_.cookie, fresh);
  return exchange.arena.keep({digits.data(), digits.size()});
}

void ExperimentStage::set_cookie(Exchange& exchange, std::string_view name, std::string_view value) const {
  exchange.add_answer_field(
      "Set-Cookie",
      exchange.arena.concat({name, "=", value, "; Path=/; Max-Age=15552000; HttpOnly; SameSite=Lax",
                             exchange.secure ? "; Secure" : ""}),
      http::Name::set_cookie);
}

StickyMemory ExperimentStage::recall(const Exchange& exchange, Binding& binding) const {
  StickyMemory memory =
      StickyMemory::read(options_.secret, cookie_value(exchange.request.fields, options_.sticky_cookie));
  const experiment::Snapshot& snapshot = *binding.snapshot;
  std::array<char, 24> digits;
  for (const Binding::Sticky& sticky : binding.sticky) {
    const std::string_view key = snapshot.key(sticky.id);
    const std::string_view before =
        memory.variant(key, snapshot.unit_of(sticky.id, *binding.context, digits));
    if (!before.empty()) binding.context->remember(key, before);
  }
  return memory;
}

void ExperimentStage::remember(Exchange& exchange, Binding& binding, std::span<const Decision> decisions,
                               StickyMemory& memory) const {
  const experiment::Snapshot& snapshot = *binding.snapshot;
  memory.forget([&](std::string_view key) { return !snapshot.is_sticky(snapshot.find(key)); });
  std::array<char, 24> digits;
  for (const Binding::Sticky& sticky : binding.sticky) {
    // What was forced, allowed or overridden is no choice of the split, and goes when its cause goes.
    const Decision& decision = decisions[sticky.decision];
    if (decision.reason == experiment::Reason::split)
      memory.put(decision.key, decision.variant, snapshot.unit_of(sticky.id, *binding.context, digits));
  }
  if (memory.changed()) set_cookie(exchange, options_.sticky_cookie, memory.sign(options_.secret));
}

void ExperimentStage::fill(Exchange& exchange, Binding& binding) const {
  experiment::Context& context = *binding.context;
  context.reset(*binding.snapshot);
  context.set_now(exchange.worker.wall_now());
  const auto set = [&](std::string_view name, std::string_view text) {
    if (!text.empty()) context.set(name, text);
  };
  std::string_view user;
  if (const Value* passport = passport_of(exchange, binding); passport != nullptr) {
    context.set_all(*passport);  // its members are attributes by their own names
    for (const config::AttributeSource& source : options_.attributes)
      if (source.kind == config::AttributeSource::Kind::passport)
        if (const Value* member = passport->find(source.name)) context.set(source.attribute, *member);
    if (const Value* id = passport->find("user_id"); id != nullptr && id->is(Value::Kind::text))
      user = exchange.arena.keep(id->text);
  }
  for (const config::AttributeSource& source : options_.attributes)
    set(source.attribute, source_text(exchange, source));
  if (user.empty()) user = anonymous_unit(exchange);
  if (!user.empty()) context.set_unit(user);
  take_overrides(exchange, context);
}

// "key:variant,key:variant;1790000000.signature"
void ExperimentStage::take_overrides(Exchange& exchange, experiment::Context& context) const {
  if (exchange.override_text.empty()) return;
  const std::string_view text = verified_text(options_.secret, kOverridePurpose, exchange.override_text);
  const std::size_t semicolon = text.find(';');
  if (semicolon == std::string_view::npos) return;
  const auto until = base::parse_u64(text.substr(semicolon + 1));
  const auto now =
      std::chrono::floor<std::chrono::seconds>(exchange.worker.wall_now()).time_since_epoch().count();
  if (!until || static_cast<std::int64_t>(std::min<std::uint64_t>(*until, INT64_MAX)) <= now) return;
  for (std::string_view pair : base::split(text.substr(0, semicolon), ',')) {
    const std::size_t colon = pair.find(':');
    if (colon != std::string_view::npos)
      context.override_variant(pair.substr(0, colon), pair.substr(colon + 1));
  }
}

// Members that were written once, one after the other; those of variants that are not known are left out, as is what
// goes beyond kFieldMax.
std::string_view ExperimentStage::experiments_field(Exchange& exchange, const Binding& binding,
                                                    const HeldDecisions& held) {
  char* const begin = exchange.arena.allocate(std::min(binding.longest, kFieldMax));
  char* at = begin;
  for (std::size_t i = 0; i < held.experiments.size(); ++i) {
    const char* const name = held.experiments[i].variant.data();
    for (std::uint32_t m = binding.begins[i]; m < binding.begins[i + 1]; ++m) {
      const Binding::Member& member = binding.members[m];
      if (member.name != name) continue;
      if (static_cast<std::size_t>(at - begin) + member.size > kFieldMax) break;
      std::memcpy(at, binding.texts.data() + member.from, member.size);
      at += member.size;
      break;
    }
  }
  const std::string_view field(begin, static_cast<std::size_t>(at - begin));
  return field.substr(std::min(field.size(), kBetween.size()));
}

void ExperimentStage::tell_upstream(Exchange& exchange, const Binding& binding,
                                    const HeldDecisions& held) const {
  const std::string_view experiments = experiments_field(exchange, binding, held);
  if (!experiments.empty()) exchange.set_identity_field("X-Experiments", experiments);
  std::string& text = exchange.worker.scratch;
  text.clear();
  for (const Decision& decision : held.flags)
    if (decision.value != nullptr) append_dictionary_member(text, decision.key, *decision.value);
  if (!text.empty()) exchange.set_identity_field("X-Flags", exchange.arena.keep(text));
}

void ExperimentStage::apply(Exchange& exchange, const HeldDecisions& held) const {
  for (const Effect& effect : options_.effects) {
    if (held.variant(effect.experiment) != effect.variant) continue;
    if (effect.upstream && !exchange.chosen_upstream) exchange.chosen_upstream = effect.upstream;
    if (!effect.request.remove.empty())
      exchange.request.fields.remove_if([&](const http::Field& field) {
        return std::any_of(effect.request.remove.begin(), effect.request.remove.end(),
                           [&](const std::string& name) { return base::iequals(field.name, name); });
      });
    for (const auto& [name, value] : effect.request.set)
      exchange.set_request_field(http::parse_name(name), name, value);
    for (const auto& [name, value] : effect.response.set)
      exchange.add_answer_field(name, value, http::parse_name(name));
  }
}

Verdict ExperimentStage::admit(Exchange& exchange) {
  Binding& binding = bind(exchange.worker.index);
  fill(exchange, binding);
  std::optional<StickyMemory> memory;
  if (!binding.sticky.empty()) memory = recall(exchange, binding);
  const experiment::Snapshot& snapshot = *binding.snapshot;
  const std::size_t count = binding.ids.size();
  auto* const decisions = static_cast<Decision*>(exchange.arena.allocate_aligned(count * sizeof(Decision)));
  std::uninitialized_default_construct_n(decisions, count);
  snapshot.evaluate(binding.ids, *binding.context, decisions);
  if (memory) remember(exchange, binding, {decisions, count}, *memory);
  HeldDecisions held;
  held.snapshot = binding.counted;
  held.experiments = {decisions, binding.experiments};
  held.flags = {decisions + binding.experiments, count - binding.experiments};
  std::array<char, 24> digits;
  if (binding.experiments > 0) {
    // Kept: it may lie in the binding, which the next request of this worker writes.
    held.unit = exchange.arena.keep(snapshot.unit_of(binding.ids.front(), *binding.context, digits));
  }
  // Of a route with more of them than the notes hold, the first are told.
  for (std::size_t i = 0; i < std::min<std::size_t>(held.experiments.size(), kNotedMax); ++i) {
    const Decision& decision = held.experiments[i];
    exchange.notes
        .add<Note::Kind::experiment>(static_cast<std::uint32_t>(decision.reason),
                                     static_cast<std::uint32_t>(i))
        .set_text(decision.variant);
  }
  tell_upstream(exchange, binding, held);
  apply(exchange, held);
  exchange.decisions = &exchange.keep(slot_, std::move(held));
  return Verdict::proceed;
}

void ExperimentStage::settle(Exchange& exchange) noexcept {
  const HeldDecisions* held = exchange.get(slot_);
  if (held == nullptr || held->experiments.empty() || held->unit.empty()) return;
  // Refused before an upstream was asked, or given up by the client: nobody saw a variant.
  if (exchange.record.problem != Problem::none && exchange.record.attempts == 0) return;
  experiment::ExposureRecorder& recorder = options_.state->recorder();
  const TimePoint now = exchange.worker.reactor.now();
  recorder.record(held->unit, held->experiments, now, exchange.worker.wall_now());
  recorder.outcome(exchange.worker.index, held->experiments, exchange.record.status, now - exchange.started);
}

}  // namespace weir::gateway
