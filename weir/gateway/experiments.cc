#include "weir/gateway/experiments.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <map>

#include "weir/base/base64.h"
#include "weir/base/check.h"
#include "weir/base/strings.h"

namespace weir::gateway {
namespace {

constexpr std::size_t kTagBytes = 16;

std::string tag_of(std::string_view secret, std::string_view purpose, std::string_view text) {
  std::string message(purpose);
  message.append(1, '\0').append(text);
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned size = 0;
  WEIR_CHECK(::HMAC(::EVP_sha256(), secret.data(), static_cast<int>(secret.size()),
                    reinterpret_cast<const unsigned char*>(message.data()), message.size(), digest.data(),
                    &size) != nullptr);
  return base::base64url_encode({reinterpret_cast<const char*>(digest.data()), kTagBytes});
}

}  // namespace

std::string sign_text(std::string_view secret, std::string_view purpose, std::string_view text) {
  return std::string(text).append(".").append(tag_of(secret, purpose, text));
}

std::string_view verified_text(std::string_view secret, std::string_view purpose,
                               std::string_view signed_text) {
  const std::size_t dot = signed_text.rfind('.');
  if (dot == std::string_view::npos || dot == 0 || signed_text.size() > 4096) return {};
  const std::string_view text = signed_text.substr(0, dot);
  const std::string_view given = signed_text.substr(dot + 1);
  const std::string right = tag_of(secret, purpose, text);
  if (given.size() != right.size() || ::CRYPTO_memcmp(given.data(), right.data(), right.size()) != 0)
    return {};
  return text;
}

ExposureLog::~ExposureLog() {
  {
    const std::lock_guard lock(mutex_);
    ended_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void ExposureLog::set_target(const std::string& target) {
  const std::lock_guard lock(mutex_);
  target_ = target;
  wanted_.store(target_ != "off", std::memory_order_relaxed);
  if (target_ != "off" && !thread_.joinable()) thread_ = std::thread([this] { run(); });
}

void ExposureLog::write(std::string_view line) {
  {
    const std::lock_guard lock(mutex_);
    if (target_ == "off") return;
    if (waiting_.size() + line.size() + 1 > kMaxWaiting) {
      ++dropped_;
      return;
    }
    waiting_.append(line).append("\n");
  }
  wake_.notify_one();
}

std::uint64_t ExposureLog::dropped() const {
  const std::lock_guard lock(mutex_);
  return dropped_;
}

void ExposureLog::append_to(const std::string& target, std::string_view text) {
  const bool to_stdout = target == "stdout";
  const int fd =
      to_stdout ? STDOUT_FILENO : ::open(target.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
  if (fd < 0) return;
  while (!text.empty()) {
    const ssize_t n = ::write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    text.remove_prefix(static_cast<std::size_t>(n));
  }
  if (!to_stdout) ::close(fd);
}

void ExposureLog::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [this] { return ended_ || !waiting_.empty(); });
    if (waiting_.empty()) return;
    const std::string batch = std::exchange(waiting_, {});
    const std::string target = target_;
    lock.unlock();
    if (target != "off") append_to(target, batch);
    lock.lock();
  }
}

ExperimentState::ExperimentState(base::SipKey seed)
    : recorder_(experiment::ExposureRecorder::Options{}, seed, [this](const experiment::Exposure& exposure) {
        if (!log_.wanted()) return;
        std::string line;
        experiment::append_json_line(line, exposure);
        log_.write(line);
      }) {
  std::array<unsigned char, 32> bytes;
  WEIR_CHECK(::RAND_bytes(bytes.data(), bytes.size()) == 1);
  random_secret_.assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

namespace {

void append_text(std::string& out, std::string_view name, std::string_view text) {
  out.append("\"").append(name).append("\":\"");
  base::append_json_escaped(out, text);
  out += '"';
}

}  // namespace

void append_decision_json(std::string& out, const experiment::Decision& decision) {
  if (decision.variant.empty())
    out.append("\"variant\":null");
  else
    append_text(out, "variant", decision.variant);
  out.append(",\"value\":");
  if (decision.value != nullptr)
    experiment::append_json(out, *decision.value);
  else
    out.append("null");
  out += ',';
  append_text(out, "reason", experiment::to_string(decision.reason));
  if (!decision.rule.empty()) {
    out += ',';
    append_text(out, "rule", decision.rule);
  }
  out.append(",\"bucket\":").append(decision.bucket < 0 ? "null" : std::to_string(decision.bucket));
}

void ExperimentState::use(std::shared_ptr<const experiment::Snapshot> next) {
  const std::lock_guard lock(mutex_);
  const auto before = engine_.snapshot();
  const std::vector<experiment::ExposureRecorder::Count> counts = recorder_.counts();
  for (std::size_t begin = 0, end = 0; begin < counts.size(); begin = end) {
    bool same = true;
    for (; end < counts.size() && counts[end].experiment == counts[begin].experiment; ++end)
      same &= before->expected_share(before->find(counts[end].experiment), counts[end].variant) ==
              next->expected_share(next->find(counts[end].experiment), counts[end].variant);
    for (std::size_t i = begin; i < end && !same; ++i)
      counted_before_[{counts[i].experiment, counts[i].variant}] = counts[i].split;
  }
  engine_.swap(std::move(next));
}

std::string ExperimentState::exposures_json() const {
  const std::lock_guard lock(mutex_);
  const auto snapshot = engine_.snapshot();
  std::map<std::string, std::vector<experiment::ExposureRecorder::Count>> by_key;
  for (auto& count : recorder_.counts()) by_key[count.experiment].push_back(std::move(count));
  std::string out = "{\"experiments\":[";
  bool first = true;
  for (const auto& [key, counts] : by_key) {
    out.append(first ? "{" : ",{");
    first = false;
    append_text(out, "experiment", key);
    out.append(",\"variants\":[");
    std::vector<std::uint64_t> units;  // by split, under the present shares
    std::vector<double> shares;
    double all = 0;
    for (const auto& count : counts) {
      const double share = snapshot->expected_share(snapshot->find(key), count.variant);
      all += share;
      const auto before = counted_before_.find({count.experiment, count.variant});
      units.push_back(count.split - (before == counted_before_.end() ? 0 : before->second));
      shares.push_back(share);
      out.append(&count == &counts.front() ? "{" : ",{");
      append_text(out, "variant", count.variant);
      out.append(",\"units\":").append(std::to_string(count.units));
      out.append(",\"expected_share\":").append(experiment::number_text(share));
      out.append(",\"requests\":").append(std::to_string(count.requests));
      out.append(",\"errors\":").append(std::to_string(count.errors));
      out.append(",\"mean_seconds\":").append(experiment::number_text(count.mean_seconds)).append("}");
    }
    out.append("],\"sample_ratio\":{");
    // Variants that nobody has met yet are missing from the sum: their share stands beside, with no units.
    if (all < 1 && all > 0) {
      units.push_back(0);
      shares.push_back(1 - all);
    }
    const experiment::SampleRatio ratio = experiment::sample_ratio(units, shares);
    out.append("\"e_value\":").append(experiment::number_text(ratio.e_value));
    out.append(",\"mismatch\":").append(ratio.mismatch ? "true}}" : "false}}");
  }
  out.append("],\"dropped\":").append(std::to_string(log_.dropped()));
  out.append(",\"unremembered\":").append(std::to_string(recorder_.unremembered()));
  return out.append("}\n");
}

bool ExperimentState::explain_json(std::string_view body, WallTime now, std::string& out) const {
  const Result<experiment::Value> asked = experiment::parse_json(body);
  if (!asked || !asked->is(experiment::Value::Kind::map)) {
    out = asked ? "the body must be a JSON map" : asked.error().detail;
    return false;
  }
  const auto snapshot = engine_.snapshot();
  experiment::Context context(*snapshot);
  context.set_now(now);
  if (const experiment::Value* attributes = asked->find("attributes")) context.set_all(*attributes);
  if (const experiment::Value* unit = asked->find("unit"))
    context.set(experiment::Context::kTargetingKey, *unit);
  std::vector<std::string_view> keys;
  if (const experiment::Value* key = asked->find("key"))
    keys.push_back(key->text);
  else
    for (std::uint32_t i = 0; i < snapshot->size(); ++i) keys.push_back(snapshot->key({i}));
  out = "{\"decisions\":[";
  for (std::string_view key : keys) {
    const experiment::Explanation explanation = snapshot->explain(key, context);
    out.append(key == keys.front() ? "{" : ",{");
    append_text(out, "key", key);
    out += ',';
    append_decision_json(out, explanation.decision);
    out.append(",\"steps\":[");
    for (const experiment::Step& step : explanation.steps) {
      out.append(&step == &explanation.steps.front() ? "{" : ",{");
      append_text(out, "rule", step.rule);
      out += ',';
      append_text(out, "check", step.check);
      out.append(step.passed ? ",\"passed\":true," : ",\"passed\":false,");
      append_text(out, "detail", step.detail);
      out += '}';
    }
    out.append("]}");
  }
  out.append("]}\n");
  return true;
}

}  // namespace weir::gateway
