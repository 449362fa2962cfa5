// Diagnostics of the program, to stderr: one line each, with level and time. Not the access log.
//
// Thread-safe. Lines below the level cost a comparison.
#ifndef WEIR_SERVER_LOG_H_
#define WEIR_SERVER_LOG_H_

#include <cstdint>
#include <memory>
#include <string_view>

namespace weir::server {

class Log {
 public:
  enum class Level : std::uint8_t { trace, debug, info, warn, error, off };

  Log();
  ~Log();
  void set_level(std::string_view name);  // "trace" to "off"; others leave it as it is
  void write(Level level, std::string_view line);
  void info(std::string_view line) { write(Level::info, line); }
  void warn(std::string_view line) { write(Level::warn, line); }
  void error(std::string_view line) { write(Level::error, line); }

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace weir::server

#endif  // WEIR_SERVER_LOG_H_
