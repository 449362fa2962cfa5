// X-Passport: who asks, for the services behind the gate, as base64 of compact JSON.
//
// The writer turns verified claims into a header value; equal claims give equal bytes, and nothing in it belongs to one
// request, so the value is rendered once a token and copied afterwards. The reader is for upstreams in C++: it takes
// the value apart with bounds, and enforces the expiry.
//
//   PassportWriter writer(options);
//   Result<Passport> passport = writer.write(claims, extras, expires);   // passport->header begins eyJ1c2VyX2lkIjoi
//
//   Reader().read(request.header("X-Passport"), now)                      // in an upstream
//
// Members in this order: user_id, then the other mapped claims, then what `extras` adds, exp. A claim that is absent is
// left out; user_id is null then. Pure; const access from any thread.
#ifndef WEIR_PASSPORT_PASSPORT_H_
#define WEIR_PASSPORT_PASSPORT_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "weir/base/clock.h"
#include "weir/base/result.h"
#include "weir/passport/json.h"
#include "weir/passport/proxy_state.h"

namespace weir::passport {

struct Passport {
  Json members;        // an object; first member user_id
  std::string header;  // the value of X-Passport

  // The user's id as text; "" when there is none (anonymous, or a token without a subject).
  std::string user_id() const;
  bool anonymous() const noexcept;
  // A member as text (a string, a number, true or false); nothing when absent, null, a list or an object.
  std::optional<std::string> text(std::string_view member) const;
  bool has_role(std::string_view role) const noexcept;

  // What a client without a token is: {"user_id":null,"anon":true,"status":"anonymous"}.
  static Passport of_nobody();
};

struct PassportClaim {
  std::string member;
  ClaimPath claim;
};

class PassportWriter {
 public:
  struct Options {
    std::vector<PassportClaim> claims{{"user_id", {"sub"}}, {"email", {"email"}}, {"roles", {"roles"}}};
    std::vector<std::string> optional;  // members that may go when the value is too large, the last first
    std::size_t bytes = 4 * 1024;       // of the encoded value
    bool url_alphabet = false;          // base64url without padding in place of base64
  };
  using Extras = std::vector<std::pair<std::string, Json>>;

  PassportWriter() : PassportWriter(Options()) {}
  explicit PassportWriter(Options options);

  // `extras` follow the mapped claims where no mapped member has their name; `expires` in seconds since 1970, 0 for
  // none. Optional members that had to go are named in `trunc`. Error too_large when that was not enough: a passport
  // is never cut.
  Result<Passport> write(const Json& claims, const Extras& extras, std::int64_t expires) const;

 private:
  std::string encode(std::string_view json) const;
  Options options_;
};

// Reads a passport that weir has written (either alphabet).
class PassportReader {
 public:
  struct Options {
    std::size_t bytes = 8 * 1024;
    std::chrono::seconds leeway{
        60};  // clocks differ, and weir itself accepts tokens a little after their end
  };
  PassportReader() : PassportReader(Options()) {}
  explicit PassportReader(Options options) : options_(options) {}

  // Errors: too_large, malformed (encoding, JSON, no user_id in front, types), timed_out when it has expired.
  Result<Passport> read(std::string_view header, WallTime now) const;

 private:
  Options options_;
};
using Reader = PassportReader;

}  // namespace weir::passport

#endif  // WEIR_PASSPORT_PASSPORT_H_
