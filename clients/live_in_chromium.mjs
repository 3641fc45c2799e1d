// `live` of tornadose.js in a headless Chromium, over Server-Sent Events and WebSocket, on pages with a strict
// Content-Security-Policy. Beneath the pages the server is killed and restarted, the network goes away, and the pages
// are frozen. Each feed must have every message once and in order, and no gap. A page whose policy forbids the
// address must be told so, and try again as rarely as `live` promises. It needs no packages.
import { wait, waitFor, withChromium } from "./chromium.mjs"
import { Front } from "./front.mjs"
import { withWire } from "./wire.mjs"

const TRANSPORTS = { sse: {}, ws: { ws: true } }

// Runs in a page, after tornadose.js. Records what its feeds are told.
function record(url, transports) {
  window.feeds = {}
  window.violations = []
  addEventListener("securitypolicyviolation", (event) => violations.push([event.effectiveDirective, event.blockedURI]))
  for (const [name, options] of Object.entries(transports)) {
    const feed = feeds[name] = { texts: [], gaps: [], losses: [], opened: 0 }
    live(url, {
      message({ text }) { feed.texts.push(text) },
      open() { feed.opened++ },
      error(loss) { feed.losses.push({ ...loss, at: Math.round(performance.now()) }) },
      "tornadose:gap"(gap) { feed.gaps.push(gap) },
    }, options)
  }
}

// The pages, by path, with a policy each, and their scripts.
function pages({ port }) {
  const direct = `127.0.0.1:${port}`
  const script = (url) => `(${record})(${JSON.stringify(url)}, ${JSON.stringify(TRANSPORTS)})`
  const page = (policy, ...scripts) => ({
    headers: { "content-type": "text/html", "content-security-policy": `default-src 'none'; ${policy}` },
    body: `<!doctype html><title>live</title>${scripts.join("")}`,
  })
  const files = (name) => ["tornadose", name].map((file) => `<script src="/${file}.js"></script>`)
  const file = (url) => ({ headers: { "content-type": "text/javascript" }, body: script(url) })
  return {
    "/through-the-proxy": page("script-src 'nonce-c3RyaWN0'; connect-src 'self'",
      `<script nonce="c3RyaWN0" src="/tornadose.js"></script>`, `<script nonce="c3RyaWN0">${script("/feed")}</script>`),
    "/direct": page(`script-src 'self'; connect-src http://${direct} ws://${direct}`, ...files("direct")),
    "/forbidden": page("script-src 'self'", ...files("forbidden")),
    "/direct.js": file(`http://${direct}/feed`),
    "/forbidden.js": file("/feed"),
  }
}

// What the feeds of the pages have not been told as it was: each message once and in order, and no gap.
async function differences(pages, server) {
  const expected = Array.from({ length: server.published }, (_, index) => index + 1).join(), found = []
  for (const [path, page] of Object.entries(pages)) {
    const [feeds, violations] = await page.run(() => [window.feeds, window.violations])
    if (violations.length) found.push(`${path}: its policy forbids ${violations}`)
    for (const [name, { texts, gaps }] of Object.entries(feeds)) {
      if (texts.join() !== expected || gaps.length) found.push(`${path}, ${name}: ${texts}; gaps: ${JSON.stringify(gaps)}`)
    }
  }
  return found
}

// Waits until the feeds have everything. Returns what they miss after so many milliseconds.
async function settle(what, pages, server, most = 10_000) {
  const start = Date.now()
  let found
  while ((found = await differences(pages, server)).length && Date.now() - start < most) await wait(20)
  const outcome = found.length ? "differences" : `all ${server.published} messages, once and in order`
  console.log(`${what}: ${outcome} after ${Date.now() - start} ms`)
  return found.map((difference) => `${what}: ${difference}`)
}

