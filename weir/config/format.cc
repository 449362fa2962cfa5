// Line by line, with a stack of the columns at which maps and lists began.
//
//   (1) Bytes that are no white space pass unchanged and in order, so no comment can be lost; format_text() checks it.
//   (2) A level is a column of the source and the column it is given. Levels are two columns apart in what is written.
//   (3) What a layout could change (text that runs over several lines, block text, brackets) has a mode of its own, in
//       which lines belong to a value until it ends.
//
// The scanner knows as much of YAML as layout needs and no more. What it gets wrong is caught behind it: the result is
// read again, compared with what the source said, and laid out once more, which must change nothing (format_test.cc).
#include "weir/config/format.h"

#include <algorithm>
#include <utility>

#include "weir/base/strings.h"
#include "weir/config/internal/document.h"
#include "weir/config/internal/report.h"

namespace weir::config {

using namespace internal;  // NOLINT: this file alone, to read easily

namespace {

constexpr std::size_t kStep = 2;
constexpr std::size_t kLongCode = 80;  // a longer line does not push its neighbours' comments to the right

bool is_space(char c) { return c == ' ' || c == '\t'; }

std::string_view strip_left(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  return text;
}
std::string_view strip_right(std::string_view text) {
  while (!text.empty() && (is_space(text.back()) || text.back() == '\r')) text.remove_suffix(1);
  return text;
}
std::size_t column_of(std::string_view line) { return std::min(line.find_first_not_of(' '), line.size()); }
bool begins_item(std::string_view rest) {
  return rest.starts_with('-') && (rest.size() == 1 || is_space(rest[1]));
}
// `rest[at]` is a colon that ends a key.
bool ends_key(std::string_view rest, std::size_t at, bool flow) {
  if (at + 1 >= rest.size() || is_space(rest[at + 1])) return true;
  return flow && std::string_view(",[]{}").find(rest[at + 1]) != std::string_view::npos;
}
// The end of quoted text that began before `from`; npos when it runs on.
std::size_t end_of_quoted(std::string_view text, std::size_t from, char quote) {
  for (std::size_t i = from; i < text.size(); ++i) {
    if (quote == '"' && text[i] == '\\') {
      ++i;
    } else if (text[i] == quote) {
      if (quote == '\'' && i + 1 < text.size() && text[i + 1] == '\'')
        ++i;
      else
        return i + 1;
    }
  }
  return std::string_view::npos;
}

struct Line {
  std::string code;
  std::string comment;
};

class Layout {
 public:
  std::string run(std::string_view text) {
    if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
    while (!text.empty()) {
      const std::size_t end = std::min(text.find('\n'), text.size());
      line(text.substr(0, end));
      text.remove_prefix(std::min(end + 1, text.size()));
    }
    place_comments(nullptr);
    return written();
  }

 private:
  enum class Mode : std::uint8_t { between, block_text, flow, quoted };
  struct Level {
    std::size_t from;
    std::size_t to;
    bool list;
  };
  struct Bracket {
    std::size_t indent;    // of the line that opens it
    std::size_t inside;    // where its members stand on lines of their own
    bool content = false;  // behind it on its own line
  };
  struct Comment {
    std::size_t column;
    std::size_t blanks;
    std::string text;
  };

  void line(std::string_view raw) {
    const std::string_view text = strip_right(raw);
    if (mode_ == Mode::block_text && block_line(raw)) return;
    if (mode_ == Mode::quoted) return quoted_line(text);
    if (text.empty()) {
      ++blanks_;
      return;
    }
    if (mode_ == Mode::flow) return flow_line(strip_left(text));
    const std::size_t column = column_of(text);
    const std::string_view rest = text.substr(column);
    if (rest.starts_with('#')) {
      comments_.push_back({column, std::exchange(blanks_, 0), std::string(rest)});
      plain_open_ = false;
      return;
    }
    if (plain_open_ && comments_.empty() && column > levels_.back().from) return more_plain(rest);
    plain_open_ = false;
    structure(column, rest);
  }

  // --- lines that begin something ---

  void structure(std::size_t column, std::string_view rest) {
    const bool marker = column == 0 && (rest == "---" || rest == "...");
    const std::vector<Level> before = levels_;
    if (marker)
      levels_.clear();
    else
      settle(column, begins_item(rest));
    const Level here = marker ? Level{0, 0, false} : levels_.back();
    place_comments(&here, before);
    begin_line(here.to);
    if (marker) return text_to_end(rest);
    while (begins_item(rest)) {
      out_ += '-';
      const std::string_view inner = strip_left(rest.substr(1));
      column += static_cast<std::size_t>(inner.data() - rest.data());
      rest = inner;
      if (rest.empty() || rest.starts_with('#')) return trailing(rest);
      out_ += ' ';
      if (begins_item(rest) || key_end(rest) != std::string_view::npos)
        levels_.push_back({column, out_.size(), begins_item(rest)});
    }
    const std::size_t colon = key_end(rest);
    if (colon == std::string_view::npos) return value(rest);
    out_.append(strip_right(rest.substr(0, colon))).append(":");
    rest = strip_left(rest.substr(colon + 1));
    if (rest.empty() || rest.starts_with('#')) return trailing(rest);
    out_ += ' ';
    value(rest);
  }

