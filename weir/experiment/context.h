// Context: who asks, for one evaluation: the unit and its attributes.
//
// Made on a snapshot (snapshot.h), whose attribute names it turns into places of an array, so that a
// condition finds its attribute by an index. Names that no rule of the snapshot reads are let go of at once.
// Texts are views: they must outlive the context. One thread at a time; reset() makes it new and keeps its
// memory.
//
//   Context context(*snapshot);
//   context.set("user_id", "user_1");
//   context.set("beta", true);
//   Decision decision = snapshot->evaluate("checkout_button", context);
#ifndef WEIR_EXPERIMENT_CONTEXT_H_
#define WEIR_EXPERIMENT_CONTEXT_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "weir/base/clock.h"
#include "weir/experiment/value.h"

namespace weir::experiment {

class Snapshot;

// What a file may declare an attribute to be. A text (a header is one) is turned into it; what cannot be is
// as good as missing. `any`: not declared, taken as it comes.
enum class AttributeType : std::uint8_t { any, text, number, boolean, version, ip, time, list };

// Names of attributes and their places. Built while a snapshot is compiled, then constant.
class AttributeTable {
 public:
  static constexpr std::uint16_t kNone = 0xffff;
  static constexpr std::size_t kMax = 4'096;  // names in one file

  std::uint16_t find(std::string_view name) const noexcept {
    const auto found = slots_.find(name);
    return found == slots_.end() ? kNone : found->second;
  }
  // kNone when the table is full.
  std::uint16_t intern(std::string_view name);
  void declare(std::uint16_t slot, AttributeType type) { types_[slot] = type; }
  AttributeType type(std::uint16_t slot) const noexcept { return types_[slot]; }
  std::string_view name(std::uint16_t slot) const noexcept { return names_[slot]; }
  std::size_t size() const noexcept { return types_.size(); }

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const noexcept {
      return std::hash<std::string_view>{}(text);
    }
  };
  std::unordered_map<std::string, std::uint16_t, Hash, std::equal_to<>> slots_;
  std::vector<std::string> names_;
  std::vector<AttributeType> types_;
};

// The value of one attribute.
struct Attribute {
  enum class Kind : std::uint8_t { missing, boolean, number, text, texts, values };
  enum class Utf8 : std::uint8_t { unknown, sound, broken };

  Kind kind = Kind::missing;
  mutable Utf8 utf8 = Utf8::unknown;  // of a text that serves as unit; looked at once
  bool boolean = false;
  std::uint32_t count = 0;  // texts, values
  double number = 0;
  const char* chars = nullptr;  // text
  const std::string_view* texts = nullptr;
  const Value* values = nullptr;

  std::string_view text() const noexcept { return {chars, count}; }
};

class Context {
 public:
  // The name under which an attribute is the unit where a rule names none, and where the named one is absent.
  static constexpr std::string_view kTargetingKey = "targetingKey";

  explicit Context(const Snapshot& snapshot) { reset(snapshot); }
  // As if new, on that snapshot. Allocates only for more attributes than it ever had.
  void reset(const Snapshot& snapshot);

  // The targeting key. Bytes that are not UTF-8, and more than 1 KiB, are no unit: decisions say
  // invalid_unit.
  void set_unit(std::string_view key) { set(kTargetingKey, key); }
  void set(std::string_view name, std::string_view text);
  void set(std::string_view name, const char* text) { set(name, std::string_view(text)); }
  void set(std::string_view name, double number);
  void set(std::string_view name, int number) { set(name, static_cast<double>(number)); }
  void set(std::string_view name, bool boolean);
  void set(std::string_view name, std::span<const std::string_view> texts);
  // Scalars and lists of scalars by kind; null removes; a map is known to GrowthBook payloads alone.
  void set(std::string_view name, const Value& value);
  // Every member of a map.
  void set_all(const Value& map);

  // The moment that start and end times are compared with. Without it (the epoch) nothing has started.
  void set_now(WallTime now) noexcept { now_ = now; }
  WallTime now() const noexcept { return now_; }

  // From here on `key` gives `variant` if it has one of that name: for overrides whose signature was checked.
  void override_variant(std::string_view key, std::string_view variant) {
    overrides_.push_back({key, variant});
  }
  // What the unit was given before; counts for experiments that are sticky, within their targeting.
  void remember(std::string_view key, std::string_view variant) { sticky_.push_back({key, variant}); }

  const Attribute& attribute(std::uint16_t slot) const noexcept { return attributes_[slot]; }
  std::size_t attributes() const noexcept { return attributes_.size(); }
  bool overrides_any() const noexcept { return !overrides_.empty(); }
  // "" when there is none.
  std::string_view overridden(std::string_view key) const noexcept { return of(overrides_, key); }
  std::string_view remembered(std::string_view key) const noexcept { return of(sticky_, key); }
  const AttributeTable& table() const noexcept { return *table_; }
  // All attributes as one map, with those that no native rule reads: for GrowthBook payloads. Null unless the
  // snapshot holds one.
  const Value* all() const noexcept { return keeps_all_ ? &all_ : nullptr; }

 private:
  struct Given {
    std::string_view key;
    std::string_view variant;
  };
  static std::string_view of(const std::vector<Given>& list, std::string_view key) noexcept {
    for (const Given& given : list)
      if (given.key == key) return given.variant;
    return {};
  }
  void put(std::uint16_t slot, std::string_view text);

  const AttributeTable* table_ = nullptr;
  std::vector<Attribute> attributes_;
  std::vector<Given> overrides_;
  std::vector<Given> sticky_;
  WallTime now_{};
  bool keeps_all_ = false;
  Value all_;
};

}  // namespace weir::experiment

#endif  // WEIR_EXPERIMENT_CONTEXT_H_
