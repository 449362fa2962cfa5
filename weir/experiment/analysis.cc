#include "weir/experiment/analysis.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "weir/base/hash.h"

namespace weir::experiment {

std::string LockedPair::to_text() const {
  return "experiments `" + first + "` and `" + second + "` are locked together by `hash: fnv1a`" +
         (digits_only ? " for units that are digits" : "") + ": the bucket in one decides that in the other";
}

std::string LockedPair::fix() const {
  return "use `hash: fnv1a-mix` for one of them, or another key or `salt`";
}

bool salts_locked(std::string_view a, std::string_view b, bool digits_only) noexcept {
  const std::uint32_t mask = digits_only ? 0x3f : 0x7f;
  return ((base::fnv1a32(a) ^ base::fnv1a32(b)) & mask) == 0;
}

std::vector<LockedPair> locked_pairs(const Definitions& definitions) {
  struct Literal {
    std::string_view key;
    std::uint32_t state;
    Place at;
  };
  std::vector<Literal> all;
  for (const EntryDefinition& entry : definitions.entries)
    for (const RuleDefinition& rule : entry.rules)
      if (rule.hash == HashKind::fnv1a && rule.variants.size() > 1)
        all.push_back({entry.key, base::fnv1a32(rule.salt.empty() ? entry.key : rule.salt), rule.at});
  std::vector<LockedPair> pairs;
  // By classes of the low bits, 128 of them: only members of one class are compared.
  std::array<std::vector<std::size_t>, 128> classes;
  for (std::size_t i = 0; i < all.size(); ++i) {
    for (std::size_t earlier : classes[all[i].state & 0x7f]) {
      if (pairs.size() >= Issues::kMax) return pairs;
      LockedPair& pair = pairs.emplace_back();
      pair.first = all[earlier].key;
      pair.second = all[i].key;
      pair.at = all[i].at;
    }
    classes[all[i].state & 0x7f].push_back(i);
  }
  return pairs;
}

std::string simulated_unit(std::uint64_t seed, std::uint64_t number) {
  const base::Hash128 bits =
      base::siphash13_128({seed, 0x756e6974ULL}, {reinterpret_cast<const char*>(&number), sizeof number});
  static constexpr char kHex[] = "0123456789abcdef";
  std::string text;
  for (int i = 0; i < 32; ++i) {
    if (i == 8 || i == 12 || i == 16 || i == 20) text += '-';
    const std::uint64_t half = i < 16 ? bits.high : bits.low;
    auto nibble = static_cast<std::size_t>(half >> (60 - 4 * (i % 16)) & 0xf);
    if (i == 12) nibble = 4;                   // RFC 9562 5.4: version
    if (i == 16) nibble = 8 | (nibble & 0x3);  // and variant
    text += kHex[nibble];
  }
  return text;
}

namespace {

double chi_square_of(const Snapshot& snapshot, EntryId id, const std::map<std::string, std::uint64_t>& counts,
                     std::uint32_t& degrees) {
  std::uint64_t inside = 0;
  for (const auto& [name, count] : counts) inside += name.empty() ? 0 : count;
  double sum = 0;
  degrees = 0;
  for (std::string_view name : snapshot.variants(id)) {
    const double expected = snapshot.expected_share(id, name) * static_cast<double>(inside);
    if (expected <= 0) continue;
    const auto found = counts.find(std::string(name));
    const double seen = found == counts.end() ? 0 : static_cast<double>(found->second);
    sum += (seen - expected) * (seen - expected) / expected;
    ++degrees;
  }
  degrees = degrees > 0 ? degrees - 1 : 0;
  return sum;
}

}  // namespace

Simulation simulate(const Snapshot& snapshot, std::uint64_t units, std::uint64_t seed,
                    const Value& attributes) {
  Simulation result;
  result.units = units;
  std::vector<EntryId> ids;
  std::vector<std::string_view> firsts;
  for (std::uint32_t i = 0; i < snapshot.size(); ++i) {
    if (!snapshot.is_experiment({i})) continue;
    ids.push_back({i});
    result.shares.emplace_back().key = snapshot.key({i});
    const auto names = snapshot.variants({i});
    firsts.push_back(names.empty() ? std::string_view{} : names.front());
  }
  const std::size_t n = ids.size();
  std::vector<std::array<std::uint64_t, 4>> tables(n * n);  // for each pair: neither, second, first, both
  std::vector<int> state(n);                                // -1: not in it; 1: has the first variant
  Context context(snapshot);
  for (std::uint64_t unit = 0; unit < units; ++unit) {
    const std::string name = simulated_unit(seed, unit);
    context.reset(snapshot);
    context.set_all(attributes);
    context.set_unit(name);
    for (std::size_t i = 0; i < n; ++i) {
      const Decision decision = snapshot.evaluate(ids[i], context);
      ++result.shares[i].variants[std::string(decision.variant)];
      state[i] = decision.variant.empty() ? -1 : decision.variant == firsts[i] ? 1 : 0;
    }
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t j = i + 1; j < n; ++j)
        if (state[i] >= 0 && state[j] >= 0)
          ++tables[i * n + j][static_cast<std::size_t>(state[i] * 2 + state[j])];
  }
  for (std::size_t i = 0; i < n; ++i) {
    result.shares[i].chi_square =
        chi_square_of(snapshot, ids[i], result.shares[i].variants, result.shares[i].degrees);
    for (std::size_t j = i + 1; j < n; ++j) {
      const auto& t = tables[i * n + j];
      const auto d = [&t](std::size_t k) { return static_cast<double>(t[k]); };
      const double scale = std::sqrt((d(0) + d(1)) * (d(2) + d(3)) * (d(0) + d(2)) * (d(1) + d(3)));
      Simulation::Correlation& pair = result.correlations.emplace_back();
      pair.first = result.shares[i].key;
      pair.second = result.shares[j].key;
      pair.phi = scale > 0 ? (d(3) * d(0) - d(1) * d(2)) / scale : 0;
      pair.both = t[0] + t[1] + t[2] + t[3];
    }
  }
  std::stable_sort(result.correlations.begin(), result.correlations.end(),
                   [](const auto& a, const auto& b) { return std::fabs(a.phi) > std::fabs(b.phi); });
  return result;
}

