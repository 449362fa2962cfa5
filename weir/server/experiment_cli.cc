// Each command: load the file as `weir check` does (mistakes to stderr, code 1), ask the library, print. What
// a machine would read goes to stdout alone.
#include "weir/server/experiment_cli.h"

#include <CLI/CLI.hpp>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "weir/base/strings.h"
#include "weir/config/load.h"
#include "weir/experiment/analysis.h"
#include "weir/experiment/snapshot.h"
#include "weir/gateway/experiments.h"

namespace weir::server {
namespace {

using experiment::Value;

constexpr int kFailed = 1;
constexpr int kUsage = 2;

struct Arguments {
  std::string file;
  std::string other;
  std::string key;
  std::string unit;
  std::vector<std::string> attributes;
  std::vector<std::string> pairs;
  std::uint64_t units = 100'000;
  std::uint64_t seed = 1;
  double coverage = -1;
  std::string svg;
  std::string output = "text";
  std::string secret;
  std::uint64_t hours = 1;
};

std::shared_ptr<const experiment::Snapshot> load(const std::string& file, bool warnings = false) {
  const config::ExperimentsResult result = config::load_experiments(file, config::system_environment());
  for (const config::Diagnostic& diagnostic : result.diagnostics)
    if (warnings || diagnostic.severity == config::Diagnostic::Severity::error)
      std::cerr << config::to_text(diagnostic, result.files) << "\n";
  return result.snapshot;
}

// name=value: true, false and numbers as such, "in quotes" always text. False when there is no `=`.
bool parse_attributes(const std::vector<std::string>& list, Value& map) {
  map = Value::map();
  for (const std::string& item : list) {
    const std::size_t equals = item.find('=');
    if (equals == std::string::npos || equals == 0) {
      std::cerr << "weir: an attribute is name=value; got `" << item << "`\n";
      return false;
    }
    const std::string text = item.substr(equals + 1);
    Result<Value> parsed = experiment::parse_json(text);
    map.set(item.substr(0, equals), parsed ? std::move(*parsed) : Value::of(std::string_view(text)));
  }
  return true;
}

// A snapshot and a context on it for the unit and the attributes of the command line; null when something is
// wrong.
class Asked {
 public:
  explicit Asked(const Arguments& arguments) : unit_(arguments.unit) {
    if (!parse_attributes(arguments.attributes, attributes_)) return;
    snapshot_ = load(arguments.file);
    if (snapshot_ == nullptr) return;
    if (!snapshot_->find(arguments.key)) {
      std::vector<std::string_view> keys;
      for (std::uint32_t i = 0; i < snapshot_->size(); ++i) keys.push_back(snapshot_->key({i}));
      const std::string_view near = base::closest(arguments.key, keys);
      std::cerr << "weir: " << arguments.file << " has no key `" << arguments.key << "`"
                << (near.empty() ? "" : " (did you mean `" + std::string(near) + "`?)") << "\n";
      return;
    }
    context_ = std::make_unique<experiment::Context>(*snapshot_);
    // A text for an attribute that is declared keeps its text: `-a app_version=2.10`.
    context_->set_all(attributes_);
    for (const std::string& item : arguments.attributes) keep_text(item);
    context_->set_unit(unit_);
    context_->set_now(SystemClock().wall_now());
  }

  bool good() const { return context_ != nullptr; }
  const experiment::Snapshot& snapshot() const { return *snapshot_; }
  const experiment::Context& context() const { return *context_; }

 private:
  void keep_text(const std::string& item) {
    const std::size_t equals = item.find('=');
    const std::string_view name = std::string_view(item).substr(0, equals);
    const std::uint16_t slot = snapshot_->attributes().find(name);
    if (slot == experiment::AttributeTable::kNone) return;
    const experiment::AttributeType type = snapshot_->attributes().type(slot);
    if (type != experiment::AttributeType::any && type != experiment::AttributeType::list)
      context_->set(name, std::string_view(item).substr(equals + 1));
  }

