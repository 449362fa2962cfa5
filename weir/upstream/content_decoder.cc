#include "weir/upstream/content_decoder.h"

#include <zlib.h>

#include <algorithm>
#include <array>

#include "weir/base/strings.h"

namespace weir::upstream {
namespace {

constexpr int kWindowBits = 15;
constexpr int kGzip = 16;  // added to the window: zlib reads gzip's frame

}  // namespace

struct ContentDecoder::Stream {
  z_stream z{};
  bool ready = false;
  ~Stream() {
    if (ready) ::inflateEnd(&z);
  }
};

ContentDecoder::ContentDecoder() = default;
ContentDecoder::~ContentDecoder() = default;

ContentDecoder::Coding ContentDecoder::begin(std::string_view content_encoding) {
  const std::string_view name = base::trim(content_encoding);
  ended_ = false;
  in_ = produced_ = 0;
  coding_ = name.empty() || base::iequals(name, "identity")                ? Coding::identity
            : base::iequals(name, "gzip") || base::iequals(name, "x-gzip") ? Coding::gzip
            : base::iequals(name, "deflate")                               ? Coding::deflate
                                                                           : Coding::unknown;
  if ((coding_ == Coding::gzip || coding_ == Coding::deflate) && !start()) coding_ = Coding::unknown;
  return coding_;
}

bool ContentDecoder::start() {
  if (stream_ == nullptr) stream_ = std::make_unique<Stream>();
  // "deflate" is zlib's frame (RFC 9110 8.4.1.2).
  const int bits = coding_ == Coding::gzip ? kWindowBits + kGzip : kWindowBits;
  if (stream_->ready) return ::inflateReset2(&stream_->z, bits) == Z_OK;
  stream_->ready = ::inflateInit2(&stream_->z, bits) == Z_OK;
  return stream_->ready;
}

bool ContentDecoder::complete() const noexcept { return coding_ == Coding::identity || ended_ || in_ == 0; }

ContentDecoder::Fed ContentDecoder::feed(std::string_view bytes, std::string& out, std::size_t most) {
  if (coding_ == Coding::identity) {
    if (bytes.size() > most - std::min(most, out.size())) return Fed::too_large;
    out.append(bytes);
    return Fed::ok;
  }
  in_ += bytes.size();
  z_stream& z = stream_->z;
  z.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(bytes.data()));  // zlib only reads it
  z.avail_in = static_cast<uInt>(bytes.size());
  std::array<char, 16 * 1024> piece;
  bool full = true;  // the last piece was: there may be more of the same input
  while (z.avail_in > 0 || (full && !ended_)) {
    if (ended_) {
      // Another member, or surplus.
      if (coding_ != Coding::gzip || ::inflateReset(&z) != Z_OK) return Fed::broken;
      ended_ = false;
    }
    z.next_out = reinterpret_cast<Bytef*>(piece.data());
    z.avail_out = static_cast<uInt>(piece.size());
    const int result = ::inflate(&z, Z_NO_FLUSH);
    if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR) return Fed::broken;
    const std::size_t came = piece.size() - z.avail_out;
    produced_ += came;
    if (came > most - std::min(most, out.size())) return Fed::too_large;
    if (produced_ > kFree && produced_ / kRatioMax > in_) return Fed::too_large;
    out.append(piece.data(), came);
    ended_ = result == Z_STREAM_END;
    full = z.avail_out == 0;
    if (result == Z_BUF_ERROR && z.avail_in == 0) break;
  }
  return Fed::ok;
}

}  // namespace weir::upstream