namespace {

std::string xml(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '<')
      out += "&lt;";
    else if (c == '&')
      out += "&amp;";
    else if (c == '"')
      out += "&quot;";
    else
      out += c;
  }
  return out;
}

std::string rectangle(double x, double y, double width, double height, std::string_view colour,
                      std::string_view title) {
  const auto n = [](double v) { return number_text(std::round(v * 100) / 100); };
  return "<rect x=\"" + n(x) + "\" y=\"" + n(y) + "\" width=\"" + n(width) + "\" height=\"" + n(height) +
         "\" fill=\"" + std::string(colour) + "\"><title>" + xml(title) + "</title></rect>\n";
}

}  // namespace

std::string to_svg(const Simulation& simulation) {
  static constexpr std::array<std::string_view, 6> kColours{"#4472c4", "#ed7d31", "#70ad47",
                                                            "#ffc000", "#7030a0", "#00b0f0"};
  const std::size_t n = simulation.shares.size();
  const double top = 60 + 26.0 * static_cast<double>(n);
  const double cell = n == 0 ? 0 : std::min(24.0, 480.0 / static_cast<double>(n));
  std::string svg = "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"760\" height=\"" +
                    number_text(std::round(top + 40 + cell * static_cast<double>(n))) +
                    "\" font-family=\"sans-serif\" font-size=\"12\">\n<text x=\"10\" y=\"20\">shares of " +
                    std::to_string(simulation.units) + " units</text>\n";
  std::map<std::string, std::size_t> place;
  for (std::size_t i = 0; i < n; ++i) {
    const Simulation::Share& share = simulation.shares[i];
    place[share.key] = i;
    const double y = 34 + 26.0 * static_cast<double>(i);
    svg += "<text x=\"10\" y=\"" + number_text(y + 14) + "\">" + xml(share.key) + "</text>\n";
    double x = 220;
    std::size_t colour = 0;
    for (const auto& [name, count] : share.variants) {
      const double width = 520.0 * static_cast<double>(count) /
                           static_cast<double>(std::max<std::uint64_t>(1, simulation.units));
      svg += rectangle(x, y, width, 20, name.empty() ? "#d9d9d9" : kColours[colour++ % kColours.size()],
                       (name.empty() ? "not in it" : name) + ": " + std::to_string(count));
      x += width;
    }
  }
  svg += "<text x=\"10\" y=\"" + number_text(top) + "\">correlation of each pair (red: locked)</text>\n";
  for (const Simulation::Correlation& pair : simulation.correlations) {
    const int strength = 255 - static_cast<int>(std::min(1.0, std::fabs(pair.phi)) * 255);
    const std::string colour = "rgb(255," + std::to_string(strength) + "," + std::to_string(strength) + ")";
    svg += rectangle(220 + cell * static_cast<double>(place[pair.second]),
                     top + 10 + cell * static_cast<double>(place[pair.first]), cell - 1, cell - 1, colour,
                     pair.first + ", " + pair.second + ": " + number_text(std::round(pair.phi * 1e4) / 1e4));
  }
  return svg + "</svg>\n";
}