  void settle(std::size_t column, bool list) {
    while (!levels_.empty() &&
           (levels_.back().from > column || (levels_.back().from == column && levels_.back().list && !list)))
      levels_.pop_back();
    const bool known = !levels_.empty() && levels_.back().from == column && levels_.back().list == list;
    if (!known) levels_.push_back({column, levels_.empty() ? 0 : levels_.back().to + kStep, list});
  }

  // The colon behind a key that stands first in `rest`; npos when there is none.
  static std::size_t key_end(std::string_view rest) {
    std::size_t i = 0;
    if (rest.front() == '"' || rest.front() == '\'') {
      i = end_of_quoted(rest, 1, rest.front());
      if (i == std::string_view::npos) return i;
      while (i < rest.size() && is_space(rest[i])) ++i;
      return i < rest.size() && rest[i] == ':' && ends_key(rest, i, false) ? i : std::string_view::npos;
    }
    if (rest.front() == '{' || rest.front() == '[') return std::string_view::npos;
    for (; i < rest.size(); ++i) {
      if (rest[i] == ':' && ends_key(rest, i, false)) return i;
      if (rest[i] == '#' && i > 0 && is_space(rest[i - 1])) break;
    }
    return std::string_view::npos;
  }

  void value(std::string_view rest) {
    while (rest.starts_with('&') || rest.starts_with('!')) {  // an anchor or a tag in front
      const std::size_t end = std::min(rest.find_first_of(" \t"), rest.size());
      out_.append(rest.substr(0, end));
      rest = strip_left(rest.substr(end));
      if (rest.empty() || rest.starts_with('#')) return trailing(rest);
      out_ += ' ';
    }
    if (rest.starts_with('|') || rest.starts_with('>')) return begin_block(rest);
    if (rest.starts_with('{') || rest.starts_with('[')) return flow(rest);
    if (rest.starts_with('"') || rest.starts_with('\'')) return quoted(rest.front(), rest, 1);
    plain_open_ = true;
    text_to_end(rest);
  }

  // Plain text, then perhaps a comment.
  void text_to_end(std::string_view rest) {
    std::size_t end = rest.size();
    for (std::size_t i = 1; i < rest.size() && end == rest.size(); ++i)
      if (rest[i] == '#' && is_space(rest[i - 1])) end = i;
    out_.append(strip_right(rest.substr(0, end)));
    if (end < rest.size()) plain_open_ = false;
    trailing(rest.substr(end));
  }

  void more_plain(std::string_view rest) {
    const std::size_t indent = levels_.back().to + kStep;
    keep_blanks();
    begin_line(indent);
    text_to_end(rest);
  }

  // The end of a line: nothing, a comment, or what this scanner does not understand, kept as it is.
  void trailing(std::string_view rest) {
    rest = strip_left(rest);
    if (!rest.empty() && !rest.starts_with('#')) {
      out_.append(" ").append(rest);
      rest = {};
    }
    if (out_.size() == indent_) {  // the comment is all there is
      out_.append(rest);
      rest = {};
    }
    lines_.push_back({std::exchange(out_, {}), std::string(rest)});
  }

  // --- text over several lines ---

  void begin_block(std::string_view rest) {
    const std::size_t comment = rest.find(" #");
    const std::string_view header = strip_right(rest.substr(0, comment));
    const std::size_t digit = header.find_first_of("123456789");
    const Level parent = levels_.back();
    block_from_ = digit == std::string_view::npos
                      ? std::string_view::npos
                      : parent.from + static_cast<std::size_t>(header[digit] - '0');
    block_to_ =
        parent.to + (digit == std::string_view::npos ? kStep : static_cast<std::size_t>(header[digit] - '0'));
    block_parent_ = parent.from;
    block_keeps_ = header.find('+') != std::string_view::npos;
    mode_ = Mode::block_text;
    out_.append(header);
    trailing(comment == std::string_view::npos ? std::string_view{} : rest.substr(comment));
  }

