// The page of an example, in seven tabs through a proxy that speaks HTTP/1.1, which is one more than the connections
// that Chromium opens to a host, and in one without the proxy; and what happens to it. Every tab must show what the
// server has sent once and in order, say when it is lost, and come back.
import { wait, waitFor } from "./chromium.mjs"
import { Front } from "./front.mjs"
import { Sent } from "./sent.mjs"
import { Server } from "./server.mjs"

export const TABS = 7

// The errors of the network that the console may show, without the addresses.
const CUT = ["Failed to load resource: net::ERR_INCOMPLETE_CHUNKED_ENCODING"]
const BAD_GATEWAY = [
  "Failed to load resource: the server responded with a status of 502 (Bad Gateway)",
  "WebSocket connection failed: Error during WebSocket handshake: Unexpected response code: 502",
]
const NO_SERVER = [
  "Failed to load resource: net::ERR_CONNECTION_REFUSED",
  "WebSocket connection failed: Error in connection establishment: net::ERR_CONNECTION_REFUSED",
]
const NOT_KEPT = ["Failed to load resource: the server responded with a status of 404 (Not Found)"]

const pathOf = (url) => /^(?:\w+:\/\/[^/]+)?([^?]*)/.exec(url)[1]
const withoutId = (url) => url.replace(/[?&]last_event_id=[^&]*/, "")

// Runs before the scripts of a page. Records the lines that are added to a list, and what the status was.
function record(list, line) {
  const recorded = window.recorded = { lines: [], statuses: [] }
  const textOf = (node) => [...node.childNodes].map(({ textContent }) => textContent).join(" ")
  new MutationObserver((changes) => {
    for (const { target, addedNodes, removedNodes, previousSibling, nextSibling } of changes) {
      if (target.id === "status") recorded.statuses.push(target.textContent)
      if (!target.matches?.(list)) continue
      const isEmptied = removedNodes.length && !previousSibling && !nextSibling
      if (isEmptied) recorded.lines = []
      for (const node of addedNodes) {
        const isLine = node.matches?.(line) && !node.textContent.includes("missing here")
        if (isLine) recorded.lines.push(textOf(node))
      }
    }
  }).observe(document, { childList: true, subtree: true })
}

// Runs in a page.
function look() {
  const gap = /.*(missing here|gap: ).*/.exec(document.body.innerText)?.[0] ?? ""
  return { status: document.getElementById("status").textContent, gap, ...window.recorded }
}

export class Scene {
  step = "start"
  times = []
  tabs = [] // through the proxy
  direct = null // the tab without it
  sent = new Sent()
  published = 0

  // `example`: see examples.mjs.
  constructor(name, example, open) {
    Object.assign(this, { name, example, open, path: example.path, connections: example.connections })
  }

  // Returns how long each step took.
  async play() {
    this.server = await Server.start(this.name, { env: this.example.env })
    this.front = await Front.start(this.server.port)
    try {
      await this.example.begin?.(this)
      await this.playStep("opened", [], () => this.openBoth())
      await this.playStep("reloaded", [], () => this.reload(this.tabs[0]))
      await this.playStep("seven tabs", [], () => this.openSeven())
      // A connection that has not held for a second counts as a failure: the wait after it would be longer.
      await wait(1000)
      await this.playStep("cut", CUT, () => this.cut())
      await wait(1000)
      await this.playStep("502", [...CUT, ...BAD_GATEWAY], () => this.refuse())
      await wait(1000)
      const errors = [...CUT, ...BAD_GATEWAY, ...NO_SERVER, ...this.example.forgotten ? NOT_KEPT : []]
      await this.playStep("killed", errors, () => this.killServer())
      return `${this.name}: ${this.times.join(", ")}`
    } finally {
      this.front.close()
      await this.server.kill()
    }
  }

  async playStep(step, errors, act) {
    const start = Date.now()
    this.step = step
    await act()
    this.times.push(`${step} ${((Date.now() - start) / 1000).toFixed(1)} s`)
    const unexpected = [...this.tabs, this.direct].flatMap(({ complaints }) => (
      complaints.splice(0).filter((complaint) => !this.isExpected(complaint, errors))
    ))
    if (unexpected.length) throw new Error(`the console shows ${JSON.stringify(unexpected)}`)
  }

