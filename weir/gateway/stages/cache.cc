// Keys, looks, and the tee that keeps what the relay passes on.
//
// A key is built in the worker's scratch, which nobody else touches between two waits. Where an answer has a Vary, the
// same bytes hold a note of the names, and the answer lies under the key with those fields' values behind it, so that
// most routes cost one search and those with a Vary two.
#include "weir/gateway/stages/cache.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <iterator>

#include "weir/gateway/answer.h"
#include "weir/gateway/plan.h"
#include "weir/gateway/stages/experiment.h"

namespace weir::gateway {
namespace {

using http::Method;

void append_number(std::string& out, std::uint32_t number) {
  for (int shift = 0; shift < 32; shift += 8) out += static_cast<char>(number >> shift & 0xff);
}

// Invariant (2).
void append_part(std::string& out, std::string_view part) {
  append_number(out, static_cast<std::uint32_t>(part.size()));
  out.append(part);
}

void append_lower(std::string& out, std::string_view text) {
  for (const char c : text) out += c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
}

// What an unsafe request changes: the target without its query, whatever route serves it.
void append_place(std::string& out, const Exchange& exchange) {
  append_lower(out, exchange.request.authority);
  out += '\n';  // in no host
  out.append(exchange.path);
}

bool is_unsafe(Method method) noexcept {  // RFC 9110 9.2.1
  return method != Method::get && method != Method::head && method != Method::options &&
         method != Method::trace;
}

void invalidate(Exchange& exchange, ResponseCache& cache) {
  std::string& place = exchange.worker.scratch;
  place.clear();
  append_place(place, exchange);
  cache.invalidate(place);
}

void invalidate_when_answered(Exchange& exchange, ResponseCache& cache, int status) {
  const bool ours = exchange.record.problem != Problem::none;
  if (!ours && status < 400 && is_unsafe(exchange.request.method)) invalidate(exchange, cache);
}

// Sent, and no answer seen: it may have been carried out.
void invalidate_when_lost(Exchange& exchange, ResponseCache& cache) {
  if (!is_unsafe(exchange.request.method) || exchange.record.attempts == 0) return;
  if (exchange.record.client_gone || exchange.record.problem != Problem::none) invalidate(exchange, cache);
}

// Every value that the request has under a name, as the upstream sees it. A credential that stays at the gate is told
// apart by whom it belongs to.
void append_field_values(std::string& out, const Exchange& exchange, std::string_view name) {
  const std::size_t begin = out.size();
  append_number(out, 0);
  std::uint32_t count = 0;
  for (const http::Field& field : exchange.request.fields) {
    if (field.hop_by_hop || !base::iequals(field.name, name)) continue;
    append_part(out, field.value);
    ++count;
  }
  for (const http::Field& field : exchange.identity_fields()) {
    if (!base::iequals(field.name, name)) continue;
    append_part(out, field.value);
    ++count;
  }
  if (name == "authorization" && exchange.identity != nullptr) {
    append_part(out, exchange.identity->principal);
    ++count;
  }
  out[begin] = static_cast<char>(count & 0xff);
  out[begin + 1] = static_cast<char>(count >> 8 & 0xff);
}

void append_varied(std::string& out, const Exchange& exchange, const std::vector<std::string>& names) {
  append_number(out, 0xffffffffU);  // no part is so long: never the key of a request without Vary
  for (const std::string& name : names) {
    append_part(out, name);
    append_field_values(out, exchange, name);
  }
}

bool came_with_credential(const Exchange& exchange) {
  if (exchange.identity != nullptr) return !exchange.identity->anonymous;
  return exchange.request.fields.has(http::Name::authorization);
}

bool is_left_out(const http::Field& field) {
  switch (field.id) {
    case http::Name::content_length:
    case http::Name::transfer_encoding:
    case http::Name::age:  // told anew
    case http::Name::x_request_id:
      return true;
    default:
      return field.hop_by_hop;
  }
}

std::int64_t unix_seconds(Worker& worker) {
  return std::chrono::floor<std::chrono::seconds>(worker.wall_now().time_since_epoch()).count();
}

// Seconds, as text in the arena.
std::string_view seconds_text(Exchange& exchange, Duration duration) {
  char* text = exchange.arena.allocate(20);
  const auto seconds = std::chrono::floor<std::chrono::seconds>(duration).count();
  return {text, static_cast<std::size_t>(std::to_chars(text, text + 20, seconds).ptr - text)};
}

std::string_view reason_of(HeldCache::Forward forward) {
  switch (forward) {
    case HeldCache::Forward::none:
      break;
    case HeldCache::Forward::bypass:
      return "weir; fwd=bypass";
    case HeldCache::Forward::request:
      return "weir; fwd=request";
    case HeldCache::Forward::uri_miss:
      return "weir; fwd=uri-miss";
    case HeldCache::Forward::vary_miss:
      return "weir; fwd=vary-miss";
  }
  return {};
}

// Requests that a kept answer of the whole resource does not serve.
bool is_out_of_scope(const http::RequestHead& request) {
  if (request.body != http::BodyKind::none) return true;
  if (!request.fields.has(http::Name::other)) return false;
  for (const std::string_view name : {"Range", "If-Range", "If-Match", "If-Unmodified-Since"})
    if (request.fields.find(name) != nullptr) return true;
  return false;
}

bool is_condition(const http::Field& field) {
  return field.id == http::Name::other &&
         (base::iequals(field.name, "If-None-Match") || base::iequals(field.name, "If-Modified-Since"));
}

}  // namespace

// Sees one answer pass: judges its head, collects its body, keeps it.
class CacheMiss final : public AnswerTee {
 public:
  CacheMiss(Exchange& exchange, const CacheStage& stage, std::string key, bool store,
            ResponseCache::Lead lead)
      : exchange_(exchange),
        stage_(stage),
        key_(std::move(key)),
        lead_(std::move(lead)),
        asked_at_(exchange.worker.reactor.now()),
        wanted_(store) {}

