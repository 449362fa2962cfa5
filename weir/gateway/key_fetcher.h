// KeyFetcher: keeps the key sets that come from a URL fresh. One for the process, on a thread of its own.
//
// Workers never wait for a provider but for an unknown kid, and then at most as long as they choose: ask() says whether
// a fetch is worth waiting for, and the promise is set when it has ended. When fetches are due is KeySchedule's
// (weir/passport); here is the network, the disk and the thread.
//
//   (1) Only an answer with status 200 that parses to at least one usable key replaces a set. A set is replaced whole.
//   (2) Redirects are not followed. A discovery document must name exactly the configured issuer, and a jwks_uri of the
//       same origin. Answers are at most 512 KiB and have 5 s.
//   (3) The last good set is written to `persist` (mode 0600, by rename) and read at the start, so that a restart
//       while the provider is down still knows whom to trust.
#ifndef WEIR_GATEWAY_KEY_FETCHER_H_
#define WEIR_GATEWAY_KEY_FETCHER_H_

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "weir/base/clock.h"
#include "weir/base/random.h"
#include "weir/base/result.h"
#include "weir/gateway/remote_answer.h"
#include "weir/passport/jwk.h"
#include "weir/passport/key_schedule.h"

namespace weir::gateway {

struct KeySourceOptions {
  std::string provider;  // for logs
  std::string url;       // of the key set, or of the discovery document
  bool discover = false;
  std::string issuer;   // what the document must say
  std::string persist;  // "" none
  passport::KeySet::Options keys;
  passport::KeySchedule::Options schedule;
};

struct FetchedDocument {
  int status = 0;
  std::string body;
  Duration max_age{};  // Cache-Control: max-age; zero when absent
};

class KeyFetcher {
 public:
  using Get = std::function<Result<FetchedDocument>(const std::string& url)>;
  using Note = std::function<void(const std::string& line)>;  // for the log; any thread

  KeyFetcher(const Clock& clock, Get get, Note note, std::uint64_t seed);
  ~KeyFetcher() { stop(); }
  KeyFetcher(const KeyFetcher&) = delete;
  KeyFetcher& operator=(const KeyFetcher&) = delete;

  // The ring of this source, fed from now on as long as somebody holds it. The same options give the same ring.
  std::shared_ptr<passport::KeyRing> source(const KeySourceOptions& options);

  enum class Ask : std::uint8_t { waiting, no, failing };
  // For a kid that `ring` does not hold. waiting: the promise will be set; no: nothing better is to be had; failing:
  // the provider does not answer, so the token may be good all the same.
  Ask ask(const passport::KeyRing& ring, std::string_view kid, RemoteAnswer<bool>::Promise promise);

  // Joins the thread. Nothing is set afterwards.
  void stop();

  struct Status {
    std::string provider;
    std::uint64_t fetches = 0, failures = 0;
    std::size_t keys = 0;
  };
  std::vector<Status> statuses() const;

  // One turn: fetches what is due. The thread's work; tests call it by themselves. Returns when to come again.
  TimePoint run_due();
  void start_thread();

 private:
  struct Source;
  Result<void> fetch(Source& source);
  Result<FetchedDocument> get_keys(Source& source);
  void finish(Source& source, const Result<void>& fetched);
  void run();

  const Clock& clock_;
  const Get get_;
  const Note note_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::map<std::string, std::shared_ptr<Source>> sources_;
  base::Random random_;
  bool stopping_ = false;
  std::thread thread_;
};

// GET over weir's own client on a loop of its own: blocks at most `patience`. http:// and https://. For KeyFetcher.
Result<FetchedDocument> http_get(const std::string& url, Duration patience);

}  // namespace weir::gateway

#endif  // WEIR_GATEWAY_KEY_FETCHER_H_
