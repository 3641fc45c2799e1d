// `eventsource` reconnects and resumes by itself, as in a browser.
import { EventSource } from "eventsource"

const events = new EventSource(process.argv[2])
events.onmessage = ({ data }) => console.log(JSON.parse(data).text)
events.addEventListener("tornadose:gap", ({ data }) => console.log("gap", data))
