// Twenty tabs of a headless Chromium share one connection (`{ share }` of tornadose.js), over HTTP/1.1, while tabs are
// closed, crash, are frozen and are navigated away, the leader's above all, and the server is killed. Every tab must have
// every message once and in order, and no gap, and in the end there is one connection. DURATION=120 takes two minutes. It needs
// no packages.
import { createServer, request as httpRequest } from "node:http"
import { freePort, wait, waitFor, withChromium } from "./chromium.mjs"
import { Chance } from "./tabs.mjs"
import { withWire } from "./wire.mjs"

const TABS = 20
const SECONDS = Number(process.env.DURATION ?? 15)
const chance = new Chance(Number(process.env.SEED ?? 1))

// Runs in a page, after tornadose.js.
function record(options) {
  window.seen = { texts: [], gaps: [] }
  live("/feed", {
    message({ text }) { seen.texts.push(text) },
    "tornadose:gap"(gap) { seen.gaps.push(gap) },
  }, options)
}

// Serves a page for each transport, and passes what is for the server on. Counts the streams that are open.
async function startFront(server) {
  const streams = new Set()
  const page = (options) => `<!doctype html><title>share</title><script src="/tornadose.js"></script><script>(${record})(${JSON.stringify(options)})</script>`
  const pages = { "/sse": page({ share: "ada" }), "/away": "<!doctype html><title>away</title>" }
  const front = createServer((request, response) => {
    const { method, url, headers } = request
    if (pages[url]) return response.writeHead(200, { "content-type": "text/html" }).end(pages[url])
    const isStream = method === "GET" && url.startsWith("/feed")
    const forwarded = httpRequest({ host: "127.0.0.1", port: server.port, method, path: url, headers }, (answer) => {
      response.writeHead(answer.statusCode, answer.headers).flushHeaders()
      if (isStream) streams.add(response)
      answer.on("error", () => response.destroy())
      answer.pipe(response)
    })
    forwarded.on("error", () => (response.headersSent ? response.destroy() : response.writeHead(502).end()))
    response.on("close", () => { streams.delete(response); forwarded.destroy() })
    request.pipe(forwarded)
  })
  const port = await freePort()
  await new Promise((resolve) => front.listen(port, "127.0.0.1", resolve))
  return { origin: `http://localhost:${port}`, streams, close: () => { front.close(); front.closeAllConnections() } }
}

async function openTab(open, front) {
  const page = await open()
  await page.call("Page.navigate", { url: `${front.origin}/sse` })
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

const faults = await withWire(async (server) => {
  await server.publish(5)
  const front = await startFront(server)
  try {
    return await withChromium(async (open) => {
      let tabs = await Promise.all(Array.from({ length: TABS }, () => openTab(open, front)))
      const faults = await settle("opened", tabs, server, front, 30_000)
      const counts = {}, actions = ["close", "crash", "freeze", "leave", "kill"]
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
          await server.start()
        } else if (action === "freeze") {
          await page.call("Page.setWebLifecycleState", { state: "frozen" })
          await server.publish(2)
          // Another is looked at, and finds out.
          await others[0].call("Page.bringToFront")
          faults.push(...await settle("a tab is frozen", others, server, null, 15_000))
          await page.call("Page.setWebLifecycleState", { state: "active" })
        } else {
          tabs = [...others, await openTab(open, front)]
        }
        await server.publish(1)
        await wait(chance.below(500))
      }
      console.log(`in ${SECONDS} s: ${Object.entries(counts).map(([action, count]) => `${action} ${count}`).join(", ")}`)
      await tabs[0].call("Page.bringToFront")
      await server.publish(1)
      faults.push(...await settle("after all that", tabs, server, front, 60_000))
      await wait(1000) // for what would come twice
      faults.push(...await settle("a second later", tabs, server, front, 0))
      return faults
    })
  } finally {
    front.close()
  }
})
console.log(faults.join("\n") || "tabs in Chromium: no faults")
process.exit(faults.length ? 1 : 0)
