// Live events from a Tornadose server. A classic script: `<script src="/tornadose.js"></script>` defines `live`.
//
//   const feed = live("/rooms/1?user=ada", {
//     said(data, id) {},                   // an event, by its name; `data` is parsed when it is JSON
//     message(data, id) {},                // an event without a name
//     "tornadose:gap"(gap) {},             // messages were lost: { reason, missed }
//     "tornadose:expired"(value) {},       // a value was not renewed in time: { key, slot, event }
//     "tornadose:reset"(reset) {},         // the whole state follows: clear the page's, {}; or that of one key: { key }
//     "tornadose:finished"(finish) {},     // nothing more will come: {}; or of one of several keys: { key }
//     "tornadose:error"(error) {},         // the server did not accept what was sent: { reason }; or a key: { reason, key }
//     "tornadose:watching"({ keys }) {},   // what was kept of these keys has come
//     open() {}, error(loss) {},           // connected; disconnected: { reason, wait }, tried again in `wait` ms
//   }, { ws: true })                       // without `ws` over Server-Sent Events; also `protocols`, `withCredentials`
//   feed.send({ type: "say", text: "hi" }) // as JSON over the WebSocket; false when no connection is open
//   const id = await feed.ask({ type: "say", text: "hi" }, { timeout: 10_000 }) // resolves with the reply
//   feed.watch("AAPL")                     // over the WebSocket: what is kept of the key, then what comes; kept up after a loss
//   feed.unwatch("AAPL")
//   feed.close()
//
// `ask` waits for the connection, within its timeout. It rejects with an `AskError` { code, message }. The code is
// "refused" (the server's reason, or no connection any more), "timeout", or "lost": it was sent and the connection was
// lost, so that nobody knows whether it was handled. Nothing is sent twice.
//
// A lost connection is opened again and resumes after the last id: nothing is lost, or a gap is reported. A page
// cannot know why it was refused (401 and 502 look alike), so it tries again, after longer and longer waits. Nor can
// it know whether a silent SSE connection is dead. Over a WebSocket the server's position comes with each ping: once
// one was seen, silence means a dead connection. Scripts do not see an id alone on SSE: ours resume after an event.
"use strict"

class AskError extends Error {
  constructor(code, message) {
    super(message)
    Object.assign(this, { name: "AskError", code })
  }
}

