// One instance compiled here, so that the header is checked by the library's own build.
#include "weir/cache/memory_cache.h"

namespace weir::cache {

template class MemoryCache<std::string>;

}  // namespace weir::cache
