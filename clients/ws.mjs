// `ws` does not reconnect. Whoever does it keeps the newest id and sends it in the query.
import WebSocket from "ws"

let lastId = ""

function connect() {
  const url = new URL(process.argv[2].replace(/^http/, "ws"))
  if (lastId) url.searchParams.set("last_event_id", lastId)
  const socket = new WebSocket(url)
  socket.on("message", (frame) => {
    const { id, event, data } = JSON.parse(frame)
    if (data !== undefined) console.log(event ? `gap ${JSON.stringify(data)}` : data.text)
    if (id) lastId = id
  })
  socket.on("error", () => {}) // `close` follows
  socket.on("close", () => setTimeout(connect, 500))
}

connect()
