// auth, passport, proxy_state, idempotency: read, completed, and checked as far as a file can be.
//
//   (1) Key sets and API keys that stand in files are read here and judged by the code that will use them, so that
//       `weir check` finds what would be refused at the start.
//   (2) A provider's issuer, audiences and keys must be written: nothing stands in for them.
//   (3) What a secret or a key file holds never reaches a message.
#include <algorithm>

#include "weir/base/strings.h"
#include "weir/config/internal/document.h"
#include "weir/config/internal/readers.h"
#include "weir/passport/api_keys.h"
#include "weir/passport/jwk.h"
#include "weir/passport/passport_signer.h"

namespace weir::config::internal {
namespace {

ClaimPath claim_path(const Value& value) {
  if (value.is(kText)) return {value.text};
  ClaimPath path;
  for (const Value& name : value.items) path.push_back(name.text);
  return path;
}

void read_path(const Value& map, std::string_view key, ClaimPath& target) {
  if (const Value* value = sound(map, key)) target = claim_path(*value);
}

void read_texts(const Value* list, std::vector<std::string>& target) {
  if (list == nullptr) return;
  target.clear();
  for (const Value& item : list->items) target.push_back(item.text);
}

std::optional<std::string> read_beside(const Value& path, const ReadContext& context, std::string* resolved) {
  *resolved = relative_to(context.file_of(path.at), path.text);
  Result<std::string> content = context.environment.read_file(*resolved);
  if (content) return std::move(*content);
  context.report.error(path.at, "cannot read the file " + quote(*resolved) + ": " + content.error().detail);
  return std::nullopt;
}

bool is_whole_number(std::string_view text) {
  if (text.starts_with('-')) text.remove_prefix(1);
  if (text.empty() || text.size() > 18 || (text.size() > 1 && text.front() == '0')) return false;
  return std::all_of(text.begin(), text.end(), base::is_digit);
}

// YAML's own reading of plain scalars, as far as claims need it.
passport::Json to_json(const Node& node) {
  using passport::Json;
  switch (node.kind) {
    case Node::Kind::null:
      return Json();
    case Node::Kind::scalar:
      if (node.quoted) return Json(node.text);
      if (node.text == "true" || node.text == "false") return Json(node.text == "true");
      if (is_whole_number(node.text)) return Json(static_cast<std::int64_t>(std::stoll(node.text)));
      return Json(node.text);
    case Node::Kind::list: {
      Json::Array items;
      for (const Node* item : node.items) items.push_back(to_json(*item));
      return Json(std::move(items));
    }
    case Node::Kind::map: {
      Json::Object members;
      for (const Entry& entry : node.entries)
        members.push_back(Json::Member{entry.key, to_json(*entry.value)});
      return Json(std::move(members));
    }
  }
  return Json();
}

class ProviderReader {
 public:
  ProviderReader(const Value& map, const ReadContext& context) : map_(map), context_(context) {}

  AuthProvider read() {
    if (const Value* name = sound(map_, "name")) provider_.name = name->text;
    read_path(map_, "roles", provider_.roles);
    const Value* type = sound(map_, "type");
    if (type != nullptr && type->text == "api_key") {
      provider_.type = AuthProvider::Type::api_key;
      read_api_keys();
    } else {
      read_jwt();
    }
    return std::move(provider_);
  }

 private:
  void needs(std::string_view key, std::string_view example) {
    if (map_.find(key) == nullptr)
      context_.report.error(map_.at,
                            "the provider " + quote(provider_.name) + " needs `" + std::string(key) + "`",
                            "add `" + std::string(key) + ": " + std::string(example) + "`");
  }

  void refuse(std::initializer_list<std::string_view> keys, std::string_view type) {
    for (const std::string_view key : keys)
      if (const Value* value = map_.find(key); value != nullptr)
        context_.report.error(
            value->key_at,
            "`" + std::string(key) + "` means nothing for a provider of type `" + std::string(type) + "`");
  }

