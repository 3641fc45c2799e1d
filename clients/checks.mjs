// The checks that all tests of pages share: whether a page can be read and used.

// Runs in the page. Returns what is wrong with it.
export function inspect(target) {
  const faults = [], width = innerWidth
  const name = (element) => element.id || element.name || element.textContent.trim().slice(0, 20) || element.tagName
  if (document.documentElement.scrollWidth > width) faults.push(`the page is ${document.documentElement.scrollWidth} px wide`)
  for (const field of document.querySelectorAll("input")) {
    if (!field.getClientRects().length) continue
    const least = field.type === "number" ? 60 : 90, { width } = field.getBoundingClientRect()
    if (width < least) faults.push(`the field ${name(field)} is ${Math.round(width)} px wide`)
  }
  for (const control of document.querySelectorAll("input, button")) {
    if (!control.getClientRects().length) continue
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

export async function checkKeyboard(page) {
  const count = await page.run(() => [...document.querySelectorAll("input:enabled, button:enabled")].filter((control) => control.getClientRects().length).length)
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
