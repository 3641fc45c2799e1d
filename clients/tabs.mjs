// A browser with several tabs, and a server, in virtual time: locks, channels, timers and connections are faked, and a
// number decides about every delay. For tests of how tabs share a connection.

// Random numbers from a seed (mulberry32).
export class Chance {
  constructor(seed) {
    this.state = seed * 2_654_435_761
  }

  fraction() {
    this.state = (this.state + 0x6d2b79f5) | 0
    let mixed = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }

  below(count) {
    return Math.floor(this.fraction() * count)
  }

  of(values) {
    return values[this.below(values.length)]
  }
}

const settle = () => new Promise((resolve) => setImmediate(resolve))

export class Browser {
  now = 1_000_000
  tasks = [] // { time, order, tab, run }
  order = 0
  tabs = []
  channels = []
  locks = new Map() // by name: { holder, waiting }

  constructor(seed, source) {
    this.chance = new Chance(seed)
    this.source = source
    this.server = new Server(this)
  }

  // Runs a task of a tab, or of the server, after so many milliseconds.
  schedule(after, tab, run) {
    const task = { time: this.now + after, order: this.order++, tab, run }
    this.tasks.push(task)
    return task
  }

  latency() {
    return this.chance.below(4)
  }

  // Lets so much time pass.
  async advance(span) {
    const end = this.now + span
    for (;;) {
      await settle()
      const isDue = ({ time, tab }) => time <= end && !tab?.isFrozen
      const due = this.tasks.filter(isDue).sort((one, other) => one.time - other.time || one.order - other.order)[0]
      if (!due) break
      this.tasks.splice(this.tasks.indexOf(due), 1)
      this.now = Math.max(this.now, due.time)
      if (!due.tab?.isDead) due.run()
    }
    this.now = end
  }

  open() {
    const tab = new Tab(this, this.tabs.length)
    this.tabs.push(tab)
    return tab
  }

  request(tab, name, options, hold) {
    const lock = this.locks.get(name) ?? { holder: null, waiting: [] }
    this.locks.set(name, lock)
    return new Promise((resolve, reject) => {
      const request = { tab, hold, resolve, reject, isDone: false }
      if (options.steal) {
        const robbed = lock.holder
        lock.holder = request
        if (robbed) {
          robbed.isDone = true
          this.schedule(this.latency(), robbed.tab, () => robbed.reject(new DOMException("stolen", "AbortError")))
        }
        return this.grant(lock, request)
      }
      options.signal?.addEventListener("abort", () => {
        const index = lock.waiting.indexOf(request)
        if (index < 0) return
        lock.waiting.splice(index, 1)
        reject(new DOMException("aborted", "AbortError"))
      })
      lock.waiting.push(request)
      this.pass(lock)
    })
  }

  pass(lock) {
    if (lock.holder || !lock.waiting.length) return
    lock.holder = lock.waiting.shift()
    this.grant(lock, lock.holder)
  }

  // A tab that is frozen has the lock, and knows it later.
  grant(lock, request) {
    this.schedule(this.latency(), request.tab, () => {
      if (lock.holder !== request) return
      Promise.resolve(request.hold({})).then((value) => {
        if (request.isDone) return
        request.isDone = true
        lock.holder = null
        request.resolve(value)
        this.pass(lock)
      })
    })
  }

  // Ends a tab as a crash does.
  crash(tab) {
    tab.isDead = true
    this.channels = this.channels.filter((channel) => channel.tab !== tab)
    for (const lock of this.locks.values()) {
      lock.waiting = lock.waiting.filter((request) => request.tab !== tab)
      if (lock.holder?.tab !== tab) continue
      lock.holder.isDone = true
      lock.holder = null
      this.pass(lock)
    }
    for (const link of this.server.links.filter((link) => link.tab === tab)) link.drop()
  }
}

class Tab {
  isDead = false
  isFrozen = false
  isHidden = false
  faults = []
  said = null // the number of the newest message, once it is known; unknown after a gap
  newest = 0 // as it was before
  counts = new Map() // of the watched keys, once they are known
  answers = []
  listeners = []

