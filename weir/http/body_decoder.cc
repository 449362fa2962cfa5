// Taking the framing off bodies.
//
//   (1) One byte of chunk framing, one step of the machine: nothing is buffered but the start of a trailer's
//       name (24 bytes, enough to know every name that is refused there). State survives a cut at any byte.
//   (2) Data is never looked at: it is handed on as views of the input.
//   (3) Bounds: 16 size digits, 2^63 - 1 bytes a chunk, 256 extension bytes a chunk and 16 KiB of them beyond
//       what the data pays for, trailer_bytes and trailer_count for the trailers.
//
// body_decoder_test.cc compares with a decoder that sees the whole input, at every cut.
#include <algorithm>

#include "weir/http/internal/chars.h"
#include "weir/http/internal/head_fields.h"
#include "weir/http/parser.h"

namespace weir::http {

namespace {

constexpr std::uint8_t kSizeDigitsMax = 16;
constexpr std::uint16_t kExtensionMax = 256;
// One-byte chunks with long extensions make a peer send (and us read) 250 times the body. Real extensions are
// signatures of about 80 bytes on chunks of 64 KiB; what data has not earned is counted, and this much is
// borne.
constexpr std::uint64_t kOverheadMax = 16 * 1024;

}  // namespace

void BodyDecoder::start(BodyKind kind, std::uint64_t content_length, const ParserLimits& limits) noexcept {
  *this = {};
  kind_ = kind;
  left_ = kind == BodyKind::length ? content_length : 0;
  done_ = kind == BodyKind::none || (kind == BodyKind::length && content_length == 0);
  trailer_bytes_max_ = limits.trailer_bytes;
  trailer_count_max_ = limits.trailer_count;
}

BodyDecoder::Step BodyDecoder::next(std::string_view bytes) noexcept {
  if (failed_) return {State::error, 0, {}};
  if (done_) return {State::done, 0, {}};
  if (kind_ == BodyKind::chunked) return next_chunk(bytes);
  if (bytes.empty()) return {State::need_more, 0, {}};
  if (kind_ == BodyKind::until_close) return {State::data, bytes.size(), bytes};
  const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(left_, bytes.size()));
  left_ -= size;
  done_ = left_ == 0;
  return {State::data, size, bytes.substr(0, size)};
}

BodyDecoder::State BodyDecoder::end_of_input() noexcept {
  if (kind_ == BodyKind::until_close) done_ = true;
  if (done_) return State::done;
  if (!failed_) refuse("truncated", "RFC 9112 8");
  return State::error;
}

bool BodyDecoder::refuse(std::string_view what, std::string_view section, int status) noexcept {
  fault_ = {.status = status, .what = what, .section = section};
  failed_ = true;
  return false;
}

// RFC 9112 7.1.
BodyDecoder::Step BodyDecoder::next_chunk(std::string_view bytes) noexcept {
  std::size_t at = 0;
  while (at < bytes.size()) {
    if (chunk_ == Chunk::data) {
      const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(left_, bytes.size() - at));
      left_ -= size;
      overhead_ -= std::min<std::uint64_t>(overhead_, size);
      if (left_ == 0) chunk_ = Chunk::data_cr;
      return {State::data, at + size, bytes.substr(at, size)};
    }
    const char c = bytes[at++];
    bool good = true;
    switch (chunk_) {
      case Chunk::data_cr:
        good = c == '\r' || refuse("no_crlf_after_chunk", "RFC 9112 7.1");
        chunk_ = Chunk::data_lf;
        break;
      case Chunk::data_lf:
        good = c == '\n' || refuse("no_crlf_after_chunk", "RFC 9112 7.1");
        chunk_ = Chunk::size;
        break;
      case Chunk::size:
        good = read_size(c);
        break;
      case Chunk::size_lf:
        good = c == '\n' || refuse("bare_cr", "RFC 9112 7.1");
        chunk_ = left_ > 0 ? Chunk::data : Chunk::trailer_start;
        size_digits_ = 0;
        extension_bytes_ = 0;
        break;
      default:
        good = chunk_ < Chunk::trailer_start ? read_extension(c) : read_trailer(c);
        break;
    }
    if (!good) return {State::error, at, {}};
    if (done_) return {State::done, at, {}};
  }
  return {State::need_more, at, {}};
}

// chunk-size is 1*HEXDIG; neither white space nor a prefix is part of it.
bool BodyDecoder::read_size(char c) noexcept {
  if (internal::is(c, internal::kHexChar)) {
    if (++size_digits_ > kSizeDigitsMax) return refuse("chunk_size_too_long", "RFC 9112 7.1");
    left_ = left_ << 4 | internal::hex_value(c);
    return left_ <= internal::kLengthMax || refuse("chunk_size_overflow", "RFC 9112 7.1");
  }
  if (c == '\n') return refuse("bare_lf", "RFC 9112 7.1");
  if (size_digits_ == 0 || (c != '\r' && c != ';')) return refuse("bad_chunk_size", "RFC 9112 7.1");
  chunk_ = c == '\r' ? Chunk::size_lf : Chunk::ext_start;
  return true;
}