  void read_api_keys() {
    refuse({"issuer", "audiences", "algorithms", "profile", "leeway", "require_exp", "max_token_age", "jwks",
            "secret"},
           "api_key");
    if (const Value* header = sound(map_, "header")) provider_.header = header->text;
    needs("file", "keys.yaml");
    const Value* file = sound(map_, "file");
    if (file == nullptr) return;
    const std::optional<std::string> text = read_beside(*file, context_, &provider_.api_key_file);
    if (!text) return;
    Report own;
    Budget budget;
    const Document document = parse_document(*text, 0, budget, own);
    if (own.any_error() || document.root == nullptr || document.root->kind != Node::Kind::map)
      return context_.report.error(file->at,
                                   quote(provider_.api_key_file) +
                                       " must be a map: SHA-256 of a key (64 hexadecimal digits) to claims");
    std::vector<passport::ApiKeyEntry> entries;
    for (const Entry& entry : document.root->entries) {
      entries.push_back({entry.key, to_json(*entry.value)});
      provider_.api_keys.emplace_back(entry.key, entries.back().claims.to_text());
    }
    const Result<passport::ApiKeySet> set =
        passport::ApiKeySet::make(entries, provider_.name, provider_.roles, passport::IdentityRules());
    if (!set) context_.report.error(file->at, quote(provider_.api_key_file) + ": " + set.error().detail);
  }

  void read_jwt() {
    refuse({"file"}, "jwt");
    needs("issuer", "https://id.example");
    needs("audiences", "[api]");
    if (const Value* issuer = sound(map_, "issuer")) provider_.issuer = issuer->text;
    if (const Value* audiences = sound(map_, "audiences")) {
      provider_.any_audience = audiences->is(kWord);
      read_texts(audiences, provider_.audiences);
    }
    if (const Value* profile = sound(map_, "profile")) {
      if (profile->text == "id_token") provider_.profile = AuthProvider::Profile::id_token;
      if (profile->text == "rfc9068") provider_.profile = AuthProvider::Profile::rfc9068;
    }
    internal::read(map_, "leeway", provider_.leeway);
    internal::read(map_, "require_exp", provider_.require_exp);
    if (const Value* age = sound(map_, "max_token_age")) provider_.max_token_age = age->duration;
    read_keys();
  }

  void read_keys() {
    const Value* jwks = map_.find("jwks");
    const Value* secret = map_.find("secret");
    if (jwks == nullptr && secret == nullptr)
      return context_.report.error(
          map_.at, "the provider " + quote(provider_.name) + " has no keys",
          "add `jwks: {file: jwks.json}`, `jwks: {url: ..}`, `jwks: {discover: true}` or "
          "`secret: env:NAME`");
    if (jwks != nullptr && secret != nullptr)
      return context_.report.error(secret->key_at, "a provider has `jwks` or `secret`, not both");
    read_algorithms(secret != nullptr);
    if (secret != nullptr && secret->form != 0) read_secret(*secret);
    if (jwks != nullptr && jwks->form != 0) read_jwks(*jwks);
  }

  void read_algorithms(bool secret) {
    provider_.algorithms = secret ? std::vector<std::string>{"HS256"}
                                  : std::vector<std::string>{"RS256", "PS256", "ES256", "EdDSA"};
    const Value* list = sound(map_, "algorithms");
    if (list == nullptr) return;
    provider_.algorithms.clear();
    for (const Value& item : list->items) {
      if (item.text.starts_with("HS") != secret)
        context_.report.error(item.at, shown(item) + (secret ? " needs public keys" : " needs a `secret`"));
      provider_.algorithms.push_back(item.text);
    }
  }

  void read_secret(const Value& secret) {
    provider_.keys = AuthProvider::Keys::secret;
    provider_.key_text = free_text(secret, context_);
    if (secret.source.empty())
      context_.report.warning(secret.at, "the secret stands in the file for everyone who may read it",
                              "write `env:NAME` or `file:PATH`");
    if (provider_.algorithms.empty()) return;
    const std::optional<passport::Algorithm> algorithm =
        passport::parse_algorithm(provider_.algorithms.front());
    if (algorithm && passport::is_symmetric(*algorithm)) {
      const auto key = passport::Key::from_secret(provider_.key_text, *algorithm, "");
      if (!key) context_.report.error(secret.at, "`secret`: " + key.error().detail);
    }
    if (provider_.algorithms.size() > 1)
      context_.report.error(secret.key_at, "a secret is for one algorithm", "write one in `algorithms`");
  }

  void read_jwks(const Value& jwks) {
    const Value* file = sound(jwks, "file");
    const Value* url = sound(jwks, "url");
    const Value* discover = sound(jwks, "discover");
    const bool discovers = discover != nullptr && discover->number != 0;
    const int given = (file != nullptr ? 1 : 0) + (url != nullptr ? 1 : 0) + (discovers ? 1 : 0);
    if (given != 1 && jwks.find("file") == file && jwks.find("url") == url)
      return context_.report.error(jwks.key_at, "`jwks` has one of `file`, `url` and `discover: true`");
    internal::read(jwks, "ttl", provider_.ttl);
    internal::read(jwks, "stale_if_error", provider_.stale_if_error);
    internal::read(jwks, "cooldown", provider_.cooldown);
    if (const Value* persist = sound(jwks, "persist"); persist != nullptr && !persist->is(kOff))
      provider_.persist = relative_to(context_.file_of(persist->at), persist->text);
    if (file != nullptr) return read_key_file(*file);
    provider_.keys = discovers ? AuthProvider::Keys::discover : AuthProvider::Keys::url;
    const Value* at = discovers ? discover : url;
    if (at == nullptr) return;
    provider_.url = discovers ? provider_.issuer : url->text;
    if (discovers) {
      // OpenID Connect Discovery 4: behind the issuer, whose trailing slash is taken off.
      if (provider_.url.ends_with('/')) provider_.url.pop_back();
      provider_.url += "/.well-known/openid-configuration";
    }
    check_url(*at);
  }