  constructor(browser, number) {
    Object.assign(this, { browser, number })
    const tab = this, { chance } = browser
    const timers = {
      setTimeout: (run, after = 0, ...values) => browser.schedule(Math.max(after, tab.slows ?? 0), tab, () => run(...values)),
      clearTimeout: (task) => { browser.tasks = browser.tasks.filter((other) => other !== task) },
      setInterval: (run, every) => {
        const timer = { task: null }
        const next = () => { timer.task = browser.schedule(every, tab, () => { run(); timer.task && next() }) }
        next()
        return timer
      },
      clearInterval: (timer) => { timers.clearTimeout(timer?.task); if (timer) timer.task = null },
    }
    class Channel {
      constructor(name) {
        Object.assign(this, { name, tab, free: new Map() })
        browser.channels.push(this)
      }

      postMessage(data) {
        const copy = structuredClone(data)
        for (const channel of browser.channels) {
          if (channel === this || channel.name !== this.name) continue
          const at = Math.max(browser.now + browser.latency(), this.free.get(channel) ?? 0) // in order
          this.free.set(channel, at)
          browser.schedule(at - browser.now, channel.tab, () => browser.channels.includes(channel) && channel.onmessage({ data: copy }))
        }
      }

      close() {
        browser.channels = browser.channels.filter((channel) => channel !== this)
      }
    }
    class Socket {
      readyState = 0

      constructor(url) {
        this.link = browser.server.connect(tab, url, {
          open: () => { this.readyState = 1; this.onopen() },
          frame: (frame) => this.readyState === 1 && this.onmessage({ data: JSON.stringify(frame) }),
          finished: () => this.onclose({ code: 1000, reason: "finished" }),
          lost: (code, reason = "") => { if (this.readyState < 3) { this.readyState = 3; this.onclose({ code, reason }) } },
        })
      }

      send(text) {
        this.link.receive(JSON.parse(text))
      }

      close() {
        this.readyState = 3
        this.link.drop()
      }
    }
    const fetch = (url, { signal }) => new Promise((resolve, reject) => {
      const unread = []
      let reading = null, isOver = false
      const pass = () => {
        if (!reading || !unread.length && !isOver) return
        reading.resolve(unread.length ? { value: unread.shift() } : { done: true })
        reading = null
      }
      const write = (text) => { unread.push(new TextEncoder().encode(text)); pass() }
      const link = browser.server.connect(tab, url, {
        open: () => {
          const read = () => new Promise((resolve, reject) => { reading = { resolve, reject }; pass() })
          const headers = new Headers({ "content-type": "text/event-stream" })
          resolve({ status: 200, headers, body: { getReader: () => ({ read }) } })
        },
        frame: ({ id, event, data }) => write(`${id ? `id: ${id}\n` : ""}${event ? `event: ${event}\n` : ""}${data === undefined ? "" : `data: ${JSON.stringify(data)}\n`}\n`),
        finished: () => resolve({ status: 204, headers: new Headers() }),
        lost: () => { isOver = true; pass(); reject(new TypeError("network error")) },
      })
      signal.onabort = () => { link.drop(); reading?.reject(new DOMException("aborted", "AbortError")); reject(new DOMException("aborted", "AbortError")) }
    })
    const parts = {
      ...timers, fetch, WebSocket: Socket,
      Date: { now: () => browser.now },
      Math: Object.assign(Object.create(Math), { random: () => chance.fraction() }),
      crypto: { randomUUID: () => `tab-${number}-${browser.order++}` },
      BroadcastChannel: Channel,
      navigator: { locks: { request: (name, ...rest) => browser.request(tab, name, rest.length > 1 ? rest[0] : {}, rest.at(-1)) } },
      document: {
        baseURI: "http://localhost/", get hidden() { return tab.isHidden },
        addEventListener: (...values) => tab.listen(...values),
      },
      addEventListener: (...values) => tab.listen(...values),
    }
    const names = Object.keys(parts)
    const make = new Function(...names, "globalThis", `${browser.source}\nreturn live`)
    this.live = make(...Object.values(parts), { navigator: parts.navigator, BroadcastChannel: Channel })
  }

  start(options) {
    this.isShared = options.share !== undefined
    this.feed = this.live("/feed", {
      state: ({ said }, id) => {
        if (this.hasId || said < this.newest) this.faults.push(`the state again, at ${said}, after ${this.newest}`)
        this.said = this.newest = said
      },
      said: (number, id) => {
        const isNext = this.said === null ? this.hasGap && number > this.newest : number === this.said + 1
        if (!isNext) this.faults.push(`message ${number} after ${this.said}, of ${this.newest}`)
        this.said = this.newest = number
        this.hasId ||= id !== ""
      },
      value: ({ key, count }) => this.wants?.has(key) && this.counts.set(key, count),
      trade: ({ key, count }) => {
        if (!this.wants?.has(key)) return
        const before = this.counts.get(key)
        // What comes before the past of a key is in it.
        if (before !== undefined && count !== before + 1) this.faults.push(`trade ${count} of ${key} after ${before}`)
        if (before !== undefined) this.counts.set(key, count)
      },
      "tornadose:gap": ({ key }) => {
        if (!this.browser.server.trimmed) this.faults.push("a gap, and nothing is trimmed")
        if (key !== undefined) return this.counts.delete(key)
        Object.assign(this, { said: null, hasId: false, hasGap: true })
      },
      "tornadose:finished": () => { this.finished = (this.finished ?? 0) + 1 },
      error: ({ wait }) => { if (wait === Infinity) this.isOver = true },
    }, options)
    this.wants = new Set()
  }

  listen(type, run, { signal }) {
    const listener = [type, run]
    this.listeners.push(listener)
    signal.addEventListener("abort", () => { this.listeners = this.listeners.filter((other) => other !== listener) })
  }

  dispatch(type, event = {}) {
    for (const [listened, run] of [...this.listeners]) if (listened === type) run(event)
  }