// chunk-ext = *( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] ); the value is a token or a
// quoted-string.
bool BodyDecoder::read_extension(char c) noexcept {
  if (c != '\r' && ++extension_bytes_ > kExtensionMax)
    return refuse("chunk_extension_too_long", "RFC 9112 7.1.1");
  if (++overhead_ > kOverheadMax) return refuse("chunk_overhead", "RFC 9112 7.1.1");
  if (c == '\n') return refuse("bare_lf", "RFC 9112 7.1.1");
  if (chunk_ == Chunk::ext_quoted || chunk_ == Chunk::ext_escape) {
    if (!internal::is(c, internal::kValueChar)) return refuse("bad_chunk_extension", "RFC 9112 7.1.1");
    if (chunk_ == Chunk::ext_escape || (c != '"' && c != '\\'))
      chunk_ = Chunk::ext_quoted;
    else
      chunk_ = c == '"' ? Chunk::ext_after_quoted : Chunk::ext_escape;
    return true;
  }
  const bool token = internal::is(c, internal::kTokenChar);
  const bool space = c == ' ' || c == '\t';
  const bool name_ends = chunk_ == Chunk::ext_name || chunk_ == Chunk::ext_after_name;
  const bool value_ends = chunk_ == Chunk::ext_token || chunk_ == Chunk::ext_after_quoted;
  if (token && (chunk_ == Chunk::ext_start || chunk_ == Chunk::ext_name))
    return chunk_ = Chunk::ext_name, true;
  if (token && (chunk_ == Chunk::ext_value || chunk_ == Chunk::ext_token))
    return chunk_ = Chunk::ext_token, true;
  if (c == '"' && chunk_ == Chunk::ext_value) return chunk_ = Chunk::ext_quoted, true;
  if (c == '=' && name_ends) return chunk_ = Chunk::ext_value, true;
  if (c == ';' && (name_ends || value_ends || chunk_ == Chunk::ext_after_value))
    return chunk_ = Chunk::ext_start, true;
  // Space before the end of the line belongs to no rule of the grammar: BWS is always followed by ';', '=' or
  // text.
  if (c == '\r' && (chunk_ == Chunk::ext_name || value_ends)) return chunk_ = Chunk::size_lf, true;
  if (space) {
    if (chunk_ == Chunk::ext_name) chunk_ = Chunk::ext_after_name;
    if (value_ends) chunk_ = Chunk::ext_after_value;
    return true;
  }
  return refuse("bad_chunk_extension", "RFC 9112 7.1.1");
}

// trailer-section, RFC 9112 7.1.2: the grammar and bounds of header fields.
bool BodyDecoder::read_trailer(char c) noexcept {
  if (++trailer_bytes_ > trailer_bytes_max_) return refuse("trailers_too_large", "RFC 6585 5", 431);
  switch (chunk_) {
    case Chunk::trailer_start:
      if (c == '\r') return chunk_ = Chunk::end_lf, true;
      if (c == ' ' || c == '\t') return refuse("obs_fold", "RFC 9112 5.2");
      if (c == ':') return refuse("empty_name", "RFC 9112 5");
      if (c != '\n' && ++trailer_lines_ > trailer_count_max_)
        return refuse("too_many_trailers", "RFC 6585 5", 431);
      name_size_ = 0;
      chunk_ = Chunk::trailer_name;
      [[fallthrough]];
    case Chunk::trailer_name:
      if (internal::is(c, internal::kTokenChar)) {
        if (name_size_ < name_.size()) name_[name_size_++] = c;
        return true;
      }
      if (c == '\n') return refuse("bare_lf", "RFC 9112 2.2");
      if (c != ':') return refuse(c == ' ' || c == '\t' ? "space_in_name" : "bad_name", "RFC 9112 5.1");
      if (!is_allowed_trailer()) return refuse("forbidden_trailer", "RFC 9110 6.5.1");
      chunk_ = Chunk::trailer_value;
      return true;
    case Chunk::trailer_value:
      if (c == '\r') return chunk_ = Chunk::trailer_lf, true;
      if (c == '\n') return refuse("bare_lf", "RFC 9112 2.2");
      return internal::is(c, internal::kValueChar) || refuse("control_in_value", "RFC 9110 5.5");
    case Chunk::trailer_lf:
      chunk_ = Chunk::trailer_start;
      return c == '\n' || refuse("bare_cr", "RFC 9112 2.2");
    default:  // end_lf
      if (c != '\n') return refuse("bare_cr", "RFC 9112 2.2");
      return done_ = true;
  }
}

// RFC 9110 6.5.1: nothing that frames, routes, authenticates or says how to read the content. Trailers are
// dropped in any case; these are refused because another reader might merge them into the header section.
bool BodyDecoder::is_allowed_trailer() const noexcept {
  switch (parse_name(std::string_view(name_.data(), name_size_))) {
    case Name::content_length:
    case Name::transfer_encoding:
    case Name::host:
    case Name::connection:
    case Name::keep_alive:
    case Name::proxy_connection:
    case Name::te:
    case Name::trailer:
    case Name::upgrade:
    case Name::expect:
    case Name::max_forwards:
    case Name::content_encoding:
    case Name::content_type:
    case Name::cache_control:
    case Name::authorization:
    case Name::proxy_authorization:
    case Name::proxy_authenticate:
    case Name::www_authenticate:
    case Name::cookie:
    case Name::set_cookie:
    case Name::idempotency_key:
    case Name::forwarded:
    case Name::x_forwarded_for:
    case Name::x_forwarded_host:
    case Name::x_forwarded_proto:
    case Name::x_forwarded_port:
    case Name::x_forwarded_prefix:
    case Name::x_real_ip:
      return false;
    default:
      return true;
  }
}

}  // namespace weir::http
