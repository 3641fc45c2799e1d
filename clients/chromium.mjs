// A headless Chromium, driven by the DevTools protocol, with what its tests share.
import { spawn } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"

const FLAGS = [
  "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--hide-scrollbars", "--remote-debugging-pipe",
  // On a busy machine any timer takes long. Those of a tab out of sight would then be held back for half a minute.
  "--disable-features=ExpensiveBackgroundTimerThrottling",
]

export const wait = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds))

// A port below those that systems give to outgoing connections, so that a server that is restarted finds it free.
export function freePort() {
  return new Promise((resolve) => {
    const server = createServer(), port = 10_000 + Math.floor(Math.random() * 22_000)
    server.on("error", () => resolve(freePort()))
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(port)))
  })
}

// Tries until there is a value. A page that does not even answer is given up too.
export async function waitFor(what, attempt, seconds = 10) {
  let isOver = false, timer
  const poll = async () => {
    for (;;) {
      const value = await attempt().catch(() => null)
      if (value || isOver) return value
      await wait(50)
    }
  }
  const timeout = new Promise((_, reject) => {
    timer = setTimeout(reject, seconds * 1000, new Error(`${what}: nothing after ${seconds} s`))
  })
  try {
    return await Promise.race([poll(), timeout])
  } finally {
    isOver = true
    clearTimeout(timer)
  }
}

// Starts a browser, gives `use` a function that opens a page, and ends the browser afterwards.
export async function withChromium(use, flags = []) {
  const profile = mkdtempSync(join(tmpdir(), "tornadose-pages-"))
  const stdio = ["ignore", "ignore", "ignore", "pipe", "pipe"]
  const process = spawn("chromium", [...FLAGS, ...flags, `--user-data-dir=${profile}`], { stdio })
  const exit = new Promise((resolve) => process.on("exit", resolve))
  try {
    const browser = new Browser(process)
    const result = await use(() => Page.open(browser))
    browser.call("Browser.close").catch(() => {}) // the pipe ends before the reply
    return result
  } finally {
    await Promise.race([exit, wait(5000)])
    process.kill("SIGKILL")
    await wait(500) // for its other processes, which write to the profile
    try {
      rmSync(profile, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 })
    } catch (error) {
      console.log(`left behind: ${error.path}`)
    }
  }
}

// A connection to the browser: messages that end with a zero byte, over its file descriptors 3 and 4.
class Browser {
  constructor(process) {
    [this.input, this.output] = process.stdio.slice(3)
    this.calls = new Map()
    this.lastCall = 0
    this.pages = new Map() // by session
    let unread = ""
    this.output.setEncoding("utf8").on("data", (text) => {
      const messages = (unread + text).split("\0")
      unread = messages.pop()
      for (const message of messages) this.receive(JSON.parse(message))
    })
    const end = (error) => this.calls.forEach(({ reject }) => reject(error))
    process.on("error", end) // it is not installed, say
    process.on("exit", (code) => end(new Error(`chromium has ended: ${code}`)))
    this.input.on("error", end)
  }

  receive({ id, result, error, method, params, sessionId }) {
    if (!id) return this.pages.get(sessionId)?.receive(method, params)
    const { resolve, reject } = this.calls.get(id)
    this.calls.delete(id)
    return error ? reject(new Error(error.message)) : resolve(result)
  }

  call(method, params = {}, sessionId = undefined) {
    const id = ++this.lastCall
    this.input.write(`${JSON.stringify({ id, method, params, sessionId })}\0`)
    return new Promise((resolve, reject) => this.calls.set(id, { resolve, reject }))
  }
}

class Page {
  static async open(browser) {
    const { targetId } = await browser.call("Target.createTarget", { url: "about:blank" })
    const { sessionId } = await browser.call("Target.attachToTarget", { targetId, flatten: true })
    const page = new Page()
    Object.assign(page, { browser, targetId, sessionId, complaints: [] })
    browser.pages.set(sessionId, page)
    for (const domain of ["Page", "Runtime", "Log"]) await page.call(`${domain}.enable`)
    return page
  }

  // What the console shows as an error.
  receive(method, { exceptionDetails, entry, type, args }) {
    if (method === "Runtime.exceptionThrown") this.complaints.push(exceptionDetails.exception.description)
    if (method === "Log.entryAdded" && entry.level === "error") {
      const hasAddress = entry.text.includes("://") || !entry.url
      this.complaints.push(hasAddress ? entry.text : `${entry.text} (${entry.url})`)
    }
    if (method === "Runtime.consoleAPICalled" && type === "error") {
      this.complaints.push(args.map(({ value, description }) => value ?? description).join(" "))
    }
  }

  call(method, params) {
    return this.browser.call(method, params, this.sessionId)
  }

  async run(source, ...values) {
    const expression = `(${source})(...${JSON.stringify(values)})`
    const params = { expression, returnByValue: true, awaitPromise: true }
    const { result, exceptionDetails } = await this.call("Runtime.evaluate", params)
    if (exceptionDetails) throw new Error(exceptionDetails.exception.description)
    return result.value
  }

  close() {
    return this.browser.call("Target.closeTarget", { targetId: this.targetId })
  }

  // Ends the page's process. Nothing of it runs any more, so the call has no answer.
  async crash() {
    this.call("Page.crash").catch(() => {})
    await wait(100)
    await this.close()
  }

  async press(key) {
    for (const type of ["keyDown", "keyUp"]) {
      await this.call("Input.dispatchKeyEvent", { type, key, code: key, windowsVirtualKeyCode: 9 })
    }
  }
}
