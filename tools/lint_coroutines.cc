// Finds the temporaries that g++ 12 destroys twice.
//
// g++ 12.2 runs the destructor of some temporaries twice when their full expression contains co_await:
// aggregates built with braces, and lambdas that capture (seen under AddressSanitizer; no warning says so).
// The cure is to give the thing a name first, so that is the rule of the house; this program holds the
// sources to it.
//
//   lint_coroutines PATH...              every .h and .cc below; exit 0 clean, 1 findings, 2 usage
//   lint_coroutines --self-test FILE...  findings must stand exactly on the lines marked `// trap`
//
// It reads tokens, not types. A statement (up to `;` or a block) with co_await or co_yield of its own must
// hold
//   (1) no braces that build a temporary, unless the type is known to have a constructor (kConstructed
//       below);
//   (2) no lambda that captures anything.
// And since a default argument is a temporary of the calling expression,
//   (3) a function that returns a Task has no parameter with `= {...}` or `= Type{...}`, with the same
//       exception.
// Of `if (co_await next())` g++ 12 makes code that suspends and never starts next(), when no variable is
// declared around it: it compiles, and somebody who takes a variable away breaks it. The same for while, do,
// for and switch. So
//   (4) a condition holds no co_await, unless it declares what it awaits (`if (auto item = co_await ...)`);
//       name the result first, and leave a loop by `break`.
// The body of a lambda is made of statements of its own. A variable's own braces, `Type name{...}`, are no
// temporary. A line that is right for a reason that tokens do not show says so: `// coroutine-lint: reason`.
#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

// Types whose braces call a constructor: they are not aggregates, and g++ handles them. Last word of the
// name.
constexpr std::array<std::string_view, 24> kConstructed = {
    "string",       "string_view", "Duration", "TimePoint", "nanoseconds", "microseconds",
    "milliseconds", "seconds",     "minutes",  "hours",     "Error",       "Result",
    "size_t",       "ptrdiff_t",   "int64_t",  "uint64_t",  "uint32_t",    "uint16_t",
    "uint8_t",      "int",         "bool",     "char",      "unsigned",    "Deadline"};

// Words after which a `{` opens a block and before which no operand has ended.
const std::set<std::string_view> kKeywords = {
    "return", "co_return", "co_await", "co_yield", "else",  "do",       "try",     "case",  "throw",
    "new",    "and",       "or",       "not",      "const", "noexcept", "mutable", "final", "override"};

struct Token {
  std::string text;
  int line = 0;
};

struct Finding {
  int line = 0;
  std::string what;
};

bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }
bool is_word(const std::string& text) { return !text.empty() && is_word(text[0]); }

// Tokens without comments, literals and preprocessor lines. A literal becomes the token "0".
class Tokens {
 public:
  explicit Tokens(const std::string& source) : source_(source) {
    while (at_ < source_.size()) step();
  }

  std::vector<Token> tokens;
  std::set<int> excused;   // lines with `// coroutine-lint:`
  std::set<int> expected;  // lines with `// trap`

 private:
  char peek(std::size_t ahead = 0) const {
    return at_ + ahead < source_.size() ? source_[at_ + ahead] : '\0';
  }
  void skip(std::size_t n) {
    for (; n > 0 && at_ < source_.size(); --n)
      if (source_[at_++] == '\n') ++line_;
  }
  void skip_past(std::string_view end) {
    const std::size_t found = source_.find(end, at_);
    skip(found == std::string::npos ? source_.size() - at_ : found + end.size() - at_);
  }

  void step() {
    const char c = peek();
    if (std::isspace(static_cast<unsigned char>(c)) != 0) return skip(1);
    if (c == '/' && peek(1) == '/') return comment();
    if (c == '/' && peek(1) == '*') return skip_past("*/");
    if (c == '#' && at_line_start()) return directive();
    if (c == '"') return literal('"');
    if (c == '\'') return literal('\'');
    if (is_word(c)) return word();
    for (std::string_view pair : {"::", "->"}) {
      if (std::string_view{source_}.substr(at_).starts_with(pair)) return push(std::string{pair});
    }
    push(std::string(1, c));
  }

