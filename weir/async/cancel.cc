#include "weir/async/cancel.h"

namespace weir::async {

CancelSource::CancelSource(CancelSource* parent) noexcept {
  if (parent != nullptr) parent->add(*this);
}

void CancelSource::cancel() noexcept {
  if (cancelled_) return;
  cancelled_ = true;
  while (!hooks_.empty()) hooks_.pop_front().on_cancel();
}

void CancelSource::add(CancelHook& hook) noexcept {
  if (cancelled_) {
    hook.on_cancel();
    return;
  }
  hooks_.push_back(hook);
}

}  // namespace weir::async
