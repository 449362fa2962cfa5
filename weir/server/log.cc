#include "weir/server/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

namespace weir::server {
namespace {

spdlog::level::level_enum level_of(Log::Level level) {
  switch (level) {
    case Log::Level::trace:
      return spdlog::level::trace;
    case Log::Level::debug:
      return spdlog::level::debug;
    case Log::Level::info:
      return spdlog::level::info;
    case Log::Level::warn:
      return spdlog::level::warn;
    case Log::Level::error:
      return spdlog::level::err;
    case Log::Level::off:
      break;
  }
  return spdlog::level::off;
}

}  // namespace

struct Log::Impl {
  spdlog::logger logger{"weir", std::make_shared<spdlog::sinks::stderr_sink_mt>()};
};

Log::Log() : impl_(std::make_unique<Impl>()) {
  impl_->logger.set_pattern("%Y-%m-%dT%H:%M:%S.%e %l %v", spdlog::pattern_time_type::utc);
  impl_->logger.flush_on(spdlog::level::trace);
}

Log::~Log() = default;

void Log::set_level(std::string_view name) {
  const spdlog::level::level_enum level = spdlog::level::from_str(std::string(name));
  if (level != spdlog::level::off || name == "off") impl_->logger.set_level(level);
}

void Log::write(Level level, std::string_view line) { impl_->logger.log(level_of(level), line); }

}  // namespace weir::server
