// Live events from a Tornadose server: https://docs.rs/tornadose/latest/tornadose/fn.script.html
//
//   const feed = live("/rooms/1", {
//     said(data, id) {},             // an event, by its name; `data` is parsed when it is JSON
//     message(data, id) {},          // an event without a name
//     "tornadose:gap"(gap) {},       // and "tornadose:reset", "tornadose:finished", "tornadose:error" …
//     open() {}, error(loss) {},     // connected; disconnected: { reason, wait }, tried again in `wait` ms
//   }, { ws, protocols, withCredentials, headers, ticket, share })
//   feed.send(value), feed.watch(key), feed.unwatch(key), await feed.ask(value, { timeout }) // with { ws: true }
//   feed.close()
"use strict"

class AskError extends Error {
  constructor(code, message) {
    super(message)
    Object.assign(this, { name: "AskError", code })
  }
}

function live(path, handlers, options = {}) {
  const SHORTEST = 1_000, LONGEST = 30_000, KEEP_ALIVE = 15_000, ANSWER = 5_000 // ms
  const KEYS_MAX = 50, LENGTH_MAX = 16_000 // of a text that watches again; characters, of up to 3 bytes
  const CLOSED = "the connection is closed"
  const FINISHED = "tornadose:finished", RESET = "tornadose:reset", WATCHING = "tornadose:watching", ERROR = "tornadose:error"
  const credentials = options.withCredentials ? "include" : "same-origin"

  const call = (name, ...values) => {
    try {
      if (Object.hasOwn(handlers, name)) handlers[name](...values.filter((value) => value !== undefined))
    } catch (error) {
      setTimeout(() => { throw error }) // as of an event listener: the next event is delivered all the same
    }
  }
  const isLast = (name, data) => name === FINISHED && data?.key === undefined // of several keys each has its own
  const sorted = (value) => value !== Object(value) ? value : Array.isArray(value) ? value.map(sorted)
    : Object.fromEntries(Object.entries(value).sort().map(([name, part]) => [name, sorted(part)]))
  const textOf = (key) => JSON.stringify(sorted(key)) // equal for equal keys

  // Questions without an answer. `transmit` sends one, and returns whether it could.
  function openAsks(transmit) {
    const asks = new Map() // by number
    let isClosed = false
    const send = (ask, number) => { ask.isSent ||= transmit(number, ask.text, ask.until - Date.now()) }
    return {
      ask: (value = null, { timeout = 10_000 } = {}) => new Promise((resolve, reject) => {
        if (isClosed) throw new AskError("refused", CLOSED)
        const number = ++live.asks // of all connections of the page
        const settle = (end, value) => { clearTimeout(timer); asks.delete(number); end(value) }
        const fail = (code, message) => settle(reject, new AskError(code, message))
        const ask = { text: JSON.stringify(value), until: Date.now() + timeout, fail, reply: (data) => settle(resolve, data) }
        const timer = timeout < 2 ** 31 // a longer one would end at once
          && setTimeout(() => fail("timeout", `no answer within ${timeout} ms`), timeout)
        asks.set(number, ask)
        send(ask, number)
      }),
      sendAll: () => asks.forEach(send),
      get: (number) => asks.get(number), // unknown when it was given up
      lose: () => asks.forEach((ask) => ask.isSent && ask.fail("lost", "the connection was lost before the answer")),
      close: () => {
        isClosed = true
        asks.forEach((ask) => ask.fail("refused", CLOSED))
      },
    }
  }

  // A connection that is opened again until it is closed, and resumes after the newest id. `emit` gets each event, and
  // each new position as an event without data. `watched` has the watched keys by their JSON: { key, since,
  // isConfirmed }; until one is confirmed it has its own id.
  function connect(emit, lastId = "", watched = new Map()) {
    let connection = null // a stream or WebSocket; while a ticket is asked for, something else
    let openedAt = 0, failures = 0, retry = 0 // 0 until it opens; since one last held for a moment; ms, as the server says
    let retryTimer, retryAt, silenceTimer // for the next try; for a connection that is silent
    let pingedAt, longest // the longest time between two signs of life of an idle server
    const ending = new Map() // by the JSON of the key, how many unwatches are not confirmed: what comes is of an earlier watch
    const asks = openAsks((number, text) => sendText(`{"tornadose:ask":${number},"data":${text}}`))
    const listening = new AbortController()

    function open() {
      drop()
      openedAt = 0
      const url = new URL(path, document.baseURI)
      if (!options.ticket) return openAt(url)
      const abort = new AbortController(), attempt = connection = { close: () => abort.abort() }
      silenceTimer = setTimeout(onLoss, LONGEST, "refused")
      const { headers } = options, { signal } = abort
      const response = fetch(options.ticket, { method: "POST", body: url.pathname, credentials, headers, signal })
      response.then(async (response) => {
        const ticket = await response.text()
        if (attempt !== connection) return
        if (!response.ok) return onLoss(response.status)
        url.searchParams.set("ticket", ticket)
        openAt(url)
      }).catch(() => attempt === connection && onLoss("refused"))
    }

    function openAt(url) {
      if (lastId) url.searchParams.set("last_event_id", lastId)
      clearTimeout(silenceTimer)
      ;[silenceTimer, pingedAt, longest] = [undefined, Date.now(), KEEP_ALIVE]
      try {
        connection = options.ws ? openWebSocket(url.href.replace(/^http/, "ws")) : openStream(url.href)
      } catch (error) { // Firefox throws where the page's CSP forbids the address, Chromium reports a failure
        if (error.name !== "SecurityError") throw error
        retryTimer = setTimeout(onLoss, 0, "refused")
      }
    }

    function onOpen() {
      openedAt = Date.now()
      watchAgain()
      asks.sendAll()
      emit("open")
    }

    function drop() {
      clearTimeout(retryTimer)
      clearTimeout(silenceTimer)
      const old = connection
      connection = null // so that its end is not taken for a loss
      old?.close()
      asks.lose()
    }

    function close() {
      listening.abort()
      drop()
      asks.close()
    }

    // Nothing comes after the last event of the server. The page had it before, or has it now.
    function finish(data = {}) {
      close()
      emit(FINISHED, data, lastId)
    }

    // Tries again soon at first, then after longer waits. Jitter keeps clients apart that were lost at the same moment.
    function onLoss(reason, waitsLongest = false) {
      if (openedAt && Date.now() - openedAt >= SHORTEST) failures = 0
      const usual = waitsLongest ? LONGEST : Math.min(LONGEST, SHORTEST * 2 ** failures++)
      const wait = Math.max(usual, retry) * (0.5 + Math.random())
      drop()
      retryTimer = setTimeout(open, wait)
      retryAt = Date.now() + wait
      emit("error", { reason, wait })
    }

    // Once a sign of life was seen, silence means a dead connection.
    function onSign(isPing) {
      const now = Date.now()
      if (isPing) [longest, pingedAt] = [Math.max(longest, now - pingedAt), now]
      clearTimeout(silenceTimer)
      if (isPing || silenceTimer) silenceTimer = setTimeout(onLoss, 2.5 * longest, "silent")
    }

    function onFrame({ id, event = "message", data, ask, at, key }) {
      if (id) lastId = id
      if (at) withWatched(key, (watch) => { watch.since = at }) // a place in the past of the key, and no position
      trackKeys(event, data)
      if (ask === undefined && isLast(event, data)) return finish(data)
      const isNamed = data !== undefined && event !== "open" && event !== "error" // those two are told by this script
      const past = at && { key, at, isResumed: watched.get(textOf(key))?.isResumed }
      if (ask === undefined) return emit(isNamed ? event : "", data, id ?? "", past)
      if (event === "tornadose:reply") asks.get(ask)?.reply(data)
      if (event === ERROR) asks.get(ask)?.fail("refused", data.reason)
    }

    // Server-Sent Events, WHATWG HTML §9.2.6. An `EventSource` shows neither a status, nor a position, nor that the server lives.
    function openStream(url) {
      const abort = new AbortController(), stream = { close: () => abort.abort() }
      const headers = { accept: "text/event-stream", ...options.headers }
      const read = async () => {
        silenceTimer = setTimeout(onLoss, LONGEST, "refused")
        const { status, headers: found, body } = await fetch(url, { signal: abort.signal, credentials, headers, cache: "no-store" })
        if (stream !== connection) return
        silenceTimer = clearTimeout(silenceTimer)
        if (status === 204) return finish()
        if (status !== 200 || !found.get("content-type")?.startsWith("text/event-stream")) return onLoss(status)
        onOpen()
        const reader = body.getReader(), decoder = new TextDecoder()
        let rest = "", frame = {}, data = []
        for (;;) {
          const { value, done } = await reader.read()
          if (done || stream !== connection) break
          onSign(false)
          const lines = (rest + decoder.decode(value, { stream: true })).split(/\r\n|\n|\r(?!$)/)
          rest = lines.pop()
          for (const line of lines) {
            if (line) {
              const [, name, text] = /^([^:]*):? ?(.*)/s.exec(line)
              if (name === "data") data.push(text)
              else if (name === "retry" && /^\d+$/.test(text)) retry = +text
              else if (name) frame[name] = text
              else if (text === "keep-alive") onSign(true)
              continue
            }
            if (data.length) frame.data = data.join("\n")
            try { frame.data = JSON.parse(frame.data) } catch {} // it is text
            const { id, event, data: value } = frame
            ;[frame, data] = [{}, []]
            if (id || value !== undefined) onFrame({ id, event: event || undefined, data: value })
            if (stream !== connection) return
          }
        }
        if (stream === connection) onLoss("cut")
      }
      read().catch(() => stream === connection && onLoss(openedAt ? "cut" : "refused"))
      return stream
    }

    function openWebSocket(url) {
      const ws = new WebSocket(url, options.protocols ?? [])
      ws.onopen = onOpen
      ws.onmessage = ({ data: text }) => {
        const frame = JSON.parse(text)
        onSign(frame.data === undefined && Date.now() - openedAt > SHORTEST) // the first position comes with no ping
        onFrame(frame)
      }
      ws.onerror = () => ws.readyState === 3 && ws.onclose({ code: 1006 }) // a forbidden address has no close event
      // 1008 is a refusal: a later try may be admitted, a quick one not. 1000 and an application's own codes are final.
      ws.onclose = ({ code, reason }) => {
        if (ws !== connection) return
        if (code !== 1000 && code < 4000) return onLoss(reason || code, code === 1008)
        if (code === 1000 && reason === "finished") return finish()
        close()
        emit("error", { reason: reason || code, wait: Infinity })
      }
      return ws
    }

    const sendText = (text) => connection?.readyState === 1 && (connection.send(text), true)
    const send = (value) => sendText(JSON.stringify(value))

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
        if (watch.isConfirmed) Object.assign(watch, { since: lastId, isConfirmed: false, isResumed: true })
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
      if (event === RESET && "key" in data) withWatched(data.key, (watch) => { watch.since = "" })
      if (event === WATCHING) for (const key of data.keys) withWatched(key, (watch) => { watch.isConfirmed = true })
      if (event === "tornadose:unwatched") for (const key of data.keys) ending.set(textOf(key), ending.get(textOf(key)) - 1)
      if (event === ERROR && "key" in data) withWatched(data.key, (_, text) => watched.delete(text))
    }

    addEventListener("online", () => connection ?? open(), listening) // the network is back: no reason to wait
    if (!options.ws) document.addEventListener("resume", open, listening) // Chromium does not go on to read after a freeze
    open()
    // Browsers slow down the timers of a tab that is out of sight.
    const retryIfDue = () => connection || Date.now() < retryAt || open()
    return { send, ask: asks.ask, watch, unwatch, close, watched, retryIfDue, lastId: () => lastId }
  }

  // All tabs with equal address and options share one connection. The tab that holds a lock leads: it has the connection,
  // and tells the others what comes. The lock of a tab that is gone falls to the next, which resumes after the newest id
  // that it was told. A tab that joins opens a connection of its own until it is as far as the leader, one tab at a time.
  //
  // `tell` calls this tab's handlers; `follow` takes what the leader tells, and `hold` keeps it while the tab joins.
  function share() {
    const { locks } = navigator, watched = new Map() // of this tab
    const name = `tornadose ${textOf([new URL(path, document.baseURI).href, options])}`
    const asks = openAsks((number, text, timeout) => leader && (toLeader({ type: "ask", tab, number, text, timeout }, leader), true))
    let lastId = "", joinedAt = "" // the newest id; that from which on this tab has followed the leader
    let ahead = "" // the same, until the leader is as far
    const begun = new Set() // the keys whose past was told again since then
    let unplaced = [] // what the leader told without an id while this tab is ahead: it belongs to the next id
    let tab, channel, leader, isOpen // names of tabs; whether the leader is connected
    let led, own // the connection of the leader; that of a tab that joins
    let join // { number, position, buffer, end }: where the leader was, and what it has told since
    let queue, leave, timer, answerTimer // to end: the wait for the lock, the lock itself and the tab's own
    const listening = new AbortController() // until it is closed

    const toTab = (message) => message.to === tab ? onMessage(message) : channel?.postMessage(message)
    const toLeader = (message, to) => led ? serve(message) : channel?.postMessage({ ...message, to })
    const keys = () => [...watched.values()].map(({ key }) => key)
    // Whether an id is not before another of its epoch.
    const reaches = (id, other) => {
      const [epoch, major, minor = 0] = id.split(/[-.]/), [otherEpoch, otherMajor, otherMinor = 0] = other.split(/[-.]/)
      return epoch === otherEpoch && (major - otherMajor || minor - otherMinor) >= 0
    }

    function enter() {
      if (channel) return
      tab = crypto.randomUUID()
      channel = new BroadcastChannel(name)
      channel.onmessage = ({ data }) => (data.to ?? tab) === tab && onMessage(data)
      const held = leave = []
      timer = setInterval(check, ANSWER)
      locks.request(`${name} ${tab}`, () => new Promise((release) => {
        if (leave !== held) return release()
        leave.push(release)
        campaign()
        rejoin()
      })).catch(() => leave && lead()) // the page may not use locks: it has a connection of its own
    }

    function exit() {
      clearInterval(timer)
      answerTimer = clearTimeout(answerTimer)
      queue?.abort()
      queue = undefined
      endJoin()
      led?.close()
      channel?.close()
      leave?.forEach((release) => release())
      led = leader = channel = leave = undefined
      asks.lose()
    }

    function close() {
      listening.abort()
      exit()
      asks.close()
    }

    // Leads when the lock is free, or takes it from a leader that does not answer.
    function campaign(steal) {
      answerTimer = clearTimeout(answerTimer)
      queue?.abort()
      const attempt = queue = new AbortController()
      const hold = () => new Promise((release) => {
        if (queue !== attempt) return release()
        leave.push(release)
        lead()
      })
      locks.request(name, steal ? { steal } : { signal: queue.signal }, hold).catch((error) => {
        if (queue !== attempt) return
        if (error.name !== "AbortError") throw error // a mistake of the page
        led?.close() // another tab has taken the lock
        led = leader = undefined
        campaign()
        rejoin()
      })
    }

    // Asks the leader whether it is alive. A tab that nobody sees can wait.
    function check() {
      if (channel && !led && !document.hidden) join?.isAsking ? askToJoin() : expectAnswer({ type: "check", tab })
    }

    function expectAnswer(message) {
      if (!led) answerTimer ??= setTimeout(campaign, ANSWER * (1 + Math.random() / 2), true)
      toLeader(message)
    }

    function lead() {
      endJoin()
      answerTimer = clearTimeout(answerTimer)
      changeLeader(tab)
      followFrom("")
      const keysOf = new Map([[tab, new Set(watched.keys())]]), waiting = new Map() // by tab: its keys; those that join
      channel.postMessage({ type: "leader", leader: tab, position: lastId })
      led = connect((event, data, id, past) => {
        // Each tab gets the past of its keys by itself, but after a loss of this connection.
        const named = past ? !past.isResumed && [past.key] : event === WATCHING || event === "tornadose:unwatched" ? data.keys
          : event === ERROR && data.key !== undefined ? [data.key] : null
        if (named) {
          const mine = join ? [] : named.filter((key) => watched.has(textOf(key)))
          for (const key of mine) {
            if (past) watched.get(textOf(key)).since = past.at
            if (event === WATCHING) watched.get(textOf(key)).isConfirmed = true
            if (event === ERROR) watched.delete(textOf(key))
          }
          if (mine.length) call(event, past || event === ERROR ? data : { keys: mine }, id)
        } else {
          const message = { type: "event", leader: tab, event, data, id, past }
          channel?.postMessage(message)
          onMessage(message)
        }
        welcome()
      }, lastId, new Map([...watched].map(([text, watch]) => [text, { ...watch }])))
      Object.assign(led, { keysOf, waiting })
      asks.sendAll()
    }

    // Tells tabs that join where the leader is, once it has their keys.
    function welcome() {
      for (const [to, number] of led?.waiting ?? []) {
        const isReady = (text) => led.watched.get(text)?.isConfirmed ?? true // one that was refused is refused again
        if (!led.lastId() || ![...led.keysOf.get(to)].every(isReady)) continue
        led.waiting.delete(to)
        toTab({ type: "welcome", to, leader: tab, position: led.lastId(), number })
      }
    }

    // What a tab wants of the leader.
    function serve({ type, tab: to, keys, text, number, timeout }) {
      led.retryIfDue()
      if (to !== tab) toTab({ type: "alive", to, leader: tab, isOpen })
      if (keys) countKeys(to, keys)
      if (type === "join") { led.waiting.set(to, number); welcome() }
      if (type === "send") led.send(JSON.parse(text))
      if (type !== "ask") return
      led.ask(JSON.parse(text), { timeout }).then((data) => ({ data }), ({ code, message }) => ({ code, message }))
        .then((answer) => toTab({ type: "answer", to, number, ...answer }))
    }

    function countKeys(to, keys) {
      const { keysOf, waiting } = led
      const forget = () => {
        keysOf.delete(to)
        waiting.delete(to)
        if (led?.keysOf === keysOf) dropKeys()
      }
      if (!keysOf.has(to)) locks.request(`${name} ${to}`, forget).catch(() => {})
      keysOf.set(to, new Set(keys.map(textOf)))
      keys.forEach(led.watch)
      dropKeys()
    }

    function dropKeys() {
      for (const [text, { key }] of led.watched) if (![...led.keysOf.values()].some((texts) => texts.has(text))) led.unwatch(key)
    }

    // Questions to a leader that is gone are lost. Those that wait for one are sent.
    function changeLeader(next) {
      if (leader === next) return
      isOpen = false
      asks.lose()
      leader = next
    }

    function rejoin() {
      endJoin()
      const attempt = join = { number: ++live.asks, position: "", buffer: [], end() {} }
      const begin = () => new Promise((end) => {
        if (join !== attempt || join.isAsking) return end()
        Object.assign(join, { end, isAsking: true })
        askToJoin()
      })
      const wait = (options) => {
        if (join === attempt && !join.isAsking) locks.request(`${name} join`, options, begin).catch(({ name }) => name === "AbortError" && wait({}))
      }
      wait({})
      // The tab whose turn it is may be frozen.
      join.timer = setTimeout(wait, 2 * ANSWER * (1 + Math.random()), { steal: true })
    }

    const askToJoin = () => expectAnswer({ type: "join", tab, keys: keys(), number: join.number })

    function endJoin() {
      join?.end()
      clearTimeout(join?.timer)
      own?.close()
      join = own = undefined
    }

    // Ends the join when all that the leader told before has come by the own connection.
    function tryToFollow() {
      const hasKeys = [...watched.values()].every(({ isConfirmed }) => isConfirmed)
      if (!own || !join.position || !reaches(own.lastId(), join.position) || !hasKeys) return
      const { position, buffer } = join
      endJoin()
      followFrom(position)
      buffer.forEach(follow)
    }

    // Begins to follow a leader that is at a position. What it tells up to the newest id was told before.
    function followFrom(position) {
      joinedAt = lastId
      ahead = position === lastId ? "" : lastId
      unplaced = []
      begun.clear()
    }

    function onMessage(message) {
      const { type, position, id, event, number, data, code } = message
      if (type === "event") {
        if (message.leader !== leader) return
        if (event === "open" || event === "error") isOpen = event === "open"
        return join ? hold(message) : follow(message)
      }
      if (type === "answer") return code ? asks.get(number)?.fail(code, message.message) : asks.get(number)?.reply(data)
      if (!message.leader) return led && serve(message) // of a tab that does not lead
      if (led && message.leader !== tab) return // of a leader that does not know yet that it was replaced
      answerTimer = clearTimeout(answerTimer)
      const isNew = leader !== message.leader
      changeLeader(message.leader)
      if (type === "alive") isOpen = message.isOpen
      if (join) {
        if (isNew) Object.assign(join, { position: "", buffer: [] })
        if (isNew && join.isAsking) askToJoin()
        if (type === "welcome" && number === join.number) {
          Object.assign(join, { position, buffer: [] }) // the own connection brings what came before
          own ??= connect((event, data, id) => {
            tell({ event, data, id })
            tryToFollow()
          }, lastId, watched)
          tryToFollow()
        }
      } else if (isNew) {
        // What the last leader has told this tab, it may not have told the new one, and the other way around.
        if (type !== "leader" || watched.size || !reaches(lastId, position)) return rejoin()
        followFrom(position)
      }
      asks.sendAll()
    }

    function hold(message) {
      const { id } = message
      if (!join.position) return
      if (id && !reaches(id, join.position)) Object.assign(join, { position: id, buffer: [] }) // a new epoch
      join.buffer.push(message)
      tryToFollow()
    }

    function follow(message) {
      const { event, id, past } = message, key = past && textOf(past.key)
      if (past) return watched.has(key) && (begun.has(key) || !reaches(joinedAt, past.at)) && tell(message)
      if (!ahead || event === "open" || event === "error") return tell(message)
      if (id && reaches(ahead, id)) {
        unplaced = []
        if (id === ahead) ahead = ""
        return
      }
      unplaced.push(message)
      if (!id) return
      ahead = ""
      unplaced.splice(0).forEach(tell)
    }

    function tell({ event, data, id }) {
      if (listening.signal.aborted) return
      if (id) lastId = id
      if (event === RESET || event === "tornadose:gap") begun.add(textOf(data.key))
      const isOver = isLast(event, data) || event === "error" && data.wait === Infinity
      if (isOver) close()
      if (event) call(event, data, id)
    }

    function watch(key) {
      const text = textOf(key)
      if (watched.has(text) || listening.signal.aborted) return
      watched.set(text, { key, since: "", isConfirmed: false })
      if (!led || join || led.watched.has(text)) return rejoin() // what is kept of it comes by an own connection
      led.keysOf.get(tab).add(text)
      led.watch(key)
    }

    function unwatch(key) {
      if (watched.delete(textOf(key))) toLeader({ type: "keys", tab, keys: keys() }, leader)
    }

    addEventListener("pagehide", exit, listening)
    addEventListener("pageshow", enter, listening)
    document.addEventListener("freeze", exit, listening)
    document.addEventListener("resume", enter, listening)
    document.addEventListener("visibilitychange", check, listening)
    enter()
    const send = (value) => !!(leader && isOpen) && (toLeader({ type: "send", tab, text: JSON.stringify(value) }, leader), true)
    return { send, ask: asks.ask, watch, unwatch, close }
  }

  const isShared = options.share !== undefined && globalThis.navigator?.locks && globalThis.BroadcastChannel
  const { send, ask, watch, unwatch, close } = isShared ? share() : connect((event, data, id) => event && call(event, data, id))
  return options.ws ? { send, ask, watch, unwatch, close } : { close }
}
live.asks = 0
