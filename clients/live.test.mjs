// How `live` of tornadose.js loses and finds its connection, with a browser's parts faked and virtual time:
// `node --test clients/live.test.mjs`. It needs no packages.
import assert from "node:assert/strict"
import { readFileSync } from "node:fs"
import { beforeEach, mock, test } from "node:test"

const SOURCE = readFileSync(new URL("../tornadose/src/tornadose.js", import.meta.url), "utf8")
const live = new Function(`${SOURCE}\nreturn live`)()

let opened = [] // every WebSocket so far
let lost = [] // every call of `error`
let onConnect = () => {} // what happens to a new WebSocket

class FakeWebSocket {
  readyState = 0

  constructor(url) {
    this.url = url
    opened.push(this)
    onConnect(this)
  }

  open() {
    this.readyState = 1
    this.onopen()
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

function connect(options = { ws: true }) {
  return live("/feed", { error: (loss) => lost.push({ ...loss, at: Date.now() }) }, options)
}

beforeEach(() => {
  mock.timers.reset()
  mock.timers.enable({ apis: ["setTimeout", "Date"], now: 1_000_000 })
  mock.method(Math, "random", () => 0.999)
  opened = []
  lost = []
  onConnect = () => {}
  Object.assign(globalThis, {
    WebSocket: FakeWebSocket, document: { baseURI: "http://localhost/" },
    addEventListener() {}, removeEventListener() {},
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
