// The example `assistant` in a headless Chromium: an answer that is reloaded in mid-sentence, read in a second tab,
// stopped from the other tab, completed by a server that is stopped gracefully, and finished as failed by another process
// when its own is killed. A latecomer reads it whole. It needs redis-server, and no packages.
import { spawn } from "node:child_process"
import { freePort, wait, waitFor, withChromium } from "./chromium.mjs"
import { Server, accepts } from "./server.mjs"

const QUESTION = "Why do leaves turn red?"
const faults = []

function check(what, isFine, found) {
  console.log(`${isFine ? "ok" : "FAULT"}: ${what}`)
  if (!isFine) faults.push(`${what}: ${JSON.stringify(found)}`)
}

const start = (env, port = null) => Server.start("assistant", { env, port })

// Runs in a page. What a person sees of it.
function look() {
  const text = (id) => document.getElementById(id).innerText
  return {
    question: text("question"), answer: text("answer"), status: text("status"), action: text("action"),
    path: location.pathname, list: [...document.querySelectorAll("#runs li")].map((item) => item.innerText),
  }
}

const see = (page, what, isThere) => waitFor(what, async () => {
  const seen = await page.run(look)
  return isThere(seen) && seen
})

async function visit(page, url) {
  await page.call("Page.navigate", { url })
  await waitFor(url, () => page.run(() => document.readyState === "complete" && location.href !== "about:blank"))
}

// Types a question as a person does.
async function ask(page, question) {
  await page.run(() => document.querySelector("textarea").focus())
  await page.call("Input.insertText", { text: question })
  const enter = { key: "Enter", code: "Enter", windowsVirtualKeyCode: 13, text: "\r" }
  for (const type of ["keyDown", "keyUp"]) await page.call("Input.dispatchKeyEvent", { type, ...enter })
  return (await see(page, "the run", ({ path }) => path.startsWith("/runs/"))).path
}

const click = (page, id) => page.run((id) => document.getElementById(id).click(), id)
const hasWords = (count) => ({ answer }) => answer.trim().split(/\s+/).length >= count
const isIn = (state) => ({ status }) => status.startsWith(state)
const isListedAs = (state) => (seen) => isIn(state)(seen) && seen.list[0].endsWith(state)
const words = (text) => text.trim().split(/\s+/).join(" ")

// Whether both pages show the same, or one what the other showed a moment before.
const isBeginning = (text, whole) => words(whole).startsWith(words(text))

