#include "weir/server/explain.h"

#include <atomic>
#include <memory>
#include <mutex>
#include <utility>

#include "weir/gateway/decision_record.h"
#include "weir/server/server.h"

namespace weir::server {
namespace {

constexpr Duration kPatience = std::chrono::seconds{2};

// Shared by who asks and the workers' turns. A turn that is never taken (its worker has stopped) touches nothing.
struct Question {
  std::string id;
  io::Reactor* reactor = nullptr;  // of who asks; outlives the workers' threads
  io::Waiter* waiter = nullptr;    // who asks alone; null once it has gone
  std::atomic<std::size_t> missing{0};
  std::mutex mutex;
  std::string found;
  TimePoint found_started{};
};

void answer(const std::shared_ptr<Question>& question, gateway::Worker& worker) {
  const gateway::DecisionRecords::Found found = worker.records.find(question->id);
  if (found.record != nullptr) {
    gateway::RecordContext context;
    context.names = found.names;
    context.started = worker.wall_now() - (worker.reactor.now() - found.record->started);
    context.kind = gateway::to_string(found.kind);
    context.worker = worker.index;
    std::string json = gateway::to_json(*found.record, context);
    const std::lock_guard lock(question->mutex);
    // An id that a client chose may have come to several: the newest.
    if (question->found.empty() || found.record->started > question->found_started) {
      question->found = std::move(json);
      question->found_started = found.record->started;
    }
  }
  if (question->missing.fetch_sub(1) != 1) return;
  question->reactor->post([question] {
    if (question->waiter != nullptr) question->waiter->notify();
  });
}

// Takes the waiter away however the asking ends.
class Asking {
 public:
  explicit Asking(std::shared_ptr<Question> question) : question_(std::move(question)) {}
  Asking(const Asking&) = delete;
  Asking& operator=(const Asking&) = delete;
  ~Asking() { question_->waiter = nullptr; }

 private:
  std::shared_ptr<Question> question_;
};

}  // namespace

async::Task<std::string> find_record(Server& server, gateway::Exchange& asking, std::string id) {
  auto question = std::make_shared<Question>();
  question->id = std::move(id);
  question->reactor = &asking.worker.reactor;
  question->waiter = asking.waiter;
  question->missing = server.workers();
  const Asking until_the_end(question);
  server.post_to_workers([question](gateway::Worker& worker) { answer(question, worker); });
  const Deadline deadline = Deadline::after(asking.worker.reactor.now(), kPatience);
  while (question->missing.load() != 0 && !asking.downstream->gone()) {
    const io::Wake wake = co_await asking.waiter->wait(deadline);
    if (wake != io::Wake::event) break;
  }
  const std::lock_guard lock(question->mutex);
  co_return question->found;
}

}  // namespace weir::server