  // The client's conditions are weir's to answer: the upstream is asked for the whole.
  void take_conditions() {
    http::Fields& fields = exchange_.request.fields;
    for (const http::Field& field : fields)
      if (is_condition(field)) conditions_.add(field);
    if (!conditions_.empty()) fields.remove_if(is_condition);
  }

  bool head(AnswerHead& answer, http::BodyKind framing) override {
    const TimePoint now = exchange_.worker.reactor.now();
    judge(answer, framing, now);
    if (keeps_)
      copy_head(answer, now);
    else
      pass(now);
    if (answer.status != 200 || conditions_.empty()) return false;
    const http::Field* etag = answer.fields.find("ETag");
    const http::Field* modified = answer.fields.find("Last-Modified");
    const auto value = [](const http::Field* field) {
      return field == nullptr ? std::string_view{} : field->value;
    };
    if (!cache::is_not_modified(conditions_, value(etag), value(modified), unix_seconds(exchange_.worker)))
      return false;
    make_not_modified(answer);
    return true;
  }

  void body(std::string_view bytes) override {
    if (!keeps_) return;
    if (answer_->body.size() + bytes.size() > stage_.options_.body_max) {
      keeps_ = false;
      answer_.reset();
      return pass(exchange_.worker.reactor.now());
    }
    answer_->body.append(bytes);
  }

  void complete() override {
    if (!std::exchange(keeps_, false)) return;
    ResponseCache& cache = *stage_.options_.cache;
    const TimePoint now = exchange_.worker.reactor.now();
    answer_->body.shrink_to_fit();
    if (!vary_.empty()) {
      auto note = std::make_shared<CachedAnswer>();
      note->kind = CachedAnswer::Kind::vary;
      note->vary = vary_;
      note->lifetime = answer_->lifetime;
      cache.put(key_, std::move(note), now);
    }
    cache.put(answer_key_, std::move(answer_), now);
    lead_.finish(ResponseCache::End::kept);
  }

  bool keeps() const noexcept { return keeps_; }
  std::string_view why() const noexcept { return why_; }

 private:
  void judge(const AnswerHead& answer, http::BodyKind framing, TimePoint now) {
    cache::AnswerContext context;
    context.authorized = came_with_credential(exchange_);
    context.delay = now - asked_at_;
    context.now = exchange_.worker.wall_now();
    rules_ = cache::judge_answer(answer.status, answer.fields, context);
    why_ = rules_.why;
    std::optional<std::vector<std::string>> vary = cache::vary_names(answer.fields);
    if (why_.empty() && !wanted_) why_ = "request";
    if (why_.empty() && !vary) why_ = "vary";
    // Whether it is whole cannot be known.
    if (why_.empty() && framing == http::BodyKind::until_close) why_ = "no-length";
    if (why_.empty() && framing == http::BodyKind::length && answer.content_length > stage_.options_.body_max)
      why_ = "too-large";
    keeps_ = why_.empty();
    if (keeps_) vary_ = std::move(*vary);
  }

