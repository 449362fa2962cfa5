#include "weir/gateway/key_fetcher.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <utility>

#include "weir/base/strings.h"

namespace weir::gateway {
namespace {

constexpr std::size_t kDocumentMax = 64 * 1024;  // of a discovery document

// "http://host:port" of an address.
std::string_view origin_of(std::string_view url) {
  const std::size_t scheme = url.find("://");
  if (scheme == std::string_view::npos) return {};
  return url.substr(0, url.find_first_of("/?#", scheme + 3));
}

Error bad(std::string_view what) { return Error(ErrorCode::malformed, what, ErrorSource::upstream); }

// Whole or not at all: a file beside it, then a rename. Readable for the owner alone.
Result<void> write_private(const std::string& path, std::string_view text) {
  const std::string fresh = path + ".new";
  const int fd = ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return Error::from_errno(errno, "open " + fresh);
  const ssize_t written = ::write(fd, text.data(), text.size());
  const bool whole = written == static_cast<ssize_t>(text.size()) && ::fsync(fd) == 0;
  const int fault = errno;
  ::close(fd);
  if (!whole) return Error::from_errno(fault, "write " + fresh);
  if (std::rename(fresh.c_str(), path.c_str()) != 0) return Error::from_errno(errno, "rename " + fresh);
  return {};
}

}  // namespace

struct KeyFetcher::Source {
  explicit Source(KeySourceOptions from) : options(std::move(from)), schedule(options.schedule) {}

  struct Waiting {
    std::string kid;
    RemoteAnswer<bool>::Promise promise;
  };

