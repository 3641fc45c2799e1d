// The inspector in a headless Chromium, over the example `notifications` with a thousand connections of which some lag:
// it shows them as they are, can be read and used at the widths of phones, in light and dark, shows the messages of a
// key, disconnects a key, and its console is empty. With a folder as argument it also keeps screenshots. It needs no packages.
import { spawn } from "node:child_process"
import { mkdirSync, writeFileSync } from "node:fs"
import { connect } from "node:net"
import { join } from "node:path"
import { checkKeyboard, inspect } from "./checks.mjs"
import { freePort, wait, waitFor, withChromium } from "./chromium.mjs"

const SERVER = join(import.meta.dirname, "../target/debug/examples/notifications")
const WIDTHS = [1440, 320, 375, 414] // the first while nothing has been ended yet
const QUICK = 976, SLOW = 24
const [folder] = process.argv.slice(2)
const faults = []

function expect(what, isMet) {
  if (!isMet) faults.push(what)
}

// A client of the stream of a user. A slow one reads nothing after the head of the response.
function openStream(port, user, isSlow) {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1")
    socket.isOver = false
    socket.on("error", reject).on("close", () => { socket.isOver = true })
    socket.write(`GET /inbox HTTP/1.1\r\nhost: localhost:${port}\r\ncookie: session=${user}\r\n\r\n`)
    socket.once("data", () => {
      if (isSlow) socket.pause()
      else socket.on("data", () => {})
      resolve(socket)
    })
  })
}

async function notify(port, user, title) {
  const headers = { "content-type": "application/json" }
  const response = await fetch(`http://127.0.0.1:${port}/inbox/${user}`, { method: "POST", headers, body: JSON.stringify({ title }) })
  if (response.status !== 201) throw new Error(`notify: ${response.status}`)
}

// Few users have many connections. User 7 has 24, and those of user 500 will lag.
async function openQuickStreams(port) {
  const users = Array.from({ length: QUICK }, (_, index) => (index < 24 ? 7 : 20 + Math.floor((index * index) / 4000)))
  const quick = []
  for (let from = 0; from < QUICK; from += 100) {
    quick.push(...await Promise.all(users.slice(from, from + 100).map((user) => openStream(port, user, false))))
  }
  return quick
}

// They are aborted after half a minute, so each look has its own.
async function openSlowStreams(port, before) {
  for (const socket of before) socket.destroy()
  const slow = await Promise.all(Array.from({ length: SLOW }, () => openStream(port, 500, true)))
  // More than the buffers of their sockets take.
  for (let number = 0; number < 90; number++) await notify(port, 500, `${number} `.padEnd(50_000, "x"))
  return slow
}

const text = (page, id) => page.run((id) => document.getElementById(id).textContent, id)
const click = (page, id) => page.run((id) => document.getElementById(id).click(), id)

async function show(page, url, width, scheme) {
  const features = { "prefers-color-scheme": scheme, "prefers-reduced-motion": "reduce" }
  await page.call("Emulation.setEmulatedMedia", { features: Object.entries(features).map(([name, value]) => ({ name, value })) })
  const isPhone = width < 600
  await page.call("Emulation.setDeviceMetricsOverride", { width, height: isPhone ? 800 : 1000, deviceScaleFactor: isPhone ? 2 : 1, mobile: isPhone })
  await page.call("Page.navigate", { url: "about:blank" })
  await page.call("Page.navigate", { url })
  await waitFor("the connections", () => page.run(() => document.querySelectorAll("#connections tbody tr").length === 200))
}

async function keepScreenshot(page, name) {
  if (!folder) return
  const { data } = await page.call("Page.captureScreenshot", { format: "png" })
  writeFileSync(join(folder, `inspector-${name}.png`), Buffer.from(data, "base64"))
}

async function checkTruth(page) {
  await waitFor("the figures of the store", async () => {
    const card = await text(page, "stores")
    return card.includes("1,000readers") && card.includes(`${SLOW}behind`)
  })
  const note = await text(page, "connections-note")
  expect(`another note: ${note}`, note === "200 of 1,000 are shown, those that are furthest behind first.")
  const rows = await page.run((slow) => [...document.querySelectorAll("#connections tbody tr")].slice(0, slow + 1).map((row) => {
    const cell = (name) => row.querySelector(`.${name}`).textContent
    return { keys: cell("keys"), unread: Number(cell("unread")), isMarked: row.className === "behind" }
  }), SLOW)
  expect(`the slow ones are not first: ${JSON.stringify(rows)}`, rows.slice(0, SLOW).every((row) => row.keys === "500" && row.unread > 0 && row.isMarked))
  expect(`a quick one is behind: ${JSON.stringify(rows[SLOW])}`, rows[SLOW].unread === 0 && !rows[SLOW].isMarked)
}

