// The example `wire` over a Redis of its own, for tests in a browser.
import { spawn } from "node:child_process"
import { freePort, waitFor } from "./chromium.mjs"
import { Server, accepts } from "./server.mjs"

// Its messages are in Redis, so they survive it.
class Wire extends Server {
  published = 0

  async publish(count) {
    for (let number = 0; number < count; number++) {
      const body = JSON.stringify({ text: String(++this.published) })
      const headers = { "content-type": "application/json" }
      const response = await fetch(`${this.base}/feed`, { method: "POST", headers, body })
      if (response.status !== 201) throw new Error(`publish: ${response.status}`)
    }
  }
}

// Starts both, passes the server to `use`, and ends both afterwards.
export async function withWire(use) {
  const port = await freePort()
  const redis = spawn("redis-server", ["--port", port, "--save", ""], { stdio: "ignore" })
  let server
  try {
    await waitFor("redis", () => accepts(port))
    server = await Wire.start("wire", { env: { REDIS_URL: `redis://127.0.0.1:${port}/` } })
    return await use(server)
  } finally {
    await server?.kill()
    redis.kill("SIGKILL")
  }
}