  void copy_head(const AnswerHead& answer, TimePoint now) {
    answer_ = std::make_shared<CachedAnswer>();
    answer_->status = answer.status;
    answer_->kept_at = now;
    answer_->age = rules_.age;
    answer_->lifetime = rules_.lifetime;
    std::size_t bytes = 0;
    for (const http::Field& field : answer.fields) bytes += field.name.size() + field.value.size();
    const std::string_view date = exchange_.worker.http_date();
    answer_->texts.reserve(bytes + 4 + date.size());  // never grows: the fields point into it
    const auto keep = [&](std::string_view text) {
      const std::size_t at = answer_->texts.size();
      answer_->texts.append(text);
      return std::string_view(answer_->texts).substr(at, text.size());
    };
    for (const http::Field& field : answer.fields) {
      if (is_left_out(field)) continue;
      answer_->fields.push_back({keep(field.name), keep(field.value), field.id, false});
      const http::Field& kept = answer_->fields.back();
      if (base::iequals(kept.name, "ETag")) answer_->etag = kept.value;
      if (base::iequals(kept.name, "Last-Modified")) answer_->modified = kept.value;
    }
    if (!answer.fields.has(http::Name::date))
      answer_->fields.push_back({keep("Date"), keep(date), http::Name::date, false});
    note_vary(now);
  }

  // Names that an earlier answer to this key varied on count on: an upstream that says Vary only now and then is
  // believed the first time.
  void note_vary(TimePoint now) {
    const std::shared_ptr<const CachedAnswer> known = stage_.options_.cache->find(key_, now);
    if (known != nullptr && known->kind == CachedAnswer::Kind::vary) {
      std::vector<std::string> both;
      std::set_union(vary_.begin(), vary_.end(), known->vary.begin(), known->vary.end(),
                     std::back_inserter(both));
      vary_ = std::move(both);
    }
    answer_key_ = key_;
    if (!vary_.empty()) append_varied(answer_key_, exchange_, vary_);
  }

  // Nobody waits for the next one either.
  void pass(TimePoint now) {
    if (!lead_) return;
    const std::shared_ptr<const CachedAnswer> known = stage_.options_.cache->find(key_, now);
    if (known == nullptr) {
      auto note = std::make_shared<CachedAnswer>();
      note->kind = CachedAnswer::Kind::pass;
      stage_.options_.cache->put(key_, std::move(note), now);
    }
    lead_.finish(ResponseCache::End::passed);
  }

