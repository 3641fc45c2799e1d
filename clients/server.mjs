// An example as a process of its own, for tests in a browser.
import { spawn } from "node:child_process"
import { connect } from "node:net"
import { join } from "node:path"
import { freePort, waitFor } from "./chromium.mjs"

const EXAMPLES = join(import.meta.dirname, "../target/debug/examples")

export class Server {
  // In memory, unless `env` names a Redis.
  static async start(example, { env = {}, port = null, folder = undefined } = {}) {
    const server = Object.assign(new this(), { example, env, folder, port: port ?? await freePort() })
    server.base = `http://127.0.0.1:${server.port}`
    await server.restart()
    return server
  }

  // Starts the process again, at the same port.
  async restart() {
    const { REDIS_URL, ...inherited } = process.env
    const env = { ...inherited, ...this.env, PORT: this.port }
    this.process = spawn(join(EXAMPLES, this.example), { env, cwd: this.folder, stdio: "ignore" })
    this.exit = new Promise((resolve) => {
      this.process.on("exit", (code, signal) => resolve(signal ?? code))
      this.process.on("error", ({ message }) => resolve(message)) // it is not built, say
    })
    const ended = this.exit.then((code) => { throw new Error(`${this.example} has ended: ${code}`) })
    try {
      await Promise.race([waitFor(this.example, () => accepts(this.port)), ended])
    } catch (error) {
      this.kill()
      throw error
    }
  }

  // Ends the process, and returns its signal or exit code.
  kill(signal = "SIGKILL") {
    this.process.kill(signal)
    return this.exit
  }
}

export function accepts(port) {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () => resolve(socket.destroy()))
    socket.on("error", reject)
  })
}
