// The example of README.md, compiled and run by the tests.
#include <iostream>

#include "weir/base/base64.h"
#include "weir/base/deadline.h"
#include "weir/base/result.h"

int main() {
  weir::ManualClock clock;
  weir::Deadline page = weir::Deadline::after(clock.now(), std::chrono::milliseconds{500});
  weir::Deadline call = page.shrunk_to(clock.now() + std::chrono::milliseconds{200});
  clock.advance(std::chrono::milliseconds{200});
  std::cout << "call expired: " << call.expired(clock.now()) << ", page: " << page.expired(clock.now())
            << "\n";

  weir::Result<std::string> bytes = weir::base::base64_decode("aGk=");
  if (!bytes) return std::cerr << bytes.error().to_text() << "\n", 1;
  std::cout << *bytes << "\n";
  return *bytes == "hi" ? 0 : 1;
}
