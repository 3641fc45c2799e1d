// The examples in a headless Chromium, all at the same time. Each page plays a Scene, with its connections cut, refused
// by a proxy, and lost with the server; the console may show the failures of the network alone. A stream without a page
// is read as the browser shows it, and by an `EventSource`. Examples that are named as arguments are played alone. It
// needs openssl, and no packages.
import { execFileSync } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { waitFor, withChromium } from "./chromium.mjs"
import { EXAMPLES } from "./examples.mjs"
import { Scene, TABS } from "./scene.mjs"
import { Server } from "./server.mjs"

// Runs in a browser's own page of a stream. Reads it as any page may.
function read(path, isWebSocket) {
  const reader = window.reader = { values: [], opened: 0, lost: 0 }
  const source = isWebSocket ? new WebSocket(path) : new EventSource(path)
  source.onopen = () => { reader.opened++ }
  source.onmessage = ({ data }) => {
    const value = isWebSocket ? JSON.parse(data).data : Number(data)
    if (value !== undefined) reader.values.push(value) // else it is a position
  }
  source.onerror = () => { reader.lost++ }
}

async function visitStream(tab, url) {
  const numbers = () => [...document.body.innerText.matchAll(/^data: ([\d.e-]+)$/gm)].map(([, number]) => number)
  await tab.call("Page.navigate", { url: "about:blank" })
  await tab.call("Page.navigate", { url })
  await waitFor(`numbers at ${url}`, async () => (await tab.run(numbers)).length >= 2, 30)
}

function readTab(tab, what, isThere) {
  return waitFor(what, async () => {
    const reader = await tab.run(() => window.reader)
    return isThere(reader) && reader
  }, 30)
}

const has = (count) => ({ values }) => values.length >= count

function checkConsole(tabs) {
  // A browser asks for an icon where there is no page that has one.
  const complaints = tabs.flatMap((tab) => tab.complaints).filter((text) => !text.endsWith("/favicon.ico)"))
  if (complaints.length) throw new Error(`the console shows ${JSON.stringify(complaints)}`)
}

// An `EventSource` returns by itself to a server that was killed.
async function playTicker(open) {
  const server = await Server.start("ticker")
  try {
    const tab = await open()
    for (let visit = 0; visit < 2; visit++) await visitStream(tab, server.base)
    await tab.run(read, "/")
    const before = await readTab(tab, "ticks", has(2))
    checkConsole([tab])
    await server.kill()
    await readTab(tab, "a loss", ({ lost }) => lost)
    await server.restart()
    const after = await readTab(tab, "ticks after a restart", has(before.values.length + 2))
    if (new Set(after.values).size < after.values.length) throw new Error(`ticks are doubled: ${after.values}`)
    return "ticker: read, reloaded, and read again after a restart"
  } finally {
    await server.kill()
  }
}

// Both transports bring the same, and are counted.
async function playPrometheus(open) {
  const server = await Server.start("prometheus")
  try {
    const tabs = [await open(), await open()]
    for (const [number, tab] of tabs.entries()) {
      await visitStream(tab, `${server.base}/ticks`)
      await tab.run(read, "/ticks", number === 1)
    }
    const { values } = await readTab(tabs[1], "ticks over WebSocket", has(3))
    const hasThem = (reader) => reader.values.join().includes(values.join())
    await readTab(tabs[0], `the ticks ${values} of the WebSocket`, hasThem)
    await tabs[0].call("Page.navigate", { url: `${server.base}/metrics` })
    const findLine = () => /^.*opened_total.*ws.*$/m.exec(document.body.innerText)?.[0]
    const line = await waitFor("metrics", () => tabs[0].run(findLine))
    checkConsole(tabs)
    if (line !== 'tornadose_connections_opened_total{transport="ws"} 1') throw new Error(`the metrics have ${line}`)
    return "prometheus: read over both transports, and counted"
  } finally {
    await server.kill()
  }
}

// Over HTTP/2 any number of tabs has room in one connection.
async function playHttps(open) {
  const folder = mkdtempSync(join(tmpdir(), "tornadose-https-"))
  const certificate = "-x509 -days 30 -subj /CN=localhost -addext basicConstraints=CA:FALSE -addext subjectAltName=DNS:localhost"
  const key = "-newkey rsa:2048 -nodes -keyout key.pem -out cert.pem"
  execFileSync("openssl", ["req", ...`${certificate} ${key}`.split(" ")], { cwd: folder, stdio: "ignore" })
  const server = await Server.start("https", { folder })
  try {
    const tabs = await Promise.all(Array.from({ length: TABS }, () => open()))
    for (const tab of tabs) await tab.call("Security.setIgnoreCertificateErrors", { ignore: true })
    const url = `https://localhost:${server.port}`
    await Promise.all(tabs.map((tab) => visitStream(tab, url)))
    const protocol = await tabs[0].run(() => performance.getEntriesByType("navigation")[0].nextHopProtocol)
    if (protocol !== "h2") throw new Error(`the protocol is ${protocol}`)
    await Promise.all(tabs.map((tab) => tab.run(read, "/")))
    await Promise.all(tabs.map((tab) => readTab(tab, "ticks", has(2))))
    checkConsole(tabs)
    await server.kill()
    await Promise.all(tabs.map((tab) => readTab(tab, "a loss", ({ lost }) => lost)))
    await server.restart()
    const hasReturned = ({ opened, values }) => opened === 2 && values.length >= 4
    await Promise.all(tabs.map((tab) => readTab(tab, "ticks after a restart", hasReturned)))
    return "https: seven tabs over HTTP/2, before and after a restart"
  } finally {
    await server.kill()
    rmSync(folder, { recursive: true })
  }
}

const STREAMS = { ticker: playTicker, prometheus: playPrometheus, https: playHttps }
const names = process.argv.length > 2 ? process.argv.slice(2) : Object.keys({ ...EXAMPLES, ...STREAMS })
// As in a browser with many tabs, some share a process. Fifty processes would take most of the time to start.
const flags = ["--renderer-process-limit=8"]
const start = Date.now(), faults = []
await withChromium((open) => Promise.all(names.map(async (name) => {
  const scene = EXAMPLES[name] && new Scene(name, EXAMPLES[name], open)
  const outcome = scene ? scene.play() : STREAMS[name](open)
  const where = () => (scene ? `${name}, ${scene.step}` : name)
  await outcome.then(console.log, ({ message }) => faults.push(`${where()}: ${message}`))
})), flags)
const duration = Math.round((Date.now() - start) / 1000)
console.log(faults.join("\n") || `the examples in Chromium: no faults, after ${duration} s`)
process.exit(faults.length ? 1 : 0)
