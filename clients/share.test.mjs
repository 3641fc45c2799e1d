// How the tabs of a browser share one connection (`{ share }` of tornadose.js), in virtual time with a faked browser:
// `node --test clients/share.test.mjs`. It needs no packages. SEED=7 runs one random program, PROGRAMS=10000 so many.
import assert from "node:assert/strict"
import { readFileSync } from "node:fs"
import { test } from "node:test"
import { Browser, Chance } from "./tabs.mjs"

const SOURCE = readFileSync(new URL("../tornadose/src/tornadose.js", import.meta.url), "utf8")
const PROGRAMS = Number(process.env.PROGRAMS ?? 300)
const KEYS = ["A", "B", "C"]
const SETTLED = 150_000 // ms, in which every retry and every search for a leader ends

// Everything is quiet: there is one connection, and each tab has everything once and in order.
function differences(browser, isWs) {
  const found = [], { server } = browser
  const awake = browser.tabs.filter((tab) => tab.feed && !tab.isDead && !tab.isFrozen)
  const open = server.links.filter((link) => link.isOpen && !link.tab.isFrozen)
  if (awake.length && open.length !== 1) found.push(`${open.length} connections, of tabs ${open.map(({ tab }) => tab.number)}`)
  for (const { number, said, counts, wants, faults, answers } of awake) {
    if (said !== server.said) found.push(`tab ${number} has ${said} of ${server.said}`)
    for (const key of isWs ? wants : []) {
      if ((counts.get(key) ?? 0) !== (server.counts.get(key) ?? 0)) found.push(`tab ${number} has ${counts.get(key)} of ${server.counts.get(key)} of ${key}`)
    }
    for (const { value, outcome } of answers) {
      const times = server.asked.filter((asked) => asked === value).length
      if (outcome === null || times > 1 || outcome.to !== undefined && (outcome.to !== value || times !== 1)) found.push(`tab ${number} asked ${value}: ${JSON.stringify(outcome)}, ${times} times`)
    }
  }
  for (const { number, faults } of browser.tabs) found.push(...faults.map((fault) => `tab ${number}: ${fault}`))
  return found
}

// A random program. Returns what it did, and what was wrong.
async function run(seed, source = SOURCE) {
  const browser = new Browser(seed, source), chance = new Chance(seed + 1_000_000), { server } = browser
  const isWs = chance.below(3) > 0, options = { ws: isWs, share: "ada" }, steps = []
  let asks = 0
  const start = () => browser.open().start(options)
  const actions = {
    publish: () => { for (let left = 1 + chance.below(4); left; left--) server.publish() },
    trade: () => { for (let left = 1 + chance.below(4); left; left--) server.publish(chance.of(KEYS)) },
    open: () => browser.tabs.filter((tab) => !tab.isDead).length < 6 && start(),
    close: (tab) => { tab.feed.close(); tab.isDead = true },
    crash: (tab) => browser.crash(tab),
    freeze: (tab) => { tab.isFrozen = tab.isHidden = true },
    thaw: (tab) => { tab.isFrozen = tab.isHidden = false; tab.dispatch("visibilitychange") },
    hide: (tab) => { tab.isHidden = true; tab.dispatch("visibilitychange") },
    show: (tab) => { tab.isHidden = false; tab.dispatch("visibilitychange") },
    leave: (tab) => { tab.dispatch("pagehide"); tab.isFrozen = true },
    trim: () => { server.trimmed = server.log.length },
    lose: () => server.links.length && chance.of(server.links).lose(),
    down: () => { server.isDown = !server.isDown; if (server.isDown) for (const link of [...server.links]) link.lose() },
    watch: (tab) => isWs && tab.watch(chance.of(KEYS)),
    unwatch: (tab) => isWs && tab.unwatch(chance.of(KEYS)),
    ask: (tab) => isWs && tab.ask(`question ${++asks}`),
  }
  const names = Object.keys(actions), often = ["publish", "publish", "trade", "watch", "ask", "open"]
  start()
  for (let step = 0; step < 40; step++) {
    await browser.advance(chance.of([0, 1, 3, 10, 100, 1_000, 7_000]))
    const name = chance.of([...names, ...often])
    const alive = browser.tabs.filter((tab) => !tab.isDead && (name === "thaw" ? tab.isFrozen : !tab.isFrozen))
    if (!alive.length && name !== "open" && name !== "publish") continue
    const tab = alive.length ? chance.of(alive) : null
    steps.push(`${browser.now} ${name} ${tab?.number ?? ""}`)
    if (tab || name === "open" || name === "publish") {
      if (name === "thaw" && tab.hasLeft) continue
      if (name === "leave") tab.hasLeft = true
      actions[name](tab)
    }
    if (step % 10 === 9) {
      server.isDown = false
      if (chance.below(2)) for (const tab of browser.tabs.filter((tab) => tab.isFrozen && !tab.isDead)) {
        tab.isFrozen = tab.isHidden = false
        tab.dispatch("visibilitychange") // before the page is told that it is shown, by the standard
        if (tab.hasLeft) tab.dispatch("pageshow", { persisted: true })
        tab.hasLeft = false
      }
      // One of them is looked at, so that a leader that is frozen is noticed.
      for (const tab of browser.tabs) if (!tab.isFrozen && !tab.isDead) { tab.isHidden = false; tab.dispatch("visibilitychange") }
      await browser.advance(SETTLED)
      server.publish()
      await browser.advance(SETTLED)
      const found = differences(browser, isWs)
      if (found.length) return { seed, steps, found }
    }
  }
  return null
}