function live(path, handlers, options = {}) {
  const SHORTEST = 1_000, LONGEST = 30_000, KEEP_ALIVE = 15_000 // ms
  const KEYS_MAX = 50, LENGTH_MAX = 16_000 // of a text that watches again; characters, of up to 3 bytes
  const CLOSED = "the connection is closed", FINISHED = "tornadose:finished"
  let connection = null, lastId = "" // an EventSource or WebSocket; the newest id
  let openedAt = 0, failures = 0 // 0 until the connection opens; since a connection last held for a moment
  let retryTimer, silenceTimer // for the next try; for a WebSocket that is silent
  let isClosed = false // for good
  const asks = new Map() // by number, those without an answer
  const watched = new Map() // by the JSON of the key: { key, since, isConfirmed }; until it is confirmed it has its own id
  const ending = new Map() // by the JSON of the key, how many unwatches are not confirmed: what comes is of an earlier watch

  const call = (name, ...values) => Object.hasOwn(handlers, name) && handlers[name](...values)
  const isEvent = (name) => name !== "open" && name !== "error"
  const isLast = (name, data) => name === FINISHED && data?.key === undefined // of several keys each has its own
  const onOnline = () => connection ?? connect() // the network is back: no reason to wait

  function connect() {
    disconnect()
    const url = new URL(path, document.baseURI)
    if (lastId) url.searchParams.set("last_event_id", lastId)
    openedAt = 0
    try {
      connection = options.ws ? openWebSocket(url.href.replace(/^http/, "ws")) : openEventSource(url.href)
    } catch (error) { // Firefox throws where the page's CSP forbids the address, Chromium reports a failure
      if (error.name !== "SecurityError") throw error
      return void (retryTimer = setTimeout(onLoss, 0, "refused"))
    }
    connection.onopen = () => { openedAt = Date.now(); watchAgain(); sendAsks(); call("open") }
  }

  function disconnect() {
    retryTimer = clearTimeout(retryTimer)
    silenceTimer = clearTimeout(silenceTimer)
    const old = connection
    connection = null // so that its close event is not taken for a loss
    old?.close()
    for (const ask of asks.values()) if (ask.isSent) ask.fail("lost", "the connection was lost before the answer")
  }

  function close() {
    removeEventListener("online", onOnline)
    isClosed = true
    disconnect()
    for (const ask of asks.values()) ask.fail("refused", CLOSED)
  }

  // Nothing comes after the last event of the server. The page had it before, or has it now.
  function finish(data = {}) {
    close()
    call(FINISHED, data, lastId)
  }

  // Tries again soon at first, then after longer waits. Jitter keeps clients apart that were lost at the same moment.
  function onLoss(reason, longest = false) {
    if (openedAt && Date.now() - openedAt >= SHORTEST) failures = 0
    const wait = (longest ? LONGEST : Math.min(LONGEST, SHORTEST * 2 ** failures++)) * (0.5 + Math.random())
    disconnect()
    retryTimer = setTimeout(connect, wait)
    call("error", { reason, wait })
  }

  function openEventSource(url) {
    const events = new EventSource(url, options)
    const deliver = ({ type, data, lastEventId }) => {
      if (lastEventId) lastId = lastEventId
      try { data = JSON.parse(data) } catch { /* it is text */ }
      if (isLast(type, data)) finish(data)
      else call(type, data, lastEventId)
    }
    const names = new Set([...Object.keys(handlers), FINISHED])
    for (const name of [...names].filter(isEvent)) events.addEventListener(name, deliver)
    // A connection that was cut is reopened by the browser. After a response that is not a stream it never would be: an
    // error, or 204 for a page whose id says that it has everything, which `EventSource` does not tell apart.
    events.onerror = async () => {
      if (events.readyState !== 2) return call("error", { reason: "cut", wait: null })
      const request = { method: "HEAD", credentials: options.withCredentials ? "include" : "same-origin" }
      const hasId = url.includes("last_event_id="), answer = hasId && await fetch(url, request).catch(() => {})
      if (events !== connection) return
      if (answer?.status === 204) finish()
      else onLoss("refused")
    }
    return events
  }

  function openWebSocket(url) {
    const ws = new WebSocket(url, options.protocols ?? [])
    let pingedAt = Date.now(), longest = KEEP_ALIVE // the longest time between two positions so far
    ws.onmessage = ({ data: frame }) => {
      const { id = "", event = "message", data, ask, at, key } = JSON.parse(frame)
      if (id) lastId = id
      if (at) withWatched(key, (watch) => { watch.since = at }) // a place in the past of the key, and no position
      trackKeys(event, data)
      const now = Date.now(), ping = data === undefined && now - openedAt > SHORTEST // the first comes with no ping
      if (ping) [longest, pingedAt] = [Math.max(longest, now - pingedAt), now]
      clearTimeout(silenceTimer)
      if (ping || silenceTimer) silenceTimer = setTimeout(onLoss, 2.5 * longest, "silent")
      if (ask !== undefined) answer(asks.get(ask), event, data) // unknown when it was given up
      else if (isLast(event, data)) finish(data)
      else if (data !== undefined) call(event, data, id)
    }
    ws.onerror = () => ws.readyState === 3 && ws.onclose({ code: 1006 }) // a forbidden address has no close event
    // 1008 is a refusal: a later try may be admitted, a quick one not. 1000 and an application's own codes are final.
    ws.onclose = ({ code, reason }) => {
      if (ws !== connection) return
      if (code !== 1000 && code < 4000) return onLoss(reason || code, code === 1008)
      if (code === 1000 && reason === "finished") return finish()
      close()
      call("error", { reason: reason || code, wait: Infinity })
    }
    return ws
  }

  const sendText = (text) => connection?.readyState === 1 && (connection.send(text), true)
  const send = (value) => sendText(JSON.stringify(value))

  function ask(value = null, { timeout = 10_000 } = {}) {
    return new Promise((resolve, reject) => {
      if (isClosed) throw new AskError("refused", CLOSED)
      const number = ++live.asks // of all connections of the page
      const text = JSON.stringify({ "tornadose:ask": number, data: value })
      const end = (settle, value) => { clearTimeout(timer); asks.delete(number); settle(value) }
      const fail = (code, message) => end(reject, new AskError(code, message))
      const expire = () => fail("timeout", `no answer within ${timeout} ms`)
      const timer = timeout < 2 ** 31 && setTimeout(expire, timeout) // a longer one would end at once
      asks.set(number, { text, fail, reply: (data) => end(resolve, data), isSent: false })
      sendAsks()
    })
  }

  function sendAsks() {
    for (const ask of asks.values()) ask.isSent ||= sendText(ask.text)
  }

  function answer(ask, event, data) {
    if (event === "tornadose:reply") ask?.reply(data)
    else if (event === "tornadose:error") ask?.fail("refused", data.reason)
  }

  const sorted = (value) => value !== Object(value) ? value : Array.isArray(value) ? value.map(sorted)
    : Object.fromEntries(Object.entries(value).sort().map(([name, part]) => [name, sorted(part)]))
  const textOf = (key) => JSON.stringify(sorted(key)) // equal for equal keys

  function watch(key) {
    if (watched.has(textOf(key))) return
    watched.set(textOf(key), { key, since: "", isConfirmed: false })
    send({ "tornadose:watch": [key] })
  }

  function unwatch(key) {
    const text = textOf(key)
    if (watched.delete(text) && send({ "tornadose:unwatch": [key] })) ending.set(text, (ending.get(text) ?? 0) + 1)
  }

  function withWatched(key, change) {
    const text = textOf(key)
    if (watched.has(text) && !ending.get(text)) change(watched.get(text), text)
  }

  // The newest id covers the keys that are confirmed. Any other is watched since what the page has of it. A text of many
  // keys could be longer than the server allows.
  function watchAgain() {
    const groups = new Map() // by since: { keys, length }
    const sendGroup = ({ keys }, since) => send({ "tornadose:watch": keys, since })
    ending.clear()
    for (const watch of watched.values()) {
      if (watch.isConfirmed) Object.assign(watch, { since: lastId, isConfirmed: false })
      const { key, since } = watch, { length } = JSON.stringify(key)
      let group = groups.get(since) ?? { keys: [], length: 0 }
      if (group.keys.length === KEYS_MAX || group.length + length > LENGTH_MAX) {
        if (group.keys.length) sendGroup(group, since)
        group = { keys: [], length: 0 }
      }
      groups.set(since, { keys: [...group.keys, key], length: group.length + length })
    }
    groups.forEach(sendGroup)
  }

  function trackKeys(event, data) {
    // The page has nothing of the key any more, so it cannot go on after it.
    if (event === "tornadose:reset" && "key" in data) withWatched(data.key, (watch) => { watch.since = "" })
    if (event === "tornadose:watching") for (const key of data.keys) withWatched(key, (watch) => { watch.isConfirmed = true })
    if (event === "tornadose:unwatched") for (const key of data.keys) ending.set(textOf(key), ending.get(textOf(key)) - 1)
    if (event === "tornadose:error" && "key" in data) withWatched(data.key, (_, text) => watched.delete(text))
  }

  addEventListener("online", onOnline)
  connect()
  return options.ws ? { send, ask, watch, unwatch, close } : { close }
}
live.asks = 0