async function checkOutages(pages, server) {
  const faults = []
  const all = (method, params) => Promise.all(Object.values(pages).map((page) => page.call(method, params)))
  const network = { latency: 0, downloadThroughput: -1, uploadThroughput: -1 }
  const setNetwork = (offline) => all("Network.emulateNetworkConditions", { ...network, offline })
  const setState = (state) => all("Page.setWebLifecycleState", { state })
  const restart = async (away) => {
    await server.kill()
    await wait(away)
    await server.restart()
    await server.publish(5)
  }
  faults.push(...await settle("opened", pages, server))

  await restart(2000)
  faults.push(...await settle("the server was killed, and away for 2 s", pages, server))

  // The switch lets open connections be, so they are cut.
  await all("Network.enable")
  await setNetwork(true)
  await restart(0)
  await wait(4000)
  const early = await differences(pages, server)
  if (early.length !== 4) faults.push(`the network is off, and ${4 - early.length} of 4 feeds have what was sent`)
  await setNetwork(false)
  // Without the event `online` it would be up to 12 s.
  faults.push(...await settle("the network was off for 4 s", pages, server, 1500))

  await setState("frozen")
  await server.publish(5)
  await wait(3000)
  await setState("active")
  await server.publish(5)
  faults.push(...await settle("the pages were frozen for 3 s", pages, server))

  await setState("frozen")
  await server.publish(5)
  await restart(1000)
  await setState("active")
  faults.push(...await settle("the server was killed beneath frozen pages", pages, server))

  await wait(1000) // for what would come twice
  faults.push(...await settle("a second later", pages, server, 0))
  return faults
}

// The promise of `live`: the wait is 1 s, then twice as long for each failure up to 30 s, by half more or less.
async function checkForbidden(page) {
  const [feeds, violations, now] = await page.run(() => [window.feeds, window.violations, performance.now()])
  const faults = []
  for (const [name, { losses, opened, texts }] of Object.entries(feeds)) {
    if (opened || texts.length) faults.push(`${name}: connected in spite of the policy`)
    const scheme = name === "ws" ? "ws:" : "http:"
    const tries = violations.filter(([directive, address]) => directive === "connect-src" && address.startsWith(scheme))
    console.log(`forbidden, ${name}: ${tries.length} tries in ${Math.round(now / 1000)} s`)
    if (Math.abs(tries.length - losses.length) > 1) faults.push(`${name}: ${tries.length} tries, and ${losses.length} were told to the page`)
    if (losses.length < 3) faults.push(`${name}: only ${losses.length} tries`)
    losses.forEach(({ reason, wait, at }, index) => {
      const usual = Math.min(30_000, 1_000 * 2 ** index)
      if (reason !== (name === "ws" ? 1006 : "refused")) faults.push(`${name}: the reason is ${reason}`)
      if (wait < usual / 2 || wait > usual * 1.5) faults.push(`${name}: waits for ${wait} ms after ${index + 1} tries`)
      // `live` starts its timer some milliseconds before the page is told, on a busy machine more. A page that is out
      // of sight has timers with a resolution of a second.
      const earliest = at + wait - 100, latest = at + wait + 2500, next = losses[index + 1]?.at
      const isOnTime = next === undefined ? now <= latest : next >= earliest && next <= latest
      if (!isOnTime) faults.push(`${name}: a try at ${next} ms, not from ${earliest} to ${latest}`)
    })
  }
  if (!page.complaints.some((text) => text.includes("Content Security Policy"))) faults.push("the console does not say why")
  return faults
}

const faults = await withWire(async (server) => {
  await server.publish(5)
  const front = await Front.start(server.port, pages(server))
  try {
    return await withChromium(async (open) => {
      const opened = {}
      for (const path of ["/through-the-proxy", "/direct", "/forbidden"]) {
        opened[path] = await open()
        await opened[path].call("Page.navigate", { url: front.origin + path })
        await waitFor(path, () => opened[path].run(() => window.feeds))
      }
      const { "/forbidden": forbidden, ...allowed } = opened
      return [...await checkOutages(allowed, server), ...await checkForbidden(forbidden)]
    })
  } finally {
    front.close()
  }
})
console.log(faults.join("\n") || "live in Chromium: no faults")
process.exit(faults.length ? 1 : 0)
