// `schema_cases COUNT`: documents drawn from the table of keys, one JSON object {"valid", "fault", "document"} a line, for a
// validator that is not ours (tests/house/schema_agreement.py).
#include <cstdlib>
#include <iostream>

#include "weir/config/schema_generator.h"

int main(int argc, char** argv) {
  const std::uint64_t count = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 100;
  for (std::uint64_t seed = 1; seed <= count; ++seed) {
    std::string fault;
    std::cout << R"({"valid":true,"fault":"","document":)" << weir::config::testing::Generator(seed).valid()
              << "}\n";
    const std::string spoilt = weir::config::testing::Generator(seed).faulty(&fault);
    if (spoilt.empty()) continue;
    std::string escaped;
    weir::base::append_json_escaped(escaped, fault);
    std::cout << R"({"valid":false,"fault":")" << escaped << R"(","document":)" << spoilt << "}\n";
  }
  return 0;
}
