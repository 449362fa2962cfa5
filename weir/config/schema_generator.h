// Documents drawn from the table of keys, for the tests: right ones, and right ones with exactly one fault of shape, type,
// range, missing or unknown key. Names refer to nothing, so such a document is right for check_root() and for the schema,
// which look at one value at a time, not for the readers behind them.
#ifndef WEIR_CONFIG_SCHEMA_GENERATOR_H_
#define WEIR_CONFIG_SCHEMA_GENERATOR_H_

#include <array>
#include <deque>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "weir/base/random.h"
#include "weir/base/strings.h"
#include "weir/config/internal/descriptors.h"
#include "weir/config/internal/forms.h"

namespace weir::config::testing {

class Generator {
 public:
  explicit Generator(std::uint64_t seed) : random_(seed) {}

  // A whole file, as JSON.
  std::string valid() {
    nodes_.clear();
    Drawn* root = node(kRoot);
    root->is_map = true;
    fill_map(*root, 0);
    return text_of(*root);
  }

  // The same with one fault; `what` says which. A draw without a place for the fault gives "".
  std::string faulty(std::string* what) {
    valid();
    for (int tries = 0; tries < 50; ++tries) {
      Drawn& victim = nodes_[random_.below(nodes_.size())];
      *what = spoil(victim);
      if (what->empty()) continue;
      what->insert(0, std::string(victim.row->path) + ": ");
      return text_of(nodes_.front());
    }
    return {};
  }

 private:
  using Row = internal::Row;
  using Forms = internal::Forms;

  static constexpr Row kRoot{.path = "", .forms = internal::kMap};

  struct Drawn {
    const Row* row = nullptr;
    bool is_map = false;
    bool is_list = false;
    Forms form = 0;
    std::string text;  // of a scalar, as JSON
    std::vector<std::pair<std::string, Drawn*>> members;
    std::vector<Drawn*> items;
  };

  Drawn* node(const Row& row) {
    nodes_.push_back({});
    nodes_.back().row = &row;
    return &nodes_.back();
  }

  static std::string quoted(std::string_view text) {
    std::string out = "\"";
    base::append_json_escaped(out, text);
    return out + "\"";
  }

  Drawn* draw(const Row& row, int depth) {
    Drawn* drawn = node(row);
    std::vector<Forms> forms;
    internal::Forms rest = row.forms;
    for (; rest != 0; rest &= rest - 1) {
      const Forms form = rest & (~rest + 1);
      if (form == internal::kMap && !internal::has_map_form(row)) continue;
      forms.push_back(form);
    }
    const Forms form = forms[random_.below(forms.size())];
    drawn->form = form;
    if (form == internal::kMap) {
      drawn->is_map = true;
      fill_map(*drawn, depth);
    } else if (form == internal::kList) {
      drawn->is_list = true;
      const std::size_t most = row.most == 0 ? 3 : std::min<std::size_t>(row.most, 3);
      const std::size_t count = row.least + random_.below(most - std::min<std::size_t>(most, row.least) + 1);
      for (std::size_t i = 0; i < count; ++i)
        drawn->items.push_back(draw(*internal::item_row(row.path), depth + 1));
    } else {
      drawn->text = scalar(row, form);
    }
    return drawn;
  }

  void fill_map(Drawn& map, int depth) {
    const std::string_view path = map.row->path;
    const std::uint64_t chance = depth == 0 ? 2 : 3;
    const std::string_view target = kTargets[random_.below(kTargets.size())];
    internal::each_child(path, [&](std::string_view name, const Row& row) {
      if (row.later || row.forms == 0) return;
      bool wanted = row.required || random_.below(chance) == 0;
      if (path == "routes[]")  // exactly one key says what answers
        for (const std::string_view one : kTargets)
          if (name == one) wanted = one == target;
      if (wanted) map.members.emplace_back(name, draw(row, depth + 1));
    });
    internal::each_child(path, [&](std::string_view name, const Row& row) {
      if (map.members.size() < map.row->least && !row.later)
        map.members.emplace_back(name, draw(row, depth + 1));
    });
    if (const Row* named = internal::named_row(path)) {
      const std::size_t count = std::max<std::size_t>(map.row->least, 1) + random_.below(2);
      for (std::size_t i = 0; i < count; ++i)
        map.members.emplace_back((map.row->names == "header" ? "X-Name-" : "name_") + std::to_string(i),
                                 draw(*named, depth + 1));
    }
  }

