// What the web SDK must see, in Node and in a browser alike: (OpenFeature, provider class, gateway's address, expect,
// change the file) in.
export async function check({ OpenFeature, ProviderEvents, OFREPWebProvider, base, expect, change }) {
  const requests = [];
  const fetchAndNote = async (request) => {
    const answer = await fetch(request);
    requests.push([new URL(request.url).search !== '', answer.status]);
    return answer;
  };
  const provider = new OFREPWebProvider({ baseUrl: base, fetchImplementation: fetchAndNote });
  const us = { targetingKey: 'user_1', country: 'US' };
  await OpenFeature.setProviderAndWait(provider, us);
  const client = OpenFeature.getClient();
  const details = ({ value, variant, reason }) => [value, variant, reason];
  expect('an experiment is a string flag', details(client.getStringDetails('checkout_button', 'x')),
    ['treatment', 'treatment', 'SPLIT']);
  expect('boolean, string, number', [client.getBooleanValue('dark_mode', false), client.getStringValue('banner', 'x'),
    client.getNumberValue('limit', 0)], [true, 'first', 7.5]);
  expect('object', client.getObjectValue('layout', {}), { columns: 3, names: ['a', 'b'] });
  expect('who is not in an experiment gets the code default', client.getStringValue('nobody', 'code'), 'code');
  expect('unknown', client.getStringDetails('none', 'x').errorCode, 'FLAG_NOT_FOUND');

  await OpenFeature.setContext({ targetingKey: 'user_2', country: 'DE' });
  expect('another context', [client.getStringValue('checkout_button', 'x'), client.getBooleanValue('dark_mode', true)],
    ['control', false]);

  const answer = await fetch(`${base}/ofrep/v1/evaluate/flags`, { method: 'POST',
    headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ context: us }) });
  const tag = answer.headers.get('etag');
  expect('a page may read the tag', typeof tag, 'string');
  const again = await fetch(`${base}/ofrep/v1/evaluate/flags`, { method: 'POST',
    headers: { 'Content-Type': 'application/json', 'If-None-Match': tag }, body: JSON.stringify({ context: us }) });
  expect('the same is not sent again', again.status, 304);

  const changed = new Promise((resolve) => client.addHandler(ProviderEvents.ConfigurationChanged, () => {
    if (client.getStringValue('banner', 'x') === 'second') resolve();
  }));
  await change();
  await changed;
  expect('a change is pushed, and asked for with its tag', requests.at(-1), [true, 200]);
  await OpenFeature.close();
}
