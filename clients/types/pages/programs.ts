import {
  live, type BoardFeed, type Game, type JobLog, type Quotes, type Tasks, type TenantDashboard, type Ticks, type Twins,
} from "../../../tornadose/tests/schema/generated/programs.js"

const show = (...values: (string | number | undefined)[]) => console.log(...values)

live<Ticks>("/ticks", { message(value, id) { show(value.toFixed(2), id) } }).close()
// @ts-expect-error: there is no event of this name
live<Ticks>("/ticks", { tick(value: number) { show(value) } })
// @ts-expect-error: it is served over Server-Sent Events alone
live<Ticks>("/ticks", {}, { ws: true })

live<TenantDashboard>("/dashboard", {
  banner({ level, text }) { show(level === "info" ? text : text.toUpperCase()) },
  widget({ values, owner }) { show(Math.max(...values), owner?.name, owner?.offset) },
  "tornadose:gap"({ reason, missed }) { show(reason === "lagged" ? missed ?? "some" : 0) },
  open() { show("open") },
  error({ reason, wait }) { show(reason, wait) },
}, { share: "ada", headers: { "x-tenant": "1" } })
// @ts-expect-error: "loud" is no level
live<TenantDashboard>("/dashboard", { banner({ level }) { return level === "loud" } })
// @ts-expect-error: nobody may own it
live<TenantDashboard>("/dashboard", { widget({ owner }) { show(owner.name) } })
// @ts-expect-error: a handler takes the data, which has no such member
live<TenantDashboard>("/dashboard", { widget({ colour }) { show(colour) } })

const quotes = live<Quotes>("/quotes", {
  message({ symbol, bid, ask }) { show(symbol, bid, ask) },
  "tornadose:watching"({ keys }) { show(...keys) },
  "tornadose:error"({ reason, key }) { show(reason, key) },
}, { ws: true, protocols: "v1" })
quotes.watch("AAPL")
quotes.unwatch("AAPL")
// @ts-expect-error: a key is a symbol
quotes.watch(7)
// @ts-expect-error: the server takes no texts
quotes.send("hi")
// The same stream over Server-Sent Events: nothing can be sent.
const silent = live<Quotes>("/quotes?symbols=AAPL", {})
// @ts-expect-error: it has no `watch`
silent.watch("AAPL")

live<JobLog>("/jobs/7", {
  line({ text }) { show(text) },
  done({ exit_code }) { show(exit_code) },
  "tornadose:finished"({ key }) { show(key) },
})
// @ts-expect-error: it has no member of this name
live<JobLog>("/jobs/7", { done({ exitCode }) { show(exitCode) } })
// @ts-expect-error: nothing is loaded, so nothing is reset
live<JobLog>("/jobs/7", { "tornadose:reset"() {} })

live<Twins>("/twins", {
  reading({ device, sensor, value }) { show(device, sensor, value) },
  desired({ setting, value }) { show(setting === "interval" ? JSON.stringify(value) : undefined) },
  gone({ device }) { show(device) },
  "tornadose:expired"({ key, slot, event }) { show(key, slot, event) },
})

const board = live<BoardFeed>("/boards/1?user=ada", {
  drawn({ stroke }) { for (const [x, y] of stroke) show(x, y) },
  cursor({ at: [x, y], user }) { show(x, y, user) },
}, { ws: true })
board.send({ type: "clear" })
board.send({ type: "move", at: [1, 2], by: { name: "ada" } }) // `offset` has a default where the server reads it
const accepted: Promise<{ number: number }> = board.ask({ type: "draw", stroke: [[1, 2]] }, { timeout: 1_000 })
accepted.then(({ number }) => show(number))
// @ts-expect-error: there is no action of this name
board.send({ type: "erase" })
// @ts-expect-error: a stroke has points
board.send({ type: "draw", stroke: [1, 2] })
// @ts-expect-error: the reply has a number
board.ask({ type: "clear" }).then(({ id }) => show(id))
// @ts-expect-error: a stream that is a WebSocket alone
live<BoardFeed>("/boards/1?user=ada", {})

live<Tasks>("/tasks", {
  "tornadose:reset"() { show("clear") },
  message({ id, title, dueAt }) { show(id, title, dueAt?.toString()) },
})
// @ts-expect-error: it may be absent
live<Tasks>("/tasks", { message({ dueAt }) { show(dueAt.toFixed()) } })

const game = live<Game>("/games/1/2", { message({ player, x, y }) { show(player, x, y) } }, { ws: true })
game.watch({ game: 1, region: 3 })
// @ts-expect-error: a key of two fields is an object of both
game.watch({ game: 1 })
