#include "weir/gateway/limit_overrides.h"

#include <utility>

namespace weir::gateway {
namespace {

using ratelimit::Policy;

Policy with_limit(Policy policy, std::uint32_t limit) {
  const bool exact = ratelimit::effective_algorithm(policy) == ratelimit::Algorithm::exact_window;
  if (exact && limit > ratelimit::kExactLimitAuto && limit > policy.limit)
    policy.algorithm = ratelimit::Algorithm::segmented_window;
  policy.limit = limit;
  return policy;
}

Error unknown(std::string_view name) {
  return Error(ErrorCode::not_found, "no limit is called " + std::string(name.substr(0, 64)));
}

}  // namespace

void LimitOverrides::set_log(std::function<void(const std::string& line)> log) {
  const std::lock_guard lock(mutex_);
  log_ = std::move(log);
}

void LimitOverrides::say(const std::string& line) const {
  if (log_) log_(line);
}

const LimitOverrides::Entry* LimitOverrides::alive(std::string_view name) const {
  const auto known = entries_.find(name);
  return known == entries_.end() || known->second.state.expired() ? nullptr : &known->second;
}

LimitOverrides::Entry* LimitOverrides::alive(std::string_view name) {
  return const_cast<Entry*>(std::as_const(*this).alive(name));
}

void LimitOverrides::end(TimePoint now, Entry& entry, const std::string& why) {
  entry.limit.reset();
  entry.until.reset();
  entry.apply(now, entry.file);
  say("rate limit " + entry.file.name + ": " + why + ", back to " + std::to_string(entry.file.limit));
}

void LimitOverrides::publish(TimePoint now, const std::weak_ptr<const void>& state, const Policy& policy,
                             Apply apply) {
  const std::lock_guard lock(mutex_);
  std::erase_if(entries_, [](const auto& known) { return known.second.state.expired(); });
  Entry& entry = entries_[policy.name];
  const bool changed = !(entry.file == policy);
  entry.state = state;
  entry.file = policy;
  entry.apply = std::move(apply);
  if (!entry.limit)
    entry.apply(now, policy);
  else if (changed)
    end(now, entry, "the file has changed it since it was set by hand");  // (2)
  else
    entry.apply(now, with_limit(policy, *entry.limit));  // the state may be a new one
}

Result<void> LimitOverrides::set(TimePoint now, std::string_view name, std::uint32_t limit, Duration hold) {
  const std::lock_guard lock(mutex_);
  Entry* entry = alive(name);
  if (entry == nullptr) return unknown(name);
  const Policy policy = with_limit(entry->file, limit);
  if (Result<void> valid = ratelimit::validate(policy); !valid) return valid.error();
  const std::uint32_t before = entry->limit.value_or(entry->file.limit);
  entry->limit = limit;
  entry->until.reset();
  if (hold > Duration::zero()) entry->until = now + hold;
  entry->apply(now, policy);
  say("rate limit " + entry->file.name + ": set by hand from " + std::to_string(before) + " to " +
      std::to_string(limit) +
      (hold > Duration::zero()
           ? " for " + std::to_string(std::chrono::ceil<std::chrono::seconds>(hold).count()) + " s"
           : ", without an end"));
  return {};
}

Result<void> LimitOverrides::clear(TimePoint now, std::string_view name) {
  const std::lock_guard lock(mutex_);
  Entry* entry = alive(name);
  if (entry == nullptr) return unknown(name);
  if (entry->limit) end(now, *entry, "taken back by hand");
  return {};
}

std::optional<TimePoint> LimitOverrides::expire(TimePoint now) {
  const std::lock_guard lock(mutex_);
  std::optional<TimePoint> next;
  for (auto& [name, entry] : entries_) {
    if (!entry.until) continue;
    if (*entry.until <= now)
      end(now, entry, "its time by hand is over");
    else if (!next || *entry.until < *next)
      next = entry.until;
  }
  return next;
}

std::optional<LimitOverrides::Standing> LimitOverrides::find(TimePoint now, std::string_view name) const {
  const std::lock_guard lock(mutex_);
  const Entry* entry = alive(name);
  if (entry == nullptr) return std::nullopt;
  Standing standing;
  standing.file_limit = entry->file.limit;
  standing.limit = entry->limit;
  if (entry->until) standing.left = std::max(Duration::zero(), *entry->until - now);
  return standing;
}

std::optional<Policy> LimitOverrides::file_policy(std::string_view name) const {
  const std::lock_guard lock(mutex_);
  const Entry* entry = alive(name);
  return entry == nullptr ? std::nullopt : std::optional(entry->file);
}

std::vector<std::string> LimitOverrides::names() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> all;
  for (const auto& [name, entry] : entries_)
    if (!entry.state.expired()) all.push_back(name);
  return all;
}

}  // namespace weir::gateway
