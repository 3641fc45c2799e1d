// How `live` of tornadose.js loses and finds its connection, with a browser's parts faked and virtual time:
// `node --test clients/live.test.mjs`. It needs no packages.
import assert from "node:assert/strict"
import { readFileSync } from "node:fs"
import { beforeEach, mock, test } from "node:test"

const SOURCE = readFileSync(new URL("../tornadose/src/tornadose.js", import.meta.url), "utf8")
const { live, AskError } = new Function(`${SOURCE}\nreturn { live, AskError }`)()

let opened = [] // every WebSocket so far
let lost = [] // every call of `error`
let onConnect = () => {} // what happens to a new WebSocket
let listeners = [] // of the page, with their types

function listen(type, run, { signal }) {
  const listener = { type, run }
  listeners.push(listener)
  signal.addEventListener("abort", () => { listeners = listeners.filter((other) => other !== listener) })
}

const dispatch = (type) => listeners.filter((listener) => listener.type === type).forEach(({ run }) => run())

class FakeWebSocket {
  readyState = 0
  sent = []

  constructor(url) {
    this.url = url
    opened.push(this)
    onConnect(this)
  }

  open() {
    this.readyState = 1
    this.onopen()
  }

  send(text) {
    this.sent.push(JSON.parse(text))
  }

  receive(frame) {
    this.onmessage({ data: JSON.stringify(frame) })
  }

  // A failure has an error event first. Where a CSP forbids the address, Chromium sends nothing after it.
  fail({ withClose }) {
    this.readyState = 3
    this.onerror?.()
    if (withClose) this.onclose({ code: 1006, reason: "" })
  }

  close() {
    this.readyState = 3
  }
}

function connect(options = { ws: true }, handlers = {}) {
  return live("/feed", { error: (loss) => lost.push({ ...loss, at: Date.now() }), ...handlers }, options)
}

// Opens a feed, and returns it with its WebSocket.
function open(handlers = {}) {
  const feed = connect({ ws: true }, handlers), socket = opened.at(-1)
  socket.open()
  return { feed, socket }
}

// What became of a promise so far: a value, an error, or nothing.
async function outcome(promise) {
  const nothing = {}
  const first = await Promise.race([promise.catch((error) => error), new Promise((resolve) => setImmediate(resolve, nothing))])
  return first === nothing ? "pending" : first
}

async function assertFails(promise, code, message) {
  const error = await outcome(promise)
  assert.ok(error instanceof AskError && error instanceof Error, `${error}`)
  assert.deepEqual([error.name, error.code, error.message], ["AskError", code, message])
}

beforeEach(() => {
  mock.timers.reset()
  mock.timers.enable({ apis: ["setTimeout", "Date"], now: 1_000_000 })
  mock.method(Math, "random", () => 0.999)
  opened = []
  lost = []
  listeners = []
  onConnect = () => {}
  Object.assign(globalThis, {
    WebSocket: FakeWebSocket, document: { baseURI: "http://localhost/", addEventListener: listen }, addEventListener: listen,
  })
})

test("an address that the page's CSP forbids is reported and tried again, as in Chromium", () => {
  onConnect = (socket) => setTimeout(() => socket.fail({ withClose: false }))
  connect()
  mock.timers.tick(1)
  assert.equal(lost.length, 1)
  assert.equal(lost[0].reason, 1006)
  mock.timers.tick(lost[0].wait + 1)
  assert.equal(opened.length, 2)
})

test("an address that the page's CSP forbids does not throw out of the page's script, as in Firefox", () => {
  onConnect = () => { throw new DOMException("The operation is insecure.", "SecurityError") }
  const feed = connect()
  assert.equal(feed.send({}), false)
  mock.timers.tick(1)
  assert.deepEqual(lost.map(({ reason }) => reason), ["refused"])
  mock.timers.tick(lost[0].wait + 1)
  assert.equal(opened.length, 2)
  feed.close()
  mock.timers.tick(100_000)
  assert.equal(opened.length, 2)
})

test("a mistake of the page is thrown", () => {
  onConnect = () => { throw new DOMException("invalid subprotocol", "SyntaxError") }
  assert.throws(() => connect(), { name: "SyntaxError" })
})

