#include "weir/experiment/context.h"

#include "weir/experiment/internal/scalars.h"
#include "weir/experiment/snapshot.h"

namespace weir::experiment {

std::uint16_t AttributeTable::intern(std::string_view name) {
  if (const std::uint16_t slot = find(name); slot != kNone) return slot;
  if (names_.size() >= kMax) return kNone;
  const auto slot = static_cast<std::uint16_t>(names_.size());
  names_.emplace_back(name);
  types_.push_back(AttributeType::any);
  slots_.emplace(std::string(name), slot);
  return slot;
}

void Context::reset(const Snapshot& snapshot) {
  table_ = &snapshot.attributes();
  attributes_.assign(table_->size(), Attribute{});
  overrides_.clear();
  sticky_.clear();
  now_ = {};
  keeps_all_ = snapshot.payload() != nullptr;
  if (keeps_all_) all_ = Value::map();
}

void Context::put(std::uint16_t slot, std::string_view text) {
  Attribute& attribute = attributes_[slot];
  attribute = {};
  switch (table_->type(slot)) {
    case AttributeType::number:
      if (const auto number = internal::parse_number(text)) {
        attribute.kind = Attribute::Kind::number;
        attribute.number = *number;
      }
      return;
    case AttributeType::boolean:
      if (text != "true" && text != "false") return;
      attribute.kind = Attribute::Kind::boolean;
      attribute.boolean = text == "true";
      return;
    default:
      attribute.kind = Attribute::Kind::text;
      attribute.chars = text.data();
      attribute.count = static_cast<std::uint32_t>(text.size());
  }
}

void Context::set(std::string_view name, std::string_view text) {
  if (keeps_all_) all_.set(name, Value::of(text));
  if (const std::uint16_t slot = table_->find(name); slot != AttributeTable::kNone) put(slot, text);
}

void Context::set(std::string_view name, double number) {
  if (keeps_all_) all_.set(name, Value::of(number));
  const std::uint16_t slot = table_->find(name);
  if (slot == AttributeTable::kNone) return;
  attributes_[slot] = {};
  attributes_[slot].kind = Attribute::Kind::number;
  attributes_[slot].number = number;
}

void Context::set(std::string_view name, bool boolean) {
  if (keeps_all_) all_.set(name, Value::of(boolean));
  const std::uint16_t slot = table_->find(name);
  if (slot == AttributeTable::kNone) return;
  attributes_[slot] = {};
  attributes_[slot].kind = Attribute::Kind::boolean;
  attributes_[slot].boolean = boolean;
}

void Context::set(std::string_view name, std::span<const std::string_view> texts) {
  if (keeps_all_) {
    Value list = Value::list();
    for (std::string_view text : texts) list.items.push_back(Value::of(text));
    all_.set(name, std::move(list));
  }
  const std::uint16_t slot = table_->find(name);
  if (slot == AttributeTable::kNone) return;
  attributes_[slot] = {};
  attributes_[slot].kind = Attribute::Kind::texts;
  attributes_[slot].texts = texts.data();
  attributes_[slot].count = static_cast<std::uint32_t>(texts.size());
}

void Context::set(std::string_view name, const Value& value) {
  if (keeps_all_) all_.set(name, value);
  const std::uint16_t slot = table_->find(name);
  if (slot == AttributeTable::kNone) return;
  Attribute& attribute = attributes_[slot];
  attribute = {};
  switch (value.kind) {
    case Value::Kind::null:
    case Value::Kind::map:
      return;
    case Value::Kind::boolean:
      attribute.kind = Attribute::Kind::boolean;
      attribute.boolean = value.boolean;
      return;
    case Value::Kind::number:
      attribute.kind = Attribute::Kind::number;
      attribute.number = value.number;
      return;
    case Value::Kind::text:
      return put(slot, value.text);
    case Value::Kind::list:
      attribute.kind = Attribute::Kind::values;
      attribute.values = value.items.data();
      attribute.count = static_cast<std::uint32_t>(value.items.size());
      return;
  }
}

void Context::set_all(const Value& map) {
  for (const Member& member : map.members) set(member.name, member.value);
}

}  // namespace weir::experiment
