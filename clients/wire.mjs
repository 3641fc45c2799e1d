// The example `wire` over a Redis of its own, for tests in a browser.
import { spawn } from "node:child_process"
import { connect } from "node:net"
import { join } from "node:path"
import { freePort, waitFor } from "./chromium.mjs"

const SERVER = join(import.meta.dirname, "../target/debug/examples/wire")
// The example `wire` at a port. Its messages are in Redis, so they survive it.
export class Server {
  constructor(port, redisPort) {
    this.port = port
    this.env = { ...process.env, PORT: port, REDIS_URL: `redis://127.0.0.1:${redisPort}/` }
    this.published = 0
  }

  async start() {
    this.process = spawn(SERVER, { env: this.env, stdio: "ignore" })
    await waitFor("wire", () => accepts(this.port))
  }

  kill() {
    const exit = new Promise((resolve) => this.process.on("exit", resolve))
    this.process.kill("SIGKILL")
    return exit
  }

  async publish(count) {
    for (let number = 0; number < count; number++) {
      const body = JSON.stringify({ text: String(++this.published) })
      const headers = { "content-type": "application/json" }
      const response = await fetch(`http://127.0.0.1:${this.port}/feed`, { method: "POST", headers, body })
      if (response.status !== 201) throw new Error(`publish: ${response.status}`)
    }
  }
}

export function accepts(port) {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () => resolve(socket.destroy()))
    socket.on("error", reject)
  })
}

// Starts both, passes the server to `use`, and ends both afterwards.
export async function withWire(use) {
  const redisPort = await freePort()
  const redis = spawn("redis-server", ["--port", redisPort, "--save", ""], { stdio: "ignore" })
  let server
  try {
    await waitFor("redis", () => accepts(redisPort))
    server = new Server(await freePort(), redisPort)
    await server.start()
    return await use(server)
  } finally {
    await server?.kill()
    redis.kill("SIGKILL")
  }
}
