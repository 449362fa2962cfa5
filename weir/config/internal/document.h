// A YAML file as a tree with positions, before anything in it means something.
//
// Built from yaml-cpp's event stream rather than its nodes: events carry the place of keys as well as of
// values, let duplicate keys and aliases be seen, and can be stopped at a bound before memory is spent. What
// YAML allows and a configuration does not need is refused here, with its place: tags, merge keys, several
// documents, keys that are not text, aliases of themselves.
//
// Bounds (kMax...): checked before yaml-cpp sees the text where its own cost would exceed ours (size, bracket
// depth), else at the event. Nothing is thrown past parse_document(). One pass, memory in proportion to the
// nodes.
#ifndef WEIR_CONFIG_INTERNAL_DOCUMENT_H_
#define WEIR_CONFIG_INTERNAL_DOCUMENT_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "weir/config/config.h"
#include "weir/config/internal/report.h"

namespace weir::config::internal {

inline constexpr std::size_t kMaxFileBytes = 4 * 1024 * 1024;  // a thousand routes are about 200 KiB
inline constexpr std::size_t kMaxFiles = 64;
inline constexpr std::size_t kMaxDepth = 64;       // the schema itself is eight levels deep
inline constexpr std::size_t kMaxNodes = 100'000;  // every alias counted with all it stands for: ten a route
inline constexpr std::size_t kMaxAliases = 1'000;
inline constexpr std::size_t kMaxTextBytes = 64 * 1024 * 1024;  // of all scalars, aliases counted likewise

// What is left of them; shared by all files of a configuration.
struct Budget {
  std::size_t nodes = kMaxNodes;
  std::size_t aliases = kMaxAliases;
  std::size_t text_bytes = kMaxTextBytes;
};

struct Node;

struct Entry {
  std::string key;
  Position at;  // of the key
  const Node* value = nullptr;
};

struct Node {
  enum class Kind : std::uint8_t { null, scalar, list, map };
  Kind kind = Kind::null;
  bool quoted = false;             // a scalar in quotes, or a block: never a number or a word of YAML's
  Position at;                     // of the value
  std::string text;                // scalar
  std::vector<Entry> entries;      // map, in the file's order, keys unique
  std::vector<const Node*> items;  // list
  std::size_t size = 1;            // nodes below and including this one
  std::size_t text_bytes = 0;      // of their text
};

// Owns its nodes; pointers stay valid while it lives, moves included.
struct Document {
  std::deque<Node> nodes;
  const Node* root = nullptr;  // null for an empty file, or an unreadable one
  bool readable = false;       // the text is YAML within the bounds
};

// Reports what is wrong. After a syntax error the tree is absent: guesses about the rest would only bury the
// one real mistake. Duplicate keys are reported and left out, the rest is read.
Document parse_document(std::string_view text, std::uint32_t file, Budget& budget, Report& report);

}  // namespace weir::config::internal

#endif  // WEIR_CONFIG_INTERNAL_DOCUMENT_H_
