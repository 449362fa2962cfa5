// WEIR_CHECK: what cannot be wrong unless weir itself is wrong.
//
// Stays on in release builds: a gateway that has lost an invariant must stop and be restarted, not go on handing
// one caller's answer to another. WEIR_DCHECK is for checks that cost more than the work they guard; it is on in
// Debug builds (dev, asan, tsan) only.
//
//   WEIR_CHECK(tail - head <= capacity);
//
// Prints file, line and condition to stderr and aborts. Never use it for input, configuration or the network.
#ifndef WEIR_BASE_CHECK_H_
#define WEIR_BASE_CHECK_H_

namespace weir::base {

[[noreturn]] void check_failed(const char* file, int line, const char* condition) noexcept;

}  // namespace weir::base

#define WEIR_CHECK(condition)                        \
  (__builtin_expect(static_cast<bool>(condition), 1) \
       ? static_cast<void>(0)                        \
       : ::weir::base::check_failed(__FILE__, __LINE__, #condition))

#ifdef NDEBUG
#define WEIR_DCHECK(condition) static_cast<void>(0)
#else
#define WEIR_DCHECK(condition) WEIR_CHECK(condition)
#endif

#endif  // WEIR_BASE_CHECK_H_
