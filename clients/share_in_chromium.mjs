// Twenty tabs of a headless Chromium share one connection (`{ share }` of tornadose.js), over HTTP/1.1, while tabs are
// closed, crash, are frozen and are navigated away, the leader's above all, and the server is killed. Every tab must have
// every message once and in order, and no gap, and in the end there is one connection. The same over WebSocket.
// DURATION=60 takes a minute for each. It needs no packages.
import { wait, waitFor, withChromium } from "./chromium.mjs"
import { Front } from "./front.mjs"
import { Chance } from "./tabs.mjs"
import { withWire } from "./wire.mjs"

const TABS = 20
const SECONDS = Number(process.env.DURATION ?? 10)
const TRANSPORTS = { sse: {}, ws: { ws: true } }
const chance = new Chance(Number(process.env.SEED ?? 1))

// Runs in a page, after tornadose.js.
function record(options) {
  window.seen = { texts: [], gaps: [] }
  live("/feed", {
    message({ text }) { seen.texts.push(text) },
    "tornadose:gap"(gap) { seen.gaps.push(gap) },
  }, options)
}

// A page for each transport, by path, and one without a feed.
function pages() {
  const page = (options) => `<script src="/tornadose.js"></script><script>(${record})(${JSON.stringify(options)})</script>`
  const entries = Object.entries(TRANSPORTS).map(([name, options]) => [`/${name}`, page({ ...options, share: "ada" })])
  const headers = { "content-type": "text/html" }
  const response = (html) => ({ headers, body: `<!doctype html><title>share</title>${html}` })
  return Object.fromEntries([...entries, ["/away", ""]].map(([path, html]) => [path, response(html)]))
}

async function openTab(open, url) {
  const page = await open()
  await page.call("Page.navigate", { url })
  await waitFor("a tab", () => page.run(() => window.seen))
  return page
}

// What the tabs have not been told as it was, and whether there is more than one connection.
async function differences(tabs, server, front) {
  const found = []
  for (const [number, page] of tabs.entries()) {
    const { texts, gaps } = await page.run(() => window.seen)
    // A tab begins with the last hundred.
    const isWhole = texts.every((text, index) => Number(text) === server.published - texts.length + 1 + index)
    if (!isWhole || !texts.length || gaps.length) found.push(`tab ${number}: ${texts.slice(-5)} of ${server.published}, ${texts.length} in all; gaps: ${JSON.stringify(gaps)}`)
  }
  if (front && front.streams.size !== 1) found.push(`${front.streams.size} connections`)
  return found
}

async function settle(what, tabs, server, front, most) {
  const start = Date.now()
  let found
  while ((found = await differences(tabs, server, front)).length && Date.now() - start < most) await wait(100)
  const outcome = found.length ? "differences" : `${tabs.length} tabs have all ${server.published} messages${front ? ", by one connection" : ""}`
  console.log(`${what}: ${outcome}, after ${Date.now() - start} ms`)
  return found.map((difference) => `${what}: ${difference}`)
}

async function checkTransport(transport, server, front, open) {
  const url = `${front.origin}/${transport}`, faults = [], counts = {}
  const see = async (what, ...rest) => faults.push(...await settle(`${transport}, ${what}`, ...rest))
  let tabs = await Promise.all(Array.from({ length: TABS }, () => openTab(open, url)))
  await see("opened", tabs, server, front, 30_000)
  const actions = ["close", "crash", "freeze", "leave", "kill"]
  for (const end = Date.now() + SECONDS * 1000; Date.now() < end || actions.length;) {
    // Each once, and then as chance has it.
    const action = actions.shift() ?? chance.of(["close", "close", "crash", "crash", "freeze", "leave", "leave", "kill"])
    counts[action] = (counts[action] ?? 0) + 1
    await server.publish(1 + chance.below(3))
    // The first tab leads, until it is gone: then the one that waits longest.
    const page = chance.below(3) ? tabs[0] : chance.of(tabs), others = tabs.filter((other) => other !== page)
    if (action === "close") await page.close()
    if (action === "crash") await page.crash()
    if (action === "leave") {
      await page.call("Page.navigate", { url: `${front.origin}/away` })
      await wait(chance.below(300))
      await page.close()
    }
    if (action === "kill") {
      await server.kill()
      await wait(chance.below(500))
      await server.restart()
    } else if (action === "freeze") {
      await page.call("Page.setWebLifecycleState", { state: "frozen" })
      await server.publish(2)
      // Another is looked at, and finds out.
      await others[0].call("Page.bringToFront")
      await see("a tab is frozen", others, server, null, 15_000)
      await page.call("Page.setWebLifecycleState", { state: "active" })
    } else {
      tabs = [...others, await openTab(open, url)]
    }
    await server.publish(1)
    await wait(chance.below(500))
  }
  const counted = Object.entries(counts).map(([action, count]) => `${action} ${count}`)
  console.log(`${transport}, in ${SECONDS} s: ${counted.join(", ")}`)
  await tabs[0].call("Page.bringToFront")
  await server.publish(1)
  await see("after all that", tabs, server, front, 60_000)
  await wait(1000) // for what would come twice
  await see("a second later", tabs, server, front, 0)
  await Promise.all(tabs.map((tab) => tab.close()))
  return faults
}

const faults = await withWire(async (server) => {
  await server.publish(5)
  const front = await Front.start(server.port, pages())
  try {
    return await withChromium(async (open) => {
      const faults = []
      for (const transport of Object.keys(TRANSPORTS)) faults.push(...await checkTransport(transport, server, front, open))
      return faults
    })
  } finally {
    front.close()
  }
})
console.log(faults.join("\n") || "tabs in Chromium: no faults")
process.exit(faults.length ? 1 : 0)