  void check_url(const Value& at) {
    const std::string_view url = provider_.url;
    const bool tls = url.starts_with("https://");
    const std::size_t slash = url.find('/', tls ? 8 : 7);
    const std::string_view origin = slash == std::string_view::npos ? url : url.substr(0, slash);
    const bool visible = std::all_of(url.begin(), url.end(), [](char c) { return c > 0x20 && c < 0x7f; });
    // The scheme is looked at here: what stands behind it is the same for both.
    const std::string plain =
        "http://" + std::string(origin.substr(std::min<std::size_t>(tls ? 8 : 7, origin.size())));
    if ((!tls && !url.starts_with("http://")) || !parse_url(plain) || !visible ||
        url.find('#') != std::string_view::npos)
      context_.report.error(at.at, quote(url) + " is not an address like https://host:port/path");
  }

  void read_key_file(const Value& file) {
    provider_.keys = AuthProvider::Keys::file;
    const std::optional<std::string> text = read_beside(file, context_, &provider_.key_file);
    if (!text) return;
    provider_.key_text = *text;
    passport::KeySet::Options options;
    for (const std::string& name : provider_.algorithms)
      if (const auto algorithm = passport::parse_algorithm(name)) options.allowed.push_back(*algorithm);
    const Result<passport::KeySet> set = passport::KeySet::parse(*text, options);
    if (!set) return context_.report.error(file.at, quote(provider_.key_file) + ": " + set.error().detail);
    for (const std::string& skipped : set->skipped())
      context_.report.warning(file.at, quote(provider_.key_file) + ": a key is left out: " + skipped);
  }