const show = ({ seed, steps, found }) => `seed ${seed}:\n${steps.join("\n")}\n${found.join("\n")}`

test("every tab has every message once and in order, by one connection, whatever becomes of the leader", async () => {
  const seeds = process.env.SEED ? [Number(process.env.SEED)] : Array.from({ length: PROGRAMS }, (_, index) => index + 1)
  for (const seed of seeds) {
    const failure = await run(seed)
    assert.equal(failure, null, failure && show(failure))
  }
})

// What the script could do wrong. Each is found by the programs above.
const MISTAKES = {
  "what a tab was told is told again": ["if (id && reaches(ahead, id)) {", "if (false) {"],
  "a tab follows before it is as far as the leader": ["!reaches(own.lastId(), join.position)", "!own.lastId()"],
  "what the leader tells meanwhile is forgotten": ["buffer.forEach(follow)", ""],
  "a tab follows before it has its keys": ["|| !hasKeys", ""],
  "a new leader is followed from wherever it is": ["if (type !== \"leader\" || watched.size || !reaches(lastId, position)) return rejoin()", ""],
  "a new leader begins anew": ["}, lastId, new Map([...watched]", "}, \"\", new Map([...watched]"],
  "a leader that does not answer stays": ["if (!led) answerTimer ??=", "if (false) answerTimer ??="],
  "a tab waits for the turn of one that is frozen": ["join.timer = setTimeout(wait,", "join.timer = setTimeout(() => {},"],
  "the past that follows a loss is kept from the other tabs": ["!past.isResumed && [past.key]", "[past.key]"],
  "a leader that was replaced is believed": ["if (led && message.leader !== tab) return", ""],
}

// The leader watches a key of another tab while its connection is lost: it is told by a connection of its own what the shared one
// then brings as the past of the key.
async function runAhead(source) {
  const browser = new Browser(12, source), [leader, other] = [browser.open(), browser.open()]
  for (const tab of [leader, other]) tab.start({ ws: true, share: "ada" })
  await browser.advance(1000)
  other.watch("B")
  await browser.advance(1000)
  browser.server.links[0].lose()
  browser.server.publish("B")
  await browser.advance(10)
  leader.watch("B")
  await browser.advance(100)
  browser.server.publish()
  browser.server.publish("B")
  await browser.advance(SETTLED)
  return [...leader.faults, ...other.faults, ...differences(browser, true)]
}

test("what a tab was told of a key by itself is not told again as its past", async () => {
  assert.deepEqual(await runAhead(SOURCE), [])
  const wrong = SOURCE.split("(begun.has(key) || !reaches(joinedAt, past.at)) &&")
  assert.equal(wrong.length, 2)
  assert.deepEqual(await runAhead(wrong.join("")), ["trade 1 of B after 1", "tab 0: trade 1 of B after 1"])
})

