// The atomics and the mutex that this part is built from.
//
// Ordinarily those of the standard library. interleaving_test compiles the sources once more with
// WEIR_RESILIENCE_STEPPED, which puts in their place ones that hand control to a scheduler before each step,
// so that every order of the steps of a few threads can be tried.
#ifndef WEIR_RESILIENCE_INTERNAL_SYNC_H_
#define WEIR_RESILIENCE_INTERNAL_SYNC_H_

#ifdef WEIR_RESILIENCE_STEPPED
#include "weir/resilience/internal/stepped_sync.h"
#else

#include <atomic>
#include <mutex>

namespace weir::resilience::internal {

template <class T>
using Atomic = std::atomic<T>;
using Mutex = std::mutex;

}  // namespace weir::resilience::internal

#endif

#endif  // WEIR_RESILIENCE_INTERNAL_SYNC_H_