  const Value& map_;
  const ReadContext& context_;
  AuthProvider provider_;
};

void read_providers(const Value& auth, const ReadContext& context) {
  const Value* list = sound(auth, "providers");
  if (list == nullptr) return;
  auto& providers = context.config.auth.providers;
  for (const Value& map : list->items) {
    AuthProvider provider = ProviderReader(map, context).read();
    for (const AuthProvider& earlier : providers) {
      if (earlier.name == provider.name)
        context.report.error(map.at, "two providers are called " + quote(provider.name));
      else if (earlier.type == AuthProvider::Type::jwt && provider.type == AuthProvider::Type::jwt &&
               !provider.issuer.empty() && earlier.issuer == provider.issuer)
        context.report.error(map.at, "two providers have the issuer " + quote(provider.issuer));
    }
    providers.push_back(std::move(provider));
  }
}

void read_signing(const Value& map, Passport& whole, const ReadContext& context) {
  PassportSigning& target = whole.signing.emplace();
  if (const Value* header = sound(map, "header")) target.header = header->text;
  if (const Value* issuer = sound(map, "issuer")) target.issuer = issuer->text;
  const Value* key = sound(map, "key");
  if (key == nullptr) return;
  const std::optional<std::string> text = read_beside(*key, context, &target.key_file);
  if (!text) return;
  target.key_text = *text;
  const auto signer =
      passport::PassportSigner::make(target.key_text, target.issuer, std::chrono::seconds{300});
  if (!signer) context.report.error(key->at, quote(target.key_file) + ": " + signer.error().detail);
}

void read_passport(const Value& root, const ReadContext& context) {
  const Value* map = sound(root, "passport");
  if (map == nullptr) return;
  Passport& target = context.config.passport;
  if (const Value* header = sound(*map, "header")) target.header = header->text;
  if (const Value* claims = sound(*map, "claims")) {
    target.claims.clear();
    for (const auto& [member, claim] : claims->entries)
      if (claim.form != 0) target.claims.emplace_back(member, claim_path(claim));
  }
  read_texts(sound(*map, "optional"), target.optional);
  if (const Value* size = sound(*map, "max_size")) target.max_size = size->number;
  if (const Value* encoding = sound(*map, "encoding")) target.url_alphabet = encoding->text == "base64url";
  read(*map, "ttl", target.ttl);
  if (const Value* signing = sound(*map, "signing"); signing != nullptr && signing->is(kMap))
    read_signing(*signing, target, context);
}

void read_proxy_state(const Value& root, const ReadContext& context) {
  const Value* map = sound(root, "proxy_state");
  if (map == nullptr) return;
  ProxyState& target = context.config.proxy_state;
  if (const Value* header = sound(*map, "header")) target.header = header->text;
  if (const Value* status = sound(*map, "status")) read_path(*status, "from", target.status);
  if (const Value* platform = sound(*map, "platform")) read_path(*platform, "from", target.platform);
  if (const Value* country = sound(*map, "country")) {
    read_path(*country, "from", target.country);
    if (const Value* edge = sound(*country, "edge")) target.country_edge = edge->text;
  }
  const Value* sub = sound(*map, "sub");
  const Value* from = sub == nullptr ? nullptr : sound(*sub, "from");
  if (from == nullptr) return;
  target.sub.clear();
  for (const Value& claim : from->items) target.sub.push_back(claim_path(claim));
}

void read_idempotency(const Value& root, const ReadContext& context) {
  Idempotency& target = context.config.idempotency;
  const Value* map = sound(root, "idempotency");
  if (map == nullptr) return;
  if (const Value* store = sound(*map, "store")) {
    if (store->text == "memory") target.store = Idempotency::Store::memory;
    if (store->text == "redis") {
      target.store = Idempotency::Store::redis;
      if (root.find("redis") == nullptr)
        context.report.error(store->at, "`store: redis` needs a Redis",
                             "add `redis: {url: redis://127.0.0.1:6379}`");
    }
  }
  if (const Value* path = sound(*map, "path"))
    target.path = relative_to(context.file_of(path->at), path->text);
  read(*map, "ttl", target.ttl);
  read(*map, "lease", target.lease);
  if (const Value* size = sound(*map, "max_response")) target.max_response = size->number;
}

Require require_of(const Value& value) {
  if (value.is(kOff)) return Require::off;
  return value.text == "optional" ? Require::optional : Require::required;
}

}  // namespace

void read_auth(const Value& root, const ReadContext& context) {
  if (const Value* auth = sound(root, "auth")) {
    Auth& target = context.config.auth;
    read_providers(*auth, context);
    if (const Value* cache = sound(*auth, "cache"))
      if (const Value* memory = sound(*cache, "memory")) target.cache_bytes = memory->number;
    if (const Value* failures = sound(*auth, "failures_per_second"))
      target.failures_per_second = failures->is(kOff) ? 0 : static_cast<std::uint32_t>(failures->number);
    if (const Value* file = sound(*auth, "revocations"))
      target.revocations = relative_to(context.file_of(file->at), file->text);
  }
  read_passport(root, context);
  read_proxy_state(root, context);
  read_idempotency(root, context);
}

void read_route_auth(const Value* auth, RouteAuth& target, const ReadContext& context) {
  if (auth == nullptr) return;
  if (auth->is(kMap)) {
    const Value* require = sound(*auth, "require");
    target.require = require == nullptr ? Require::required : require_of(*require);
    read_texts(sound(*auth, "scopes"), target.scopes);
    read_texts(sound(*auth, "roles"), target.roles);
  } else {
    target.require = require_of(*auth);
  }
  const auto& providers = context.config.auth.providers;
  if (target.require != Require::off && providers.empty())
    return context.report.error(auth->at, "nobody says who a client is: `auth` has no provider",
                                "add `auth: {providers: [..]}`");
  const Value* names = auth->is(kMap) ? sound(*auth, "providers") : nullptr;
  if (names == nullptr) return;
  for (const Value& name : names->items) {
    target.providers.push_back(name.text);
    std::vector<std::string_view> known;
    for (const AuthProvider& provider : providers) known.push_back(provider.name);
    if (std::find(known.begin(), known.end(), name.text) == known.end())
      context.report.error(name.at, "no provider is called " + shown(name), did_you_mean(name.text, known));
  }
}

void read_route_idempotency(const Value* idempotency, RouteIdempotency& target) {
  if (idempotency == nullptr) return;
  if (!idempotency->is(kMap)) {
    target.require = require_of(*idempotency);
    return;
  }
  const Value* require = sound(*idempotency, "require");
  target.require = require == nullptr ? Require::required : require_of(*require);
  read_texts(sound(*idempotency, "methods"), target.methods);
  read(*idempotency, "anonymous", target.anonymous);
  read(*idempotency, "wait", target.wait);
}

}  // namespace weir::config::internal
