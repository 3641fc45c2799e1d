// `fetch-event-source` resumes by itself, with two cures: an id alone is dispatched without data, and an end of the
// stream is final unless `onclose` throws. It expects a page, of which it uses these.
import { fetchEventSource } from "@microsoft/fetch-event-source"

globalThis.window = globalThis
globalThis.document = { hidden: false, addEventListener() {}, removeEventListener() {} }

await fetchEventSource(process.argv[2], {
  onmessage({ id, event, data }) {
    if (!data && !id) console.log("an empty event") // the server has written a blank line too many
    if (!data) return // an id alone
    console.log(event ? `gap ${data}` : JSON.parse(data).text)
  },
  onclose() { throw new Error("the server has ended the stream") },
  onerror() { return 500 }, // ms until the next try
})