test("a failure with an error and a close event is one loss", () => {
  onConnect = (socket) => setTimeout(() => socket.fail({ withClose: true }))
  connect()
  mock.timers.tick(1)
  assert.equal(lost.length, 1)
})

test("after several losses within a minute, a server that is back is found within 5 s", () => {
  let isUp = true
  onConnect = (socket) => setTimeout(() => (isUp ? socket.open() : socket.fail({ withClose: true })))
  connect()
  mock.timers.tick(1)
  for (let loss = 0; loss < 8; loss++) {
    const socket = opened.at(-1)
    assert.equal(socket.readyState, 1, `open before loss ${loss}`)
    mock.timers.tick(2_000) // it stands for a moment
    isUp = false
    socket.fail({ withClose: true })
    mock.timers.tick(1_500)
    isUp = true
    mock.timers.tick(5_000)
    assert.equal(opened.at(-1).readyState, 1, `open again after loss ${loss}`)
  }
})

test("a server that ends every connection at once is tried less and less often", () => {
  onConnect = (socket) => setTimeout(() => {
    socket.open()
    socket.fail({ withClose: true })
  })
  connect()
  mock.timers.tick(1)
  for (let tries = 0; tries < 8; tries++) mock.timers.tick(lost.at(-1).wait + 1)
  assert.ok(lost.at(-1).wait > 29_000, `${lost.at(-1).wait}`)
  assert.ok(lost.every(({ wait }) => wait <= 45_000))
})

test("an ask resolves with its reply, in any order, and calls no handler", async () => {
  const called = []
  const { feed, socket } = open({ "tornadose:reply": () => called.push("reply"), "tornadose:error": () => called.push("error") })
  const [first, second, third] = [feed.ask({ a: 1 }), feed.ask("b"), feed.ask()]
  const [one, two, three] = socket.sent.map((text) => text["tornadose:ask"])
  assert.deepEqual(socket.sent.map(({ data }) => data), [{ a: 1 }, "b", null])
  assert.deepEqual([two - one, three - two], [1, 1])
  socket.receive({ event: "tornadose:reply", ask: two, data: null })
  socket.receive({ event: "tornadose:error", ask: three, data: { reason: "not now" } })
  socket.receive({ event: "tornadose:reply", ask: one, data: [1] })
  assert.deepEqual([await outcome(first), await outcome(second)], [[1], null])
  await assertFails(third, "refused", "not now")
  assert.deepEqual(called, [])
})

test("an answer with an unknown number is dropped, and an error without a number reaches its handler", async () => {
  const errors = []
  const { feed, socket } = open({ "tornadose:error": ({ reason }) => errors.push(reason) })
  const asked = feed.ask(1), [{ "tornadose:ask": number }] = socket.sent
  socket.receive({ event: "tornadose:reply", ask: number + 1, data: 2 })
  socket.receive({ event: "tornadose:error", ask: 0, data: { reason: "old" } })
  socket.receive({ event: "tornadose:error", data: { reason: "of a send" } })
  assert.equal(await outcome(asked), "pending")
  socket.receive({ event: "tornadose:reply", ask: number, data: 3 })
  socket.receive({ event: "tornadose:reply", ask: number, data: 4 })
  assert.equal(await asked, 3)
  assert.deepEqual(errors, ["of a send"])
})

test("an ask times out, after 10 s or as it says, and its late reply is dropped", async () => {
  const { feed, socket } = open()
  const [usual, short, endless] = [feed.ask(1), feed.ask(2, { timeout: 500 }), feed.ask(3, { timeout: Infinity })]
  mock.timers.tick(499)
  assert.equal(await outcome(short), "pending")
  mock.timers.tick(1)
  await assertFails(short, "timeout", "no answer within 500 ms")
  mock.timers.tick(9_500)
  await assertFails(usual, "timeout", "no answer within 10000 ms")
  assert.equal(await outcome(endless), "pending")
  for (const text of socket.sent) socket.receive({ event: "tornadose:reply", ask: text["tornadose:ask"], data: "late" })
  assert.equal(await endless, "late")
})