  watch(key) {
    if (this.wants.has(key)) return
    this.wants.add(key)
    this.counts.delete(key)
    this.feed.watch(key)
  }

  unwatch(key) {
    this.wants.delete(key)
    this.counts.delete(key)
    this.feed.unwatch(key)
  }

  ask(value, options) {
    const answer = { value, outcome: null }
    this.answers.push(answer)
    this.feed.ask(value, options).then((reply) => { answer.outcome = reply }, ({ code }) => { answer.outcome = code })
  }
}

// A log of messages: some for everybody, some of keys.
class Server {
  log = [] // { id, event, data, key }
  said = 0
  counts = new Map()
  links = []
  isDown = false
  isFinished = false
  trimmed = 0 // how many messages are not kept
  asked = []

  constructor(browser) {
    this.browser = browser
  }

  id(length = this.log.length) {
    return `epochepo-${length}`
  }

  publish(key) {
    const count = (this.counts.get(key) ?? 0) + 1
    const message = key === undefined ? { event: "said", data: ++this.said } : { event: "trade", data: { key, count }, key }
    if (key !== undefined) this.counts.set(key, count)
    this.log.push({ ...message, id: this.id(this.log.length + 1) })
    for (const link of this.links) link.deliver()
  }

  // Ends all streams for good.
  finish() {
    this.isFinished = true
    for (const link of this.links) link.send({ id: this.id(), event: "tornadose:finished", data: {} })
  }

  connect(tab, url, client) {
    return new Link(this, tab, new URL(url), client)
  }
}

// A connection. The server reads the log for it when a delivery is due, as a reader with a cursor.
class Link {
  isOpen = false
  isDropped = false
  watched = new Set()
  free = 0

  constructor(server, tab, url, client) {
    const { browser } = server
    Object.assign(this, { server, browser, tab, client })
    server.links.push(this)
    this.later(null, () => {
      if (server.isDown) return this.lose()
      const since = url.searchParams.get("last_event_id")
      this.isOpen = true
      this.position = since ? Number(since.split("-")[1]) : server.log.length
      if (server.isFinished && since) return this.later(tab, () => client.finished())
      this.later(tab, client.open)
      if (this.position < server.trimmed) {
        this.send({ event: "tornadose:gap", data: { reason: "trimmed" } })
        // What is kept comes as messages, or as one that sums them.
        this.position = browser.chance.below(2) ? server.trimmed : server.log.length
        if (this.position > server.trimmed || this.position === server.log.length) this.send({ event: "state", data: { said: server.said } })
      }
      if (!since) this.send({ event: "state", data: { said: server.said } })
      if (server.isFinished) this.send({ id: server.id(), event: "tornadose:finished", data: {} })
      this.send({ id: server.id(this.position) })
      this.deliver()
    })
  }

  // Runs something of this connection, in order.
  later(tab, run) {
    const { browser } = this
    this.free = Math.max(browser.now + browser.latency(), this.free)
    browser.schedule(this.free - browser.now, tab, () => this.isDropped || run())
  }

  send(frame) {
    this.later(this.tab, () => this.client.frame(frame))
  }

  deliver() {
    this.later(null, () => {
      if (!this.isOpen) return
      for (; this.position < this.server.log.length; this.position++) {
        const { key, ...message } = this.server.log[this.position]
        if (key === undefined || this.watched.has(key)) this.send(message)
      }
    })
  }

  receive(text) {
    this.later(null, () => {
      const { "tornadose:watch": keys, "tornadose:unwatch": ended, "tornadose:ask": ask, since, data } = text
      for (const key of keys ?? []) {
        if (this.watched.has(key)) continue
        this.watched.add(key)
        let from = since ? Number(since.split("-")[1]) : null
        if (from !== null && from < this.server.trimmed) {
          this.send({ event: "tornadose:gap", data: { key, reason: "trimmed" } })
          from = null
        }
        const past = this.server.log.slice(0, this.position).filter((message) => message.key === key)
        if (from === null) {
          this.send({ event: "value", data: { key, count: past.at(-1)?.data.count ?? 0 }, at: this.server.id(this.position), key })
        } else {
          for (const message of past) if (Number(message.id.split("-")[1]) > from) this.send({ ...message, id: undefined, at: message.id })
        }
      }
      if (keys) {
        this.send({ id: this.server.id(this.position) })
        this.send({ event: "tornadose:watching", data: { keys } })
      }
      for (const key of ended ?? []) this.watched.delete(key)
      if (ended) this.send({ event: "tornadose:unwatched", data: { keys: ended } })
      if (ask !== undefined) {
        this.server.asked.push(data)
        this.send({ event: "tornadose:reply", ask, data: { to: data } })
      }
    })
  }

  // Loses the connection, as the network does.
  lose() {
    const { tab, client } = this
    this.drop()
    this.browser.schedule(this.browser.latency(), tab, () => client.lost(1006))
  }

  drop() {
    this.isDropped = true
    this.isOpen = false
    this.server.links = this.server.links.filter((link) => link !== this)
  }
}
