// oidc-provider issues, weir checks; jose signs and weir checks; weir signs and jose checks. Keys rotate in between.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import * as jose from 'jose';
import { Provider } from 'oidc-provider';

const binary = process.argv[2];
const folder = mkdtempSync(join(tmpdir(), 'weir-identity-'));
let passed = 0;
let failed = 0;
function expect(what, got, want) {
  const sound = JSON.stringify(got) === JSON.stringify(want);
  sound ? ++passed : ++failed;
  console.log(sound ? `ok      ${what}` : `FAILED  ${what}: got ${JSON.stringify(got)}, want ${JSON.stringify(want)}`);
}
const pause = (ms) => new Promise((done) => { setTimeout(done, ms); });
const listen = (handler) => new Promise((done) => {
  const server = createServer(handler).listen(0, '127.0.0.1', () => done(server));
});

// --- the provider: its handler is replaced when the keys change
let callback = (_, response) => response.writeHead(503).end();
let fetches = 0;
const idp = await listen((request, response) => {
  if (request.url === '/jwks') ++fetches;
  callback(request, response);
});
const issuer = `http://127.0.0.1:${idp.address().port}`;
const keyOf = async (alg, kid) => {
  const { privateKey } = await jose.generateKeyPair(alg, { extractable: true });
  return { ...(await jose.exportJWK(privateKey)), alg, kid, use: 'sig' };
};
function publish(keys, alg) {
  const provider = new Provider(issuer, {
    jwks: { keys },
    clients: [{
      client_id: 'robot', client_secret: 'a secret of some length', grant_types: ['client_credentials'], redirect_uris: [],
      response_types: [], id_token_signed_response_alg: alg,
    }],
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => 'urn:api',
        getResourceServerInfo: () => ({
          scope: 'read', audience: 'api', accessTokenFormat: 'jwt', accessTokenTTL: 600, jwt: { sign: { alg } },
        }),
      },
    },
  });
  callback = provider.callback();
}
async function issue() {
  const response = await fetch(`${issuer}/token`, {
    method: 'POST',
    headers: {
      authorization: `Basic ${btoa('robot:' + encodeURIComponent('a secret of some length'))}`,
      'content-type': 'application/x-www-form-urlencoded',
    },
    body: 'grant_type=client_credentials&scope=read',
  });
  const said = await response.json();
  if (!said.access_token) throw new Error(JSON.stringify(said));
  return said.access_token;
}

// --- the service behind the gate: says what it was told
const service = await listen((request, response) => {
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify(request.headers));
});

// --- weir
const algorithms = ['RS256', 'PS384', 'ES256', 'ES384', 'EdDSA'];
const signers = Object.fromEntries(await Promise.all(algorithms.map(async (alg) => [alg, await keyOf(alg, `own-${alg}`)])));
const publicHalf = ({ kty, n, e, crv, x, y, alg, kid, use }) => ({ kty, n, e, crv, x, y, alg, kid, use });
writeFileSync(join(folder, 'own.json'), JSON.stringify({ keys: Object.values(signers).map(publicHalf) }));
writeFileSync(join(folder, 'passport.json'), JSON.stringify(await keyOf('ES256', 'passport-1')));
writeFileSync(join(folder, 'weir.yaml'), `listen: 127.0.0.1:0
workers: 1
access_log: off
auth:
  failures_per_second: off
  providers:
    - {name: idp, issuer: "${issuer}", audiences: [api], profile: rfc9068, jwks: {discover: true, cooldown: 1s}}
    - {name: own, issuer: "https://own.example", audiences: [api], algorithms: [${algorithms.join(', ')}], jwks: {file: own.json}}
passport: {signing: {key: passport.json, issuer: "https://gate.example"}}
upstreams: {service: {endpoints: ["http://127.0.0.1:${service.address().port}"]}}
routes:
  - {path: /keys, serve: passport_keys}
  - {path: /scoped, auth: {scopes: [read]}, upstream: service}
  - {path: /*, auth: required, upstream: service}
`);
const old = await keyOf('RS256', 'old');
publish([old], 'RS256');
const weir = spawn(binary, ['run', join(folder, 'weir.yaml')], { stdio: ['ignore', 'ignore', 'pipe'] });
let gate;
for await (const line of createInterface({ input: weir.stderr })) {
  const port = /serving on 127\.0\.0\.1:(\d+)/.exec(line);
  if (!port) continue;
  gate = `http://127.0.0.1:${port[1]}`;
  break;
}
weir.stderr.resume();
const ask = async (token, path = '/') => {
  const response = await fetch(gate + path, { headers: token ? { authorization: `Bearer ${token}` } : {} });
  return { status: response.status, told: response.status === 200 ? await response.json() : await response.text() };
};
// A fetch of keys may be under way, or not due yet: the token may be good (503), or its key is asked for a little later.
const settle = async (token, status) => {
  let answer = await ask(token);
  for (let tries = 0; answer.status !== status && tries < 100; ++tries) {
    await pause(100);
    answer = await ask(token);
  }
  return answer;
};

