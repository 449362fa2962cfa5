#include "weir/gateway/terminals/bff.h"

#include "weir/async/scope.h"
#include "weir/gateway/answer.h"
#include "weir/gateway/client_watch.h"
#include "weir/gateway/page_fetcher.h"
#include "weir/gateway/page_inputs.h"

namespace weir::gateway {
namespace {

// A page from the worker, back to it whichever way the exchange ends.
class BorrowedPage {
 public:
  explicit BorrowedPage(Worker& worker) : worker_(worker), page_(worker.take_page()) {}
  BorrowedPage(const BorrowedPage&) = delete;
  BorrowedPage& operator=(const BorrowedPage&) = delete;
  ~BorrowedPage() { worker_.return_page(std::move(page_)); }
  bff::Page& operator*() noexcept { return *page_; }

 private:
  Worker& worker_;
  std::unique_ptr<bff::Page> page_;
};

async::Task<void> make(const bff::Plan& plan, const bff::Inputs& inputs, Deadline deadline, bff::Desk& desk,
                       bff::Page& page, io::Waiter& waiter, bool& made) {
  co_await bff::make_page(plan, inputs, deadline, desk, page);
  made = true;
  waiter.notify();
}

// Of a page with more sections than the notes hold, the first are told.
void note_sections(Exchange& exchange, const bff::Page& page) {
  for (std::size_t i = 0; i < page.sections.size(); ++i) {
    const bff::Section& section = page.sections[i];
    Note& note = exchange.notes.add<Note::Kind::section>(static_cast<std::uint32_t>(section.state),
                                                         static_cast<std::uint32_t>(i));
    note.n[0] = static_cast<std::uint32_t>(section.status);
    note.n[1] = static_cast<std::uint32_t>(micros_of_ticks(to_ticks(section.took)));
    note.n[2] = static_cast<std::uint32_t>(section.fetch);
  }
}

}  // namespace

async::Task<void> BffTerminal::serve(Exchange& exchange) {
  exchange.record.stage = "bff";
  Worker& worker = exchange.worker;
  BorrowedPage borrowed(worker);
  bff::Page& page = *borrowed;
  PageInputs inputs(exchange);
  PageFetcher fetcher(exchange);
  bff::Desk desk{fetcher, worker.reactor, worker.json_validator, cache_.get()};
  ClientWatch watch(exchange);
  bool made = false;
  bool left = false;
  {
    async::Scope scope;
    scope.spawn(make(*plan_, inputs, exchange.deadline, desk, page, *exchange.waiter, made));
    while (!made && !left) {
      const io::Wake wake = co_await exchange.waiter->wait(watch.gone_deadline());
      watch.observe(false);
      left = !made && (wake == io::Wake::cancelled || exchange.downstream->gone() || watch.gone());
    }
  }
  exchange.record.attempts = fetcher.attempts();
  note_sections(exchange, page);
  exchange.release_stages();
  if (left) {
    exchange.record.client_gone = true;
    exchange.downstream->abort_answer();
    co_return;
  }
  exchange.record.upstream_time = page.took;
  exchange.record.degraded = !page.complete;
  answer(exchange, page);
  count(exchange, page);
  co_await send_own_answer(exchange);
}

void BffTerminal::answer(Exchange& exchange, bff::Page& page) {
  std::string& text = exchange.worker.scratch;
  const auto add = [&](std::string_view name, http::Name id = http::Name::other) {
    if (!text.empty()) exchange.add_answer_field(name, exchange.arena.keep(text), id);
    text.clear();
  };
  text.clear();
  page.append_sections(*plan_, text);
  add("Weir-Sections");
  exchange.add_answer_field("Weir-Complete", page.complete ? "?1" : "?0");
  if (plan_->spec().server_timing) page.append_server_timing(*plan_, text), add("Server-Timing");
  if (!page.complete) exchange.add_answer_field("Cache-Control", "no-store", http::Name::cache_control);
  if (page.lost && !page.passed_through) {
    const bff::Section& section = page.sections[*page.lost];
    text.assign("section ").append(plan_->nodes()[*page.lost].spec.name).append(": ");
    text.append(bff::error_word(section.failure, section.fetch));
    const std::string_view detail = exchange.arena.keep(text);
    return exchange.refuse("bff", Problem::section_required, detail, page.status);
  }
  text.clear();
  page.append_proxy_status(*plan_, "weir", text);
  add("Proxy-Status", http::Name::proxy_status);
  for (const bff::PageField& field : page.fields)
    exchange.add_answer_field(field.name, field.value, http::parse_name(field.name));
  exchange.own.status = page.status;
  exchange.own.content_type = page.content_type;
  exchange.own.body = page.body;
}

void BffTerminal::count(Exchange& exchange, const bff::Page& page) const {
  metrics::Shard& shard = exchange.worker.shard;
  for (std::size_t i = 0; i < page.sections.size(); ++i)
    shard.add(section_counters_[i][static_cast<std::size_t>(page.sections[i].state)]);
  if (exchange.record.problem == Problem::none) return shard.add(counters_.pass);
  for (const auto& [problem, counter] : counters_.refusals)
    if (problem == exchange.record.problem) return shard.add(counter);
}

}  // namespace weir::gateway
