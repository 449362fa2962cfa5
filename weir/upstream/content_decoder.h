// ContentDecoder: takes gzip or deflate off an answer while it arrives, and counts what comes out.
//
//   ContentDecoder decoder;
//   if (decoder.begin(content_encoding) == ContentDecoder::Coding::unknown) give up;
//   switch (decoder.feed(bytes, body, body_max)) ...
//   if (!decoder.complete()) give up;              // the answer ended in the middle of the stream
//
//   (1) Never more than `most` bytes come out, and beyond 64 KiB never more than a hundred times what went in: a small answer
//       that unfolds into a large one (a bomb) ends there, not in memory.
//   (2) Several gzip members behind one another are one text (RFC 1952 2.2); other bytes behind the end are an error.
//
// Reused: memory of the decompressor (about 40 KiB) is kept once it has been needed. One thread.
#ifndef WEIR_UPSTREAM_CONTENT_DECODER_H_
#define WEIR_UPSTREAM_CONTENT_DECODER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace weir::upstream {

class ContentDecoder {
 public:
  static constexpr std::uint64_t kRatioMax = 100;
  static constexpr std::uint64_t kFree = 64 * 1024;  // bytes out that no ratio is asked for

  enum class Coding : std::uint8_t { identity, gzip, deflate, unknown };
  enum class Fed : std::uint8_t { ok, too_large, broken };

  ContentDecoder();
  ~ContentDecoder();
  ContentDecoder(const ContentDecoder&) = delete;
  ContentDecoder& operator=(const ContentDecoder&) = delete;

  // From the text of Content-Encoding; a list of several is unknown.
  Coding begin(std::string_view content_encoding);
  // Appends the decoded bytes to `out`, which holds at most `most` afterwards.
  Fed feed(std::string_view bytes, std::string& out, std::size_t most);
  // The text has come to its end, or not a byte of it has come (a HEAD, a 304); always for identity, which has no end.
  bool complete() const noexcept;

 private:
  struct Stream;
  bool start();

  Coding coding_ = Coding::identity;
  bool ended_ = false;
  std::uint64_t in_ = 0;
  std::uint64_t produced_ = 0;
  std::unique_ptr<Stream> stream_;
};

}  // namespace weir::upstream

#endif  // WEIR_UPSTREAM_CONTENT_DECODER_H_
