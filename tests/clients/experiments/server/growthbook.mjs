// GrowthBook's own SDK: payload, local evaluation beside weir's, streaming, remote evaluation.
import { GrowthBook, setPolyfills } from '@growthbook/growthbook';
import { Gateway, expect, finish, signal } from '../gateway.mjs';

const users = 10_000;
const meta = [{ key: '0' }, { key: '1' }];
const payload = (banner) => ({
  features: {
    banner: { defaultValue: banner },
    version_1: {
      defaultValue: 'none',
      rules: [{ variations: ['a', 'b', 'c'], weights: [0.2, 0.3, 0.5], coverage: 0.8, seed: 's1', hashVersion: 1, key: 'version_1' }],
    },
    version_2: {
      defaultValue: 0,
      rules: [{ variations: [1, 2], seed: 's2', hashVersion: 2, key: 'version_2', meta,
        condition: { country: { $in: ['US', 'DE'] }, 'device.memory': { $gte: 4 } } }],
    },
    rollout: {
      defaultValue: false,
      rules: [
        { force: true, condition: { $or: [{ app: { $vgte: '2.1.0' } }, { email: { $regex: '@weir\\.example$' } }] } },
        { force: true, coverage: 0.25, hashVersion: 2 },
      ],
    },
    spaces: {
      defaultValue: {},
      rules: [
        { variations: [{ x: 1 }, { x: 2 }], namespace: ['shared', 0, 0.4], key: 'spaces_1' },
        { variations: [{ y: 1 }, { y: 2 }], ranges: [[0, 0.3], [0.5, 0.8]], hashVersion: 2, seed: 'r', key: 'spaces_2',
          filters: [{ seed: 'shared', ranges: [[0.2, 0.9]], hashVersion: 2, attribute: 'id' }] },
      ],
    },
    by_company: {
      defaultValue: 'x',
      rules: [{ variations: ['x', 'y'], hashAttribute: 'company', hashVersion: 2, key: 'by_company' }],
    },
    dependent: {
      defaultValue: 'off',
      rules: [{ parentConditions: [{ id: 'rollout', condition: { value: true } }], force: 'on' }],
    },
  },
});
const attributesOf = (i) => ({
  id: i % 3 === 0 ? `user_${i}` : i % 3 === 1 ? `0190f3a1-7c1e-4d0a-9b1f-${String(i).padStart(12, '0')}` : `jos\u00e9 \u{1f600} ${i}`,
  country: ['US', 'DE', 'FR'][i % 3],
  app: `${i % 4}.${i % 7}.${i % 11}`,
  email: i % 5 === 0 ? `u${i}@weir.example` : `u${i}@other.example`,
  device: { memory: i % 9 },
  ...(i % 2 === 0 && { company: `c${i % 100}` }),
});

const gateway = await Gateway.start(process.argv[2], JSON.stringify(payload('first')));
setPolyfills({ EventSource });
const changed = signal();
const client = new GrowthBook({ apiHost: gateway.url, clientKey: 'sdk-1', attributes: attributesOf(0),
  renderer: () => { if (client.getFeatureValue('banner', '') === 'second') changed.fulfil(); } });
const ready = await client.init({ streaming: true, skipCache: true });
expect('the SDK loads /api/features', [ready.success, client.getFeatureValue('banner', '')], [true, 'first']);

const names = Object.keys(payload('').features);
let agreeing = 0;
const seen = Object.fromEntries(names.map((name) => [name, new Set()]));
const ask = async (from) => {
  for (let i = from; i < users; i += 16) {
    const attributes = attributesOf(i);
    const local = new GrowthBook({ attributes, features: payload('first').features });
    const answer = await fetch(`${gateway.url}/api/eval/sdk-1`, {
      method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ attributes }) });
    const { features } = await answer.json();
    let same = true;
    for (const name of names) {
      const want = JSON.stringify(local.getFeatureValue(name, null));
      seen[name].add(want);
      if (JSON.stringify(features[name].defaultValue) === want) continue;
      if (same && i - agreeing < 3) console.log(`user ${i} ${name}: SDK ${want}, weir ${JSON.stringify(features[name])}`);
      same = false;
    }
    if (same) ++agreeing;
    local.destroy();
  }
};
await Promise.all(Array.from({ length: 16 }, (_, from) => ask(from)));
expect(`the SDK and weir agree on ${names.length} features for ${users} users`, agreeing, users);
expect('values that the users saw', names.map((name) => seen[name].size), [1, 4, 3, 2, 5, 2, 2]);

gateway.change(JSON.stringify(payload('second')));
await changed.promise;
expect('/sub pushes a change to the SDK', client.getFeatureValue('banner', ''), 'second');
client.destroy();

const remote = new GrowthBook({ apiHost: gateway.url, clientKey: 'sdk-2', remoteEval: true, attributes: attributesOf(2) });
const evaluated = await remote.init({ skipCache: true });
const local = new GrowthBook({ attributes: attributesOf(2), features: payload('second').features });
expect('remote evaluation', [evaluated.success, ...names.map((name) => remote.getFeatureValue(name, null))],
  [true, ...names.map((name) => local.getFeatureValue(name, null))]);
remote.destroy();
gateway.stop();

// weir's own rules cannot be computed by the SDK; they reach it evaluated.
const native = await Gateway.start(process.argv[2], `
experiments:
  - {key: checkout_button, hash: fnv1a, variants: [{name: control, weight: 50}, {name: treatment, weight: 50}]}
`);
const own = new GrowthBook({ apiHost: native.url, clientKey: 'sdk-3', remoteEval: true, attributes: { id: 'user_1' } });
await own.init({ skipCache: true });
expect('native rules by remote evaluation', own.getFeatureValue('checkout_button', null), 'treatment');
own.destroy();
native.stop();
finish();