for (const [mistake, [right, wrong]] of Object.entries(MISTAKES)) {
  test(`it is found that ${mistake}`, async () => {
    const parts = SOURCE.split(right)
    assert.equal(parts.length, 2, "the script has changed")
    for (let seed = 1; seed <= 8 * PROGRAMS; seed++) if (await run(seed, parts.join(wrong))) return
    assert.fail("not found")
  })
}

test("two users, addresses or sets of options are two connections", async () => {
  const browser = new Browser(1, SOURCE)
  for (const options of [{ ws: true, share: "ada" }, { ws: true, share: "bob" }, { share: "ada" }]) {
    for (let tab = 0; tab < 2; tab++) browser.open().start(options)
  }
  await browser.advance(SETTLED)
  browser.server.publish()
  await browser.advance(SETTLED)
  assert.equal(browser.server.links.length, 3)
  assert.deepEqual(browser.tabs.map(({ said, faults }) => [said, faults]), Array(6).fill([1, []]))
})

test("twenty tabs that open at once are one connection, and two at most meanwhile", async () => {
  const browser = new Browser(2, SOURCE)
  let most = 0
  for (let tab = 0; tab < 20; tab++) browser.open().start({ share: "ada" })
  for (let step = 0; step < 400; step++) {
    await browser.advance(1)
    most = Math.max(most, browser.server.links.length)
    if (step % 20 === 0) browser.server.publish()
  }
  await browser.advance(1000)
  assert.deepEqual([browser.server.links.length, most], [1, 2])
  assert.ok(browser.tabs.every(({ said, faults }) => said === 20 && !faults.length))
})

test("without locks, as on a page over plain HTTP, each tab has a connection of its own", async () => {
  const browser = new Browser(3, SOURCE.replace("globalThis.navigator?.locks", "undefined"))
  for (let tab = 0; tab < 3; tab++) browser.open().start({ share: "ada" })
  await browser.advance(100)
  browser.server.publish()
  await browser.advance(100)
  assert.equal(browser.server.links.length, 3)
  assert.ok(browser.tabs.every(({ said, faults }) => said === 1 && !faults.length))
})

test("a question to a leader that is gone is lost, and one that waits for a leader is sent", async () => {
  const browser = new Browser(4, SOURCE), [leader, other, third] = [browser.open(), browser.open(), browser.open()]
  for (const tab of [leader, other, third]) tab.start({ ws: true, share: "ada" })
  await browser.advance(1000)
  other.ask("answered")
  await browser.advance(100)
  assert.deepEqual(other.answers.map(({ outcome }) => outcome), [{ to: "answered" }])
  leader.isFrozen = true
  other.ask("lost")
  await browser.advance(1000)
  assert.deepEqual(other.answers.at(-1).outcome, null)
  browser.crash(leader)
  await browser.advance(1000)
  assert.deepEqual(other.answers.at(-1).outcome, "lost")
  third.ask("of the new leader's tab or the other's")
  await browser.advance(100)
  assert.deepEqual(third.answers.at(-1).outcome, { to: "of the new leader's tab or the other's" })
  const late = browser.open()
  late.start({ ws: true, share: "ada" })
  late.ask("before it has joined")
  await browser.advance(1000)
  assert.deepEqual(late.answers.at(-1).outcome, { to: "before it has joined" })
  assert.deepEqual(browser.server.asked.filter((asked) => asked === "lost"), [])
})

test("send tells whether the connection of the leader is open", async () => {
  const browser = new Browser(5, SOURCE), [leader, other] = [browser.open(), browser.open()]
  for (const tab of [leader, other]) tab.start({ ws: true, share: "ada" })
  assert.equal(other.feed.send("too early"), false)
  await browser.advance(1000)
  assert.deepEqual([leader.feed.send("one"), other.feed.send("two")], [true, true])
  browser.server.isDown = true
  for (const link of [...browser.server.links]) link.lose()
  await browser.advance(100)
  assert.deepEqual([leader.feed.send("lost"), other.feed.send("lost")], [false, false])
  other.feed.close()
  assert.equal(other.feed.send("closed"), false)
  await assert.rejects(other.feed.ask("closed"), { code: "refused" })
})

