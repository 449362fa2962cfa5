#include "weir/gateway/stage.h"

namespace weir::gateway {

std::string_view to_string(Verdict verdict) noexcept {
  switch (verdict) {
    case Verdict::proceed:
      return "pass";
    case Verdict::refuse:
      return "refuse";
    case Verdict::answer:
      return "answer";
  }
  return "pass";
}

}  // namespace weir::gateway
