// From bytes to a tree with positions.
//
//   (1) Prescan: size, UTF-8, control characters, gross bracket depth. yaml-cpp ends its input at a NUL,
//       replaces broken UTF-8, and queues a token for every open bracket of a line (233 bytes each were
//       measured), so these are settled before it runs.
//   (2) Events: the Builder keeps a stack of open nodes and throws Refused at a bound; yaml-cpp recurses
//       once a level and calls the handler first, so kMaxDepth bounds its stack as well.
//   (3) Whatever yaml-cpp throws becomes one diagnostic in plain words.
//
// Columns count characters (code points), not bytes, as editors do. Proved by broken_test.cc and
// config_fuzz.cc.
#include "weir/config/internal/document.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <array>
#include <exception>
#include <istream>
#include <optional>
#include <streambuf>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "weir/config/internal/utf8.h"

namespace weir::config::internal {
namespace {

// Brackets open at once before yaml-cpp gets to see the text. Far above kMaxDepth: brackets inside block text
// are counted too, and must not matter.
constexpr std::size_t kMaxOpenBrackets = 1'000;

constexpr const char* kTooDeep = "nested deeper than 64 levels";
static_assert(kMaxDepth == 64);

// Reads from memory without copying it.
class ViewBuffer final : public std::streambuf {
 public:
  explicit ViewBuffer(std::string_view text) {
    char* begin = const_cast<char*>(text.data());  // never written: no put area is set
    setg(begin, begin, begin + text.size());
  }
};

// Where lines begin, to turn byte columns into character columns.
class Lines {
 public:
  Lines(std::string_view text, std::uint32_t file) : text_(text), file_(file) {
    starts_.push_back(0);
    for (std::size_t i = 0; i < text.size(); ++i)
      if (text[i] == '\n') starts_.push_back(i + 1);
  }

  std::size_t offset(std::size_t line, std::size_t column) const {
    return line < starts_.size() ? std::min(starts_[line] + column, text_.size()) : text_.size();
  }

  // `line` and `column` from 0, the column in bytes.
  Position at(std::size_t line, std::size_t column) const {
    line = std::min(line, starts_.size() - 1);
    const std::size_t end = offset(line, column);
    if (end < counted_to_ || starts_[line] > counted_to_) counted_to_ = starts_[line], characters_ = 0;
    for (; counted_to_ < end; ++counted_to_)
      if ((static_cast<unsigned char>(text_[counted_to_]) & 0xc0U) != 0x80U)
        ++characters_;  // no continuation byte
    return Position{file_, static_cast<std::uint32_t>(line + 1), characters_ + 1};
  }

  Position at_offset(std::size_t byte) const {
    const auto after = std::upper_bound(starts_.begin(), starts_.end(), byte);
    const auto line = static_cast<std::size_t>(after - starts_.begin()) - 1;
    return at(line, byte - starts_[line]);
  }

  Position at(const YAML::Mark& mark) const {
    return at(static_cast<std::size_t>(std::max(mark.line, 0)),
              static_cast<std::size_t>(std::max(mark.column, 0)));
  }

  std::string_view line_text(std::size_t line) const {
    if (line >= starts_.size()) return {};
    const std::string_view rest = text_.substr(starts_[line]);
    return rest.substr(0, rest.find('\n'));
  }

 private:
  std::string_view text_;
  std::uint32_t file_;
  std::vector<std::size_t> starts_;
  // Places are asked for in nearly ascending order: going on from the last one keeps a file of one line
  // linear.
  mutable std::size_t counted_to_ = 0;
  mutable std::uint32_t characters_ = 0;
};

// One mistake, on its way out of the parser.
struct Fault {
  Position at;
  std::string message;
};

// Thrown inside the event handler, caught in parse_document: a bound or something that weir refuses.
struct Refused {
  Fault fault;
};

// The first byte that no configuration holds.
std::optional<Fault> bad_bytes(std::string_view text, const Lines& lines) {
  for (std::size_t i = 0; i < text.size();) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const std::size_t length = utf8_length(text.substr(i));
    if (length == 0) return Fault{lines.at_offset(i), "the file is not UTF-8 text"};
    const bool line_end = byte == '\n' || (byte == '\r' && i + 1 < text.size() && text[i + 1] == '\n');
    if ((byte < 0x20 && byte != '\t' && !line_end) || byte == 0x7f)
      return Fault{lines.at_offset(i), "the file holds a control character"};
    i += length;
  }
  return std::nullopt;
}

std::optional<Fault> too_many_brackets(std::string_view text, const Lines& lines) {
  std::size_t open = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '[' || c == '{') {
      if (++open > kMaxOpenBrackets) return Fault{lines.at_offset(i), kTooDeep};
    } else if ((c == ']' || c == '}') && open > 0) {
      --open;
    }
  }
  return std::nullopt;
}

