// The service as Node people write it: fastify, undici with kept connections, Promise.all.
//
//     node fanout.mjs PORT SETTINGS.json

import { readFileSync } from 'node:fs'
import Fastify from 'fastify'
import { Agent, request, setGlobalDispatcher } from 'undici'

const [port, file] = process.argv.slice(2)
const settings = JSON.parse(readFileSync(file, 'utf8'))
const upstreams = Object.entries(settings.upstreams)
const tenths = start => Math.round((performance.now() - start) * 10) / 10

setGlobalDispatcher(new Agent({ keepAliveTimeout: 60_000, connections: settings.max_in_flight }))

async function fetchOne ([id, url]) {
  const start = performance.now()
  try {
    const answer = await request(url, {
      headersTimeout: settings.timeout_ms,
      bodyTimeout: settings.timeout_ms
    })
    const body = await answer.body.json()
    const ok = answer.statusCode >= 200 && answer.statusCode < 300
    const result = { id, ok, status: answer.statusCode, elapsed_ms: tenths(start), body }
    if (!ok) result.error = { id, code: 'http_status', message: `status ${answer.statusCode}` }
    return result
  } catch (problem) {
    const error = { id, code: problem.code ?? problem.name, message: problem.message }
    return { id, ok: false, status: null, elapsed_ms: tenths(start), body: null, error }
  }
}

const app = Fastify({ keepAliveTimeout: 75_000 })

app.get('/fetch-multiple', async (_, reply) => {
  const start = performance.now()
  const results = await Promise.all(upstreams.map(fetchOne))
  const errors = results.filter(one => !one.ok).map(one => one.error)
  reply.header('X-Fanout-Complete', String(errors.length === 0))
  if (errors.length > 0 && !settings.may_fail) reply.code(502)
  const status = errors.length === 0 ? 'ok' : 'partial'
  return { status, elapsed_ms: tenths(start), results, errors }
})

await app.listen({ host: '127.0.0.1', port: Number(port), backlog: 4096 })
