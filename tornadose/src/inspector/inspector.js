// The inspector's page. What users wrote is shown as text alone, and never becomes HTML.
"use strict"

const LINES = 200 // shown of a list
const element = (id) => document.getElementById(id)

// Creates an element, or changes one: a class, attributes, and children that are texts or elements.
function make(tag, className = "", ...children) {
  const made = document.createElement(tag)
  if (className) made.className = className
  made.append(...children)
  return made
}

// Changes a text only where it differs, so that a selection stays.
function setText(node, text) {
  if (node.textContent !== text) node.textContent = text
}

const count = (number) => number.toLocaleString("en")
const plural = (number, word) => `${count(number)} ${word}${number === 1 ? "" : "s"}`

function bytes(number) {
  if (number < 1024) return `${number} B`
  for (const unit of ["KiB", "MiB", "GiB"]) {
    number /= 1024
    if (number < 999.5 || unit === "GiB") return `${number.toFixed(number < 9.95 ? 1 : 0)} ${unit}`
  }
}

function age(milliseconds) {
  const seconds = Math.max(0, Math.round(milliseconds / 1000))
  if (seconds < 60) return `${seconds} s`
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${Math.floor(seconds / 60) % 60} min`
  return `${Math.floor(seconds / 86400)} d ${Math.floor(seconds / 3600) % 24} h`
}

const clock = (at) => new Date(at).toLocaleTimeString("en-GB")
const cut = (text, length) => (text.length > length ? `${text.slice(0, length)}…` : text)
const NAMES = { sse: "SSE", ws: "WebSocket", subscription: "subscription" }

// Of messages without a key there is one, whose JSON says nothing.
const keyText = (key, length) => (key === "null" ? "no key" : cut(key, length))

function keysText(keys, keyCount) {
  if (keyCount === null) return "all keys"
  if (keyCount === 0) return "no key"
  const more = keyCount - keys.length
  return keys.map((key) => keyText(key, 160)).join(", ") + (more > 0 ? ` and ${count(more)} more` : "")
}

// ---- the stores -----------------------------------------------------------------------------------------------------

let stores = [] // as last reported
let chosen = 0 // the store that is looked at
let serverAhead = 0 // ms by which the server's clock is ahead
const connections = new Map() // the report of each store
const cards = []

function createCard(index) {
  const figure = (label) => {
    const value = make("b", "", "–"), name = make("span", "", label)
    return { value, box: make("span", "figure", value, name) }
  }
  const [readers, behind, kept, keys] = ["readers", "behind", "messages kept", "keys"].map(figure)
  const channel = make("span"), state = make("span", "chip"), head = make("span", "mono"), memory = make("span"), fill = make("i")
  const track = make("span", "track", fill)
  const button = make("button", "", make("span", "channel", channel, state), readers.box, behind.box, kept.box, keys.box,
    make("span", "memory", head, memory, track))
  button.type = "button"
  button.addEventListener("click", () => choose(index))
  element("stores").append(button)
  return { button, channel, state, head, memory, fill, readers: readers.value, behind: behind.value, kept: kept.value, keys: keys.value }
}

const STATES = { open: "", unreachable: "backend unreachable", closed: "closed" }

function showStores() {
  if (!stores.length && !element("stores").textContent) {
    element("stores").append(make("p", "note", "No store was added: `tornadose::inspector().store(&store)` shows one."))
  }
  stores.forEach((store, index) => {
    const card = (cards[index] ??= createCard(index))
    setText(card.channel, store.channel)
    setText(card.state, STATES[store.state])
    card.state.hidden = !STATES[store.state]
    card.state.className = `chip ${store.state === "unreachable" ? "bad" : ""}`
    setText(card.readers, count(store.readers))
    setText(card.behind, count(store.behind))
    card.behind.className = store.behind ? "warn" : ""
    setText(card.kept, count(store.kept))
    setText(card.keys, count(store.keys))
    setText(card.head, `head ${store.head}`)
    setText(card.memory, `${bytes(store.bytes)} of ${bytes(store.memory)}`)
    card.fill.style.width = `${Math.min(100, (store.bytes / store.memory) * 100)}%`
    card.button.setAttribute("aria-pressed", index === chosen)
  })
  showKeys()
}

function choose(index) {
  if (index === chosen) return
  chosen = index
  showStores()
  showConnections()
  note("")
}

// ---- the connections of the chosen store ----------------------------------------------------------------------------

const rows = new Map() // by the number of the reader
let rowsOf = null

function createRow(reader) {
  const row = make("tr"), cells = {}
  const cell = (name, className, label) => {
    cells[name] = make("td", `${name} ${className}`)
    if (label) cells[name].dataset.label = label
    row.append(cells[name])
  }
  cell("reader", "")
  cell("age", "number", "age")
  cell("keys", "mono")
  cell("position", "mono", "read up to")
  cell("unread", "number", "behind")
  cell("waiting", "number", "waiting")
  cell("reason", "", "told:")
  cells.reader.append(NAMES[reader.transport] ?? reader.transport, " ", make("span", "", `#${reader.number}`))
  return { row, cells }
}