  std::string unit_;
  Value attributes_;
  std::shared_ptr<const experiment::Snapshot> snapshot_;
  std::unique_ptr<experiment::Context> context_;
};

int assign(const Arguments& arguments) {
  const Asked asked(arguments);
  if (!asked.good()) return kFailed;
  const experiment::Decision decision = asked.snapshot().evaluate(arguments.key, asked.context());
  if (arguments.output == "json") {
    std::string out = "{";
    gateway::append_decision_json(out, decision);
    std::cout << out << "}\n";
  } else if (!decision.variant.empty()) {
    std::cout << decision.variant << "\n";
  } else if (!decision.experiment && decision.value != nullptr) {
    std::cout << (decision.value->is(Value::Kind::text) ? decision.value->text
                                                        : experiment::to_json(*decision.value))
              << "\n";
  } else {
    std::cout << "-\n";
  }
  return 0;
}

int explain(const Arguments& arguments) {
  const Asked asked(arguments);
  if (!asked.good()) return kFailed;
  const experiment::Explanation explanation = asked.snapshot().explain(arguments.key, asked.context());
  const experiment::Decision& decision = explanation.decision;
  for (const experiment::Step& step : explanation.steps)
    std::cout << (step.passed ? "  yes  " : "  no   ") << step.rule << ": " << step.check
              << (step.detail.empty() ? "" : ": " + step.detail) << "\n";
  std::cout << arguments.key << ": " << (decision.variant.empty() ? std::string_view("-") : decision.variant);
  if (decision.value != nullptr && decision.variant.empty())
    std::cout << " " << experiment::to_json(*decision.value);
  std::cout << " (" << experiment::to_string(decision.reason);
  if (decision.bucket >= 0) std::cout << ", bucket " << decision.bucket;
  std::cout << ")\n";
  return 0;
}

void print_share(const experiment::Simulation::Share& share, std::uint64_t units) {
  std::cout << share.key << ":";
  for (const auto& [name, count] : share.variants) {
    char text[32];
    std::snprintf(text, sizeof text, "%.2f%%",
                  100.0 * static_cast<double>(count) / static_cast<double>(units));
    std::cout << "  " << (name.empty() ? "-" : name) << " " << text;
  }
  if (share.degrees > 0) {
    char text[64];
    std::snprintf(text, sizeof text, "  (chi-square %.1f of %u, p %.3f)", share.chi_square, share.degrees,
                  experiment::chi_square_tail(share.chi_square, share.degrees));
    std::cout << text;
  }
  std::cout << "\n";
}

void print_json(const experiment::Simulation& simulation) {
  Value all = Value::map();
  all.set("units", Value::of(static_cast<double>(simulation.units)));
  Value& shares = all.set("shares", Value::map());
  for (const auto& share : simulation.shares) {
    Value& variants = shares.set(share.key, Value::map());
    for (const auto& [name, count] : share.variants)
      variants.set(name.empty() ? "-" : name, Value::of(static_cast<double>(count)));
  }
  Value& correlations = all.set("correlations", Value::list());
  for (const auto& pair : simulation.correlations) {
    Value& one = correlations.items.emplace_back(Value::map());
    one.set("first", Value::of(std::string_view(pair.first)));
    one.set("second", Value::of(std::string_view(pair.second)));
    one.set("phi", Value::of(pair.phi));
    one.set("both", Value::of(static_cast<double>(pair.both)));
  }
  std::cout << experiment::to_json(all) << "\n";
}

int simulate(const Arguments& arguments) {
  Value attributes;
  if (!parse_attributes(arguments.attributes, attributes)) return kUsage;
  const auto snapshot = load(arguments.file);
  if (snapshot == nullptr) return kFailed;
  const experiment::Simulation simulation =
      experiment::simulate(*snapshot, arguments.units, arguments.seed, attributes);
  if (!arguments.svg.empty() && !(std::ofstream(arguments.svg) << experiment::to_svg(simulation))) {
    std::cerr << "weir: cannot write " << arguments.svg << "\n";
    return kFailed;
  }
  if (arguments.output == "json") {
    print_json(simulation);
    return 0;
  }
  for (const auto& share : simulation.shares) print_share(share, simulation.units);
  for (const experiment::LockedPair& pair : experiment::locked_pairs(snapshot->definitions()))
    std::cout << "locked: " << pair.first << ", " << pair.second << "\n";
  // Noise of phi is 1 / sqrt(n); five times that does not happen by luck.
  for (const auto& pair : simulation.correlations) {
    if (pair.both == 0 || std::fabs(pair.phi) < 5 / std::sqrt(static_cast<double>(pair.both))) continue;
    char text[32];
    std::snprintf(text, sizeof text, "%.3f", pair.phi);
    std::cout << "correlated: " << pair.first << ", " << pair.second << ": phi " << text << "\n";
  }
  return 0;
}

int diff(const Arguments& arguments) {
  Value attributes;
  if (!parse_attributes(arguments.attributes, attributes)) return kUsage;
  const auto before = load(arguments.file);
  const auto after = load(arguments.other);
  if (before == nullptr || after == nullptr) return kFailed;
  const experiment::Moves moves =
      experiment::moves_between(*before, *after, arguments.units, arguments.seed, attributes);
  for (const auto& [key, changes] : moves.by_key) {
    std::uint64_t all = 0;
    for (const auto& [change, count] : changes) all += count;
    std::cout << key << ": " << all << " of " << moves.units << " units move\n";
    for (const auto& [change, count] : changes)
      std::cout << "  " << change.first << " -> " << change.second << ": " << count << "\n";
  }
  if (moves.by_key.empty()) std::cout << "nobody of " << moves.units << " units moves\n";
  return 0;
}

int lint(const Arguments& arguments) {
  const auto snapshot = load(arguments.file, true);
  if (snapshot == nullptr) return kFailed;
  std::cout << arguments.file << ": valid, " << snapshot->size() << " experiments and flags\n";
  return 0;
}

// New weights by name, as numbers of buckets; false when they are not that.
bool parse_weights(const Arguments& arguments, const experiment::RuleDefinition& rule,
                   std::vector<std::uint32_t>& buckets) {
  const double total = experiment::total_buckets(rule.hash);
  const double coverage = arguments.coverage < 0 ? rule.coverage : arguments.coverage;
  double sum = 0;
  for (const experiment::VariantDefinition& variant : rule.variants) {
    double weight = -1;
    for (const std::string& pair : arguments.pairs)
      if (pair.starts_with(variant.name + "="))
        weight = std::strtod(pair.c_str() + variant.name.size() + 1, nullptr);
    if (weight < 0) {
      std::cerr << "weir: give `" << variant.name << "` a weight: " << variant.name << "=50\n";
      return false;
    }
    sum += weight;
    buckets.push_back(static_cast<std::uint32_t>(std::floor(weight * total / 100 * coverage / 100 + 1e-6)));
  }
  if (std::fabs(sum - 100) < 1e-6) return true;
  std::cerr << "weir: the weights sum to " << sum << ", not to 100\n";
  return false;
}

int reweight(const Arguments& arguments) {
  const auto snapshot = load(arguments.file);
  if (snapshot == nullptr) return kFailed;
  for (const experiment::EntryDefinition& entry : snapshot->definitions().entries) {
    if (entry.key != arguments.key || !entry.experiment) continue;
    const experiment::RuleDefinition& rule = entry.rules.front();
    std::vector<std::uint32_t> buckets;
    if (!parse_weights(arguments, rule, buckets)) return kUsage;
    const auto ranges =
        experiment::reweight(experiment::ranges_of(rule), buckets, experiment::total_buckets(rule.hash));
    if (!ranges) {
      std::cerr << "weir: " << ranges.error().detail << "\n";
      return kFailed;
    }
    std::cout << "variants:\n";
    for (std::size_t i = 0; i < rule.variants.size(); ++i) {
      std::cout << "  - {name: " << rule.variants[i].name << ", ranges: [";
      for (const experiment::Range& range : (*ranges)[i])
        std::cout << (&range == &(*ranges)[i].front() ? "" : ", ") << "[" << range.from << ", " << range.to
                  << "]";
      std::cout << "]}\n";
    }
    return 0;
  }
  std::cerr << "weir: " << arguments.file << " has no experiment `" << arguments.key << "`\n";
  return kFailed;
}

int sign_override(const Arguments& arguments) {
  std::string secret = arguments.secret;
  if (secret.starts_with("env:")) {
    const char* value = std::getenv(secret.c_str() + 4);
    if (value == nullptr) {
      std::cerr << "weir: " << secret.substr(4) << " is not set\n";
      return kFailed;
    }
    secret = value;
  }
  std::string payload;
  for (const std::string& pair : arguments.pairs) {
    const std::size_t equals = pair.find('=');
    if (equals == std::string::npos || equals == 0 || pair.find_first_of(",;:") != std::string::npos) {
      std::cerr << "weir: an override is KEY=VARIANT; got `" << pair << "`\n";
      return kUsage;
    }
    payload.append(payload.empty() ? "" : ",")
        .append(pair.substr(0, equals))
        .append(":")
        .append(pair.substr(equals + 1));
  }
  const auto now =
      std::chrono::floor<std::chrono::seconds>(SystemClock().wall_now()).time_since_epoch().count();
  payload.append(";").append(std::to_string(now + static_cast<std::int64_t>(arguments.hours) * 3600));
  std::cout << gateway::kOverrideHeader << ": "
            << gateway::sign_text(secret, gateway::kOverridePurpose, payload) << "\n";
  return 0;
}

}  // namespace

void add_experiment_commands(CLI::App& app, int& code) {
  const auto arguments = std::make_shared<Arguments>();
  CLI::App* experiment =
      app.add_subcommand("experiment", "Experiments and flags: ask, explain, simulate, compare");
  experiment->require_subcommand(1);
  const auto add = [&](const char* name, const char* about, const char* example,
                       int (*run)(const Arguments&)) {
    CLI::App* command = experiment->add_subcommand(name, about);
    command->footer(std::string("Example:\n  weir experiment ") + example);
    command->callback([arguments, run, &code] { code = run(*arguments); });
    return command;
  };
  const auto file = [&](CLI::App* command) {
    command->add_option("FILE", arguments->file, "Experiments: YAML, or a GrowthBook payload")->required();
  };
  const auto attributes = [&](CLI::App* command) {
    command->add_option("-a,--attribute", arguments->attributes, "name=value; may be repeated")->expected(1);
  };
  const auto output = [&](CLI::App* command) {
    command->add_option("--output", arguments->output, "text or json")
        ->check(CLI::IsMember({"text", "json"}));
  };
  const auto units = [&](CLI::App* command) {
    command->add_option("--units", arguments->units, "How many made-up units")
        ->capture_default_str()
        ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{100'000'000}));
    command->add_option("--seed", arguments->seed, "Another seed gives other units")->capture_default_str();
  };
  for (const bool explaining : {false, true}) {
    CLI::App* command = explaining
                            ? add("explain", "Every question that was asked on the way to a variant",
                                  "explain experiments.yaml checkout_button user_1 -a country=US", explain)
                            : add("assign", "The variant of a unit alone; - for none",
                                  "assign experiments.yaml checkout_button user_1 -a country=US", assign);
    file(command);
    command->add_option("KEY", arguments->key, "Experiment or flag")->required();
    command->add_option("UNIT", arguments->unit, "The unit: a user's id")->required();
    attributes(command);
    if (!explaining) output(command);
  }
  CLI::App* command = add("simulate", "Shares, locked pairs and correlations over made-up units",
                          "simulate experiments.yaml --units 100000 --svg shares.svg", simulate);
  file(command);
  units(command);
  attributes(command);
  output(command);
  command->add_option("--svg", arguments->svg, "Writes a plot to this file");
  command = add("diff", "How many units move from one file to another, and between which variants",
                "diff old.yaml new.yaml", diff);
  file(command);
  command->add_option("NEW", arguments->other, "The other file")->required();
  units(command);
  attributes(command);
  command = add("reweight", "The ranges that give new weights and move the fewest units",
                "reweight experiments.yaml checkout_button control=20 treatment=80", reweight);
  file(command);
  command->add_option("KEY", arguments->key, "Experiment")->required();
  command->add_option("WEIGHTS", arguments->pairs, "name=percent for each variant")->required();
  command->add_option("--coverage", arguments->coverage, "Percent that take part; as it is by default");
  command = add("lint", "Mistakes and doubts of a file: 0 usable, 1 not", "lint experiments.yaml", lint);
  file(command);
  command = add("override", "Signs a header that forces variants on one client's requests",
                "override checkout_button=treatment --secret env:WEIR_EXPERIMENT_SECRET", sign_override);
  command->add_option("OVERRIDES", arguments->pairs, "KEY=VARIANT")->required();
  command->add_option("--secret", arguments->secret, "The gateway's `experiments.secret`, or env:NAME")
      ->required();
  command->add_option("--hours", arguments->hours, "How long it is good")->capture_default_str();
}

}  // namespace weir::server