  // False when the line is behind the block.
  bool block_line(std::string_view raw) {
    if (raw.ends_with('\r')) raw.remove_suffix(1);
    const std::size_t column = column_of(raw);
    const bool blank = column == raw.size();
    if (blank && (block_from_ == std::string_view::npos || column <= block_from_)) {
      ++blanks_;
      return true;
    }
    if (!blank && column <= block_parent_) {
      mode_ = Mode::between;
      if (block_keeps_) keep_blanks();
      return false;
    }
    if (block_from_ == std::string_view::npos) block_from_ = column;
    keep_blanks();
    const std::size_t deeper = column - std::min(column, block_from_);
    lines_.push_back({std::string(block_to_ + deeper, ' ') + std::string(raw.substr(column)), {}});
    return true;
  }

  // From behind the opening quote on; `at` is where to look for the end.
  void quoted(char quote, std::string_view rest, std::size_t at) {
    const std::size_t end = end_of_quoted(rest, at, quote);
    if (end == std::string_view::npos) {
      mode_ = Mode::quoted;
      quote_ = quote;
      return trailing_text(rest);
    }
    out_.append(rest.substr(0, end));
    rest.remove_prefix(end);
    if (!brackets_.empty()) return flow(rest);
    mode_ = Mode::between;
    trailing(rest);
  }
  void trailing_text(std::string_view rest) {
    out_.append(rest);
    lines_.push_back({std::exchange(out_, {}), {}});
  }

  void quoted_line(std::string_view text) {
    if (text.empty()) {
      lines_.push_back({});
      return;
    }
    const std::size_t outer = levels_.empty() ? 0 : levels_.back().to + kStep;
    begin_line(brackets_.empty() ? outer : brackets_.back().inside);
    mode_ = brackets_.empty() ? Mode::between : Mode::flow;
    quoted(quote_, strip_left(text), 0);
  }

  // --- brackets ---

  void flow_line(std::string_view rest) {
    // Within plain words a blank line is a line break; elsewhere it is nothing.
    if (std::string_view(",:[]{}\"'").find(lines_.back().code.empty() ? '{' : lines_.back().code.back()) ==
        std::string_view::npos)
      keep_blanks();
    blanks_ = 0;
    const Bracket& top = brackets_.back();
    const bool closes = rest.front() == '}' || rest.front() == ']';
    begin_line(!closes ? top.inside : top.content ? top.inside - 1 : top.indent);
    space_due_ = false;
    flow(rest);
  }

  void flow(std::string_view rest) {
    mode_ = Mode::flow;
    while (true) {
      const std::string_view before = rest;
      rest = strip_left(rest);
      const bool spaced = before.size() != rest.size() || out_.size() == indent_;
      if (rest.empty() || (rest.front() == '#' && spaced)) break;
      if (brackets_.empty() && out_.size() > indent_ && (out_.back() == '}' || out_.back() == ']')) break;
      const char c = rest.front();
      if (c == '"' || c == '\'') {
        member();
        return quoted(c, rest, 1);
      }
      rest.remove_prefix(token(c, rest));
    }
    if (brackets_.empty()) mode_ = Mode::between;
    space_due_ = false;
    trailing(rest);
  }

  // Writes one token that is not quoted; gives its length.
  std::size_t token(char c, std::string_view rest) {
    if (c == '{' || c == '[') {
      member();
      out_ += c;
      brackets_.push_back({indent_, indent_ + kStep});
      return 1;
    }
    if (c == '}' || c == ']') {
      if (space_due_ && out_.back() == ':') out_ += ' ';
      space_due_ = false;
      if (!brackets_.empty()) brackets_.pop_back();
      out_ += c;
      return 1;
    }
    const bool behind_key =
        !out_.empty() && std::string_view("\"'}]").find(out_.back()) != std::string_view::npos;
    if (c == ',' || (c == ':' && (behind_key || ends_key(rest, 0, true)))) {
      out_ += c;
      space_due_ = true;
      return 1;
    }
    member();
    const std::size_t end = plain_end(rest);
    const std::string_view plain = strip_right(rest.substr(0, end));
    out_.append(plain);
    return end;
  }

  static std::size_t plain_end(std::string_view rest) {
    for (std::size_t i = 1; i < rest.size(); ++i) {
      const char c = rest[i];
      if (c == ',' || c == ']' || c == '}' || c == '[' || c == '{') return i;
      if (c == ':' && ends_key(rest, i, true)) return i;
      if (c == '#' && is_space(rest[i - 1])) return i - 1;
    }
    return rest.size();
  }

  // Something stands in the innermost bracket from here on.
  void member() {
    if (space_due_) out_ += ' ';
    space_due_ = false;
    if (brackets_.empty() || out_.size() == indent_) return;
    Bracket& top = brackets_.back();
    const bool first = out_.back() == '{' || out_.back() == '[';
    if (!first || top.content) return;
    top.content = true;
    top.inside = out_.size();
  }

  // --- what is written ---

