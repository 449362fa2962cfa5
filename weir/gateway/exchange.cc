#include "weir/gateway/exchange.h"

#include <algorithm>
#include <bit>

#include "weir/base/put.h"
#include "weir/gateway/plan.h"

namespace weir::gateway {

char* TextArena::allocate_slow(std::size_t bytes) {
  for (;;) {
    char* base = block_ == 0 ? first_.data() : blocks_[block_ - 1].first.get();
    const std::size_t size = block_ == 0 ? kFirst : blocks_[block_ - 1].second;
    if (size - used_ >= bytes) {
      char* place = base + used_;
      used_ += bytes;
      return place;
    }
    if (block_ == blocks_.size()) {
      const std::size_t wanted = std::max<std::size_t>(bytes, 4 * 1024);
      blocks_.emplace_back(std::make_unique<char[]>(wanted), wanted);
    }
    ++block_;
    used_ = 0;
  }
}

std::string_view TextArena::keep(std::string_view text) {
  char* place = allocate(text.size());
  base::put(place, text);
  return {place, text.size()};
}

std::string_view TextArena::concat(std::initializer_list<std::string_view> pieces) {
  std::size_t size = 0;
  for (const std::string_view piece : pieces) size += piece.size();
  char* place = allocate(size);
  char* at = place;
  for (const std::string_view piece : pieces) at = base::put(at, piece);
  return {place, size};
}

void TextArena::clear() noexcept {
  if (blocks_.size() > kKeptBlocks) blocks_.resize(kKeptBlocks);
  block_ = used_ = 0;
}

void Exchange::begin(Downstream& client_side, io::Waiter& waiter_of_client, TimePoint time) noexcept {
  end();
  downstream = &client_side;
  waiter = &waiter_of_client;
  now = time;
  started = time;
  deadline = Deadline::never();
}

void Exchange::end() noexcept {
  while (slots_used_ != 0) destroy_slot(static_cast<std::size_t>(std::bit_width(slots_used_)) - 1);
  if (plan != nullptr) worker.leave_plan(std::exchange(plan, nullptr));
  route = nullptr;
  request.clear();
  identity.reset();
  path = id = wildcard = traceparent = proxy_state = client_text_ = peer_text = {};
  peer = client = base::IpAddress{};
  encoded_slash = peer_trusted = secure = released_ = false;
  body.clear();
  identity_fields_.clear();
  answer_fields_.clear();
  own = OwnAnswer{};
  own_body.clear();
  arena.clear();
  record = Record{};
  notes.clear();
  explain = false;
  tracing.clear();
  stages_entered = 0;
  decisions = nullptr;
  override_text = {};
  tee = nullptr;
  chosen_upstream.reset();
  downstream = nullptr;
  waiter = nullptr;
}

void Exchange::destroy_slot(std::size_t index) noexcept {
  if (destroy_[index] == nullptr) return;
  slots_used_ &= ~(1U << index);
  std::exchange(destroy_[index], nullptr)(slots_[index].bytes);
}

void Exchange::set_request_field(http::Name id_of_name, std::string_view name, std::string_view value) {
  const bool known = id_of_name != http::Name::other;
  if (!known || request.fields.has(id_of_name)) {
    request.fields.remove_if([&](const http::Field& field) {
      return known ? field.id == id_of_name : base::iequals(field.name, name);
    });
  }
  request.fields.add({name, value, id_of_name, false});
}

void Exchange::set_identity_field(std::string_view name, std::string_view value) {
  if (!identity_fields_.empty())
    identity_fields_.remove_if([&](const http::Field& field) { return base::iequals(field.name, name); });
  identity_fields_.add({name, value, http::Name::other, false});
}

void Exchange::refuse(std::string_view stage, Problem problem, std::string_view detail, int status) {
  record.stage = stage;
  record.problem = problem;
  own.status = status != 0 ? status : describe(problem).status;
  own_body.clear();
  append_problem_json(own_body, problem, own.status, detail, id);
  own.body = own_body;
  own.content_type = "application/problem+json";
  std::string& proxy_status = worker.scratch;  // a flood of refusals costs the heap nothing
  proxy_status.clear();
  append_proxy_status(proxy_status, problem, detail);
  add_answer_field("Proxy-Status", arena.keep(proxy_status), http::Name::proxy_status);
}

void Exchange::set_retry_after(Duration wait) {
  const auto seconds = std::max<std::int64_t>(1, std::chrono::ceil<std::chrono::seconds>(wait).count());
  for (const http::Field& field : answer_fields_)
    if (field.id == http::Name::retry_after) return;
  add_answer_field("Retry-After", arena.keep(std::to_string(seconds)), http::Name::retry_after);
}

void Exchange::release_stages() noexcept {
  if (std::exchange(released_, true) || route == nullptr) return;
  for (std::size_t i = stages_entered; i-- > 0;) route->stages[i]->release(*this);
}

}  // namespace weir::gateway
