// The example of README.md, compiled and run by the tests.
#include <iostream>

#include "weir/async/timer.h"
#include "weir/async/when_all.h"

using namespace weir;
using namespace std::chrono_literals;

async::Task<int> ask(async::Loop& loop, Duration time, int answer) {
  const bool slept = co_await async::sleep_until(loop, loop.now() + time, nullptr);
  co_return slept ? answer : -1;
}

async::Task<void> page(async::Loop& loop, int& sum) {
  std::vector<async::Task<int>> calls;
  calls.push_back(ask(loop, 30ms, 1));
  calls.push_back(ask(loop, 20ms, 2));
  for (const int answer : co_await async::when_all(std::move(calls))) sum = 10 * sum + answer;
}

int main() {
  async::ManualLoop loop;  // time moves by hand
  async::Scope scope;
  int sum = 0;
  scope.spawn(page(loop, sum));
  loop.advance(30ms);
  std::cout << sum << "\n";
  return sum == 12 && scope.running() == 0 ? 0 : 1;
}