async function checkTail(page, port) {
  await page.run(() => { document.getElementById("key").value = "7"; document.getElementById("key-form").requestSubmit() })
  await waitFor("the tail", async () => (await text(page, "tail-note")) === "live")
  const title = "</script><img src=x onerror=alert(1)> & \u2028"
  await notify(port, 7, title)
  await notify(port, 7, "y".repeat(40_000))
  const lines = await waitFor("the messages", async () => {
    const lines = await page.run(() => [...document.querySelectorAll("#tail pre")].map((line) => line.textContent))
    return lines.length === 2 && lines
  })
  expect(`another text: ${lines[1]}`, JSON.parse(lines[1]).title === title)
  expect(`${lines[0].length} bytes are shown`, lines[0].length === 4096)
  const head = await page.run(() => document.querySelector("#tail .head").textContent)
  expect(`another head: ${head}`, head.includes("the first 4.0 KiB of 39 KiB"))
  expect("a text has become HTML", !(await page.run(() => document.querySelector("#tail img"))))
  await page.run(() => { document.getElementById("key").value = "\"nobody\""; document.getElementById("key-form").requestSubmit() })
  await waitFor("the end of an unknown key", async () => (await text(page, "tail-note")).includes("does not know the key"))
  await page.run(() => { document.getElementById("key").value = "not json"; document.getElementById("key-form").requestSubmit() })
  expect("what is not JSON is taken", (await text(page, "key-note")).includes("not JSON"))
}

async function checkDisconnect(page, quick) {
  await page.run(() => { document.getElementById("key").value = "7"; document.getElementById("disconnect").click() })
  await keepScreenshot(page, "disconnect")
  expect("the dialog names no readers", /Its 2[45] readers/.test(await text(page, "confirm-text")))
  await click(page, "confirm-no")
  await wait(100)
  expect("a key was disconnected that was kept", quick.slice(0, 24).every((socket) => !socket.isOver))
  await click(page, "disconnect")
  await click(page, "confirm-yes")
  await waitFor("the end of the connections", async () => quick.slice(0, 24).every((socket) => socket.isOver))
  const note = await waitFor("the answer", () => text(page, "key-note"))
  expect(`another answer: ${note}`, /^2[45] readers told to end\.$/.test(note)) // the page itself may still watch it
  expect("others have ended too", quick.slice(24).every((socket) => !socket.isOver))
  await waitFor("the ends", async () => (await text(page, "events")).split("ended: disconnected").length === 25)
}

async function run(port) {
  const url = `http://localhost:${port}/inspector`
  const quick = await openQuickStreams(port)
  let slow = []
  await withChromium(async (open) => {
    const page = await open()
    for (const scheme of ["light", "dark"]) {
      slow = await openSlowStreams(port, slow)
      for (const width of WIDTHS) {
        page.complaints.length = 0
        await show(page, url, width, scheme)
        if (width === 1440) await checkTruth(page)
        await keepScreenshot(page, `${scheme}-${width}`)
        const found = [...await page.run(inspect, ""), ...page.complaints]
        if (width === 320 || width === 1440) found.push(...await checkKeyboard(page))
        faults.push(...found.map((fault) => `${scheme}, ${width} px: ${fault}`))
      }
    }
    await checkTail(page, port)
    await page.run(() => { document.getElementById("key").value = "7"; document.getElementById("key-form").requestSubmit() })
    await waitFor("the tail", async () => (await text(page, "tail-note")) === "live")
    await notify(port, 7, "a message to look at")
    await waitFor("its line", async () => (await text(page, "tail")).includes("to look at"))
    await keepScreenshot(page, "tail")
    await click(page, "stop")
    await wait(300)
    await checkDisconnect(page, quick)
    await keepScreenshot(page, "events")
    await show(page, url, 375, "light")
    await page.run(() => document.getElementById("events-section").scrollIntoView())
    await keepScreenshot(page, "events-375")
    faults.push(...page.complaints)
    await page.call("Page.navigate", { url: "about:blank" }) // else the cut of its stream is a complaint
  })
  for (const socket of [...quick, ...slow]) socket.destroy()
}

if (folder) mkdirSync(folder, { recursive: true })
const start = Date.now(), port = await freePort()
const server = spawn(SERVER, { env: { ...process.env, PORT: port }, stdio: "ignore" })
try {
  await waitFor("notifications", () => fetch(`http://127.0.0.1:${port}`))
  await run(port)
} finally {
  server.kill("SIGKILL")
}
console.log(faults.join("\n") || `the inspector with 1,000 connections at ${WIDTHS.join(", ")} px, in light and dark: no faults, after ${Date.now() - start} ms`)
process.exit(faults.length ? 1 : 0)