test("an ask before the connection is open waits for it, in order and within its timeout", async () => {
  const feed = connect({ ws: true }, { open: () => feed.send("open") })
  const [first, second] = [feed.ask(1), feed.ask(2, { timeout: 500 })]
  mock.timers.tick(500)
  await assertFails(second, "timeout", "no answer within 500 ms")
  const third = feed.ask(3), [socket] = opened
  socket.open()
  assert.deepEqual(socket.sent.map((text) => text.data ?? text), [1, 3, "open"])
  for (const text of socket.sent.slice(0, 2)) socket.receive({ event: "tornadose:reply", ask: text["tornadose:ask"], data: text.data })
  assert.deepEqual([await first, await third], [1, 3])
})

test("an ask that was sent before a loss is lost, and one that was not is sent to the next connection", async () => {
  const { feed, socket } = open()
  const sent = feed.ask(1)
  socket.fail({ withClose: true })
  await assertFails(sent, "lost", "the connection was lost before the answer")
  const waiting = feed.ask(2)
  mock.timers.tick(lost.at(-1).wait + 1)
  const next = opened.at(-1)
  next.open()
  assert.deepEqual(next.sent.map(({ data }) => data), [2])
  next.receive({ event: "tornadose:reply", ask: next.sent[0]["tornadose:ask"], data: "again" })
  assert.equal(await waiting, "again")
})

test("two connections number their asks together", async () => {
  const one = open(), two = open()
  const asked = [one.feed.ask("a"), two.feed.ask("b"), one.feed.ask("c")]
  const numbers = [one.socket.sent[0], two.socket.sent[0], one.socket.sent[1]].map((text) => text["tornadose:ask"])
  assert.deepEqual(numbers.map((number) => number - numbers[0]), [0, 1, 2])
  two.socket.receive({ event: "tornadose:reply", ask: numbers[0], data: "of the other" })
  assert.equal(await outcome(asked[0]), "pending")
  one.socket.fail({ withClose: true })
  await assertFails(asked[0], "lost", "the connection was lost before the answer")
  await assertFails(asked[2], "lost", "the connection was lost before the answer")
  two.socket.receive({ event: "tornadose:reply", ask: numbers[1], data: "B" })
  assert.equal(await asked[1], "B")
})

test("a connection that is closed for good refuses what it has not sent", async () => {
  const { feed, socket } = open()
  const sent = feed.ask(1)
  socket.onclose({ code: 4000, reason: "muted" })
  await assertFails(sent, "lost", "the connection was lost before the answer")
  await assertFails(feed.ask(2), "refused", "the connection is closed")
  const unopened = connect(), waiting = unopened.ask(3)
  unopened.close()
  await assertFails(waiting, "refused", "the connection is closed")
})

test("a value that is no JSON rejects, and sends nothing", async () => {
  const { feed, socket } = open()
  assert.equal((await outcome(feed.ask(1n))).name, "TypeError")
  assert.deepEqual(socket.sent, [])
})

// A response of server-sent events, which the test writes.
class FakeStream {
  unread = []
  isAborted = false

  constructor(url, { signal, ...init }) {
    Object.assign(this, { url, init })
    opened.push(this)
    this.response = new Promise((resolve, reject) => Object.assign(this, { resolve, reject }))
    signal.onabort = () => {
      this.isAborted = true
      this.fail(new DOMException("aborted", "AbortError"))
    }
  }

  // Responds, with a stream or an error.
  async respond(status = 200, type = "text/event-stream") {
    const read = () => new Promise((resolve, reject) => {
      this.reading = { resolve, reject }
      this.pass()
    })
    this.resolve({ status, ok: status === 200, headers: new Headers({ "content-type": type }), body: { getReader: () => ({ read }) } })
    await settle()
  }

  pass() {
    if (!this.reading || !this.unread.length) return
    const { resolve } = this.reading
    this.reading = null
    resolve(this.unread.shift())
  }

  async write(...texts) {
    this.unread.push(...texts.map((value) => ({ value: typeof value === "string" ? new TextEncoder().encode(value) : value })))
    this.pass()
    await settle()
  }

  async receive(event, data, id) {
    await this.write(`${id ? `id: ${id}\n` : ""}event: ${event}\ndata: ${JSON.stringify(data)}\n\n`)
  }

  async end() {
    this.unread.push({ done: true })
    this.pass()
    await settle()
  }

  async fail(error = new TypeError("network error")) {
    this.reject(error)
    this.reading?.reject(error)
    await settle()
  }
}

// Lets everything run that waits for no time.
const settle = () => new Promise((resolve) => setImmediate(resolve))