  void push(std::string text) {
    tokens.push_back({text, line_});
    skip(text.size());
  }

  void comment() {
    std::size_t end = source_.find('\n', at_);
    if (end == std::string::npos) end = source_.size();
    const std::string_view text = std::string_view{source_}.substr(at_, end - at_);
    if (text.find("coroutine-lint:") != std::string_view::npos) excused.insert(line_);
    if (text.find("// trap") != std::string_view::npos) expected.insert(line_);
    skip(end - at_);
  }

  bool at_line_start() const {
    std::size_t i = at_;
    while (i > 0 && (source_[i - 1] == ' ' || source_[i - 1] == '\t')) --i;
    return i == 0 || source_[i - 1] == '\n';
  }

  void directive() {
    for (bool more = true; more;) {
      std::size_t end = source_.find('\n', at_);
      if (end == std::string::npos) end = source_.size();
      more = end > at_ && source_[end - 1] == '\\';
      skip(end + 1 - at_);
    }
  }

  void literal(char quote) {
    const int line = line_;
    for (skip(1); at_ < source_.size() && peek() != quote; skip(1))
      if (peek() == '\\') skip(1);
    skip(1);
    tokens.push_back({"0", line});
  }

  void word() {
    std::size_t end = at_;
    while (end < source_.size() && (is_word(source_[end]) || digit_separator(end))) ++end;
    const std::string text = source_.substr(at_, end - at_);
    if (end < source_.size() && source_[end] == '"' && text.ends_with("R")) {  // a raw string
      const std::size_t open = source_.find('(', end);
      if (open == std::string::npos) return skip(source_.size() - at_);
      const std::string close = ")" + source_.substr(end + 1, open - end - 1) + "\"";
      tokens.push_back({"0", line_});
      skip(open - at_);
      return skip_past(close);
    }
    push(text);
  }

  bool digit_separator(std::size_t at) const {
    return source_[at] == '\'' && std::isdigit(static_cast<unsigned char>(source_[at_])) != 0;
  }

  const std::string& source_;
  std::size_t at_ = 0;
  int line_ = 1;
};

class Linter {
 public:
  explicit Linter(const std::vector<Token>& tokens) : tokens_(tokens) {
    while (at_ < tokens_.size()) {
      block();
      ++at_;  // a closing brace too many: code that the preprocessor puts together
    }
  }

  std::vector<Finding> findings;

 private:
  struct Statement {
    std::size_t begin = 0;
    int awaits = 0;
    std::vector<Finding> braces;
    std::vector<Finding> lambdas;
    std::vector<Finding> defaults;
  };

  const std::string& text(std::size_t i) const {
    static const std::string kNone;
    return i < tokens_.size() ? tokens_[i].text : kNone;
  }
  const std::string& before(std::size_t i, std::size_t n = 1) const {
    return text(i >= n ? i - n : tokens_.size());
  }

  // Reads statements until the brace that closes the block, or the end; at_ then stands on it.
  void block() {
    while (at_ < tokens_.size() && text(at_) != "}") statement();
  }

  // One statement, up to and past its `;` or its block.
  void statement() {
    Statement statement;
    statement.begin = at_;
    int depth = 0;                  // of parentheses, brackets and braces that are no blocks
    std::vector<int> lambda_depth;  // where a lambda's body is due
    std::size_t first = at_;
    while (text(first) == "else") ++first;
    const bool condition = std::exchange(in_for_head_, false) || text(first) == "if" ||
                           text(first) == "while" || text(first) == "switch";
    const bool begins_for = text(first) == "for";
    const bool has_head =
        text(first) == "if" || text(first) == "while" || text(first) == "for" || text(first) == "switch";
    for (; at_ < tokens_.size(); ++at_) {
      const std::string& t = text(at_);
      if (t == ";") {  // also in the head of `for` and `if`: it ends a full expression there too
        in_for_head_ = begins_for && depth > 0;
        break;
      }
      if (t == "co_await" || t == "co_yield") ++statement.awaits;
      if (t == "[") {
        if (before(at_) == "[" || text(at_ + 1) == "[") {
          skip_attribute();
          continue;
        }
        if (is_lambda(at_)) {
          if (text(at_ + 1) != "]")
            statement.lambdas.push_back({tokens_[at_].line, "a lambda that captures"});
          lambda_depth.push_back(depth);
        }
      }
      if (t == "(" || t == "[") ++depth;
      if (t == ")" || t == "]") --depth;
      // A head's expression ends here, what it governs follows; below zero: the last part of a `for` head.
      if (t == ")" && (depth < 0 || (depth == 0 && has_head))) break;
      if (t == "{") {
        const bool body = !lambda_depth.empty() && lambda_depth.back() == depth;
        if (body || is_block(statement.begin)) {
          if (body) lambda_depth.pop_back();
          ++at_;
          block();
          if (!body && depth <= 0)
            break;  // the block of an if, a function, a class: the statement ends with it
          continue;
        }
        braces(statement);
        ++depth;
      }
      if (t == "}") {
        if (depth <= 0) {
          judge(statement);
          return;  // closes the block around this statement
        }
        --depth;
      }
    }
    if (condition && statement.awaits > 0 && !declares(statement))
      report({tokens_[statement.begin].line, "co_await"}, " in a condition");
    judge(statement);
    if (at_ < tokens_.size()) ++at_;
  }