  std::uint64_t between(std::uint64_t low, std::uint64_t high) {
    switch (random_.below(4)) {
      case 0:
        return low;
      case 1:
        return high;
      default:
        return low + random_.below(std::min<std::uint64_t>(high - low, 5'000) + 1);
    }
  }

  template <std::size_t N>
  std::string one_of(const std::array<std::string_view, N>& words) {
    return quoted(words[random_.below(N)]);
  }

  // A value of the form within the row's bounds, with the largest unit that fits now and then.
  std::string measured(const Row& row, Forms form) {
    std::uint64_t value = between(row.min, row.max);
    if (form == internal::kNumber) return std::to_string(value);
    if (form == internal::kRate)
      return quoted(std::to_string(value) + (random_.below(2) == 0 ? "/s" : "/min"));
    if (form == internal::kSize) {
      if (random_.below(2) == 0) return std::to_string(value);
      for (const auto& [unit, factor] : kSizes)
        if (value >= factor && value / factor * factor >= row.min)
          return quoted(std::to_string(value / factor) + std::string(unit));
      return std::to_string(value);
    }
    if (random_.below(2) == 0)
      for (const auto& [unit, factor] : kTimes)
        if (value >= factor && value / factor * factor >= row.min)
          return quoted(std::to_string(value / factor) + std::string(unit));
    return quoted(std::to_string(value) + "ms");
  }

  std::string text(const Row& row) {
    if (row.max > 0 && row.max <= 64 && random_.below(4) == 0) return quoted(std::string(row.max, 'x'));
    if (random_.below(8) == 0) return "17";
    return one_of<3>({"some text", "x", "a-b_c.d"});
  }

  std::string scalar(const Row& row, Forms form) {
    using namespace internal;
    switch (form) {
      case kOff:
        return "\"off\"";
      case kAuto:
        return "\"auto\"";
      case kTrue:
        return "true";
      case kBool:
        return random_.below(2) == 0 ? "true" : "false";
      case kWord: {
        const auto words = words_of(row.words);
        return quoted(words[random_.below(words.size())]);
      }
      case kNumber:
      case kDuration:
      case kSize:
      case kRate:
        return measured(row, form);
      case kPercent:
        return one_of<5>({"0%", "100%", "12.5%", "99.999%", "7%"});
      case kText:
      case kHeaderValue:
        return text(row);
      case kFilePath:
        return one_of<3>({"logs/a.log", "/var/x", "k"});
      case kListen:
        return one_of<5>({"127.0.0.1:8080", ":0", "[::1]:65535", "0.0.0.0:1", "255.254.1.10:443"});
      case kUrl:
        return one_of<6>({"http://127.0.0.1:9001", "https://a.example", "http://[::1]:1",
                          "http://orders_b:65535", "http://h", "https://3com.example:443"});
      case kCidr:
        return one_of<6>({"10.0.0.0/8", "192.0.2.1", "fd00::/8", "0.0.0.0/0", "::1/128", "172.16.0.0/12"});
      case kPattern:
        return one_of<5>({"/", "/*", "/a/b", "/users/{id}", "/a-b/~c/*"});
      case kRewrite:
        return one_of<2>({"/*", "/v2/*"});
      case kMethod:
        return one_of<4>({"GET", "POST", "M-SEARCH", "VERSION_CONTROL"});
      case kHost:
        return one_of<3>({"api.example", "h", "192.0.2.1"});
      case kHeaderName:
        return one_of<3>({"X-A", "a.b!c", "Via2"});
      case kName:
        return one_of<4>({"users", "a.b-c_d", "x", "0users"});
      case kLimitKey:
        return one_of<7>({"global", "client_ip", "header:X-Key", "cookie:sid", "query:q/1",
                          "passport.user_id", "jwt.a.b"});
      case kFailure:
        return one_of<5>({"5xx", "!501", "connect", "!timeout", "4xx"});
      default:
        return one_of<2>({"anything", "else"});  // kJson
    }
  }

  // --- faults ---

  // Makes the node wrong; says how, or "" when it cannot be made so.
  std::string spoil(Drawn& node) {
    if ((node.row->forms & internal::kJson) != 0) return {};
    switch (random_.below(6)) {
      case 0:
        return unknown_key(node);
      case 1:
        return missing_key(node);
      case 2:
        return wrong_shape(node);
      case 3:
        return too_few(node);
      default:
        return out_of_range(node);
    }
  }

  std::string unknown_key(Drawn& map) {
    if (!map.is_map || internal::named_row(map.row->path) != nullptr) return {};
    map.members.emplace_back("no_such_key", node(kRoot));
    map.members.back().second->text = "1";
    return "unknown key";
  }

  std::string missing_key(Drawn& map) {
    if (map.row->path.empty()) return {};  // another file may have it
    for (std::size_t i = 0; i < map.members.size(); ++i) {
      if (!map.members[i].second->row->required) continue;
      const std::string name = map.members[i].first;
      map.members.erase(map.members.begin() + static_cast<std::ptrdiff_t>(i));
      return "without " + name;
    }
    return {};
  }

  std::string become(Drawn& node, std::string text, std::string_view how) {
    node.is_map = node.is_list = false;
    node.members.clear();
    node.items.clear();
    node.text = std::move(text);
    return std::string(how) + " " + node.text.substr(0, 60);
  }

  std::string wrong_shape(Drawn& node) {
    using namespace internal;
    const Forms forms = node.row->forms;
    constexpr Forms kAnyText = kText | kFilePath | kHeaderValue;
    switch (random_.below(5)) {
      case 0:
        return node.row->path.empty() ? ""
                                      : become(node, "null", "shape");  // an empty file has no fault of shape
      case 1:
        return (forms & kMap) != 0 ? "" : become(node, "{\"a\":1}", "shape");
      case 2:
        return (forms & kList) != 0 ? "" : become(node, "[1]", "shape");
      case 3:
        return (forms & kAnyText) != 0 ? "" : become(node, "\"\\u0001?\"", "type");
      default:
        return (forms & (kAnyText | kName | kHost | kHeaderName)) != 0 ? "" : become(node, "-1.5", "type");
    }
  }

  std::string too_few(Drawn& node) {
    if (node.row->least == 0) return {};
    if (node.is_list) {
      node.items.clear();
      return "no entries";
    }
    if (node.is_map && internal::named_row(node.row->path) != nullptr) {
      node.members.clear();
      return "no entries";
    }
    return {};
  }

  std::string out_of_range(Drawn& node) {
    using namespace internal;
    const Row& row = *node.row;
    const bool below = row.min > 0 && random_.below(2) == 0;
    const std::uint64_t bad = below ? row.min - 1 : row.max + 1;
    // A text of any kind would take the words of other forms.
    if ((row.forms & (kText | kFilePath | kHeaderValue | kName)) != 0) {
      if ((row.forms & kText) == 0 || (row.forms & (kFilePath | kName | kHeaderValue)) != 0) return {};
      if (below) return row.min == 1 ? become(node, "\"\"", "length") : "";
      return row.max == 0 || row.max > 8192 ? ""
                                            : become(node, quoted(std::string(row.max + 1, 'x')), "length");
    }
    if (node.form == kNumber && (row.forms & (kSize | kFailure)) == 0)
      return become(node, std::to_string(bad), "range");
    if (node.form == kDuration) return become(node, quoted(std::to_string(bad) + "ms"), "range");
    if (node.form == kRate) return become(node, quoted(std::to_string(row.max + 1) + "/s"), "range");
    if (node.form == kSize) {
      if (below) return become(node, std::to_string(bad), "range");
      return become(node, quoted(std::to_string(row.max / kSizes[0].second + 1) + "GiB"), "range");
    }
    if (node.form == kPercent) return become(node, one_of<3>({"100.1%", "101%", "50"}), "range");
    if (node.form == kListen)
      return become(node, one_of<3>({"127.0.0.1:65536", "256.0.0.1:1", "h:80"}), "range");
    if (node.form == kUrl)
      return become(
          node, one_of<5>({"http://h:0", "http://h:65536", "http://1.2.3.400", "http://-a", "http://h/p"}),
          "range");
    if (node.form == kCidr) return become(node, one_of<3>({"10.0.0.0/33", "::/129", "300.0.0.0/8"}), "range");
    if (node.form == kFailure) return become(node, one_of<3>({"600", "6xx", "!"}), "range");
    if (node.form == kMethod) return become(node, one_of<2>({"get", "G ET"}), "type");
    return {};
  }

  static std::string text_of(const Drawn& node) {
    if (node.is_map) {
      std::string out = "{";
      for (const auto& [name, member] : node.members)
        out.append(out.size() > 1 ? "," : "").append(quoted(name)).append(":").append(text_of(*member));
      return out + "}";
    }
    if (node.is_list) {
      std::string out = "[";
      for (const Drawn* item : node.items) out.append(out.size() > 1 ? "," : "").append(text_of(*item));
      return out + "]";
    }
    return node.text;
  }

  static constexpr std::array<std::string_view, 4> kTargets{"upstream", "respond", "bff", "serve"};
  static constexpr std::array<std::pair<std::string_view, std::uint64_t>, 3> kSizes{
      {{"GiB", 1ULL << 30}, {"MiB", 1ULL << 20}, {"KiB", 1ULL << 10}}};
  static constexpr std::array<std::pair<std::string_view, std::uint64_t>, 4> kTimes{
      {{"d", 86'400'000}, {"h", 3'600'000}, {"m", 60'000}, {"s", 1'000}}};

  base::Random random_;
  std::deque<Drawn> nodes_;
};

}  // namespace weir::config::testing

#endif  // WEIR_CONFIG_SCHEMA_GENERATOR_H_