const NAMES = ["said", "finished", "message", "open", "error"]
const HANDLED = [...NAMES, ...["gap", "reset", "expired", "finished"].map((name) => `tornadose:${name}`)]

// Opens a stream of server-sent events, and returns it with the calls of its handlers.
async function openStream(path = "/feed", options = {}) {
  globalThis.fetch = (url, init) => new FakeStream(String(url), init).response
  const called = [], handlers = Object.fromEntries(HANDLED.map((name) => [name, (...values) => called.push([name, ...values])]))
  const feed = live(path, handlers, options), stream = opened.at(-1)
  await stream.respond()
  assert.deepEqual(called.splice(0), [["open"]])
  return { stream, called, feed }
}

// Waits as long as the page was told, and returns the next connection.
async function reopenStream(called) {
  const [name, { wait }] = called.at(-1)
  assert.equal(name, "error")
  mock.timers.tick(wait + 1)
  await settle()
  return opened.at(-1)
}

const lastEventId = ({ url }) => new URL(url).searchParams.get("last_event_id")

test("a stream of server-sent events cannot ask", async () => {
  const { feed } = await openStream()
  assert.deepEqual(Object.keys(feed), ["close"])
})

test("a stream is parsed as the standard says, however it is cut into pieces", async () => {
  const text = "\ufeffretry: 3000\n: tornadose\nid: a-1\ndata: {\"text\":\"größe\"}\n\nevent: said\r\ndata: 1\r\ndata: 2\r\n\r\n"
    + ": keep-alive\nid: a-2\n\ndata:no json\rid: a-3\r\revent: said\ndata\n\nunknown: x\ndata: \"a\u2028b\"\n\n"
  const expected = [
    ["message", { text: "größe" }, "a-1"], ["said", "1\n2", ""], ["message", "no json", "a-3"], ["said", "", ""], ["message", "a\u2028b", ""],
  ]
  const bytes = new TextEncoder().encode(text)
  for (let size = 1; size < 9; size++) {
    const { stream, called } = await openStream()
    for (let at = 0; at < bytes.length; at += size) await stream.write(bytes.slice(at, at + size))
    assert.deepEqual(called, expected, `in pieces of ${size}`)
    await stream.end()
    assert.equal(lastEventId(await reopenStream(called)), "a-3")
  }
})

test("a block that is not complete is not delivered, and a position moves the id of the page", async () => {
  const { stream, called } = await openStream()
  await stream.write("id: a-1\n\nid: a-2\ndata: 1\n")
  await stream.end()
  assert.deepEqual(called.map(([name]) => name), ["error"])
  assert.equal(lastEventId(await reopenStream(called)), "a-1")
})

test("a finished stream of server-sent events is told once, and nothing comes back", async () => {
  const { stream, called } = await openStream()
  await stream.receive("said", 1, "a-1")
  await stream.receive("finished", 2, "a-2") // an event of the program
  await stream.receive("tornadose:finished", { key: 7 }, "a-3") // one of several keys
  await stream.write('event: tornadose:finished\nid: a-4\ndata: {}\n\nevent: said\ndata: 5\n\n')
  assert.ok(stream.isAborted)
  mock.timers.tick(100_000)
  assert.equal(opened.length, 1)
  assert.deepEqual(called, [
    ["said", 1, "a-1"], ["finished", 2, "a-2"], ["tornadose:finished", { key: 7 }, "a-3"], ["tornadose:finished", {}, "a-4"],
  ])
})

test("a value that has expired is told with its id, over both transports, and the page resumes after it", async () => {
  const { stream, called } = await openStream()
  const expired = { key: "1", slot: "ada", event: "here" }
  await stream.receive("tornadose:expired", expired, "a-1")
  assert.deepEqual(called, [["tornadose:expired", expired, "a-1"]])
  await stream.end()
  assert.equal(lastEventId(await reopenStream(called)), "a-1")

  const told = []
  const { socket } = open({ "tornadose:expired": (...values) => told.push(values) })
  socket.receive({ id: "a-2", event: "tornadose:expired", data: expired })
  socket.fail({ withClose: true })
  mock.timers.tick(100_000)
  assert.match(opened.at(-1).url, /last_event_id=a-2$/)
  assert.deepEqual(told, [[expired, "a-2"]])
})

