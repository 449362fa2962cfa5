// Every key of the configuration, described once.
//
// The check of a file, its messages, the JSON Schema, the README's table and the reader's expectations come
// from these rows. A row's path is written the way a user nests keys: `.name` is a key of a map, `.*` a key
// that the user names, `[]` an item of a list.
//
//   {.path = "upstreams.*.timeouts.connect", .forms = kDuration, .fallback = "1s", .min = .., .about = ".."}
//
// A key that the contract names and weir does not read yet has `later`: it is reported as such, never ignored
// and never called unknown. To add a part, give its rows their forms and write the function that reads them.
#ifndef WEIR_CONFIG_INTERNAL_DESCRIPTORS_H_
#define WEIR_CONFIG_INTERNAL_DESCRIPTORS_H_

#include <cstdint>
#include <span>
#include <string_view>

namespace weir::config::internal {

// What a value may look like; a row names one or several.
using Forms = std::uint32_t;
inline constexpr Forms kMap = 1U << 0;          // described by rows below it
inline constexpr Forms kList = 1U << 1;         // items described by the row `path[]`
inline constexpr Forms kOff = 1U << 2;          // the word `off`
inline constexpr Forms kAuto = 1U << 3;         // the word `auto`
inline constexpr Forms kTrue = 1U << 4;         // the word `true` alone
inline constexpr Forms kBool = 1U << 5;         // true, false
inline constexpr Forms kWord = 1U << 6;         // one of `words`
inline constexpr Forms kNumber = 1U << 7;       // whole number, min..max
inline constexpr Forms kPercent = 1U << 8;      // 0% .. 100%
inline constexpr Forms kDuration = 1U << 9;     // 250ms 2s 1m 24h 7d; min..max in milliseconds
inline constexpr Forms kSize = 1U << 10;        // 512 64KiB 1MiB; min..max in bytes
inline constexpr Forms kRate = 1U << 11;        // 100/min; min..max of the count
inline constexpr Forms kText = 1U << 12;        // any text; min = 1: not empty
inline constexpr Forms kFilePath = 1U << 13;    // of a file
inline constexpr Forms kListen = 1U << 14;      // 127.0.0.1:8080, [::1]:8080, :8080
inline constexpr Forms kUrl = 1U << 15;         // http://host[:port]
inline constexpr Forms kCidr = 1U << 16;        // 10.0.0.0/8
inline constexpr Forms kPattern = 1U << 17;     // /orders/*, /users/{id}
inline constexpr Forms kRewrite = 1U << 18;     // /v2/*
inline constexpr Forms kMethod = 1U << 19;      // GET
inline constexpr Forms kHost = 1U << 20;        // api.example; with `*.` too where the row is a route's
inline constexpr Forms kHeaderName = 1U << 21;  // X-Request-Id
inline constexpr Forms kHeaderValue = 1U << 22;
inline constexpr Forms kName = 1U << 23;      // an identifier: letters, digits, _ . -
inline constexpr Forms kLimitKey = 1U << 24;  // client_ip, header:N, ...
inline constexpr Forms kFailure = 1U << 25;   // 5xx, 503, !501, timeout
inline constexpr Forms kJson = 1U << 26;      // anything at all, taken as the JSON it stands for

struct Row {
  std::string_view path;
  Forms forms = 0;
  std::string_view fallback = {};     // the default, as a file would write it; empty: none
  std::string_view absent = {};       // in place of a default: what absence means
  std::string_view words = {};        // kWord: "a b c"
  std::string_view later_words = {};  // words of the contract that weir does not act on yet
  std::uint64_t min = 0;
  std::uint64_t max = 0;
  std::uint32_t least = 0;          // kList, or kMap with names: entries that it must have
  std::uint32_t most = 0;           // and may have at most; 0: as many as a file may hold
  std::string_view none_hint = {};  // what to write in place of an empty list
  bool required = false;            // in the map that it belongs to
  bool later = false;               // not yet supported
  bool in_defaults = false;         // routes[].X: `defaults` may hold it too
  std::string_view names = {};      // kMap with `.*`: what the keys are: kName unless "header"
  std::string_view example = {};
  std::string_view about = {};
};

std::span<const Row> all_rows() noexcept;

// The row of `key` below `parent` ("" is the root); null when there is none. `defaults` borrows the rows of
// routes.
const Row* child_row(std::string_view parent, std::string_view key) noexcept;
// The row of a list's items.
const Row* item_row(std::string_view parent) noexcept;
// The row of keys that the user names; null for a map with fixed keys.
const Row* named_row(std::string_view parent) noexcept;

// Calls visit(key, row) for each fixed key below `parent`.
template <class Visit>
void each_child(std::string_view parent, Visit visit);

// The last name of a path: "connect" for "upstreams.*.timeouts.connect".
std::string_view last_name(std::string_view path) noexcept;

// Whether a map may be written here: it has a key that weir reads already.
bool has_map_form(const Row& row) noexcept;

// --- implementation of the template ---

// `path` is `parent` and one more fixed name: that name, else empty.
std::string_view name_below(std::string_view parent, std::string_view path) noexcept;

template <class Visit>
void each_child(std::string_view parent, Visit visit) {
  const bool defaults = parent == "defaults";
  for (const Row& row : all_rows()) {
    const std::string_view name = name_below(defaults ? std::string_view("routes[]") : parent, row.path);
    if (!name.empty() && (!defaults || row.in_defaults)) visit(name, row);
  }
}

}  // namespace weir::config::internal

#endif  // WEIR_CONFIG_INTERNAL_DESCRIPTORS_H_