class Builder final : public YAML::EventHandler {
 public:
  Builder(std::string_view text, const Lines& lines, Budget& budget, Document& document, Report& report)
      : text_(text), lines_(lines), budget_(budget), document_(document), report_(report) {}

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (documents_++ == 0) return;
    const Position at = lines_.at(mark);
    const bool marked = lines_.line_text(at.line - 1).starts_with("---") ||
                        (at.line >= 2 && lines_.line_text(at.line - 2).starts_with("---"));
    if (marked) throw Refused{{at, "a second YAML document; weir reads one document a file"}};
    throw Refused{{at, "this line does not belong to what stands above it: check its indentation"}};
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    Node& node = add(Node::Kind::null, mark, "");
    complete(node, anchor);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const Position at = lines_.at(mark);
    if (budget_.aliases-- == 0) throw Refused{{at, "more than " + std::to_string(kMaxAliases) + " aliases"}};
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end()) throw Refused{{at, "an alias inside the very value it stands for"}};
    count(found->second->size, found->second->text_bytes, at);
    place(*found->second, at);
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    const char first = at_mark(mark);
    const bool quoted = tag == "!" && (first == '"' || first == '\'' || first == '|' || first == '>');
    Node& node = add(Node::Kind::scalar, mark, quoted ? "" : tag, value.size());
    node.text = value;
    node.quoted = quoted;
    if (first == '"' || first == '\'') check_closed(mark, first);
    complete(node, anchor);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(add(Node::Kind::list, mark, tag), anchor);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(add(Node::Kind::map, mark, tag), anchor);
  }
  void OnMapEnd() override { close(); }

  // The innermost collection that was begun and not ended: where a missing bracket belongs.
  std::optional<Position> innermost_open() const {
    if (stack_.empty()) return std::nullopt;
    return stack_.back().node->at;
  }

 private:
  struct Open {
    Node* node = nullptr;
    YAML::anchor_t anchor = 0;
    bool key_next = true;  // map: the next event is a key
    bool skip = false;     // map: the value belongs to a duplicate key
    Entry entry;
    std::unordered_map<std::string, Position> keys;
  };

  char at_mark(const YAML::Mark& mark) const {
    const std::size_t offset = lines_.offset(static_cast<std::size_t>(std::max(mark.line, 0)),
                                             static_cast<std::size_t>(std::max(mark.column, 0)));
    return offset < text_.size() ? text_[offset] : '\0';
  }

  void count(std::size_t nodes, std::size_t text_bytes, Position at) {
    if (nodes > budget_.nodes)
      throw Refused{{at, "more than " + std::to_string(kMaxNodes) +
                             " values, aliases counted with all they stand for"}};
    if (text_bytes > budget_.text_bytes)
      throw Refused{{at, "more than 64 MiB of text, aliases counted with all they stand for"}};
    budget_.nodes -= nodes;
    budget_.text_bytes -= text_bytes;
    for (Open& open : stack_) {
      open.node->size += nodes;
      open.node->text_bytes += text_bytes;
    }
  }

  Node& add(Node::Kind kind, const YAML::Mark& mark, const std::string& tag, std::size_t text_bytes = 0) {
    const Position at = lines_.at(mark);
    // yaml-cpp marks plain values "?" and quoted ones "!"; anything else was written by the user.
    if (!tag.empty() && tag != "?" && tag != "!")
      throw Refused{
          {at, "`!` begins a YAML tag, and tags are not used here: remove it, or put the text in quotes"}};
    count(1, text_bytes, at);
    Node& node = document_.nodes.emplace_back();
    node.kind = kind;
    node.text_bytes = text_bytes;
    node.at = at;
    return node;
  }

  void complete(Node& node, YAML::anchor_t anchor) {
    if (anchor != 0) anchors_[anchor] = &node;
    place(node, node.at);
  }

  void open(Node& node, YAML::anchor_t anchor) {
    if (stack_.size() >= kMaxDepth) throw Refused{{node.at, kTooDeep}};
    if (!stack_.empty() && stack_.back().node->kind == Node::Kind::map && stack_.back().key_next)
      throw Refused{{node.at, "a key must be text, not a list or a map"}};
    Open& level = stack_.emplace_back();
    level.node = &node;
    level.anchor = anchor;
  }

  void close() {
    Node& node = *stack_.back().node;
    const YAML::anchor_t anchor = stack_.back().anchor;
    stack_.pop_back();
    complete(node, anchor);
  }

  // Gives a finished node to the collection that is open.
  void place(const Node& node, Position at) {
    if (stack_.empty()) {
      document_.root = &node;
      return;
    }
    Open& level = stack_.back();
    if (level.node->kind == Node::Kind::list) {
      level.node->items.push_back(&node);
    } else if (level.key_next) {
      take_key(level, node, at);
    } else {
      level.entry.value = &node;
      if (!level.skip) level.node->entries.push_back(std::move(level.entry));
      level.entry = Entry{};
      level.key_next = true;
    }
  }

  void take_key(Open& level, const Node& node, Position at) {
    if (node.kind != Node::Kind::scalar) throw Refused{{at, "a key must be text"}};
    if (node.text == "<<" && !node.quoted)
      throw Refused{{at, "merge keys (`<<`) are not used here: write the keys out"}};
    const auto [first, fresh] = level.keys.emplace(node.text, at);
    level.skip = !fresh;
    if (!fresh)
      report_.error(at,
                    "duplicate key " + quote(node.text) + ": already given at line " +
                        std::to_string(first->second.line),
                    "keep one of the two");
    level.entry.key = node.text;
    level.entry.at = at;
    level.key_next = false;
  }

  // yaml-cpp 0.7 ends a quoted text silently at the end of the file.
  void check_closed(const YAML::Mark& mark, char quote) {
    const std::size_t begin =
        lines_.offset(static_cast<std::size_t>(mark.line), static_cast<std::size_t>(mark.column));
    for (std::size_t i = begin + 1; i < text_.size(); ++i) {
      if (quote == '"' && text_[i] == '\\') {
        ++i;
      } else if (text_[i] == quote) {
        if (quote == '"' || i + 1 >= text_.size() || text_[i + 1] != '\'') return;
        ++i;
      }
    }
    throw Refused{{lines_.at(mark), "the quote opened here is never closed"}};
  }

  std::string_view text_;
  const Lines& lines_;
  Budget& budget_;
  Document& document_;
  Report& report_;
  std::vector<Open> stack_;
  std::unordered_map<YAML::anchor_t, const Node*> anchors_;  // of finished nodes only
  std::size_t documents_ = 0;
};

