// Tracing: the file's keys, and OpenTelemetry's variables for what the file leaves open.
//
//   (1) A key of the file stands over the variable that means the same; OTEL_SDK_DISABLED=true and OTEL_TRACES_EXPORTER=none
//       turn sending off whatever the file says.
//   (2) A variable that is empty counts as absent, and one that makes no sense is warned of and ignored, both as the
//       OpenTelemetry specification asks (Environment Variable Specification, "Parsing empty value" and "Enum").
//   (3) A variable for traces stands over the one for all signals.
#include <algorithm>
#include <array>
#include <charconv>

#include "weir/base/strings.h"
#include "weir/config/internal/readers.h"
#include "weir/http/uri.h"

namespace weir::config::internal {
namespace {

using Pairs = std::vector<std::pair<std::string, std::string>>;

void set_or_add(Pairs& list, const std::string& name, const std::string& value, bool replace) {
  const auto found = std::find_if(list.begin(), list.end(),
                                  [&](const auto& pair) { return base::iequals(pair.first, name); });
  if (found == list.end())
    list.emplace_back(name, value);
  else if (replace)
    found->second = value;
}

class Variables {
 public:
  Variables(const ReadContext& context, Position at) : context_(context), at_(at) {}

  // "" when it is absent; the first of the names that is there.
  std::string get(std::initializer_list<const char*> names) {
    for (const char* name : names) {
      const auto value = context_.environment.variable ? context_.environment.variable(name) : std::nullopt;
      if (!value || base::trim(*value).empty()) continue;
      name_ = name;
      return std::string(base::trim(*value));
    }
    return {};
  }
  // About the one that was got last.
  void ignored(const std::string& why) {
    context_.report.warning(at_, "the environment's " + name_ + " is ignored: " + why);
  }

  void milliseconds(std::initializer_list<const char*> names, Duration& target) {
    const std::string text = get(names);
    if (text.empty()) return;
    const auto number = base::parse_u64(text);
    if (!number || *number == 0 || *number > 3'600'000)
      return ignored("milliseconds from 1 to 3600000 are expected");
    target = std::chrono::milliseconds(*number);
  }
  void count(const char* name, std::uint32_t most, std::uint32_t& target) {
    const std::string text = get({name});
    if (text.empty()) return;
    const auto number = base::parse_u64(text);
    if (!number || *number == 0 || *number > most)
      return ignored("a number from 1 to " + std::to_string(most) + " is expected");
    target = static_cast<std::uint32_t>(*number);
  }
  // key1=value1,key2=value2, values percent-coded (the format of W3C Baggage).
  Pairs pairs(std::initializer_list<const char*> names) {
    Pairs all;
    const std::string text = get(names);
    for (const std::string_view one : base::split(text, ',')) {
      if (base::trim(one).empty()) continue;
      const std::size_t equals = one.find('=');
      std::string value;
      if (equals == std::string_view::npos || base::trim(one.substr(0, equals)).empty() ||
          !http::percent_decode(base::trim(one.substr(equals + 1)), value)) {
        ignored("name=value,name=value is expected, percent-encoded");
        return {};
      }
      all.emplace_back(std::string(base::trim(one.substr(0, equals))), std::move(value));
    }
    return all;
  }

