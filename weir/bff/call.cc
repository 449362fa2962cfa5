// The life of one call:
//
//   fresh in the cache? -> enough time left? -> fetch -> a success? -> JSON? -> keep it
//                                   otherwise: stale in the cache? -> its fallback -> failed
//
//   (1) The body is validated as a whole before anything looks into it or copies it.
//   (2) The key of the cache is everything that the answer depends on, each piece with its length, so that no two
//       different calls have one key.
#include <algorithm>
#include <array>

#include "weir/base/strings.h"
#include "weir/bff/internal/budget.h"
#include "weir/bff/internal/call.h"

namespace weir::bff::internal {
namespace {

bool is_kept(const SectionSpec& spec) noexcept {
  return spec.cache_for.count() > 0 || spec.stale_if_error.count() > 0;
}

void append_piece(std::string& key, std::string_view piece) {
  key.append(std::to_string(piece.size())).push_back(':');
  key.append(piece);
}

void make_key(const Job& job) {
  std::string& key = job.scratch.cache_key;
  key.clear();
  append_piece(key, job.spec.upstream);
  append_piece(key, job.scratch.target);
  append_piece(key, job.scope);
  if (!job.spec.shared) append_piece(key, job.subject);
}

bool says_json(const http::FetchResponse& response) {
  std::string_view type = response.fields.value(http::Name::content_type);
  type = base::trim(type.substr(0, type.find(';')));
  if (type.empty() || base::iequals(type, "application/json")) return true;
  return type.size() > 5 && base::iequals(type.substr(type.size() - 5), "+json");
}

void fail(Section& out, SectionFailure failure) {
  out.state = SectionState::error;
  out.failure = failure;
}

void show(Section& out, std::string_view json) {
  out.state = SectionState::ok;
  out.failure = SectionFailure::none;
  out.original = json;
}

// A whole answer has come.
void judge(Desk& desk, const Job& job, Section& out) {
  http::FetchResponse& response = out.response;
  out.status = response.status;
  if (job.need == Need::primary && passes_through(response.status)) return fail(out, SectionFailure::status);
  if (response.status < 200 || response.status > 299) return fail(out, SectionFailure::status);
  const std::string_view coding = response.fields.value(http::Name::content_encoding);
  if (!coding.empty() && !base::iequals(coding, "identity")) {
    // Nobody asked for it, and the fetcher did not know it.
    out.fetch = http::FetchFailure::unencoded;
    return fail(out, SectionFailure::call);
  }
  if (response.status == 204 || trim_json(response.body).empty()) return show(out, "null");
  const bool json = says_json(response);
  if (!json && job.spec.text) {
    append_json_string(out.built, response.body);
    return show(out, out.built);
  }
  switch (desk.validator.check(response.body, job.depth_max)) {
    case JsonVerdict::valid:
      return show(out, trim_json(response.body));
    case JsonVerdict::too_deep:
      return fail(out, SectionFailure::too_deep);
    case JsonVerdict::invalid:
      break;
  }
  fail(out, json ? SectionFailure::invalid : SectionFailure::not_json);
}

}  // namespace

bool passes_through(int status) noexcept { return status >= 300 && status <= 499; }

async::Task<void> perform(Desk& desk, const Job& job, Section& out) {
  const SectionSpec& spec = job.spec;
  const TimePoint begin = desk.loop.now();
  const bool kept = desk.cache != nullptr && is_kept(spec);
  SectionCache::Hit hit;
  if (kept) {
    make_key(job);
    hit = desk.cache->get(job.scratch.cache_key, begin);
    if (hit.fresh()) {
      out.cached = std::move(hit.value);
      out.from_cache = true;
      out.age = hit.age;
      show(out, out.cached->json);
      co_return;
    }
  }
  const Deadline end = job.deadline.is_never() ? job.deadline : Deadline::at(job.deadline.when() - kReserve);
  const Duration left = end.remaining(begin);
  const Duration wanted = spec.timeout.value_or(Duration::max());
  if (left < std::min(wanted, kLeastCall)) {
    fail(out, SectionFailure::deadline);
  } else {
    // Without Accept-Encoding any coding would be welcome (RFC 9110 12.5.3). None is asked for: services are near, and
    // packing costs both sides more than the bytes do. What comes packed all the same the fetcher takes off.
    const std::array<http::Field, 3> fields{
        http::Field{"Accept", "application/json", http::Name::accept, false},
        http::Field{"Accept-Encoding", "identity", http::Name::accept_encoding, false},
        http::Field{"Content-Type", "application/json", http::Name::content_type, false}};
    http::FetchRequest request;
    request.upstream = spec.upstream;
    request.method = spec.method;
    request.target = job.scratch.target;
    request.fields = std::span(fields).first(job.scratch.body.empty() ? 2 : 3);
    request.body = job.scratch.body;
    request.label = spec.name;
    request.deadline = Deadline::after(begin, wanted).shrunk_to(end);
    request.body_max = spec.body_max;
    if (spec.method == http::Method::get) request.share = spec.shared ? std::string_view{} : job.subject;
    out.called = true;
    out.started = begin;
    out.fetch = co_await desk.fetcher.fetch(request, out.response);
    out.took = desk.loop.now() - begin;
    if (out.fetch == http::FetchFailure::none)
      judge(desk, job, out);
    else
      fail(out, SectionFailure::call);
  }
  if (out.state == SectionState::ok) {
    if (kept) {
      auto copy = std::make_shared<CachedSection>();
      copy->json = out.original;
      const std::size_t bytes = copy->json.size();
      const cache::Lifetime lifetime{spec.cache_for, spec.stale_if_error};
      desk.cache->put(job.scratch.cache_key, std::move(copy), bytes, desk.loop.now(), lifetime);
    }
    co_return;
  }
  // A client's own mistake is not helped by what was right for an earlier request.
  const bool ours = out.failure == SectionFailure::status && out.status < 500 && out.status != 429;
  if (kept && hit && !ours) {
    out.cached = std::move(hit.value);
    out.from_cache = true;
    out.age = hit.age;
    out.state = SectionState::stale;
    out.original = out.cached->json;
  } else if (spec.fallback) {
    out.state = SectionState::fallback;
    out.original = trim_json(*spec.fallback);
  }
}

namespace {

bool contains(const std::vector<std::string>& names, const JsonMembers& members) {
  return std::any_of(names.begin(), names.end(), [&](const std::string& name) { return members.is(name); });
}

void append_members(std::string_view object, const Shape& shape, std::string& out) {
  JsonMembers members(object);
  bool first = true;
  while (members.next()) {
    if (!shape.allow.empty() && !contains(shape.allow, members)) continue;
    if (contains(shape.deny, members)) continue;
    if (!std::exchange(first, false)) out.push_back(',');
    const auto renamed = std::find_if(shape.rename.begin(), shape.rename.end(),
                                      [&](const auto& rename) { return members.is(rename.first); });
    if (renamed != shape.rename.end())
      append_json_string(out, renamed->second);
    else
      out.append("\"").append(members.key()).append("\"");
    out.push_back(':');
    out.append(members.value());
  }
}

}  // namespace

bool append_shaped(std::string_view json, const Shape& shape, std::string& out) {
  if (!shape.pick.empty()) {
    const std::optional<std::string_view> picked = find_json(json, shape.pick);
    if (!picked) return false;
    json = *picked;
  }
  const bool of_members = !shape.allow.empty() || !shape.deny.empty() || !shape.rename.empty();
  if (!shape.wrap.empty()) {
    out.push_back('{');
    append_json_string(out, shape.wrap);
    out.push_back(':');
  }
  if (!of_members || json == "null") {
    out.append(json);
  } else if (is_json_object(json)) {
    out.push_back('{');
    append_members(json, shape, out);
    out.push_back('}');
  } else if (is_json_array(json)) {
    // Of a list of objects: each of them.
    out.push_back('[');
    JsonElements elements(json);
    for (bool first = true; elements.next(); first = false) {
      if (!is_json_object(elements.value())) return false;
      out.append(first ? "{" : ",{");
      append_members(elements.value(), shape, out);
      out.push_back('}');
    }
    out.push_back(']');
  } else {
    return false;
  }
  if (!shape.wrap.empty()) out.push_back('}');
  return true;
}

}  // namespace weir::bff::internal