Moves moves_between(const Snapshot& before, const Snapshot& after, std::uint64_t units, std::uint64_t seed,
                    const Value& attributes) {
  Moves moves;
  moves.units = units;
  std::map<std::string, int> keys;
  for (std::uint32_t i = 0; i < before.size(); ++i) keys[std::string(before.key({i}))];
  for (std::uint32_t i = 0; i < after.size(); ++i) keys[std::string(after.key({i}))];
  const auto given = [](const Snapshot& snapshot, const std::string& key,
                        const Context& context) -> std::string {
    const Decision decision = snapshot.evaluate(key, context);
    if (!decision.variant.empty()) return std::string(decision.variant);
    return decision.value != nullptr ? to_json(*decision.value) : "-";
  };
  for (std::uint64_t unit = 0; unit < units; ++unit) {
    const std::string name = simulated_unit(seed, unit);
    Context old_context(before);
    Context new_context(after);
    for (Context* context : {&old_context, &new_context}) {
      context->set_all(attributes);
      context->set_unit(name);
    }
    for (const auto& [key, unused] : keys) {
      std::string from = given(before, key, old_context);
      std::string to = given(after, key, new_context);
      if (from != to) ++moves.by_key[key][{std::move(from), std::move(to)}];
    }
  }
  return moves;
}

Result<std::vector<std::vector<Range>>> reweight(const std::vector<std::vector<Range>>& owned,
                                                 std::span<const std::uint32_t> buckets,
                                                 std::uint32_t total) {
  std::uint64_t sum = 0;
  for (std::uint32_t n : buckets) sum += n;
  if (sum > total || owned.size() != buckets.size())
    return Error(ErrorCode::invalid_argument, "the new shares take more than all buckets");
  constexpr std::uint32_t kNobody = 0xffffffff;
  std::vector<std::uint32_t> owner(total, kNobody);
  std::vector<std::uint32_t> left(buckets.begin(), buckets.end());
  // Each keeps the first of its buckets, as many as it may have.
  for (std::uint32_t i = 0; i < owned.size(); ++i)
    for (const Range& range : owned[i])
      for (std::uint32_t b = range.from; b < std::min(range.to, total) && left[i] > 0; ++b)
        if (owner[b] == kNobody) owner[b] = i, --left[i];
  // What is missing comes from the buckets that nobody holds now.
  std::uint32_t b = 0;
  for (std::uint32_t i = 0; i < left.size(); ++i)
    for (; left[i] > 0 && b < total; ++b)
      if (owner[b] == kNobody) owner[b] = i, --left[i];
  std::vector<std::vector<Range>> ranges(owned.size());
  for (std::uint32_t from = 0; from < total;) {
    std::uint32_t to = from + 1;
    while (to < total && owner[to] == owner[from]) ++to;
    if (owner[from] != kNobody) ranges[owner[from]].push_back({from, to});
    from = to;
  }
  return ranges;
}

std::vector<std::vector<Range>> ranges_of(const RuleDefinition& rule) {
  std::vector<std::vector<Range>> ranges;
  const double scale = total_buckets(rule.hash) / 100.0;
  double before = 0;
  for (const VariantDefinition& variant : rule.variants) {
    std::vector<Range>& own = ranges.emplace_back(variant.ranges);
    if (!own.empty()) continue;
    const double weight = variant.weight.value_or(0);
    const auto from = static_cast<std::uint32_t>(std::lround(before * scale));
    const auto length = static_cast<std::uint32_t>(std::floor(weight * scale * rule.coverage / 100 + 1e-6));
    if (length > 0) own.push_back({from, from + length});
    before += weight;
  }
  return ranges;
}

double chi_square_tail(double chi_square, std::uint32_t degrees) noexcept {
  if (degrees == 0) return 1;
  // Wilson and Hilferty 1931: the cube root of chi-square / k is nearly normal.
  const double k = degrees;
  const double z = (std::cbrt(chi_square / k) - (1 - 2 / (9 * k))) / std::sqrt(2 / (9 * k));
  return 0.5 * std::erfc(z / std::sqrt(2.0));
}

}  // namespace weir::experiment