  // Whether an entry of the console is one of these errors, of a connection of the page.
  isExpected(complaint, errors) {
    const url = /\b(http|ws):[^')]+/.exec(complaint)?.[0] ?? ""
    const error = complaint.replace(` (${url})`, "").replace(` to '${url}'`, "")
    return errors.includes(error) && this.connections.map(pathOf).includes(pathOf(url))
  }

  // ---- what is waited for -----------------------------------------------------------------------------------------

  async look(tab) {
    const { letters } = this.example
    return { ...await tab.run(look), ...letters && { lines: await tab.run(letters) } }
  }

  async see(what, tabs, isThere) {
    for (const [index, tab] of tabs.entries()) {
      let seen
      await waitFor(what, async () => isThere(seen = await this.look(tab)), 30).catch(({ message }) => {
        const shown = { ...seen, ...this.sent.describe(seen?.lines ?? []) }
        throw new Error(`${message}; tab ${index + 1} of ${tabs.length} shows ${JSON.stringify(shown)}`)
      })
    }
  }

  // Waits until the tabs are live, and show all that was sent by now.
  seeAll(tabs, isGapExpected = (gap) => !gap) {
    const { live, linesLeast = 0 } = this.example, mark = this.sent.lines.length
    return this.see("live, with all that was sent", tabs, ({ status, gap, lines }) => (
      status.startsWith(live) && isGapExpected(gap) && lines.length >= linesLeast && this.sent.reach(lines) >= mark
    ))
  }

  seeLost(tabs) {
    return this.see("lost", tabs, ({ status }) => status.startsWith(this.example.lost))
  }

  // Has something sent, or waits for it.
  async goOn() {
    const before = this.sent.lines.length
    for (let count = 0; count < 2; count++) await this.example.publish?.(this, `line ${++this.published}`)
    await waitFor("something new", async () => this.sent.lines.length > before, 30)
  }

  async goOnAndSee(tabs, isGapExpected) {
    await this.goOn()
    await this.seeAll(tabs, isGapExpected)
  }

  // ---- what happens -----------------------------------------------------------------------------------------------

  async openTab(origin, path) {
    const tab = await this.open(), source = `(${record})(...${JSON.stringify(this.example.lines)})`
    await tab.call("Page.addScriptToEvaluateOnNewDocument", { source })
    tab.call("Page.navigate", { url: origin + path }).catch(() => {}) // without a connection nothing comes of it
    await this.load(tab, `a page in tab ${this.tabs.length + 1}`)
    return tab
  }

  load(tab, what) {
    const isLoaded = () => document.readyState === "complete" && location.href !== "about:blank" && !window.isOld
    return waitFor(what, () => tab.run(isLoaded), 30)
  }

  async openBoth() {
    this.direct = await this.openTab(this.server.base, this.example.directPath ?? this.path)
    this.tabs = [await this.openTab(this.front.origin, this.path)]
    for (const tab of [...this.tabs, this.direct]) await this.example.enter?.(tab)
    await this.goOnAndSee([...this.tabs, this.direct])
  }

  async reload(tab) {
    const last = (await this.look(tab)).lines.at(-1)
    await tab.run(() => { window.isOld = true })
    await tab.call("Page.reload")
    await this.load(tab, "a page that is reloaded")
    await this.seeAll([tab])
    const { lines } = await this.look(tab)
    if (!lines.includes(last)) throw new Error(`after a reload the page shows ${lines}, without ${last}`)
    await this.goOnAndSee([tab])
  }

  async openSeven() {
    while (this.tabs.length < TABS) this.tabs.push(await this.openTab(this.front.origin, this.path))
    await this.seeAll(this.tabs)
    await this.goOnAndSee(this.tabs)
    await this.reload(this.tabs.at(-1))
    // A tab has a connection of its own while it joins.
    const opened = () => [...this.front.streams.values()].map(withoutId).sort().join()
    const expected = [...this.connections].sort().join()
    await waitFor("", async () => opened() === expected, 30).catch(() => {
      throw new Error(`the connections are ${opened()}, not ${expected}`)
    })
  }

  async forget(tabs, what) {
    for (const tab of tabs) await tab.run((what) => { window.recorded[what] = [] }, what)
  }

  async cut() {
    await this.forget(this.tabs, "statuses")
    this.front.cut()
    await this.goOn()
    const wasLost = ({ statuses }) => statuses.some((status) => status.startsWith(this.example.lost))
    await this.see("lost for a moment", this.tabs, wasLost)
    await this.seeAll(this.tabs)
  }

  async refuse() {
    const { front, tabs } = this
    Object.assign(front, { isDown: true, refused: [] })
    front.cut()
    await this.goOn()
    const isRefused = (path) => front.refused.some((refused) => withoutId(refused) === path)
    await waitFor("a 502 for each connection", async () => this.connections.every(isRefused), 30)
    await this.seeLost(tabs)
    front.isDown = false
    await this.goOnAndSee(tabs)
  }

  async killServer() {
    const { front, direct, server, example } = this, tabs = [...this.tabs, direct]
    front.refused = []
    await server.kill()
    await waitFor("a 502 in the place of the server", async () => front.refused.length, 30)
    const isRefused = (complaint) => complaint.includes("ERR_CONNECTION_REFUSED")
    await waitFor("a refused connection", async () => direct.complaints.some(isRefused), 30)
    await this.seeLost(tabs)
    await this.forget(tabs, "lines")
    this.sent = new Sent()
    await server.restart()
    if (example.forgotten) return this.see("forgotten", tabs, ({ status }) => status === example.forgotten)
    await example.begin?.(this)
    await this.goOnAndSee(tabs, (gap) => gap.startsWith(example.restarted ?? ""))
    await this.goOnAndSee(tabs, () => true)
  }
}
