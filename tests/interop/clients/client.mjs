// Node's fetch through the gate. Exits 1 at the first difference.
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { Readable } from 'node:stream';

const [base, root, size] = process.argv.slice(2);

function expect(got, want, what) {
  if (JSON.stringify(got) === JSON.stringify(want)) return;
  console.log(`${what}: got ${JSON.stringify(got)}, want ${JSON.stringify(want)}`);
  process.exit(1);
}

async function sumOf(stream) {
  const sum = createHash('sha256');
  for await (const piece of stream) sum.update(piece);
  return sum.digest('hex');
}

for (let i = 0; i < 3; ++i) {
  const answer = await fetch(`${base}/small.txt`);
  expect([answer.status, await answer.text()], [200, 'hello through the gate\n'], 'GET');
}
const head = await fetch(`${base}/small.txt`, { method: 'HEAD' });
expect([head.status, await head.text()], [200, ''], 'HEAD');
const missing = await fetch(`${base}/nothing-here`);
expect(missing.status, 404, 'GET of what is not there');
await missing.arrayBuffer();

if (size === 'big') {
  const file = `${root}/big.bin`;
  const want = await sumOf(createReadStream(file));
  expect(await sumOf((await fetch(`${base}/big.bin`)).body), want, '100 MB down');
  const body = Readable.toWeb(createReadStream(file));
  const echoed = await fetch(`${base}/echo`, { method: 'POST', body, duplex: 'half' });
  expect((await echoed.text()).trim(), want, '100 MB up, chunked');
  const events = await (await fetch(`${base}/events`)).text();
  expect(events.match(/^data: \d$/gm), ['data: 1', 'data: 2', 'data: 3'], 'events');
}