function showConnections() {
  const report = connections.get(chosen), table = element("connections"), body = table.tBodies[0]
  if (rowsOf !== chosen) {
    rows.clear()
    body.replaceChildren()
    rowsOf = chosen
  }
  const list = report?.rows ?? []
  table.hidden = !list.length
  const isCut = report && report.readers > list.length
  setText(element("connections-note"), !report ? "" : !list.length ? "Nobody reads this store."
    : isCut ? `${count(list.length)} of ${count(report.readers)} are shown, those that are furthest behind first.` : plural(list.length, "reader"))
  const now = Date.now() + serverAhead, numbers = new Set()
  let before = null
  for (const reader of list) {
    numbers.add(reader.number)
    const shown = rows.get(reader.number) ?? createRow(reader)
    rows.set(reader.number, shown)
    const { row, cells } = shown
    const isBehind = reader.unread > 0, more = reader.is_more ? "+" : ""
    row.className = isBehind ? "behind" : ""
    setText(cells.age, age(now - reader.opened_at))
    setText(cells.keys, keysText(reader.keys, reader.key_count))
    setText(cells.position, reader.position ?? "–")
    setText(cells.unread, reader.unread === null ? "–" : count(reader.unread) + more)
    const since = isBehind && reader.unread_since ? `, ${age(now - reader.unread_since)}` : ""
    setText(cells.waiting, reader.unread_bytes === null ? "–" : isBehind ? bytes(reader.unread_bytes) + more + since : "0 B")
    setText(cells.reason, reader.last_reason ?? "")
    // Moved only where the order differs.
    const place = before ? before.nextSibling : body.firstChild
    if (place !== row) body.insertBefore(row, place)
    before = row
  }
  for (const [number, { row }] of rows) {
    if (numbers.has(number)) continue
    row.remove()
    rows.delete(number)
  }
}

// ---- keys -----------------------------------------------------------------------------------------------------------

function note(text, isBad = false) {
  setText(element("key-note"), text)
  element("key-note").className = isBad ? "bad" : ""
}

function showKeys() {
  const list = element("keys"), keys = stores[chosen]?.top_keys ?? []
  while (list.children.length > keys.length) list.lastChild.remove()
  keys.forEach(({ key, readers }, index) => {
    let item = list.children[index]
    if (!item) {
      const button = make("button", "", make("code"), make("span"))
      button.type = "button"
      button.addEventListener("click", () => {
        element("key").value = button.dataset.key
        watch(button.dataset.key)
      })
      item = make("li", "", button)
      list.append(item)
    }
    const [button] = item.children, [code, number] = button.children
    button.dataset.key = key
    button.title = "Watch its messages"
    setText(code, keyText(key, 200))
    setText(number, plural(readers, "reader"))
  })
  element("keys-note").hidden = keys.length > 0
}

// Returns the key that was written as JSON, or undefined.
function writtenKey() {
  const text = element("key").value.trim()
  try {
    JSON.parse(text)
    return text
  } catch {
    note(text ? "This is not JSON: a text stands in quotes." : "Write a key first, or choose one below.", true)
    element("key").focus()
  }
}

element("key-form").addEventListener("submit", (event) => {
  event.preventDefault()
  const key = writtenKey()
  if (key !== undefined) watch(key)
})

// ---- the messages of a key ------------------------------------------------------------------------------------------

let tail = null
let held = null // the lines that wait while the list is held

function stopTail() {
  tail?.close()
  tail = null
}

function addLine(...children) {
  const line = make("li", "", ...children)
  if (held) held.push(line)
  else element("tail").prepend(line)
  const list = held ?? element("tail").children
  while (list.length > LINES) held ? held.shift() : element("tail").lastChild.remove()
  if (held) tailNote(`${plural(held.length, "line")} held back`)
}

const tailNote = (text) => setText(element("tail-note"), text)
const head = (...parts) => make("div", "head", ...parts)

function hold(isHeld) {
  if (held && !isHeld) {
    element("tail").prepend(...held.reverse())
    while (element("tail").children.length > LINES) element("tail").lastChild.remove()
    tailNote(tail ? "live" : "stopped")
  }
  held = isHeld ? [] : null
  element("hold").setAttribute("aria-pressed", isHeld)
}