  const KeySourceOptions options;
  std::weak_ptr<passport::KeyRing> ring;
  passport::KeySchedule schedule;  // under the fetcher's mutex, as all below
  std::vector<Waiting> waiting;
  std::uint64_t fetches = 0, failures = 0;
  Duration max_age{};  // of the answer that is being dealt with
};

KeyFetcher::KeyFetcher(const Clock& clock, Get get, Note note, std::uint64_t seed)
    : clock_(clock), get_(std::move(get)), note_(std::move(note)), random_(seed) {}

std::shared_ptr<passport::KeyRing> KeyFetcher::source(const KeySourceOptions& options) {
  std::string name = options.url + '\n' + options.issuer + '\n' + options.persist + '\n' + options.provider;
  for (const passport::Algorithm algorithm : options.keys.allowed)
    name.append(to_string(algorithm)).append(",");
  const std::lock_guard lock(mutex_);
  std::shared_ptr<Source>& source = sources_[name];
  if (source != nullptr)
    if (std::shared_ptr<passport::KeyRing> ring = source->ring.lock()) return ring;
  source = std::make_shared<Source>(options);
  auto ring = std::make_shared<passport::KeyRing>();
  source->ring = ring;
  if (!options.persist.empty()) {
    std::ifstream file(options.persist, std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    if (!text.empty()) {
      Result<passport::KeySet> kept = passport::KeySet::parse(text, options.keys);
      if (kept) {
        ring->publish(std::move(*kept));
        source->schedule.restored(clock_.now());
      }
      note_("keys of " + options.provider + ": " +
            (kept ? std::string("those of the last run serve until the provider answers")
                  : options.persist + " is not usable: " + kept.error().detail));
    }
  }
  wake_.notify_all();
  return ring;
}

KeyFetcher::Ask KeyFetcher::ask(const passport::KeyRing& ring, std::string_view kid,
                                RemoteAnswer<bool>::Promise promise) {
  const std::lock_guard lock(mutex_);
  for (const auto& [name, source] : sources_) {
    const std::shared_ptr<passport::KeyRing> theirs = source->ring.lock();
    if (theirs.get() != &ring) continue;
    const passport::KeySchedule::Ask answer = source->schedule.ask(kid, clock_.now());
    if (answer == passport::KeySchedule::Ask::no) return source->schedule.failing() ? Ask::failing : Ask::no;
    source->waiting.push_back(Source::Waiting{std::string(kid), std::move(promise)});
    if (answer == passport::KeySchedule::Ask::fetch) source->schedule.request(clock_.now());
    wake_.notify_all();
    return Ask::waiting;
  }
  return Ask::no;
}

void KeyFetcher::start_thread() {
  const std::lock_guard lock(mutex_);
  if (!thread_.joinable() && !stopping_) thread_ = std::thread([this] { run(); });
}

void KeyFetcher::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    wake_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
  // Promises that nobody will keep are given up while the reactors are still there.
  const std::lock_guard lock(mutex_);
  sources_.clear();
}

void KeyFetcher::run() {
  for (;;) {
    const TimePoint next = run_due();
    std::unique_lock lock(mutex_);
    if (stopping_) return;
    const Duration wait =
        std::clamp<Duration>(next - clock_.now(), std::chrono::milliseconds{10}, std::chrono::seconds{60});
    bool due = false;
    for (const auto& [name, source] : sources_) due = due || source->schedule.due(clock_.now());
    if (!due) wake_.wait_for(lock, wait);
    if (stopping_) return;
  }
}

TimePoint KeyFetcher::run_due() {
  TimePoint next = TimePoint::max();
  std::vector<std::shared_ptr<Source>> due;
  {
    const std::lock_guard lock(mutex_);
    std::erase_if(sources_, [](const auto& entry) { return entry.second->ring.expired(); });
    for (const auto& [name, source] : sources_) {
      if (!source->schedule.due(clock_.now())) continue;
      source->schedule.started(clock_.now());
      ++source->fetches;
      due.push_back(source);
    }
  }
  for (const std::shared_ptr<Source>& source : due) finish(*source, fetch(*source));
  const std::lock_guard lock(mutex_);
  for (const auto& [name, source] : sources_) {
    if (source->schedule.outlived(clock_.now())) {
      if (const std::shared_ptr<passport::KeyRing> ring = source->ring.lock())
        ring->publish(passport::KeySet());
      source->schedule.emptied();
      note_("keys of " + source->options.provider + ": the last set is too old and serves no more");
    }
    next = std::min(next, source->schedule.next());
  }
  return next;
}

Result<FetchedDocument> KeyFetcher::get_keys(Source& source) {
  const KeySourceOptions& options = source.options;
  std::string url = options.url;
  if (options.discover) {
    Result<FetchedDocument> document = get_(url);
    if (!document) return document.error();
    if (document->status != 200)
      return bad("the discovery document has status " + std::to_string(document->status));
    passport::Json::Limits limits;
    limits.bytes = kDocumentMax;
    const Result<passport::Json> json = passport::Json::parse(document->body, limits);
    if (!json) return bad("the discovery document is no JSON");
    const passport::Json* issuer = json->find("issuer");
    if (issuer == nullptr || issuer->text() != options.issuer)
      return bad("the discovery document names another issuer");
    const passport::Json* jwks_uri = json->find("jwks_uri");
    if (jwks_uri == nullptr || jwks_uri->text().empty()) return bad("the discovery document has no jwks_uri");
    if (origin_of(jwks_uri->text()) != origin_of(url)) return bad("jwks_uri is of another origin");
    url = jwks_uri->text();
  }
  Result<FetchedDocument> keys = get_(url);
  if (keys && keys->status != 200) return bad("the key set has status " + std::to_string(keys->status));
  return keys;
}

Result<void> KeyFetcher::fetch(Source& source) {
  Result<FetchedDocument> document = get_keys(source);
  if (!document) return document.error();
  Result<passport::KeySet> keys = passport::KeySet::parse(document->body, source.options.keys);
  if (!keys) return keys.error();
  for (const std::string& skipped : keys->skipped())
    note_("keys of " + source.options.provider + ": one is left out: " + skipped);
  if (const std::shared_ptr<passport::KeyRing> ring = source.ring.lock()) ring->publish(std::move(*keys));
  source.max_age = document->max_age;
  if (source.options.persist.empty()) return {};
  if (const Result<void> kept = write_private(source.options.persist, document->body); !kept)
    note_("keys of " + source.options.provider + ": not kept for the next start: " + kept.error().to_text());
  return {};
}

void KeyFetcher::finish(Source& source, const Result<void>& fetched) {
  std::vector<Source::Waiting> waiting;
  {
    const std::lock_guard lock(mutex_);
    const TimePoint now = clock_.now();
    waiting = std::move(source.waiting);
    source.waiting.clear();
    if (fetched) {
      if (source.schedule.failing())
        note_("keys of " + source.options.provider + ": the provider answers again");
      source.schedule.succeeded(now, source.max_age, static_cast<double>(random_.below(1000)) / 1000.0);
      const std::shared_ptr<passport::KeyRing> ring = source.ring.lock();
      const std::shared_ptr<const passport::KeySet> keys = ring == nullptr ? nullptr : ring->current();
      for (const Source::Waiting& each : waiting) {
        bool known = false;
        if (keys != nullptr)
          for (const auto& key : keys->keys()) known = known || key->kid() == each.kid;
        if (!known) source.schedule.remember_unknown(each.kid, now);
      }
    } else {
      ++source.failures;
      source.schedule.failed(now);
      note_("keys of " + source.options.provider + ": " + fetched.error().to_text() +
            (source.schedule.has_keys() ? "; the last good set goes on serving" : "; there are none"));
    }
  }
  for (Source::Waiting& each : waiting) each.promise.set(fetched.has_value());
}

std::vector<KeyFetcher::Status> KeyFetcher::statuses() const {
  const std::lock_guard lock(mutex_);
  std::vector<Status> all;
  for (const auto& [name, source] : sources_) {
    Status& status = all.emplace_back();
    status.provider = source->options.provider;
    status.fetches = source->fetches;
    status.failures = source->failures;
    if (const auto ring = source->ring.lock())
      if (const auto keys = ring->current()) status.keys = keys->keys().size();
  }
  return all;
}

}  // namespace weir::gateway