test("a page clears what it shows at a reset, and keeps its id until the next", async () => {
  const rows = new Map()
  const { socket } = open({ "tornadose:reset": () => rows.clear(), row: ({ id, title }) => rows.set(id, title) })
  socket.receive({ id: "a-1", event: "row", data: { id: 1, title: "stale" } })
  socket.receive({ event: "tornadose:reset", data: {} })
  socket.receive({ event: "row", data: { id: 2, title: "loaded" } })
  assert.deepEqual([...rows], [[2, "loaded"]])
  socket.onclose({ code: 1006 })
  mock.timers.tick(100_000)
  assert.match(opened.at(-1).url, /last_event_id=a-1/)

  const { stream, called } = await openStream()
  await stream.receive("said", 1, "a-1")
  await stream.receive("tornadose:reset", {})
  await stream.receive("said", 2)
  assert.deepEqual(called, [["said", 1, "a-1"], ["tornadose:reset", {}, ""], ["said", 2, ""]])
  await stream.end()
  assert.equal(lastEventId(await reopenStream(called)), "a-1")
})

test("a finished stream ends also where the page has no handler for it", async () => {
  globalThis.fetch = (url, init) => new FakeStream(String(url), init).response
  live("/feed", {})
  await opened[0].respond()
  await opened[0].receive("tornadose:finished", {}, "a-1")
  assert.ok(opened[0].isAborted)
})

test("a page that had everything before is told, and nothing comes back", async () => {
  const { stream, called } = await openStream()
  await stream.receive("said", 1, "a-4")
  await stream.end()
  const next = await reopenStream(called)
  called.splice(0)
  await next.respond(204)
  mock.timers.tick(100_000)
  assert.equal(opened.length, 2)
  assert.deepEqual(called, [["tornadose:finished", {}, "a-4"]])
})

test("a stream that is refused is told with its status and tried again, less and less often", async () => {
  const { stream, called } = await openStream()
  await stream.end()
  const waits = []
  for (const [status, type, reason] of [[502, "text/html", 502], [401, "text/plain", 401], [200, "text/html", 200]]) {
    const next = await reopenStream(called)
    await next.respond(status, type)
    assert.equal(called.at(-1)[1].reason, reason)
    waits.push(called.at(-1)[1].wait)
  }
  const next = await reopenStream(called)
  await next.fail()
  assert.equal(called.at(-1)[1].reason, "refused")
  waits.push(called.at(-1)[1].wait)
  assert.ok(waits.every((wait, index) => index === 0 || wait > waits[index - 1] * 1.9), `${waits}`)
  await (await reopenStream(called)).respond()
  assert.deepEqual(called.at(-1), ["open"])
})

test("a stream that ends is opened again after the time that the server says, or more", async () => {
  const { stream, called } = await openStream()
  await stream.write("retry: 20000\n\n")
  mock.timers.tick(60_000)
  await stream.end()
  assert.equal(called.at(-1)[1].reason, "cut")
  assert.ok(called.at(-1)[1].wait > 20_000 && called.at(-1)[1].wait <= 30_000, `${called.at(-1)[1].wait}`)
})

test("a stream that was alive and is silent is opened again, and one that never showed a sign is not", async () => {
  const { stream, called } = await openStream()
  mock.timers.tick(3_600_000)
  assert.deepEqual(called, [])
  for (let time = 0; time < 4; time++) {
    await stream.write(": keep-alive\n")
    mock.timers.tick(20_000)
  }
  assert.deepEqual(called, [])
  mock.timers.tick(3_600_000 * 2.5)
  assert.equal(called.at(-1)[1].reason, "silent")
  assert.ok(stream.isAborted)
  const next = await reopenStream(called)
  await next.respond()
  await next.write(": keep-alive\n")
  mock.timers.tick(37_500 + 1)
  assert.equal(called.at(-1)[1].reason, "silent")
})

test("a page that was frozen opens its stream again, and one that is closed listens to nothing", async () => {
  const { stream, called, feed } = await openStream()
  await stream.receive("said", 1, "a-1")
  dispatch("resume")
  assert.ok(stream.isAborted)
  assert.equal(lastEventId(opened.at(-1)), "a-1")
  assert.deepEqual(called, [["said", 1, "a-1"]])
  feed.close()
  assert.deepEqual(listeners, [])
  open()
  dispatch("resume")
  assert.equal(opened.length, 3)
})

