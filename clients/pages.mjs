// Opens the page of every example in a headless Chromium, at the widths of phones, in light and dark, and checks that it
// can be read and used: nothing is wider than the screen, fields have room, text has contrast, each control is reached
// by the keyboard and shows its focus, and the console is empty. With a folder as argument it also keeps screenshots.
import { existsSync, mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { checkKeyboard, inspect } from "./checks.mjs"
import { waitFor, withChromium } from "./chromium.mjs"
import { Server } from "./server.mjs"

const WIDTHS = [320, 375, 414]
// By example: the address, and what is in the page once it is full, and how often. The market sets its title with its
// figures.
const PAGES = {
  fibonacci: ["/", "#list li", 2],
  chat: ["/?user=ada&room=lobby", "#members li", 1],
  notifications: ["/", "#status", 1],
  market: ["/#NVDA", "#tape li", 60, "NVDA "],
  assistant: ["/", "#samples button:enabled", 4],
  redis_feed: ["/", "#status.up", 1],
}
const [folder] = process.argv.slice(2)

// Runs in the page.
function isFull(selector, count, title = "") {
  const found = document.querySelectorAll(selector)
  return document.readyState === "complete" && found.length >= count && document.title.startsWith(title)
}

async function checkExample(page, example, [target, ...parts]) {
  const server = await Server.start(example), faults = []
  // The keyboard reaches a page that is out of sight.
  await page.call("Emulation.setFocusEmulationEnabled", { enabled: true })
  try {
    for (const scheme of ["light", "dark"]) {
      for (const width of WIDTHS) {
        page.complaints.length = 0
        // An element that fades in would be measured on its way.
        const features = { "prefers-color-scheme": scheme, "prefers-reduced-motion": "reduce" }
        const list = Object.entries(features).map(([name, value]) => ({ name, value }))
        await page.call("Emulation.setEmulatedMedia", { features: list })
        await page.call("Emulation.setDeviceMetricsOverride", { width, height: 720, deviceScaleFactor: 1, mobile: true })
        await page.call("Page.navigate", { url: "about:blank" })
        await page.call("Page.navigate", { url: server.base + target })
        await waitFor(`${example}, ${parts}`, () => page.run(isFull, ...parts))
        await page.run(() => new Promise(requestAnimationFrame)) // it is drawn
        const found = [...await page.run(inspect, target), ...page.complaints]
        if (width === WIDTHS[0]) found.push(...await checkKeyboard(page))
        faults.push(...found.map((fault) => `${example}, ${scheme}, ${width} px: ${fault}`))
        if (folder) {
          const { data } = await page.call("Page.captureScreenshot", { captureBeyondViewport: true })
          writeFileSync(join(folder, `${example}-${scheme}-${width}.png`), Buffer.from(data, "base64"))
        }
      }
    }
  } finally {
    await page.call("Page.navigate", { url: "about:blank" }) // else the cut of its stream is a complaint
    await server.kill()
  }
  return faults
}

if (folder && !existsSync(folder)) mkdirSync(folder, { recursive: true })
const faults = await withChromium(async (open) => {
  const check = async ([example, page]) => checkExample(await open(), example, page)
  return (await Promise.all(Object.entries(PAGES).map(check))).flat()
})
console.log(faults.length ? faults.join("\n") : `${Object.keys(PAGES).length} pages at ${WIDTHS.join(", ")} px, in light and dark: no faults`)
process.exit(faults.length ? 1 : 0)