  void skip_attribute() {
    int depth = 0;
    for (; at_ < tokens_.size(); ++at_) {
      if (text(at_) == "[") ++depth;
      if (text(at_) == "]" && --depth == 0) return;
    }
  }

  // A bracket that follows no operand begins a lambda.
  bool is_lambda(std::size_t i) const {
    const std::string& previous = before(i);
    if (kKeywords.contains(previous)) return true;
    return !(is_word(previous) || previous == ")" || previous == "]" || previous == ">");
  }

  // Whether the brace at at_ opens a block: after a head in parentheses, a keyword, a type behind `->`, or in
  // a statement that defines a class, an enumeration or a namespace.
  bool is_block(std::size_t begin) const {
    const std::string& previous = before(at_);
    if (at_ == begin) return true;
    if (previous == ")" || previous == ";" || previous == ":") return true;
    if (kKeywords.contains(previous)) {
      static const std::set<std::string_view> kBefore = {"else",     "do",      "try",   "const",
                                                         "noexcept", "mutable", "final", "override"};
      return kBefore.contains(previous);
    }
    for (std::size_t i = begin; i < at_; ++i) {
      const std::string& t = text(i);
      if (t == "(" || t == "=") break;
      if (t == "class" || t == "struct" || t == "union" || t == "enum" || t == "namespace" || t == "extern") {
        return true;
      }
    }
    // Back over a type; a trailing return type ends at `->` after `)`.
    for (std::size_t i = at_; i > begin; --i) {
      const std::string& t = text(i - 1);
      if (t == "->") return i >= 2 && text(i - 2) == ")";
      if (!is_word(t) && t != "::" && t != "<" && t != ">" && t != "*" && t != "&" && t != ",") return false;
    }
    return false;
  }

  // Notes the braces at at_ if they build a temporary of a type without a known constructor.
  void braces(Statement& statement) const {
    std::size_t i = at_;  // one past the type's last word
    if (before(i) == ">") {
      int angle = 0;
      while (i > statement.begin) {
        --i;
        if (text(i) == ">") ++angle;
        if (text(i) == "<" && --angle == 0) break;
      }
    }
    const std::string type = before(i);
    const bool named = is_word(type) && !kKeywords.contains(type);
    std::size_t head = i;  // first token of the qualified name
    if (named) {
      --head;
      while (head > statement.begin + 1 && before(head) == "::") head -= is_word(before(head, 2)) ? 2 : 1;
    }
    const std::string& previous = before(head);
    if (previous == "=") note_default(statement, named ? type : "");
    if (named && std::find(kConstructed.begin(), kConstructed.end(), type) != kConstructed.end()) return;
    // `Type name{...}`: the word before the braces is itself behind a type.
    const bool declared = named && (previous == ">" || previous == "&" || previous == "*" ||
                                    (is_word(previous) && !kKeywords.contains(previous)));
    if (declared && head > statement.begin) return;
    statement.braces.push_back(
        {tokens_[at_].line, named ? "braces build a temporary " + type : "a braced argument"});
  }