function watch(key) {
  stopTail()
  hold(false)
  note("")
  element("tail").replaceChildren()
  element("tail-section").hidden = false
  setText(element("tail-key"), keyText(key, 200))
  tailNote("connecting")
  const end = (text) => {
    stopTail()
    tailNote(text)
  }
  tail = live(`tail/${chosen}?key=${encodeURIComponent(key)}`, {
    begun() { tailNote("live") },
    error({ reason, wait }) { tailNote(`connection lost (${reason}), again in ${age(wait)}`) },
    line({ id, name, data, bytes: size }) {
      const shown = new TextEncoder().encode(data).length
      const parts = [make("time", "", clock(Date.now())), make("span", "mono", id)]
      if (name) parts.push(make("span", "chip", name))
      if (size > shown) parts.push(make("span", "", `the first ${bytes(shown)} of ${bytes(size)}`))
      addLine(head(...parts), make("pre", "", data))
    },
    passed({ messages }) { addLine(head(`${plural(messages, "message")} more than is shown`)) },
    expired({ id }) { addLine(head(make("span", "mono", id), make("span", "chip", "a value has expired"))) },
    gap({ reason, missed }) { addLine(head(make("span", "chip warn", `gap: ${reason}`), missed === null ? "" : `${count(missed)} missed`)) },
    "tornadose:gap"({ reason, missed }) { addLine(head(reason === "restarted" ? "The connection was lost here." : `${count(missed ?? 0)} lines are not shown`)) },
    unknown() { end("The store does not know the key: it has no reader in this process, and no message that is kept.") },
    ended() { end("The key was disconnected or finished, or its store was closed.") },
  })
  element("tail-section").scrollIntoView({ block: "nearest" })
}

element("hold").addEventListener("click", () => hold(!held))
element("stop").addEventListener("click", () => {
  stopTail()
  hold(false)
  element("tail-section").hidden = true
  element("key").focus()
})

// ---- disconnecting --------------------------------------------------------------------------------------------------

let asked = null // the request that the dialog asks about: the key as its text, because a number may have more digits than ours

element("disconnect").addEventListener("click", () => {
  const key = writtenKey()
  if (key === undefined) return
  asked = `{"store":${chosen},"key":${key}}`
  setText(element("confirm-key"), keyText(key, 200))
  const known = stores[chosen]?.top_keys.find((top) => top.key === key)
  const whom = known ? `Its ${plural(known.readers, "reader")} in this process` : "Its readers in this process"
  setText(element("confirm-text"), `${whom} will be ended after what was submitted before. Clients that are still allowed to return will return.`)
  element("confirm").showModal()
})
element("confirm-no").addEventListener("click", () => element("confirm").close())
element("confirm-yes").addEventListener("click", async () => {
  element("confirm").close()
  const headers = { "content-type": "application/json" }
  try {
    const response = await fetch("disconnect", { method: "POST", headers, body: asked })
    const text = await response.text()
    if (response.ok) note(`${plural(JSON.parse(text).readers, "reader")} told to end.`)
    else note(cut(text.trim(), 300), true)
  } catch {
    note("The server did not answer.", true)
  }
})

// ---- gaps and ends --------------------------------------------------------------------------------------------------

function addEvent(at, chip, isWarning, report, ...words) {
  element("events-note").hidden = true
  const parts = [make("span", isWarning ? "chip warn" : "chip", chip), at ? make("time", "", clock(at)) : ""]
  if (report?.store !== undefined && stores.length > 1) parts.push(make("span", "", stores[report.store]?.channel ?? ""))
  if (report?.transport) parts.push(make("span", "", `${NAMES[report.transport]} #${report.number}`))
  const item = make("li", "", head(...parts, ...words))
  if (report?.keys && report.key_count !== null) item.append(make("div", "keys mono", keysText(report.keys, report.key_count)))
  const list = element("events")
  list.prepend(item)
  while (list.children.length > LINES) list.lastChild.remove()
}

// ---- the stream -----------------------------------------------------------------------------------------------------

function showStatus(text, isUp) {
  setText(element("status"), text)
  element("status").className = isUp ? "up" : ""
}

live("events", {
  open() { showStatus("live", true) },
  error({ reason, wait }) {
    showStatus(Number.isFinite(wait) ? `connection lost (${reason}), again in ${age(wait)}` : `ended (${reason})`, false)
  },
  stores(report) {
    stores = report.stores
    serverAhead = report.at - Date.now()
    showStores()
  },
  connections(report) {
    connections.set(report.store, report)
    if (report.store === chosen) showConnections()
  },
  gap(report) {
    const missed = report.missed === null ? "" : `${count(report.missed)} missed`
    addEvent(report.at, `gap: ${report.reason}`, true, report, missed)
  },
  ended(report) { addEvent(report.at, `ended: ${report.reason}`, false, report, report.code === null ? "" : `code ${report.code}`) },
  disconnected(report) {
    addEvent(report.at, "disconnected here", true, { store: report.store, keys: [report.key], key_count: 1 }, plural(report.readers, "reader"))
  },
  "tornadose:gap"({ missed }) { addEvent(0, missed === null ? "some are not shown" : `${count(missed)} are not shown`, false, null) },
})

// The ages grow also while nothing is reported.
setInterval(showConnections, 1000)
