// The gateway as a child of the test, and how the tests report.
import { spawn } from 'node:child_process';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

// Runs `weir` with an experiments file of that text, served by `serve: experiments` to every origin.
export class Gateway {
  static async start(binary, text) {
    const gateway = new Gateway();
    gateway.folder = mkdtempSync(join(tmpdir(), 'weir-clients-'));
    gateway.change(text);
    const file = join(gateway.folder, 'weir.yaml');
    const cors = 'cors: {origins: ["*"]}';
    writeFileSync(file, `listen: 127.0.0.1:0\nworkers: 1\naccess_log: off\nexperiments: {file: experiments.yaml}\nroutes:\n`
      + ['/ofrep/*', '/api/*', '/sub/*', '/v1/experiments/*'].map(
        (path) => `  - {path: ${path}, serve: experiments, ${cors}}\n`).join(''));
    gateway.process = spawn(binary, ['run', file], { stdio: ['ignore', 'ignore', 'pipe'] });
    const said = [];
    for await (const line of createInterface({ input: gateway.process.stderr })) {
      said.push(line);
      const port = /serving on 127\.0\.0\.1:(\d+)/.exec(line);
      if (!port) continue;
      gateway.process.stderr.resume();
      gateway.url = `http://127.0.0.1:${port[1]}`;
      return gateway;
    }
    throw new Error(`weir did not start:\n${said.join('\n')}`);
  }

  // As an editor saves: the new file in place of the old one, never half of it.
  change(text) {
    const path = join(this.folder, 'experiments.yaml');
    writeFileSync(`${path}.new`, text);
    renameSync(`${path}.new`, path);
  }

  stop() {
    this.process.kill();
    rmSync(this.folder, { recursive: true });
  }
}

let passed = 0;
let failed = 0;

export function expect(what, got, want) {
  const sound = JSON.stringify(got) === JSON.stringify(want);
  sound ? ++passed : ++failed;
  console.log(sound ? `ok      ${what}` : `FAILED  ${what}: got ${JSON.stringify(got)}, want ${JSON.stringify(want)}`);
}

// A promise, and what fulfils it.
export function signal() {
  let fulfil;
  const promise = new Promise((resolve) => { fulfil = resolve; });
  return { promise, fulfil };
}

export function finish() {
  console.log(`${passed} passed, ${failed} failed`);
  process.exit(failed > 0 ? 1 : 0);
}
