// See idempotency.h. draft-ietf-httpapi-idempotency-key-header-07 for the key; the states are our own.
//
//   (1) From started only the owner of that attempt leads on; from a dead lease only unknown.
//   (2) No function leads from unknown to run. Only resolve() frees it, and it is a person who calls that.
//   (3) A late completion of an attempt that was given up as unknown still counts: it is the truth about it, and nobody
//       can have started another.
#include "weir/passport/idempotency.h"

#include <algorithm>
#include <cstring>

#include "weir/base/check.h"
#include "weir/passport/internal/openssl.h"

namespace weir::passport {
namespace {

constexpr std::size_t kKeyBytes = 255;

bool is_visible(char c) noexcept { return c > 0x20 && c < 0x7f; }

Error malformed() {
  return Error(ErrorCode::malformed, "an idempotency key is 1 to 255 visible ASCII characters");
}

// RFC 9651 4.2.5, whole field; no parameters.
Result<std::string> parse_quoted(std::string_view text) {
  std::string key;
  std::size_t at = 1;
  for (; at < text.size() && text[at] != '"'; ++at) {
    if (text[at] == '\\') {
      ++at;
      if (at == text.size() || (text[at] != '"' && text[at] != '\\')) return malformed();
    }
    if (!is_visible(text[at])) return malformed();
    key += text[at];
  }
  if (at + 1 != text.size()) return malformed();  // no closing quote, or something behind it
  return key;
}

std::string length_prefix(std::size_t length) {
  std::string out(8, '\0');
  for (std::size_t i = 0; i < 8; ++i)
    out[i] = static_cast<char>(static_cast<std::uint64_t>(length) >> (8 * (7 - i)));
  return out;
}

}  // namespace

Result<std::string> parse_idempotency_key(std::string_view text) {
  if (text.empty() || text.size() > 2 * kKeyBytes + 2) return malformed();
  if (text.front() == '"') {
    Result<std::string> key = parse_quoted(text);
    if (key && (key->empty() || key->size() > kKeyBytes)) return malformed();
    return key;
  }
  if (text.size() > kKeyBytes) return malformed();
  for (const char c : text)
    if (!is_visible(c) || c == '"' || c == ',') return malformed();
  return std::string(text);
}

struct Fingerprint::State {
  internal::MdCtx ctx{EVP_MD_CTX_new()};
  std::uint64_t body_bytes = 0;
};

Fingerprint::Fingerprint() : state_(std::make_unique<State>()) {
  const internal::Md sha(EVP_MD_fetch(nullptr, "SHA256", nullptr));
  WEIR_CHECK(EVP_DigestInit_ex2(state_->ctx.get(), sha.get(), nullptr) == 1);
}
Fingerprint::~Fingerprint() = default;
Fingerprint::Fingerprint(Fingerprint&&) noexcept = default;
Fingerprint& Fingerprint::operator=(Fingerprint&&) noexcept = default;

void Fingerprint::add_piece(std::string_view piece) {
  const std::string length = length_prefix(piece.size());
  EVP_DigestUpdate(state_->ctx.get(), length.data(), length.size());
  EVP_DigestUpdate(state_->ctx.get(), piece.data(), piece.size());
}

void Fingerprint::add_body(std::string_view part) {
  state_->body_bytes += part.size();
  EVP_DigestUpdate(state_->ctx.get(), part.data(), part.size());
}

Sha256 Fingerprint::finish() {
  const std::string length = length_prefix(state_->body_bytes);
  EVP_DigestUpdate(state_->ctx.get(), length.data(), length.size());
  Sha256 out{};
  unsigned written = 0;
  WEIR_CHECK(EVP_DigestFinal_ex(state_->ctx.get(), reinterpret_cast<unsigned char*>(out.data()), &written) ==
             1);
  return out;
}

Sha256 idempotency_id(std::string_view route, std::string_view principal, std::string_view key) {
  std::string joined;
  for (const std::string_view piece : {route, principal, key}) {
    joined += length_prefix(piece.size());
    joined += piece;
  }
  const std::string digest = internal::sha256(joined);
  Sha256 out{};
  std::copy(digest.begin(), digest.end(), out.begin());
  return out;
}

bool is_retry_signal(int status) noexcept {
  return status == 408 || status == 425 || status == 429 || status == 503;
}

namespace idempotency {
namespace {

using State = IdempotencyRecord::State;
using Kind = IdempotencyDecision::Kind;

bool owns(const std::optional<IdempotencyRecord>& record, const IdempotencyTicket& ticket) {
  return record && record->state != State::completed && record->owner == ticket.owner &&
         record->attempt == ticket.attempt;
}

IdempotencyDecision of_kind(Kind kind) {
  IdempotencyDecision decision;
  decision.kind = kind;
  return decision;
}

}  // namespace

bool forgotten(const IdempotencyRecord& record, std::int64_t now_ms) {
  return record.state != State::started && record.expires_ms <= now_ms;
}

IdempotencyDecision look_up(const std::optional<IdempotencyRecord>& record, const Sha256& fingerprint,
                            const IdempotencyTimes& times) {
  if (!record || forgotten(*record, times.now_ms)) return of_kind(Kind::run);
  if (record->fingerprint != fingerprint) return of_kind(Kind::mismatch);
  if (record->state == State::completed) return of_kind(Kind::replay);
  if (record->state == State::unknown || record->lease_until_ms <= times.now_ms)
    return of_kind(Kind::unknown);
  IdempotencyDecision decision = of_kind(Kind::in_flight);
  decision.retry_after_ms = record->lease_until_ms - times.now_ms;
  return decision;
}

IdempotencyDecision claim(std::optional<IdempotencyRecord>& record, const Sha256& fingerprint,
                          std::string_view owner, std::string_view label, const IdempotencyTimes& times) {
  // Before the look: a repeat that carries another fingerprint must leave the state as true as any other.
  if (record && record->state == State::started && record->lease_until_ms <= times.now_ms) {
    record->state = State::unknown;
    record->expires_ms = times.now_ms + times.ttl_ms;
  }
  IdempotencyDecision decision = look_up(record, fingerprint, times);
  if (decision.kind != Kind::run) return decision;
  IdempotencyRecord started;
  started.owner = owner;
  started.fingerprint = fingerprint;
  started.created_ms = times.now_ms;
  started.lease_until_ms = times.now_ms + times.lease_ms;
  started.label = label;
  // A number never used for this key as long as its record is remembered.
  started.attempt = record ? record->attempt + 1 : 1;
  decision.attempt = started.attempt;
  record = std::move(started);
  return decision;
}

bool complete(std::optional<IdempotencyRecord>& record, const IdempotencyTicket& ticket, StoredAnswer answer,
              const IdempotencyTimes& times) {
  if (!owns(record, ticket)) return false;
  record->state = State::completed;
  record->answer = std::move(answer);
  record->expires_ms = times.now_ms + times.ttl_ms;
  return true;
}

bool release(std::optional<IdempotencyRecord>& record, const IdempotencyTicket& ticket) {
  if (!owns(record, ticket)) return false;
  record.reset();
  return true;
}

bool mark_unknown(std::optional<IdempotencyRecord>& record, const IdempotencyTicket& ticket,
                  const IdempotencyTimes& times) {
  if (!owns(record, ticket)) return false;
  record->state = State::unknown;
  record->expires_ms = times.now_ms + times.ttl_ms;
  return true;
}

bool renew(std::optional<IdempotencyRecord>& record, const IdempotencyTicket& ticket,
           const IdempotencyTimes& times) {
  if (!owns(record, ticket) || record->state != State::started) return false;
  record->lease_until_ms = times.now_ms + times.lease_ms;
  return true;
}

bool resolve(std::optional<IdempotencyRecord>& record, std::optional<StoredAnswer> answer,
             const IdempotencyTimes& times) {
  if (!record || forgotten(*record, times.now_ms)) return false;
  const bool dead = record->state == State::started && record->lease_until_ms <= times.now_ms;
  if (record->state != State::unknown && !dead) return false;
  if (!answer) {
    record.reset();
    return true;
  }
  record->state = State::completed;
  record->answer = std::move(*answer);
  record->expires_ms = times.now_ms + times.ttl_ms;
  return true;
}

}  // namespace idempotency
}  // namespace weir::passport