test("the end of a stream is told to each tab once, and nothing comes back", async () => {
  for (const ws of [true, false]) {
    const browser = new Browser(6, SOURCE)
    for (let tab = 0; tab < 3; tab++) browser.open().start({ ws, share: "ada" })
    await browser.advance(1000)
    browser.server.finish()
    await browser.advance(SETTLED)
    assert.deepEqual(browser.tabs.map(({ finished }) => finished), [1, 1, 1])
    assert.deepEqual([browser.server.links.length, browser.channels.length], [0, 0])
    browser.open().start({ ws, share: "ada" })
    await browser.advance(SETTLED)
    assert.deepEqual([browser.tabs[3].finished, browser.server.links.length], [1, 0])
  }
})

test("a page that is left and kept by the browser goes on when it is shown again", async () => {
  const browser = new Browser(7, SOURCE), [leader, other] = [browser.open(), browser.open()]
  for (const tab of [leader, other]) tab.start({ share: "ada" })
  await browser.advance(1000)
  leader.dispatch("pagehide")
  leader.isFrozen = true
  browser.server.publish()
  await browser.advance(1000)
  assert.deepEqual([other.said, browser.server.links.map(({ tab }) => tab.number)], [1, [1]])
  leader.isFrozen = false
  leader.dispatch("pageshow", { persisted: true })
  await browser.advance(1000)
  assert.deepEqual([leader.said, leader.faults, browser.server.links.length], [1, [], 1])
})

test("a question that has timed out is not sent later, whichever tab asked it", async () => {
  for (const asker of [0, 1]) {
    const browser = new Browser(8, SOURCE)
    for (let tab = 0; tab < 2; tab++) browser.open().start({ ws: true, share: "ada" })
    await browser.advance(1000)
    browser.server.isDown = true
    for (const link of [...browser.server.links]) link.lose()
    await browser.advance(100)
    browser.tabs[asker].ask("late", { timeout: 500 })
    await browser.advance(600)
    browser.server.isDown = false
    await browser.advance(SETTLED)
    assert.deepEqual([browser.tabs[asker].answers[0].outcome, browser.server.asked], ["timeout", []])
  }
})

test("a page that may not use locks has a connection of its own", async () => {
  const browser = new Browser(9, SOURCE)
  browser.request = () => Promise.reject(new DOMException("denied", "SecurityError"))
  for (let tab = 0; tab < 2; tab++) browser.open().start({ share: "ada" })
  await browser.advance(1000)
  browser.server.publish()
  await browser.advance(1000)
  assert.deepEqual(browser.tabs.map(({ said, faults }) => [said, faults]), [[1, []], [1, []]])
  assert.equal(browser.server.links.length, 2)
})

test("what is asked of a feed that is closed is passed over", async () => {
  const browser = new Browser(10, SOURCE), [leader, other] = [browser.open(), browser.open()]
  for (const tab of [leader, other]) tab.start({ ws: true, share: "ada" })
  await browser.advance(1000)
  leader.watch("A")
  for (const tab of [leader, other]) {
    tab.feed.close()
    tab.feed.close()
    tab.feed.watch("B")
    tab.feed.unwatch("A")
    tab.dispatch("visibilitychange")
    tab.dispatch("pageshow")
  }
  await browser.advance(SETTLED)
  assert.deepEqual([browser.server.links.length, browser.channels.length, browser.tasks.length], [0, 0, 0])
})

test("a leader that is out of sight tries again when a tab that is seen asks it", async () => {
  const browser = new Browser(11, SOURCE), [leader, other] = [browser.open(), browser.open()]
  for (const tab of [leader, other]) tab.start({ share: "ada" })
  await browser.advance(1000)
  leader.slows = 60_000 // its timers, as browsers do
  for (const link of [...browser.server.links]) link.lose()
  browser.server.publish()
  await browser.advance(10_000)
  assert.deepEqual(browser.tabs.map(({ said }) => said), [1, 1])
})
