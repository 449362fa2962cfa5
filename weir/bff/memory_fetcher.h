// MemoryFetcher: services in memory, in virtual time, for tests of pages.
//
//   async::ManualLoop loop;
//   MemoryFetcher services(loop);
//   services.on("users", "/v1/users/17").reply(R"({"id":17})").after(12ms);
//   services.on("recs").fail(http::FetchFailure::refused);
//
// The most specific rule that matches answers: upstream and target, else the upstream alone; without a rule a call is
// FetchFailure::unknown. A call ends at its deadline with `timeout` unless its rule hangs past it on purpose. What was
// called, when, and what was abandoned is recorded. One thread.
#ifndef WEIR_BFF_MEMORY_FETCHER_H_
#define WEIR_BFF_MEMORY_FETCHER_H_

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "weir/async/timer.h"
#include "weir/http/fetcher.h"

namespace weir::bff {

class MemoryFetcher final : public http::Fetcher {
 public:
  class Rule {
   public:
    Rule& reply(std::string body, int status = 200) {
      body_ = std::move(body), status_ = status, failure_ = http::FetchFailure::none;
      return *this;
    }
    Rule& fail(http::FetchFailure failure) {
      failure_ = failure;
      return *this;
    }
    Rule& after(Duration delay) {
      delay_ = delay;
      return *this;
    }
    Rule& field(std::string name, std::string value) {
      fields_.emplace_back(std::move(name), std::move(value));
      return *this;
    }
    // Never answers, and does not keep to its deadline either.
    Rule& hang() {
      hangs_ = true;
      return *this;
    }
    std::size_t calls() const noexcept { return calls_; }

   private:
    friend class MemoryFetcher;
    std::string body_ = "null";
    int status_ = 200;
    http::FetchFailure failure_ = http::FetchFailure::none;
    Duration delay_{};
    bool hangs_ = false;
    std::vector<std::pair<std::string, std::string>> fields_;
    std::size_t calls_ = 0;
  };

  struct Call {
    std::string upstream;
    std::string target;
    std::string body;
    TimePoint started{};
    Deadline deadline;
  };

  explicit MemoryFetcher(async::Loop& loop) noexcept : loop_(loop) {}

  // The rule for that upstream and target ("": any), made when there is none. Good until the fetcher goes.
  Rule& on(std::string_view upstream, std::string_view target = {});
  void record_calls(bool on) noexcept { records_ = on; }
  const std::vector<Call>& calls() const noexcept { return calls_; }
  std::size_t in_flight() const noexcept { return in_flight_; }
  std::size_t most_in_flight() const noexcept { return most_; }
  std::size_t abandoned() const noexcept { return abandoned_; }

  async::Task<http::FetchFailure> fetch(const http::FetchRequest& request,
                                        http::FetchResponse& response) override;

 private:
  class Guard;
  Rule* find(std::string_view upstream, std::string_view target);

  async::Loop& loop_;
  std::map<std::string, std::map<std::string, Rule, std::less<>>, std::less<>> rules_;
  std::vector<Call> calls_;
  std::size_t in_flight_ = 0;
  std::size_t most_ = 0;
  std::size_t abandoned_ = 0;
  bool records_ = true;
};

}  // namespace weir::bff

#endif  // WEIR_BFF_MEMORY_FETCHER_H_
