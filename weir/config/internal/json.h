// Writes JSON: commas and quotes in one place.
//
//   JsonWriter json;
//   json.open('{').member("limit", 100).key("names").open('[').text("a").close(']').close('}');
#ifndef WEIR_CONFIG_INTERNAL_JSON_H_
#define WEIR_CONFIG_INTERNAL_JSON_H_

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "weir/base/strings.h"

namespace weir::config::internal {

class JsonWriter {
 public:
  JsonWriter& open(char bracket) { return comma(), out_ += bracket, fresh_ = true, *this; }
  JsonWriter& close(char bracket) { return out_ += bracket, fresh_ = false, *this; }
  JsonWriter& key(std::string_view name) { return text(name), out_ += ':', fresh_ = true, *this; }
  JsonWriter& text(std::string_view value) {
    comma();
    out_ += '"';
    base::append_json_escaped(out_, value);
    out_ += '"';
    return *this;
  }
  JsonWriter& raw(std::string_view json) { return comma(), out_ += json, *this; }
  template <std::integral T>
  JsonWriter& number(T value) {
    return raw(std::to_string(value));
  }
  JsonWriter& boolean(bool value) { return raw(value ? "true" : "false"); }

  JsonWriter& member(std::string_view name, std::string_view value) { return key(name).text(value); }
  JsonWriter& member(std::string_view name, const char* value) { return key(name).text(value); }
  JsonWriter& member(std::string_view name, bool value) { return key(name).boolean(value); }
  template <std::integral T>
    requires(!std::same_as<T, bool>)
  JsonWriter& member(std::string_view name, T value) {
    return key(name).number(value);
  }

  std::string take() { return std::move(out_); }

 private:
  void comma() {
    if (!fresh_ && !out_.empty()) out_ += ',';
    fresh_ = false;
  }

  std::string out_;
  bool fresh_ = true;
};

}  // namespace weir::config::internal

#endif  // WEIR_CONFIG_INTERNAL_JSON_H_