async function checkOneProcess(first, second) {
  // Slow enough that pages are met in mid-sentence.
  let server = await start({ TOKEN_MS: "20" })
  try {
    await visit(first, server.base)
    const path = await ask(first, QUESTION)
    const before = await see(first, "some words", hasWords(12))
    check("the page shows its question", before.question === QUESTION && before.status.startsWith("writing"), before)
    await visit(second, server.base + path)
    await first.call("Page.reload")
    const after = await see(first, "the reloaded page", hasWords(12))
    check("a reload goes on in mid-sentence", isBeginning(before.answer, after.answer), [before, after])
    await see(first, "more words", hasWords(after.answer.split(/\s+/).length + 10))
    const isInList = (seen) => isIn("done")(seen) && seen.list.join() === QUESTION
    const [one, two] = await Promise.all([first, second].map((page) => see(page, "the end, and in the list alone", isInList)))
    check("two tabs show the same", one.answer === two.answer && one.answer.endsWith("that would fit."), [one, two])
    await first.call("Page.reload")
    const late = await see(first, "the answer of a latecomer", isIn("done"))
    check("a latecomer has the whole answer", late.answer === one.answer, late)
    const stream = await (await fetch(`${server.base}${path}/answer`)).text()
    const events = [...stream.matchAll(/^event: (.*)$/gm)].map(([, name]) => name).join()
    check("in one event", events === "question,text,done,tornadose:finished", events)

    await visit(first, `${server.base}/runs/nobody-asked`)
    const unknown = await see(first, "a refusal", isIn("answers are kept"))
    check("a run that nobody asked is not waited for", unknown.question.includes("is not kept"), unknown)

    await visit(first, server.base)
    const stopped = await ask(first, "Tell me a story about a lighthouse")
    await visit(second, server.base + stopped)
    await see(second, "some words", hasWords(8))
    await click(second, "action")
    const stops = await Promise.all([first, second].map((page) => see(page, "stopped", isListedAs("stopped"))))
    check("Stop stops it in both tabs, and in their lists", stops[0].answer === stops[1].answer, stops)
    await wait(300)
    const still = await first.run(look)
    check("nothing comes after Stop", still.answer === stops[0].answer && still.action === "Ask again", still)
    await click(first, "action")
    await see(first, "the second answer", ({ path, status }) => path !== stopped && status.startsWith("writing"))

    await see(first, "some words", hasWords(20))
    const exit = server.kill("SIGTERM")
    const refused = await fetch(`${server.base}/runs`, {
      method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ question: "?" }),
    })
    const done = await see(first, "the end of the answer", isIn("done"))
    check("a server that stops finishes its sentence", done.answer.endsWith("who on earth had waved."), done)
    check("and takes no more questions", refused.status === 503, refused.status)
    check("and ends in good order", await exit === 0, await exit)

    // Its answers are gone with it. The page is told so, by the next server.
    server = await start({ TOKEN_MS: "300" }, server.port)
    await visit(first, server.base)
    await ask(first, QUESTION)
    await see(first, "some words", hasWords(3))
    await server.kill()
    await see(first, "a lost connection", isIn("connection lost"))
    server = await start({}, server.port)
    const gone = await see(first, "what became of it", isIn("the server was restarted"))
    check("a page whose server has forgotten the answer says so", gone.action === "Ask again", gone)
  } finally {
    await server.kill()
  }
}

async function checkTwoProcesses(first, second) {
  const redisPort = await freePort()
  const redis = spawn("redis-server", ["--port", redisPort, "--save", ""], { stdio: "ignore" })
  const env = { REDIS_URL: `redis://127.0.0.1:${redisPort}/`, TOKEN_MS: "50" }
  let servers = []
  try {
    await waitFor("redis", () => accepts(redisPort))
    servers = [await start(env), await start(env)]
    const [one, two] = servers
    await visit(first, one.base)
    const path = await ask(first, QUESTION)
    await visit(second, two.base + path)
    await see(second, "some words", hasWords(8))
    await click(second, "action")
    const stops = await Promise.all([first, second].map((page) => see(page, "stopped", isListedAs("stopped"))))
    check("Stop works from another process", stops[0].answer === stops[1].answer, stops)

    await visit(first, one.base)
    const killed = await ask(first, QUESTION)
    await visit(second, two.base + killed)
    const before = await see(second, "some words", hasWords(8))
    const at = Date.now()
    await one.kill()
    await wait(6000) // its lease is good for ten seconds
    const failed = await see(second, "failed", isListedAs("failed"))
    check(`the answer of a killed process is finished by another, after ${((Date.now() - at) / 1000).toFixed(1)} s`,
      failed.status.includes("is gone") && isBeginning(before.answer, failed.answer), failed)
    servers[0] = await start(env, one.port)
    const returned = await see(first, "failed, after a return", isIn("failed"))
    check("the page of the killed process is told when it returns", returned.answer === failed.answer, [returned, failed])
  } finally {
    for (const server of servers) await server.kill()
    redis.kill("SIGKILL")
  }
}

await withChromium(async (open) => {
  const pages = [await open(), await open()]
  await checkOneProcess(...pages)
  await checkTwoProcesses(...pages)
})
console.log(faults.join("\n") || "the assistant in Chromium: no faults")
process.exit(faults.length ? 1 : 0)