 private:
  const ReadContext& context_;
  Position at_;
  std::string name_;
};

// "https://collector.example:4318/some/path" into its parts; false for what is no such URL.
bool take_endpoint(const std::string& url, bool append, Tracing& tracing) {
  const std::size_t scheme = url.find("://");
  if (scheme == std::string::npos) return false;
  const std::size_t slash = url.find('/', scheme + 3);
  const std::string origin = url.substr(0, slash);
  std::string path = slash == std::string::npos ? "/" : url.substr(slash);
  const auto address = parse_url(origin);
  const bool plain =
      std::all_of(path.begin(), path.end(), [](char c) { return c > 0x20 && c < 0x7f && c != '#'; });
  if (!address || !plain) return false;
  if (append) path.append(path.ends_with('/') ? "v1/traces" : "/v1/traces");
  tracing.otlp = *address.value;
  tracing.otlp_url = origin;
  tracing.otlp_tls = origin.starts_with("https://");
  tracing.otlp_path = std::move(path);
  return true;
}

void take_protocol(Variables& variables, Tracing& tracing) {
  const std::string protocol =
      variables.get({"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"});
  if (protocol.empty() || protocol == "http/protobuf") return;
  if (protocol == "http/json")
    tracing.json = true;
  else
    variables.ignored("`" + protocol +
                      "` is not spoken here; there are http/protobuf, which is used, and http/json");
}

void take_sampler(Variables& variables, bool ratio_given, Tracing& tracing) {
  std::string sampler = variables.get({"OTEL_TRACES_SAMPLER"});
  if (sampler.empty()) return;
  constexpr std::string_view kParent = "parentbased_";
  const bool parent = sampler.starts_with(kParent);
  if (parent) sampler.erase(0, kParent.size());
  if (sampler != "always_on" && sampler != "always_off" && sampler != "traceidratio")
    return variables.ignored(
        "there are always_on, always_off, traceidratio, and each with parentbased_ before it");
  double ratio = sampler == "always_off" ? 0 : 1;
  if (sampler == "traceidratio") {
    const std::string text = variables.get({"OTEL_TRACES_SAMPLER_ARG"});
    double given = 1;
    const auto read = std::from_chars(text.data(), text.data() + text.size(), given);
    if (!text.empty() &&
        (read.ec != std::errc() || read.ptr != text.data() + text.size() || !(given >= 0 && given <= 1)))
      variables.ignored("a share from 0 to 1 is expected; 1 is used");
    else if (!text.empty())
      ratio = given;
  }
  if (ratio_given) return;
  tracing.sample = ratio;
  tracing.parent_based = parent;
}

void take_headers(Variables& variables, const ReadContext& context, Tracing& tracing) {
  for (const auto& [name, value] :
       variables.pairs({"OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"})) {
    if (!is_token(name) || !is_header_value(value) || is_own_header(name)) {
      variables.ignored("`" + name + "` is no header that can be sent");
      continue;
    }
    set_or_add(tracing.headers, name, value, false);
    context.config.secrets.push_back(value);
  }
}

struct Given {
  bool sample = false, delay = false, encoding = false, service = false, timeout = false;
};

void read_environment(Variables& variables, const ReadContext& context, const Given& given,
                      Tracing& tracing) {
  if (!given.encoding) take_protocol(variables, tracing);
  take_sampler(variables, given.sample, tracing);
  take_headers(variables, context, tracing);
  if (!given.timeout)
    variables.milliseconds({"OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"},
                           tracing.timeout);
  if (!given.delay) variables.milliseconds({"OTEL_BSP_SCHEDULE_DELAY"}, tracing.delay);
  variables.milliseconds({"OTEL_BSP_EXPORT_TIMEOUT"}, tracing.export_timeout);
  variables.count("OTEL_BSP_MAX_QUEUE_SIZE", 1'000'000, tracing.queue);
  variables.count("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 100'000, tracing.batch);
  tracing.batch = std::min(tracing.batch, tracing.queue);
  const std::string name = variables.get({"OTEL_SERVICE_NAME"});
  for (const auto& [key, value] : variables.pairs({"OTEL_RESOURCE_ATTRIBUTES"})) {
    if (key != "service.name")
      set_or_add(tracing.resource, key, value, false);
    else if (!given.service && name.empty())
      tracing.service = value;
  }
  if (!given.service && !name.empty()) tracing.service = name;
  const std::string compression =
      variables.get({"OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "OTEL_EXPORTER_OTLP_COMPRESSION"});
  if (!compression.empty() && compression != "none")
    variables.ignored("nothing is compressed on its way to the collector");
}

bool is_off(Variables& variables) {
  const std::string disabled = variables.get({"OTEL_SDK_DISABLED"});
  if (base::iequals(disabled, "true")) return true;
  if (!disabled.empty() && !base::iequals(disabled, "false")) variables.ignored("true or false is expected");
  const std::string exporter = variables.get({"OTEL_TRACES_EXPORTER"});
  if (exporter == "none") return true;
  if (!exporter.empty() && exporter != "otlp") variables.ignored("there are otlp and none");
  return false;
}

}  // namespace

void read_tracing(const Value& root, const ReadContext& context) {
  const Value* map = sound(root, "tracing");
  if (map != nullptr && !map->is(kMap)) return;
  Variables variables(context, map == nullptr ? Position{0, 1, 1} : map->at);
  Tracing tracing;
  Given given;
  if (map != nullptr) {
    if (const Value* url = sound(*map, "otlp")) {
      tracing.otlp = *parse_url(url->text).value;
      tracing.otlp_url = url->text;
      tracing.otlp_tls = url->text.starts_with("https://");
    }
    if (const Value* share = sound(*map, "sample")) tracing.sample = share->share, given.sample = true;
    given.timeout = sound(*map, "timeout") != nullptr;
    given.delay = sound(*map, "delay") != nullptr;
    read(*map, "timeout", tracing.timeout);
    read(*map, "slow", tracing.slow);
    read(*map, "delay", tracing.delay);
    if (const Value* encoding = sound(*map, "encoding"))
      tracing.json = encoding->text == "json", given.encoding = true;
    if (const Value* service = sound(*map, "service")) tracing.service = service->text, given.service = true;
    if (const Value* headers = sound(*map, "headers"))
      for (const auto& [name, value] : headers->entries)
        tracing.headers.emplace_back(name, free_text(value, context));
    if (const Value* resource = sound(*map, "resource"))
      for (const auto& [name, value] : resource->entries)
        set_or_add(tracing.resource, name, value.text, true);
    if (const Value* trust = sound(*map, "trust"))
      for (const Value& cidr : trust->items) tracing.trust.push_back(*base::Cidr::parse(cidr.text));
  }
  if (!tracing.otlp) {
    const std::string traces = variables.get({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"});
    const std::string all = traces.empty() ? variables.get({"OTEL_EXPORTER_OTLP_ENDPOINT"}) : std::string();
    if ((!traces.empty() && !take_endpoint(traces, false, tracing)) ||
        (!all.empty() && !take_endpoint(all, true, tracing)))
      variables.ignored("http://HOST:PORT or https://HOST:PORT is expected, with or without a path");
  }
  if (map == nullptr && !tracing.otlp) return;  // nobody asks for it
  if (tracing.otlp) {
    if (is_off(variables))
      tracing.otlp.reset();
    else
      read_environment(variables, context, given, tracing);
  }
  context.config.tracing = std::move(tracing);
}

}  // namespace weir::config::internal
