// One scalar against one row: which form it has, and the words for what it should have had.
#ifndef WEIR_CONFIG_INTERNAL_FORMS_H_
#define WEIR_CONFIG_INTERNAL_FORMS_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "weir/base/clock.h"
#include "weir/config/internal/descriptors.h"

namespace weir::config::internal {

// What a scalar means, once it has a form.
struct Scalar {
  Forms form = 0;
  std::uint64_t number = 0;  // kNumber, kSize; kRate: the count; kBool, kTrue: 1 or 0
  double share = 0;          // kPercent: 0..1
  Duration duration{};       // kDuration; kRate: the window
};

struct Match {
  bool ok = false;
  bool out_of_bounds = false;
  std::string suggestion;  // a spelling that would do
  std::string hint;        // or what to do, in words
  std::string later;       // known to the contract, not done yet
};

// `off`, `auto`, true, false and the row's own words; asked before match_form(). `is_text`: it stands in
// quotes.
bool match_word(const Row& row, std::string_view text, bool is_text, Scalar& scalar);
// Any other form of the row.
Match match_form(const Row& row, Forms form, std::string_view text, bool is_text, Scalar& scalar);

// The row's words, one by one.
std::vector<std::string_view> words_of(std::string_view list);
bool contains_word(std::string_view list, std::string_view word);
// The word of the row that `text` was meant to be; empty when none is near.
std::string near_word(const Row& row, std::string_view text);

// For messages: "1 to 1000000", in the unit of the form.
std::string bounds_text(const Row& row, Forms form);
// "a duration such as 250ms, 2s or 1m, 1ms to 1h, or `off`".
std::string expectation(const Row& row);

// Lowest bit first.
template <class Visit>
void each_form(Forms forms, Visit visit) {
  for (; forms != 0; forms &= forms - 1) visit(forms & (~forms + 1));
}

}  // namespace weir::config::internal

#endif  // WEIR_CONFIG_INTERNAL_FORMS_H_