struct Words {
  std::string_view theirs;
  std::string_view ours;
};

// yaml-cpp's messages, in words that say what to do.
constexpr std::array kWords{
    Words{"illegal map value",
          "`key: value` is not possible here: check the indentation, or put the text in quotes"},
    Words{"illegal block entry", "a list item (`- `) is not possible here: begin it on a line of its own"},
    Words{"illegal flow end", "a closing bracket without its opening one"},
    Words{"end of sequence not found", "this line does not fit the list above it: check its indentation"},
    Words{"end of map not found", "this line does not fit the map above it: check its indentation"},
    Words{"illegal EOF in scalar", "a quoted text is never closed"},
    Words{"illegal document indicator in scalar", "a document mark inside a quoted text"},
    Words{"the referenced anchor is not defined",
          "`*` begins a YAML alias, and no such anchor stands above: put the text in quotes"},
    Words{"unknown token", "this character cannot begin a value: put the text in quotes"},
    Words{"cannot assign multiple anchors to the same node", "two anchors on one value"},
    Words{"cannot assign multiple tags to the same node",
          "`!` begins a YAML tag, and tags are not used here"},
};

Fault syntax_error(const YAML::Exception& fault, const Builder& builder, const Lines& lines) {
  Position at = lines.at(fault.mark);
  const std::string_view line = lines.line_text(at.line - 1);
  const std::string_view indent = line.substr(0, std::min(line.find_first_not_of(" \t"), line.size()));
  if (indent.find('\t') != std::string_view::npos) {
    at.column = static_cast<std::uint32_t>(indent.find('\t') + 1);
    return {at, "a tab in the indentation: use spaces"};
  }
  const bool list = fault.msg == "end of sequence flow not found";
  if (list || fault.msg == "end of map flow not found") {
    if (const auto open = builder.innermost_open()) at = *open;
    return {at, list ? "the list opened here with `[` is not closed, or a comma is missing in it"
                     : "the map opened here with `{` is not closed, or a comma is missing in it"};
  }
  for (const Words& words : kWords)
    if (fault.msg == words.theirs) return {at, std::string(words.ours)};
  return {at, "not YAML: " + printable(fault.msg)};
}

std::optional<Fault> run_parser(std::string_view text, Builder& builder, const Lines& lines) {
  try {
    ViewBuffer buffer(text);
    std::istream stream(&buffer);
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) {
    }
    return std::nullopt;
  } catch (Refused& refused) {
    return std::move(refused.fault);
  } catch (const YAML::Exception& exception) {
    return syntax_error(exception, builder, lines);
  } catch (const std::exception& exception) {
    const Position at = builder.innermost_open().value_or(lines.at(0, 0));
    return Fault{at, std::string("the file cannot be read: ") + exception.what()};
  }
}

}  // namespace

Document parse_document(std::string_view text, std::uint32_t file, Budget& budget, Report& report) {
  Document document;
  if (text.size() > kMaxFileBytes) {
    report.error(Position{file, 1, 1}, "the file is larger than 4 MiB");
    return document;
  }
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);  // a byte order mark says nothing about UTF-8
  const Lines lines(text, file);
  std::optional<Fault> fault = bad_bytes(text, lines);
  if (!fault) fault = too_many_brackets(text, lines);
  if (!fault) {
    Builder builder(text, lines, budget, document, report);
    fault = run_parser(text, builder, lines);
  }
  if (fault) {
    report.error(fault->at, std::move(fault->message));
    document.root = nullptr;
  }
  document.readable = !fault;
  return document;
}

}  // namespace weir::config::internal