test("the end of an outage of the network ends a wait", async () => {
  const { stream, called } = await openStream()
  dispatch("online")
  assert.equal(opened.length, 1)
  await stream.end()
  assert.equal(called.at(-1)[0], "error")
  dispatch("online")
  assert.equal(opened.length, 2)
})

test("a handler that throws neither ends the stream nor is passed over in silence", async () => {
  globalThis.fetch = (url, init) => new FakeStream(String(url), init).response
  const said = []
  live("/feed", { said(text) { said.push(text); if (text === 1) throw new Error("a mistake of the page") } })
  await opened[0].respond()
  await opened[0].write("event: said\ndata: 1\n\nevent: said\ndata: 2\n\n")
  assert.deepEqual(said, [1, 2])
  assert.throws(() => mock.timers.tick(1), /a mistake of the page/)
})

test("cookies and headers go with the request of a stream", async () => {
  const { stream } = await openStream("/feed", { withCredentials: true, headers: { authorization: "Bearer x" } })
  const { credentials, headers, cache } = stream.init
  assert.deepEqual([credentials, cache], ["include", "no-store"])
  assert.deepEqual(headers, { accept: "text/event-stream", authorization: "Bearer x" })
  assert.equal((await openStream()).stream.init.credentials, "same-origin")
})

// Gives out tickets, or what the test says.
function issueTickets(issue) {
  const asked = []
  globalThis.fetch = (url, init) => {
    if (init.method !== "POST") return new FakeStream(String(url), init).response
    asked.push([url, init.body, init.credentials])
    return Promise.resolve(issue(asked.length))
  }
  return asked
}
const ticket = (number) => ({ ok: true, status: 200, text: async () => `ticket-${number}` })

test("each connection has a fresh ticket, over both transports", async () => {
  const asked = issueTickets(ticket)
  const called = []
  live("/rooms/a%20b?x=1", { error: (...values) => called.push(["error", ...values]) }, { ticket: "/ticket" })
  await settle()
  assert.equal(opened[0].url, "http://localhost/rooms/a%20b?x=1&ticket=ticket-1")
  await opened[0].respond()
  await opened[0].receive("said", 1, "a-1")
  await opened[0].end()
  assert.equal((await reopenStream(called)).url, "http://localhost/rooms/a%20b?x=1&ticket=ticket-2&last_event_id=a-1")
  connect({ ws: true, ticket: "/ticket" })
  assert.equal(opened.length, 2)
  await settle()
  assert.equal(opened[2].url, "ws://localhost/feed?ticket=ticket-3")
  assert.deepEqual(asked, [["/ticket", "/rooms/a%20b", "same-origin"], ["/ticket", "/rooms/a%20b", "same-origin"], ["/ticket", "/feed", "same-origin"]])
})

test("a ticket that is refused, late or lost is asked for again", async () => {
  const issues = [() => ({ ok: false, status: 401, text: async () => "" }), () => Promise.reject(new TypeError("no network")), () => new Promise(() => {}), ticket]
  issueTickets((number) => issues[number - 1](number))
  connect({ ws: true, ticket: "/ticket" })
  await settle()
  assert.deepEqual(lost.map(({ reason }) => reason), [401])
  mock.timers.tick(lost.at(-1).wait + 1)
  await settle()
  assert.deepEqual(lost.map(({ reason }) => reason), [401, "refused"])
  mock.timers.tick(lost.at(-1).wait + 1)
  await settle()
  mock.timers.tick(30_001)
  assert.deepEqual(lost.map(({ reason }) => reason), [401, "refused", "refused"])
  mock.timers.tick(lost.at(-1).wait + 1)
  await settle()
  assert.deepEqual(opened.map(({ url }) => url), ["ws://localhost/feed?ticket=ticket-4"])
})

test("a feed that is closed while it asks for a ticket opens nothing", async () => {
  issueTickets(ticket)
  const feed = connect({ ws: true, ticket: "/ticket" })
  assert.equal(feed.send({}), false)
  feed.close()
  await settle()
  mock.timers.tick(100_000)
  assert.deepEqual([opened, lost], [[], []])
})

