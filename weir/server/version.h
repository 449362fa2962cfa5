// The program's version, the same as CMake's project version and the CHANGELOG's newest entry.
#ifndef WEIR_SERVER_VERSION_H_
#define WEIR_SERVER_VERSION_H_

#include <string_view>

namespace weir::server {

inline constexpr std::string_view kVersion = "0.1.0";

}  // namespace weir::server

#endif  // WEIR_SERVER_VERSION_H_
