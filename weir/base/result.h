// Result<T>: a value or an Error. Member names are those of std::expected, which g++ 12 lacks in C++20.
//
//   Result<Address> address = Address::parse("127.0.0.1:80");
//   if (!address) return address.error();      // an Error converts to any Result
//   connect(*address);
//
// Ignoring one does not compile quietly. Taking the value of a failed one is a bug and stops the program.
#ifndef WEIR_BASE_RESULT_H_
#define WEIR_BASE_RESULT_H_

#include <type_traits>
#include <utility>
#include <variant>

#include "weir/base/check.h"
#include "weir/base/error.h"

namespace weir {

template <class T>
class [[nodiscard]] Result {
 public:
  using value_type = T;

  template <class U = T>
    requires(std::is_constructible_v<T, U &&> && !std::is_same_v<std::remove_cvref_t<U>, Result> &&
             !std::is_same_v<std::remove_cvref_t<U>, Error>)
  Result(U&& value)
      : state_(std::in_place_index<0>, std::forward<U>(value)) {}            // NOLINT: implicit on purpose
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT: implicit on purpose

  bool has_value() const noexcept { return state_.index() == 0; }
  explicit operator bool() const noexcept { return has_value(); }

  T& value() & { return WEIR_CHECK(has_value()), *std::get_if<0>(&state_); }
  const T& value() const& { return WEIR_CHECK(has_value()), *std::get_if<0>(&state_); }
  T&& value() && { return WEIR_CHECK(has_value()), std::move(*std::get_if<0>(&state_)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  const Error& error() const& { return WEIR_CHECK(!has_value()), *std::get_if<1>(&state_); }
  Error&& error() && { return WEIR_CHECK(!has_value()), std::move(*std::get_if<1>(&state_)); }

  template <class U>
  T value_or(U&& fallback) const& {
    return has_value() ? value() : static_cast<T>(std::forward<U>(fallback));
  }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  using value_type = void;

  Result() noexcept = default;
  Result(Error error) : state_(std::move(error)) {}  // NOLINT: implicit on purpose

  bool has_value() const noexcept { return state_.index() == 0; }
  explicit operator bool() const noexcept { return has_value(); }
  const Error& error() const& { return WEIR_CHECK(!has_value()), *std::get_if<1>(&state_); }
  Error&& error() && { return WEIR_CHECK(!has_value()), std::move(*std::get_if<1>(&state_)); }

 private:
  std::variant<std::monostate, Error> state_;
};

}  // namespace weir

#endif  // WEIR_BASE_RESULT_H_
