import { live, type Inbound, type RoomFeed } from "../../../examples/chat/tornadose.js"

const feed = live<RoomFeed>("/rooms/lobby?user=ada", {
  joined({ user }) { console.log(user) },
  said({ user, text }, id) { console.log(id, user, text) },
  typing({ user }) { console.log(user) },
  "tornadose:expired"({ slot }) { console.log(slot) },
}, { ws: true })
const say: Inbound = { type: "say", text: "hi" }
feed.ask(say).then((id) => console.log(id.length), ({ code }) => console.log(code))
feed.send({ type: "typing" })
// @ts-expect-error: there is nothing to say
feed.send({ type: "say" })
// @ts-expect-error: there is no event of this name
live<RoomFeed>("/rooms/lobby", { left() {} }, { ws: true })
// @ts-expect-error: a room watches no keys
feed.watch("lobby")