  void begin_line(std::size_t indent) {
    if (blanks_ > 0 && !lines_.empty()) lines_.push_back({});
    blanks_ = 0;
    indent_ = indent;
    out_.assign(indent, ' ');
  }
  // Blank lines that mean something.
  void keep_blanks() { lines_.resize(lines_.size() + std::exchange(blanks_, 0)); }

  // Comments on lines of their own, before the line at `next` (null: at the end). One that stands further in than the next
  // line belongs to what came before.
  void place_comments(const Level* next, const std::vector<Level>& before) {
    const std::size_t blanks = std::exchange(blanks_, 0);
    for (Comment& comment : comments_) {
      std::size_t to = 0;
      if (next != nullptr && comment.column <= next->from) {
        to = next->to;
      } else {
        std::size_t from = 0;
        for (const Level& level : before) {
          // Of a key and the list below it in the same column, the key.
          if (level.from > comment.column || (level.from <= from && &level != &before.front())) continue;
          from = level.from;
          to = level.to;
        }
        if (next != nullptr) to = std::max(to, next->to);
      }
      blanks_ = comment.blanks;
      begin_line(to);
      lines_.push_back({std::exchange(out_, {}) + comment.text, {}});
    }
    comments_.clear();
    blanks_ = blanks;
  }
  void place_comments(const Level*) { place_comments(nullptr, levels_); }

  std::string written() {
    std::string text;
    for (std::size_t i = 0; i < lines_.size();) {
      std::size_t end = i + 1;
      std::size_t column = 0;
      if (!lines_[i].comment.empty()) {
        for (end = i; end < lines_.size() && !lines_[end].comment.empty(); ++end)
          if (lines_[end].code.size() <= kLongCode) column = std::max(column, lines_[end].code.size());
      }
      for (; i < end; ++i) {
        const Line& line = lines_[i];
        text.append(line.code);
        if (!line.comment.empty())
          text.append(column - std::min(column, line.code.size()) + kStep, ' ').append(line.comment);
        text += '\n';
      }
    }
    return text;
  }

  std::vector<Line> lines_;
  std::string out_;         // the line that is being written
  std::size_t indent_ = 0;  // its own
  std::size_t blanks_ = 0;  // seen and not written yet
  std::vector<Level> levels_;
  std::vector<Comment> comments_;
  std::vector<Bracket> brackets_;
  Mode mode_ = Mode::between;
  bool plain_open_ = false;  // the last line ended in plain text, which the next may go on with
  bool space_due_ = false;
  char quote_ = 0;
  std::size_t block_from_ = 0;
  std::size_t block_to_ = 0;
  std::size_t block_parent_ = 0;
  bool block_keeps_ = false;
};

std::string without_space(std::string_view text) {
  std::string rest;
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  for (const char c : text)
    if (!is_space(c) && c != '\r' && c != '\n') rest += c;
  return rest;
}

// Where the two say something else, in `a`; nothing when they say the same.
std::optional<Position> difference(const Node& a, const Node& b) {
  if (a.kind != b.kind || a.quoted != b.quoted || a.text != b.text || a.items.size() != b.items.size() ||
      a.entries.size() != b.entries.size())
    return a.at;
  for (std::size_t i = 0; i < a.items.size(); ++i)
    if (const auto at = difference(*a.items[i], *b.items[i])) return at;
  for (std::size_t i = 0; i < a.entries.size(); ++i) {
    if (a.entries[i].key != b.entries[i].key) return a.entries[i].at;
    if (const auto at = difference(*a.entries[i].value, *b.entries[i].value)) return at;
  }
  return std::nullopt;
}

// Where, in the source, a new layout would not say the same; nothing when it does.
std::optional<Position> change_of_meaning(const Document& source, std::string_view text,
                                          const std::string& laid_out) {
  const Position start{0, 1, 1};
  Budget budget;
  Report report;
  const Document again = parse_document(laid_out, 0, budget, report);
  if (report.any_error() || !again.readable || (source.root == nullptr) != (again.root == nullptr))
    return start;
  if (source.root != nullptr)
    if (const auto at = difference(*source.root, *again.root)) return at;
  if (without_space(text) != without_space(laid_out) || Layout().run(laid_out) != laid_out) return start;
  return std::nullopt;
}

}  // namespace

Formatted format_text(const std::string& name, std::string_view text) {
  Formatted result;
  result.files.push_back(name);
  Budget budget;
  Report report;
  const Document source = parse_document(text, 0, budget, report);
  if (report.any_error() || !source.readable) {
    result.diagnostics = report.take_sorted();
    return result;
  }
  std::string laid_out = Layout().run(text);
  if (const auto at = change_of_meaning(source, text, laid_out)) {
    Report refusal;
    refusal.error(*at, "a new layout would change what the file says from here on; it stays as it is");
    result.diagnostics = refusal.take_sorted();
    return result;
  }
  result.text = std::move(laid_out);
  return result;
}

}  // namespace weir::config
