// OpenFeature's web SDK with its OFREP provider: in Node, then as a page of another origin in headless Chromium.
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { OpenFeature, ProviderEvents } from '@openfeature/web-sdk';
import { OFREPWebProvider } from '@openfeature/ofrep-web-provider';
import { Gateway, expect, finish, signal } from '../gateway.mjs';
import { native } from '../native.mjs';
import { check } from './checks.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const gateway = await Gateway.start(process.argv[2], native('first'));
const change = () => gateway.change(native('second'));
await check({ OpenFeature, ProviderEvents, OFREPWebProvider, base: gateway.url, expect, change });
gateway.stop();

if (spawnSync('chromium', ['--version']).status !== 0) {
  console.log('skipped: no chromium here, so no page of another origin; ./dev setup --clients installs it');
  finish();
}

// Serves the page, its modules and the file's change from an origin of its own; the page posts what it found.
const asked = await Gateway.start(process.argv[2], native('first'));
const reported = signal();
const types = { '.html': 'text/html', '.mjs': 'text/javascript', '.js': 'text/javascript' };
const server = createServer((request, response) => {
  if (request.url === '/change') {
    asked.change(native('second'));
    return response.end();
  }
  if (request.url === '/report') {
    let text = '';
    request.on('data', (piece) => { text += piece; });
    request.on('end', () => { response.end(); reported.fulfil(JSON.parse(text)); });
    return;
  }
  try {
    const path = normalize(new URL(request.url, 'http://page').pathname);
    response.setHeader('Content-Type', types[extname(path)] ?? 'application/octet-stream');
    response.end(readFileSync(join(here, path)));
  } catch {
    response.writeHead(404).end();
  }
});
await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
const profile = mkdtempSync(join(tmpdir(), 'weir-chromium-'));
const page = `http://127.0.0.1:${server.address().port}/page.html?base=${encodeURIComponent(asked.url)}`;
const browser = spawn('chromium', ['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage',
  '--no-first-run', `--user-data-dir=${profile}`, page], { stdio: ['ignore', 'ignore', 'pipe'] });
let complaints = '';
browser.stderr.on('data', (piece) => { complaints += piece; });
const gone = new Promise((resolve) => { browser.on('exit', resolve); });
gone.then((code) => reported.fulfil([['chromium stays until the page has reported', code, complaints.slice(-2000)]]));
for (const [what, got, want] of await reported.promise) expect(`Chromium: ${what}`, got, want);
browser.kill();
await gone;
rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
server.close();
asked.stop();
finish();