test("a finished WebSocket is told once, and nothing comes back", () => {
  for (const event of [{ id: "a-4", event: "tornadose:finished", data: {} }, null]) {
    const called = []
    const { feed, socket } = open({ "tornadose:finished": (...values) => called.push(values), error: () => called.push("error") })
    const sockets = opened.length
    socket.receive({ id: "a-3", event: "tornadose:finished", data: { key: 7 } })
    if (event) socket.receive(event)
    socket.onclose({ code: 1000, reason: "finished" }) // all that comes where the page had everything before
    mock.timers.tick(100_000)
    assert.deepEqual(called, [[{ key: 7 }, "a-3"], [{}, event ? "a-4" : "a-3"]])
    assert.equal(opened.length, sockets)
    assert.equal(feed.send({}), false)
  }
})

test("an ephemeral message does not move the id with which a WebSocket returns", () => {
  const called = []
  const { socket } = open({ said: (...values) => called.push(values), typing: (...values) => called.push(values) })
  socket.receive({ id: "a-1", event: "said", data: "hi" })
  socket.receive({ event: "typing", data: "ada" })
  assert.deepEqual(called, [["hi", "a-1"], ["ada", ""]])
  socket.fail({ withClose: true })
  mock.timers.tick(100_000)
  assert.equal(new URL(opened.at(-1).url).searchParams.get("last_event_id"), "a-1")
})

test("an ephemeral message does not move the id with which a stream of server-sent events returns", async () => {
  const { stream, called } = await openStream()
  await stream.receive("said", 1, "a-1")
  await stream.receive("typing", 2)
  await stream.end()
  assert.equal(lastEventId(await reopenStream(called)), "a-1")
})

test("events of the server that are named as this script's own are not mixed up with them", () => {
  const called = []
  const { socket } = open({ open: () => called.push("open"), error: () => called.push("error") })
  socket.receive({ id: "a-1", event: "open", data: 1 })
  socket.receive({ id: "a-2", event: "error", data: 1 })
  assert.deepEqual(called, ["open"])
})

// The texts about keys that a socket was sent.
const keyTexts = (socket) => socket.sent.filter((text) => Object.keys(text).some((name) => name.endsWith("watch")))

// Loses the connection, and returns the next one, open.
function reopen() {
  opened.at(-1).onclose({ code: 1006, reason: "" })
  mock.timers.tick(lost.at(-1).wait + 1)
  const socket = opened.at(-1)
  socket.open()
  return socket
}

test("a watched key is delivered, and watched again after a loss since the newest id", () => {
  const said = []
  const { feed, socket } = open({ trade: (data, id) => said.push([data, id]) })
  feed.watch("A")
  feed.watch("A")
  assert.deepEqual(keyTexts(socket), [{ "tornadose:watch": ["A"] }])
  socket.receive({ at: "e-1", key: "A", event: "trade", data: 1 })
  socket.receive({ id: "e-2" })
  socket.receive({ event: "tornadose:watching", data: { keys: ["A"] } })
  socket.receive({ id: "e-3", event: "trade", data: 2 })
  assert.deepEqual(said, [[1, ""], [2, "e-3"]])
  const next = reopen()
  assert.equal(new URL(next.url).searchParams.get("last_event_id"), "e-3")
  assert.deepEqual(keyTexts(next), [{ "tornadose:watch": ["A"], since: "e-3" }])
})

test("a key that is not confirmed is watched again since what came of it, whatever id has come", () => {
  const { feed, socket } = open()
  feed.watch("A")
  feed.watch("B")
  socket.receive({ id: "e-9" })
  socket.receive({ at: "e-4", key: "A", event: "trade", data: 1 })
  const second = reopen()
  assert.deepEqual(keyTexts(second), [{ "tornadose:watch": ["A"], since: "e-4" }, { "tornadose:watch": ["B"], since: "" }])
  second.receive({ id: "e-10" })
  second.receive({ event: "tornadose:watching", data: { keys: ["A"] } })
  second.receive({ id: "e-11" })
  assert.deepEqual(keyTexts(reopen()), [{ "tornadose:watch": ["A"], since: "e-11" }, { "tornadose:watch": ["B"], since: "" }])
})

test("a key that was confirmed keeps the id of the loss until it is confirmed again", () => {
  const { feed, socket } = open()
  feed.watch("A")
  socket.receive({ id: "e-1" })
  socket.receive({ event: "tornadose:watching", data: { keys: ["A"] } })
  const second = reopen()
  second.receive({ id: "e-5" }) // the position of the new connection, before it has the key
  assert.deepEqual(keyTexts(reopen()), [{ "tornadose:watch": ["A"], since: "e-1" }])
})

