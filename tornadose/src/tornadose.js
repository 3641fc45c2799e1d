// Live events from a Tornadose server. A classic script: `<script src="/tornadose.js"></script>` defines `live`.
//
//   const feed = live("/rooms/1?user=ada", {
//     said(data, id) {},                   // an event, by its name; `data` is parsed when it is JSON
//     message(data, id) {},                // an event without a name
//     "tornadose:gap"(gap) {},             // messages were missed: { reason, missed }
//     "tornadose:error"(error) {},         // the server did not take what was sent: { reason }
//     open() {}, error(loss) {},           // connected; lost: { reason, wait }, back in `wait` ms if it is said
//   }, { ws: true })                       // without `ws` over Server-Sent Events; also `protocols`, `withCredentials`
//   feed.send({ type: "say", text: "hi" }) // as JSON over the WebSocket; false when no connection takes it
//   feed.close()
//
// A lost connection comes back and goes on behind the last id: nothing is missed in between, or the gap is told. What a
// page cannot know: why it was refused (401 and 502 look alike: it tries again, ever less often); whether a silent SSE
// line is dead, for keep-alives are not shown to scripts. Nor are a WebSocket's pings, but the server's position comes
// with them: from the first one on, silence is telling. An id alone on SSE is not shown either; the browser keeps it
// for its own reconnects, and ours go on behind the last event instead, which brings the same.
"use strict"

function live(path, handlers, options = {}) {
  const SHORTEST = 1_000, LONGEST = 30_000, KEEP_ALIVE = 15_000
  let line = null, last = "" // the EventSource or WebSocket; the newest id
  let opened = 0 // when the line stood; 0 before
  let failures = 0 // since one last stood for a while
  let next, silence // timers: of the next try; of finding a WebSocket dead

  const tell = (name, ...values) => Object.hasOwn(handlers, name) && handlers[name](...values)
  const online = () => line ?? start() // the network is back: no reason to wait

  function start() {
    stop()
    const url = new URL(path, document.baseURI)
    if (last) url.searchParams.set("last_event_id", last)
    opened = 0
    line = options.ws ? socket(url.href.replace(/^http/, "ws")) : source(url.href)
    line.onopen = () => { opened = Date.now(); tell("open") }
  }

  function stop() {
    next = clearTimeout(next)
    silence = clearTimeout(silence)
    const old = line
    line = null // so that its last words are not taken for a loss
    old?.close()
  }

  function close() {
    removeEventListener("online", online)
    stop()
  }

  // Back soon at first, then later and later; never in step with the others that were lost at the same moment.
  function lost(reason, longest = false) {
    if (opened && Date.now() - opened > KEEP_ALIVE) failures = 0
    const wait = (longest ? LONGEST : Math.min(LONGEST, SHORTEST * 2 ** failures++)) * (0.5 + Math.random())
    stop()
    next = setTimeout(start, wait)
    tell("error", { reason, wait })
  }

  function source(url) {
    const events = new EventSource(url, options)
    const take = ({ type, data, lastEventId }) => {
      if (lastEventId) last = lastEventId
      try { data = JSON.parse(data) } catch { /* it is text */ }
      tell(type, data, lastEventId)
    }
    for (const name of Object.keys(handlers)) if (!["open", "error"].includes(name)) events.addEventListener(name, take)
    // A line that is cut the browser reopens, when the server said; after an answer that is no stream it never would.
    events.onerror = () => events.readyState === 2 ? lost("refused") : tell("error", { reason: "cut", wait: null })
    return events
  }

  function socket(url) {
    const ws = new WebSocket(url, options.protocols ?? [])
    let pinged = Date.now(), longest = KEEP_ALIVE // between two positions, as far as seen
    ws.onmessage = ({ data: frame }) => {
      const { id = "", event = "message", data } = JSON.parse(frame)
      if (id) last = id
      const now = Date.now(), ping = data === undefined && now - opened > SHORTEST // the opening brings a position too
      if (ping) [longest, pinged] = [Math.max(longest, now - pinged), now]
      clearTimeout(silence)
      if (ping || silence) silence = setTimeout(lost, 2.5 * longest, "silent")
      if (data !== undefined) tell(event, data, id)
    }
    // 1008 refuses: a later try may be admitted, a quick one not. 1000 and an application's own codes are for good.
    ws.onclose = ({ code, reason }) => {
      if (ws !== line) return
      if (code !== 1000 && code < 4000) return lost(reason || code, code === 1008)
      close()
      tell("error", { reason: reason || code, wait: Infinity })
    }
    return ws
  }

  const send = (value) => line?.readyState === 1 && (line.send(JSON.stringify(value)), true)
  addEventListener("online", online)
  start()
  return options.ws ? { send, close } : { close }
}