  void note_default(Statement& statement, const std::string& type) const {
    if (std::find(kConstructed.begin(), kConstructed.end(), type) != kConstructed.end()) return;
    statement.defaults.push_back(
        {tokens_[at_].line, "a default argument with braces, in a function returning a Task"});
  }

  // A condition that declares: `auto got =`, `Item& item =`; not `a == b`, and not `got = ...`.
  bool declares(const Statement& statement) const {
    for (std::size_t i = statement.begin + 2; i < at_ && text(i) != "co_await"; ++i) {
      if (text(i) != "=" || text(i + 1) == "=" || !is_word(before(i))) continue;
      const std::string& type = before(i, 2);
      return is_word(type) || type == "&" || type == "*" || type == ">";
    }
    return false;
  }

  // A declaration `... Task<...> name(... = {...})`.
  bool declares_task(const Statement& statement) const {
    for (std::size_t i = statement.begin; i + 1 < at_ && i + 1 < tokens_.size(); ++i) {
      if (text(i) == "(" || text(i) == "=") return false;
      if (text(i) == "Task" && text(i + 1) == "<") return true;
    }
    return false;
  }

  void judge(const Statement& statement) {
    if (statement.awaits > 0) {
      for (const Finding& finding : statement.braces) report(finding, " in an expression with co_await");
      for (const Finding& finding : statement.lambdas) report(finding, " in an expression with co_await");
    } else if (!statement.defaults.empty() && declares_task(statement)) {
      for (const Finding& finding : statement.defaults) report(finding, "");
    }
  }

  void report(const Finding& finding, const char* where) {
    findings.push_back({finding.line, finding.what + where + ": give it a name first"});
  }

  const std::vector<Token>& tokens_;
  std::size_t at_ = 0;
  bool in_for_head_ = false;  // what comes next is the condition of a `for`
};

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<std::filesystem::path> sources_below(const std::filesystem::path& path) {
  if (!std::filesystem::is_directory(path)) return {path};
  std::vector<std::filesystem::path> found;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(path)) {
    const std::string extension = entry.path().extension().string();
    if (entry.is_regular_file() && (extension == ".h" || extension == ".cc")) found.push_back(entry.path());
  }
  std::sort(found.begin(), found.end());
  return found;
}

// Prints what is wrong; how many lines.
int check(const std::filesystem::path& path) {
  const std::string source = read_file(path);
  const Tokens lexed(source);
  int count = 0;
  for (const Finding& finding : Linter(lexed.tokens).findings) {
    if (lexed.excused.contains(finding.line)) continue;
    std::cout << path.string() << ":" << finding.line << ": " << finding.what << "\n";
    ++count;
  }
  return count;
}

int self_test(const std::filesystem::path& path) {
  const std::string source = read_file(path);
  const Tokens lexed(source);
  std::set<int> found;
  for (const Finding& finding : Linter(lexed.tokens).findings)
    if (!lexed.excused.contains(finding.line)) found.insert(finding.line);
  int count = 0;
  for (const int line : lexed.expected)
    if (!found.contains(line)) ++count, std::cout << path.string() << ":" << line << ": trap not found\n";
  for (const int line : found)
    if (!lexed.expected.contains(line))
      ++count, std::cout << path.string() << ":" << line << ": false alarm\n";
  if (lexed.tokens.empty()) ++count, std::cout << path.string() << ": nothing to read\n";
  return count;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  const bool testing = !arguments.empty() && arguments[0] == "--self-test";
  if (arguments.size() < (testing ? 2U : 1U)) {
    std::cerr << "usage: lint_coroutines PATH... | --self-test FILE...\n";
    return 2;
  }
  int findings = 0;
  int files = 0;
  for (std::size_t i = testing ? 1 : 0; i < arguments.size(); ++i) {
    if (!std::filesystem::exists(arguments[i])) {
      std::cerr << "lint_coroutines: no " << arguments[i] << "\n";
      return 2;
    }
    for (const auto& path : sources_below(arguments[i])) {
      findings += testing ? self_test(path) : check(path);
      ++files;
    }
  }
  std::cout << files << " files, " << findings << " findings\n";
  return findings == 0 ? 0 : 1;
}
