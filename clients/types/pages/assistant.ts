import { live, type Reading, type Runs } from "../../../examples/assistant/tornadose.js"

live<Runs>("/runs", {
  asked({ run, question }) { console.log(run, question) },
  ended({ outcome }) { console.log(outcome === "stopped") },
  "tornadose:expired"({ event, slot }) { console.log(event, slot) },
})
live<Reading>("/runs/1/answer", {
  text({ text }) { console.log(text) },
  token({ text }) { console.log(text) },
  failed({ why }) { console.log(why) },
  "tornadose:finished"() { console.log("the end") },
}, { ws: true })
// @ts-expect-error: there is no outcome of this name
live<Runs>("/runs", { ended({ outcome }) { console.log(outcome === "lost") } })
// @ts-expect-error: `done` tells nothing but its run
live<Reading>("/runs/1/answer", { done({ why }) { console.log(why) } })
