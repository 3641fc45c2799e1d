// Opens the page of every example in a headless Chromium, at the widths of phones, in light and dark, and checks that it
// can be read and used: nothing is wider than the screen, fields have room, text has contrast, each control is reached
// by the keyboard and shows its focus, and the console is empty. With a folder as argument it also keeps screenshots.
import { existsSync, mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
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

// Runs in the page. Returns what is wrong with it.
function inspect(target) {
  const faults = [], width = innerWidth
  const name = (element) => element.id || element.name || element.textContent.trim().slice(0, 20) || element.tagName
  if (document.documentElement.scrollWidth > width) faults.push(`the page is ${document.documentElement.scrollWidth} px wide`)
  for (const field of document.querySelectorAll("input")) {
    const least = field.type === "number" ? 60 : 90, { width } = field.getBoundingClientRect()
    if (width < least) faults.push(`the field ${name(field)} is ${Math.round(width)} px wide`)
  }
  for (const control of document.querySelectorAll("input, button")) {
    const { height } = control.getBoundingClientRect()
    if (height < 32) faults.push(`the control ${name(control)} is ${Math.round(height)} px high`)
  }
  const status = document.getElementById("status")
  if (document.title.includes("Fibonacci") && status.getClientRects()[0].height > 30) faults.push("the status has two lines")
  const chosen = document.querySelector("nav [aria-pressed=true]")
  if (chosen) {
    const { left, right } = chosen.getBoundingClientRect()
    if (!target.endsWith(chosen.firstChild.textContent)) faults.push(`${chosen.firstChild.textContent} is chosen, not that of ${target}`)
    if (left < 0 || right > width) faults.push(`the chosen symbol is at ${Math.round(left)} to ${Math.round(right)} px`)
  }
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true })
  const luminance = (color) => {
    canvas.clearRect(0, 0, 1, 1)
    canvas.fillStyle = color
    canvas.fillRect(0, 0, 1, 1)
    const [red, green, blue] = [...canvas.getImageData(0, 0, 1, 1).data].map((part) => (part /= 255) <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
  }
  const isClear = (color) => /rgba\(.*, 0\)|transparent/.test(color)
  for (const element of document.querySelectorAll("body *")) {
    const hasText = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim())
    if (!hasText || !element.getClientRects().length || element.matches("script, style, :disabled")) continue
    const { right } = element.getBoundingClientRect(), edge = element.closest("section")?.getBoundingClientRect().right ?? width
    if (right > edge && !element.closest("nav")) faults.push(`the text ${name(element)} is cut off`)
    let behind = element
    while (behind && isClear(getComputedStyle(behind).backgroundColor)) behind = behind.parentElement
    const ground = behind ? getComputedStyle(behind).backgroundColor : "#0a0d13"
    const [light, dark] = [luminance(getComputedStyle(element).color), luminance(ground)].sort((a, b) => b - a)
    const contrast = (light + 0.05) / (dark + 0.05)
    // WCAG 2.2, 1.4.3: large text needs less.
    const least = parseFloat(getComputedStyle(element).fontSize) >= 24 ? 3 : 4.5
    if (contrast < least) faults.push(`the text ${name(element)} has a contrast of ${contrast.toFixed(1)}`)
  }
  return [...new Set(faults)]
}

// Runs in the page, after a press of the tab key. Returns the focused control, and whether it shows that.
function focused() {
  const element = document.activeElement
  if (element === document.body) return null
  const { outlineStyle, outlineWidth } = getComputedStyle(element)
  const controls = [...document.querySelectorAll("input, button")]
  return { index: controls.indexOf(element), isShown: outlineStyle !== "none" && outlineWidth !== "0px" }
}

async function checkKeyboard(page) {
  const count = await page.run(() => document.querySelectorAll("input:enabled, button:enabled").length)
  await page.run(() => { document.activeElement.blur(); scrollTo(0, 0) })
  const reached = new Set(), faults = []
  for (let presses = 0; presses < count + 3; presses++) {
    await page.press("Tab")
    const at = await page.run(focused)
    if (at && at.index >= 0) reached.add(at.index)
    if (at && at.index >= 0 && !at.isShown) faults.push(`control ${at.index} does not show its focus`)
  }
  if (reached.size < count) faults.push(`the tab key reaches ${reached.size} of ${count} controls`)
  return [...new Set(faults)]
}

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