  Exchange& exchange_;
  const CacheStage& stage_;
  const std::string key_;   // without Vary's fields
  std::string answer_key_;  // with them
  ResponseCache::Lead lead_;
  const TimePoint asked_at_;
  const bool wanted_;  // the request lets its answer be kept
  http::Fields conditions_;
  cache::AnswerRules rules_;
  std::string_view why_;
  std::vector<std::string> vary_;
  std::shared_ptr<CachedAnswer> answer_;
  bool keeps_ = false;
};

CacheStage::CacheStage(CacheOptions options) : options_(std::move(options)) {
  for (const std::string& name : options_.vary) {
    vary_text_.append(vary_text_.empty() ? "" : ", ").append(name);
    keyed_names_.push_back(base::to_lower(name));
  }
}

std::span<const Problem> CacheStage::refusals() const noexcept {
  static constexpr std::array kRefusals{Problem::not_cached};
  return kRefusals;
}

std::string& CacheStage::primary_key(Exchange& exchange) const {
  std::string& key = exchange.worker.scratch;
  key.clear();
  append_place(key, exchange);
  const std::uint32_t generation = options_.cache->generation(key);
  const auto place = static_cast<std::uint32_t>(key.size());
  append_number(key, place);
  append_number(key, generation);
  append_part(key, options_.route);
  append_part(key,
              exchange.chosen_upstream
                  ? std::string_view(exchange.plan->plan->upstreams[*exchange.chosen_upstream].options.name)
                  : std::string_view(options_.upstream));
  const http::Fields& fields = exchange.request.fields;
  append_part(key, fields.value(http::Name::x_forwarded_proto));
  append_part(key, fields.value(http::Name::x_forwarded_host));
  key += exchange.request.has_query ? '?' : '-';
  append_part(key, exchange.request.query);
  append_part(key, exchange.proxy_state);
  append_part(key, options_.by_user && exchange.identity != nullptr
                       ? std::string_view(exchange.identity->principal)
                       : std::string_view{});
  if (exchange.decisions != nullptr) {
    for (const experiment::Decision& decision : exchange.decisions->experiments) {
      append_part(key, decision.key);
      append_part(key, decision.variant);
    }
    append_field_values(key, exchange, "X-Flags");
  }
  for (const std::string& name : keyed_names_) append_field_values(key, exchange, name);
  return key;
}

std::shared_ptr<const CachedAnswer> CacheStage::look_up(Exchange& exchange, HeldCache& held,
                                                        bool* passes) const {
  std::string& key = primary_key(exchange);
  std::shared_ptr<const CachedAnswer> found = options_.cache->find(key, exchange.now);
  *passes = found != nullptr && found->kind == CachedAnswer::Kind::pass;
  const bool varies = found != nullptr && found->kind == CachedAnswer::Kind::vary;
  held.forward = varies ? HeldCache::Forward::vary_miss : HeldCache::Forward::uri_miss;
  if (varies) {
    const std::shared_ptr<const CachedAnswer> note = std::move(found);
    append_varied(key, exchange, note->vary);
    found = options_.cache->find(key, exchange.now);
  }
  if (found != nullptr && found->kind != CachedAnswer::Kind::answer) found = nullptr;
  return found;
}

Verdict CacheStage::admit(Exchange& exchange) {
  const Method method = exchange.request.method;
  if (options_.cache == nullptr || (method != Method::get && method != Method::head)) return Verdict::proceed;
  HeldCache& held = exchange.keep(options_.held, HeldCache{});
  held.forward = HeldCache::Forward::bypass;
  if (is_out_of_scope(exchange.request)) return Verdict::proceed;
  const cache::RequestRules rules = cache::judge_request(exchange.request.fields);
  bool passes = false;
  std::shared_ptr<const CachedAnswer> found = look_up(exchange, held, &passes);
  if (found != nullptr && cache::is_good_enough(rules, found->age_at(exchange.now), found->lifetime)) {
    give(exchange, held, std::move(found), false);
    return Verdict::answer;
  }
  if (rules.only_if_cached) {  // RFC 9111 5.2.1.7
    exchange.refuse(name(), Problem::not_cached);
    return Verdict::refuse;
  }
  if (!rules.store) held.forward = HeldCache::Forward::bypass;
  if (!rules.store || method == Method::head) return Verdict::proceed;
  std::string key(primary_key(exchange));
  // Somebody who will not take what is kept has nothing to wait for, and nobody should wait for him.
  if (found != nullptr || !rules.use) {
    held.forward = HeldCache::Forward::request;
    fetch(exchange, held, std::move(key), passes, rules.store, {});
    return Verdict::proceed;
  }
  if (passes) {
    fetch(exchange, held, std::move(key), true, true, {});
    return Verdict::proceed;
  }
  held.follows = true;  // CacheWaitStage finds out whether somebody leads
  return Verdict::proceed;
}

void CacheStage::fetch(Exchange& exchange, HeldCache& held, std::string key, bool passes, bool store,
                       ResponseCache::Lead lead) const {
  held.follows = false;
  held.miss = std::make_unique<CacheMiss>(exchange, *this, std::move(key), store, std::move(lead));
  if (!passes) held.miss->take_conditions();  // else the upstream's own 304 saves more
  exchange.tee = held.miss.get();
}

void CacheStage::give(Exchange& exchange, HeldCache& held, std::shared_ptr<const CachedAnswer> answer,
                      bool collapsed) const {
  held.hit = std::move(answer);
  held.forward = HeldCache::Forward::none;
  held.follows = false;
  held.told = true;
  const CachedAnswer& kept = *held.hit;
  const Duration age = kept.age_at(exchange.worker.reactor.now());
  exchange.own.status = kept.status;
  exchange.own.fields = &kept.fields;
  exchange.own.body = kept.body;
  if (kept.status == 200 && cache::is_conditional(exchange.request.fields) &&
      cache::is_not_modified(exchange.request.fields, kept.etag, kept.modified,
                             unix_seconds(exchange.worker)))
    exchange.own.status = 304;
  exchange.add_answer_field("Age", seconds_text(exchange, std::max(age, Duration{})), http::Name::age);
  const std::string_view ttl = seconds_text(exchange, kept.lifetime - age);
  exchange.add_answer_field(
      "Cache-Status",
      exchange.arena.concat({collapsed ? "weir; fwd=uri-miss; collapsed; ttl=" : "weir; hit; ttl=", ttl}));
}

void CacheStage::add_vary(Exchange& exchange, const AnswerHead& head) const {
  if (vary_text_.empty()) return;
  const std::optional<std::vector<std::string>> said = cache::vary_names(head.fields);
  if (!said) return;  // `*` says more
  const bool all = std::all_of(keyed_names_.begin(), keyed_names_.end(), [&](const std::string& name) {
    return std::binary_search(said->begin(), said->end(), name);
  });
  if (!all) exchange.add_answer_field("Vary", vary_text_, http::Name::vary);
}

void CacheStage::answered(Exchange& exchange, const AnswerHead& head) noexcept {
  if (exchange.record.problem != Problem::none) return;
  add_vary(exchange, head);
  if (options_.cache == nullptr) return;
  invalidate_when_answered(exchange, *options_.cache, head.status);
  HeldCache* held = exchange.get(options_.held);
  if (held == nullptr || std::exchange(held->told, true)) return;
  std::string_view status = reason_of(held->forward);
  if (held->miss != nullptr && held->miss->keeps())
    status = exchange.arena.concat({status, "; stored"});
  else if (held->miss != nullptr && !held->miss->why().empty())
    status = exchange.arena.concat({status, "; detail=", held->miss->why()});
  exchange.add_answer_field("Cache-Status", status);
}

void CacheStage::settle(Exchange& exchange) noexcept {
  if (options_.cache == nullptr) return;
  invalidate_when_lost(exchange, *options_.cache);
  exchange.tee = nullptr;
  exchange.drop(options_.held);
}

bool CacheWaitStage::needs_waiting(const Exchange& exchange) const noexcept {
  const HeldCache* held = const_cast<Exchange&>(exchange).get(held_);
  return held != nullptr && held->follows;
}

async::Task<Verdict> CacheWaitStage::admit_async(Exchange& exchange) {
  HeldCache& held = *exchange.get(held_);
  const std::shared_ptr<ResponseCache>& cache = check_.options_.cache;
  const cache::RequestRules rules = cache::judge_request(exchange.request.fields);
  const Deadline patience = exchange.deadline.shrunk_to(exchange.now + kPatience);
  bool waited = false;
  bool passes = false;
  for (int round = 0; round < kRounds; ++round) {
    std::shared_ptr<const CachedAnswer> found = check_.look_up(exchange, held, &passes);
    // The same key as what was looked for: with Vary's values, where those are known.
    const std::string flight(exchange.worker.scratch);
    ResponseCache::Lead lead;
    if (found == nullptr && !passes) lead = cache->try_lead(flight);
    // Whoever led before may have ended between the look and the lead.
    if (lead) found = check_.look_up(exchange, held, &passes);
    const TimePoint now = exchange.worker.reactor.now();
    if (found != nullptr && cache::is_good_enough(rules, found->age_at(now), found->lifetime)) {
      lead.finish(ResponseCache::End::kept);
      check_.give(exchange, held, std::move(found), waited);
      co_return Verdict::answer;
    }
    if (lead || passes || found != nullptr) {
      std::string key(check_.primary_key(exchange));
      check_.fetch(exchange, held, std::move(key), passes, true, std::move(lead));
      co_return Verdict::proceed;
    }
    ResponseCache::Follower follower(cache, flight, exchange);
    if (follower.crowded()) break;
    waited |= follower.follows();
    while (follower.follows() && !follower.ended() && !exchange.downstream->gone()) {
      const io::Wake wake = co_await exchange.waiter->wait(patience);
      if (wake != io::Wake::event) break;
    }
    if (!follower.follows()) continue;
    const bool ended = follower.ended();
    if (!ended || follower.end() == ResponseCache::End::passed) break;
  }
  std::string key(check_.primary_key(exchange));
  check_.fetch(exchange, held, std::move(key), false, true, {});
  co_return Verdict::proceed;
}

void InvalidateStage::answered(Exchange& exchange, const AnswerHead& head) noexcept {
  invalidate_when_answered(exchange, *cache_, head.status);
}

void InvalidateStage::settle(Exchange& exchange) noexcept { invalidate_when_lost(exchange, *cache_); }

}  // namespace weir::gateway