test("a key that is reset has nothing to go on after, unless something comes with a place", () => {
  const { feed, socket } = open()
  feed.watch("A")
  feed.watch("B")
  socket.receive({ event: "said", data: 1, at: "e-1", key: "A" })
  socket.receive({ event: "said", data: 1, at: "e-2", key: "B" })
  for (const key of ["A", "B"]) socket.receive({ event: "tornadose:reset", data: { key } })
  socket.receive({ event: "said", data: 2, at: "e-3", key: "B" })
  assert.deepEqual(keyTexts(reopen()), [{ "tornadose:watch": ["A"], since: "" }, { "tornadose:watch": ["B"], since: "e-3" }])
})

test("an unwatched key is not watched again, and an old confirmation is not taken for that of a new watch", () => {
  const { feed, socket } = open()
  feed.watch("A")
  feed.unwatch("A")
  feed.unwatch("A")
  feed.watch("A")
  assert.deepEqual(keyTexts(socket).map((text) => Object.keys(text)[0]), ["tornadose:watch", "tornadose:unwatch", "tornadose:watch"])
  socket.receive({ at: "e-1", key: "A", event: "trade", data: 1 })
  socket.receive({ id: "e-2" })
  socket.receive({ event: "tornadose:watching", data: { keys: ["A"] } })
  socket.receive({ event: "tornadose:unwatched", data: { keys: ["A"] } })
  const second = reopen()
  assert.deepEqual(keyTexts(second), [{ "tornadose:watch": ["A"], since: "" }])
  feed.unwatch("A")
  assert.deepEqual(keyTexts(reopen()), [])
})

test("a refused key is reported and not watched again", () => {
  const errors = []
  const { feed, socket } = open({ "tornadose:error": (error) => errors.push(error) })
  feed.watch("SECRET")
  socket.receive({ event: "tornadose:error", data: { reason: "no", key: "SECRET" } })
  assert.deepEqual(errors, [{ reason: "no", key: "SECRET" }])
  assert.deepEqual(keyTexts(reopen()), [])
})

test("keys of several fields are the same in any order, and are watched once the connection is open", () => {
  const feed = connect(), socket = opened.at(-1)
  feed.watch({ room: "a", floor: 1 })
  feed.watch({ floor: 1, room: "a" })
  assert.deepEqual(keyTexts(socket), [])
  socket.open()
  assert.deepEqual(keyTexts(socket), [{ "tornadose:watch": [{ room: "a", floor: 1 }], since: "" }])
  socket.receive({ id: "e-1" })
  socket.receive({ event: "tornadose:watching", data: { keys: [{ floor: 1, room: "a" }] } })
  assert.deepEqual(keyTexts(reopen())[0].since, "e-1")
})

test("a list within a key is the same however its objects are ordered", () => {
  const { feed, socket } = open()
  feed.watch([{ floor: 1, room: "a" }])
  socket.receive({ id: "e-1" })
  socket.receive({ event: "tornadose:watching", data: { keys: [[{ room: "a", floor: 1 }]] } })
  assert.deepEqual(keyTexts(reopen())[0].since, "e-1")
})

test("many keys are watched again in several texts", () => {
  const { feed, socket } = open()
  const keys = Array.from({ length: 120 }, (_, number) => number)
  const long = Array.from({ length: 20 }, (_, number) => `${number}${"€".repeat(1_500)}`)
  for (const key of [...keys, ...long, "x".repeat(20_000)]) feed.watch(key)
  socket.receive({ id: "e-1" })
  socket.receive({ event: "tornadose:watching", data: { keys: long } })
  const texts = keyTexts(reopen())
  assert.deepEqual(texts.filter(({ since }) => !since).map((text) => text["tornadose:watch"].length).sort(), [1, 20, 50, 50])
  assert.deepEqual(texts.flatMap((text) => text["tornadose:watch"]).length, 141)
  for (const text of texts.filter(({ since }) => since)) assert.ok(new Blob([JSON.stringify(text)]).size < 65_536)
  assert.deepEqual(texts.filter(({ since }) => since).flatMap((text) => text["tornadose:watch"]), long)
})
