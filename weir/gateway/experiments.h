// What experiments need beyond a plan: the snapshot in use, who was exposed to what, and signatures.
//
// One for the process, in State. The snapshot is swapped when the file changes, plans only name keys.
// Signatures are HMAC-SHA-256 over a purpose and a text, cut to 128 bits: what was signed as a unit is no
// override. Thread-safe.
#ifndef WEIR_GATEWAY_EXPERIMENTS_H_
#define WEIR_GATEWAY_EXPERIMENTS_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "weir/base/clock.h"
#include "weir/base/hash.h"
#include "weir/experiment/engine.h"
#include "weir/experiment/exposure.h"

namespace weir::gateway {

// "payload.signature", the signature in base64url. `purpose` keeps kinds of signed texts apart.
std::string sign_text(std::string_view secret, std::string_view purpose, std::string_view text);
// The payload when the signature is right; "" otherwise. The view is into `signed_text`.
std::string_view verified_text(std::string_view secret, std::string_view purpose,
                               std::string_view signed_text);

inline constexpr std::string_view kUnitPurpose = "unit";
inline constexpr std::string_view kOverridePurpose = "override";
// An override's payload: "key:variant,key:variant;UNIX-SECONDS", good until then.
inline constexpr std::string_view kOverrideHeader = "X-Experiment-Override";

// Lines of exposures on their way to a file. A full queue drops and counts; nobody waits for the disk.
class ExposureLog {
 public:
  ExposureLog() = default;
  ExposureLog(const ExposureLog&) = delete;
  ExposureLog& operator=(const ExposureLog&) = delete;
  ~ExposureLog();

  // "off", "stdout" or a path, opened for each batch, so that a file that was moved away is made anew.
  void set_target(const std::string& target);
  // Not "off": whoever has a line need not make it otherwise. Any thread; a load.
  bool wanted() const noexcept { return wanted_.load(std::memory_order_relaxed); }
  void write(std::string_view line);
  std::uint64_t dropped() const;

 private:
  static constexpr std::size_t kMaxWaiting = 4 * 1024 * 1024;  // bytes; about 30,000 lines

  void run();
  static void append_to(const std::string& target, std::string_view text);

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::string target_ = "off";
  std::string waiting_;
  std::uint64_t dropped_ = 0;
  bool ended_ = false;
  std::atomic<bool> wanted_{false};
  std::thread thread_;  // started with the first target
};

class ExperimentState {
 public:
  explicit ExperimentState(base::SipKey seed);

  experiment::Engine& engine() noexcept { return engine_; }
  // Puts a snapshot in use. Where the shares of an experiment change, its sample-ratio check begins anew.
  void use(std::shared_ptr<const experiment::Snapshot> next);
  experiment::ExposureRecorder& recorder() noexcept { return recorder_; }
  ExposureLog& log() noexcept { return log_; }
  // Signs where the configuration gives no secret; from the operating system, new with every process.
  const std::string& random_secret() const noexcept { return random_secret_; }

  // JSON: counts by variant, and the sample-ratio check of each experiment.
  std::string exposures_json() const;
  // The answer of POST /v1/explain to {"key", "unit", "attributes"}: every key when none is named. False with
  // the fault in `out` when the body is not that.
  bool explain_json(std::string_view body, WallTime now, std::string& out) const;

 private:
  experiment::Engine engine_;
  ExposureLog log_;
  mutable std::mutex mutex_;
  // What the recorder had counted by split when the present shares began, by experiment and variant.
  std::map<std::pair<std::string, std::string>, std::uint64_t> counted_before_;
  experiment::ExposureRecorder recorder_;
  std::string random_secret_;
};

// A decision as JSON members, without braces: "variant", "value", "reason", "rule", "bucket".
void append_decision_json(std::string& out, const experiment::Decision& decision);

}  // namespace weir::gateway

#endif  // WEIR_GATEWAY_EXPERIMENTS_H_
