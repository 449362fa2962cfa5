#include "weir/store/idempotency_store.h"

#include <utility>

namespace weir::store {

Outcome apply(std::optional<passport::IdempotencyRecord>& record, Operation& operation) {
  namespace idem = passport::idempotency;
  using Decision = passport::IdempotencyDecision::Kind;
  Outcome outcome;
  const auto& ticket = operation.ticket;
  switch (operation.kind) {
    case Operation::Kind::look_up:
      outcome.decision = idem::look_up(record, operation.fingerprint, operation.times);
      break;
    case Operation::Kind::claim:
      outcome.decision =
          idem::claim(record, operation.fingerprint, ticket.owner, operation.label, operation.times);
      break;
    case Operation::Kind::complete:
      outcome.changed = idem::complete(record, ticket, std::move(*operation.answer), operation.times);
      break;
    case Operation::Kind::release:
      outcome.changed = idem::release(record, ticket);
      break;
    case Operation::Kind::unknown:
      outcome.changed = idem::mark_unknown(record, ticket, operation.times);
      break;
    case Operation::Kind::renew:
      outcome.changed = idem::renew(record, ticket, operation.times);
      break;
    case Operation::Kind::resolve:
      outcome.changed = idem::resolve(record, std::move(operation.answer), operation.times);
      break;
  }
  if (outcome.decision.kind == Decision::replay && record) outcome.answer = record->answer;
  return outcome;
}

void MemoryIdempotencyStore::submit(Operation operation) {
  Outcome outcome;
  {
    const std::lock_guard lock(mutex_);
    const std::string id(operation.ticket.id.data(), operation.ticket.id.size());
    const auto found = records_.find(id);
    std::optional<passport::IdempotencyRecord> record;
    if (found != records_.end()) record = found->second;
    if (!record && operation.kind == Operation::Kind::claim && records_.size() >= kRecords) {
      std::erase_if(records_, [&](const auto& entry) {
        return passport::idempotency::forgotten(entry.second, operation.times.now_ms);
      });
    }
    if (!record && operation.kind == Operation::Kind::claim && records_.size() >= kRecords) {
      outcome.failed = true;
      outcome.fault = "the store is full";
    } else {
      outcome = apply(record, operation);
      if (record)
        records_[id] = std::move(*record);
      else if (found != records_.end())
        records_.erase(id);
    }
  }
  if (operation.done) operation.done(std::move(outcome));
}

Result<std::vector<UnknownOutcome>> MemoryIdempotencyStore::unknown(std::int64_t now_ms, std::size_t most) {
  using State = passport::IdempotencyRecord::State;
  const std::lock_guard lock(mutex_);
  std::vector<UnknownOutcome> all;
  for (const auto& [id, record] : records_) {
    const bool dead = record.state == State::started && record.lease_until_ms <= now_ms;
    if (all.size() == most || (record.state != State::unknown && !dead)) continue;
    UnknownOutcome& each = all.emplace_back();
    std::copy(id.begin(), id.end(), each.id.begin());
    each.label = record.label;
    each.created_ms = record.created_ms;
    each.expires_ms = record.expires_ms;
  }
  return all;
}

}  // namespace weir::store
