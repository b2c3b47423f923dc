// Runs the public suite `http-cache-tests` against one cache, and prints what came of each test.
//
//   node driver.mjs SUITE OUT PROGRAM [ARGS …]
//
// SUITE is a folder of the suite, as npm has it or as a checkout of its repository. The suite's own
// origin is served on a port of the loopback interface; PROGRAM is then started with ARGS and the
// origin's URL, and is to print its own URL as its first line. OUT gets a JSON list of
// `{ suite, id, name, kind, result, detail }`; `result` is pass, fail, or dep where a test that it
// builds on did not pass.

import { spawn } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import path from 'node:path'
import readline from 'node:readline'
import { pathToFileURL } from 'node:url'

import nodeFetch from 'node-fetch'
import * as undici from 'undici'

const [suite, out, program, ...args] = process.argv.slice(2)
const nested = path.join(suite, 'test-engine')
const engine = existsSync(nested) ? nested : suite
const load = (...parts) => import(pathToFileURL(path.join(...parts)))

// The clients the suites were written with: npm's gets its own handed in, the repository's takes
// the global one, and that is to be one that can see interim responses, whatever node brings.
globalThis.fetch = undici.fetch

// The suite's server listens where npm's settings say, on every interface: here on one.
process.env.npm_config_protocol = 'http'
process.env.npm_config_port = '0'
process.env.npm_config_pidfile = '/dev/null'
const port = await new Promise((resolve, reject) => {
  const create = http.createServer
  http.createServer = (...given) => {
    http.createServer = create
    const server = create(...given)
    const listen = server.listen.bind(server)
    server.listen = () => listen(0, '127.0.0.1')
    server.on('listening', () => resolve(server.address().port))
    return server
  }
  load(engine, 'server', 'server.mjs').catch(reject)
})

const cache = spawn(program, [...args, `http://127.0.0.1:${port}`], {
  stdio: ['pipe', 'pipe', 'inherit']
})
cache.on('exit', code => {
  console.error(`the cache ended early (${code})`)
  process.exit(1)
})
const lines = readline.createInterface({ input: cache.stdout })
const base = await new Promise(resolve => lines.once('line', resolve))

const { default: suites } = await load(suite, 'tests', 'index.mjs')
const runner = await load(engine, 'client', 'runner.mjs')
const own = runner.runTests.toString().includes('myFetch') ? [nodeFetch] : []
await runner.runTests(suites, ...own, false, base, 40)
const results = runner.getResults()

const tests = new Map()
for (const group of suites) {
  for (const test of group.tests) tests.set(test.id, { group, test })
}

function passed (id) {
  return results[id] === true && (tests.get(id)?.test.depends_on ?? []).every(passed)
}

const rows = []
for (const { group, test } of tests.values()) {
  if (test.browser_only) continue
  const outcome = results[test.id]
  const result = !(test.depends_on ?? []).every(passed) ? 'dep' : outcome === true ? 'pass' : 'fail'
  const detail = Array.isArray(outcome) ? outcome.join(': ') : outcome === true ? '' : 'was not run'
  const kind = { optimal: 'optional', check: 'check' }[test.kind] ?? 'required'
  rows.push({ suite: group.name, id: test.id, name: test.name, kind, result, detail })
}
writeFileSync(out, JSON.stringify(rows, null, 1))
process.exit(0)