// 1. oidc-provider issues, weir finds the keys by discovery.
const first = await issue();
expect('the provider signs at+jwt with its key', jose.decodeProtectedHeader(first), { alg: 'RS256', typ: 'at+jwt', kid: 'old' });
let answer = await settle(first, 200);
expect('a token of oidc-provider passes', answer.status, 200);
const passport = JSON.parse(atob(answer.told['x-passport']));
expect('its subject is the user', [Object.keys(passport)[0], passport.user_id], ['user_id', 'robot']);
expect('the token stays at the gate', answer.told.authorization, undefined);
expect('its scope counts', (await ask(first, '/scoped')).status, 200);
expect('nobody is refused', (await ask()).status, 401);

// 2. Rotation: a new key of another kind in front, the old one still there; then without it.
const fresh = await keyOf('ES256', 'new');
publish([fresh, old], 'ES256');
const second = await issue();
expect('the new key signs', jose.decodeProtectedHeader(second).kid, 'new');
expect('its token passes after one fetch', (await settle(second, 200)).status, 200);
expect('tokens of the old key go on passing', (await ask(first)).status, 200);
publish([fresh], 'ES256');
const stranger = await keyOf('ES256', 'nobody');
const forged = await new jose.SignJWT({ client_id: 'robot' }).setProtectedHeader({ alg: 'ES256', kid: 'nobody', typ: 'at+jwt' })
  .setIssuer(issuer).setAudience('api').setSubject('robot').setJti('1').setIssuedAt().setExpirationTime('5m')
  .sign(await jose.importJWK(stranger, 'ES256'));
const before = fetches;
for (let tries = 0; fetches === before && tries < 100; ++tries) {
  await ask(forged);
  await pause(100);
}
const removed = Date.now();
expect('a key that is gone takes its tokens with it', (await settle(first, 401)).status, 401);
expect('within a second', Date.now() - removed < 1000, true);
expect('the new one goes on', (await ask(second)).status, 200);
expect('a key that nobody has is refused', (await ask(forged)).status === 200, false);

// 3. jose signs, weir checks.
const sign = async (alg, claims = {}, header = {}) => {
  const key = await jose.importJWK(signers[alg], alg);
  return new jose.SignJWT({ sub: 'user_123', country: 'US', platform: 'web', status: 'active', ...claims })
    .setProtectedHeader({ alg, kid: `own-${alg}`, ...header }).setIssuer('https://own.example').setAudience(claims.aud ?? 'api')
    .setExpirationTime(claims.until ?? '5m').sign(key);
};
for (const alg of algorithms) {
  answer = await ask(await sign(alg));
  expect(`jose's ${alg} passes`, answer.status, 200);
  expect(`and is told`, answer.told['x-proxy-state'], 'YWN0aXZlOnVzZXJfMTIzOlVTOndlYg==');
}
expect('another audience is refused', (await ask(await sign('ES256', { aud: 'other' }))).status, 401);
expect('an old token is refused', (await ask(await sign('ES256', { until: Math.floor(Date.now() / 1000) - 3600 }))).status, 401);
expect('a foreign `crit` is refused', (await ask((await sign('ES256')).replace(/^[^.]*/,
  jose.base64url.encode(JSON.stringify({ alg: 'ES256', kid: 'own-ES256', crit: ['x'], x: 1 }))))).status, 401);
expect('an unsecured token is refused', (await ask(new jose.UnsecuredJWT({ sub: 'u' }).setIssuer('https://own.example')
  .setAudience('api').setExpirationTime('5m').encode())).status, 401);
const good = await sign('RS256');
for (const at of [5, Math.floor(good.length / 2), good.length - 3]) {
  const other = good[at] === 'A' ? 'B' : 'A';
  expect(`another letter at ${at} is refused`, (await ask(good.slice(0, at) + other + good.slice(at + 1))).status, 401);
}

// 4. weir signs, jose checks with the set that weir serves.
answer = await ask(await sign('ES256'));
const keys = jose.createRemoteJWKSet(new URL(`${gate}/keys`));
const checked = await jose.jwtVerify(answer.told['x-passport-token'], keys, { issuer: 'https://gate.example', typ: 'passport+jwt' });
expect('jose accepts a signed passport', [checked.payload.user_id, checked.payload.sub, checked.payload.idp],
  ['user_123', 'user_123', 'https://own.example']);
expect('it ends soon', checked.payload.exp - Date.now() / 1000 <= 301, true);
writeFileSync(join(folder, 'mint.json'), JSON.stringify(await keyOf('RS256', 'mint')));
const minted = await new Promise((done) => {
  const child = spawn(binary, ['token', 'mint', '--key', join(folder, 'mint.json'), '--sub', 'user_123']);
  let out = '';
  child.stdout.on('data', (bytes) => { out += bytes; });
  child.on('close', () => done(out.trim()));
});
expect('jose reads a minted token', jose.decodeJwt(minted).sub, 'user_123');

weir.kill();
idp.close();
service.close();
rmSync(folder, { recursive: true });
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed > 0 ? 1 : 0);
