// What is wrong, or only questionable, in definitions: gathered, so that all mistakes of a file appear at
// once.
#ifndef WEIR_EXPERIMENT_ISSUE_H_
#define WEIR_EXPERIMENT_ISSUE_H_

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "weir/experiment/value.h"

namespace weir::experiment {

struct Issue {
  bool error = true;  // else a warning: the definitions can be used
  Place at;
  std::string message;
  std::string suggestion;  // "did you mean `semver_gte`?"; may be empty
};

class Issues {
 public:
  // Past this nothing more is kept: a file with so many mistakes has one cause.
  static constexpr std::size_t kMax = 1'000;

  void error(Place at, std::string message, std::string suggestion = {}) {
    errors_ = true;
    add(true, at, std::move(message), std::move(suggestion));
  }
  void warning(Place at, std::string message, std::string suggestion = {}) {
    add(false, at, std::move(message), std::move(suggestion));
  }
  bool any_error() const noexcept { return errors_; }
  const std::vector<Issue>& list() const noexcept { return list_; }
  // "3:5: unknown key ..." of the first error; "" when there is none.
  std::string first_error() const {
    for (const Issue& issue : list_)
      if (issue.error)
        return std::to_string(issue.at.line) + ":" + std::to_string(issue.at.column) + ": " + issue.message +
               (issue.suggestion.empty() ? "" : " (" + issue.suggestion + ")");
    return {};
  }

 private:
  void add(bool error, Place at, std::string message, std::string suggestion) {
    if (list_.size() < kMax) list_.push_back({error, at, std::move(message), std::move(suggestion)});
  }

  std::vector<Issue> list_;
  bool errors_ = false;
};

}  // namespace weir::experiment

#endif  // WEIR_EXPERIMENT_ISSUE_H_
