// The pages of the examples, for a Scene: of each example
//   path                         the address of its page
//   live, lost                   how its status begins
//   lines, linesLeast            its list, and what a line of it is; how many there are at least
//   connections                  those of seven tabs
//   begin(scene), enter(tab)     tell what is sent; log in
//   publish(scene, text)         has a line sent, where that does not happen by itself
//   restarted, forgotten         how a gap begins after a restart; or the status, where nothing more can come
import { waitFor } from "./chromium.mjs"
import { TABS } from "./scene.mjs"

const ofEachTab = (path) => Array(TABS).fill(path)

async function post(url, value) {
  const headers = { "content-type": "application/json" }
  const response = await fetch(url, { method: "POST", headers, body: JSON.stringify(value) })
  if (response.status !== 201) throw new Error(`POST ${url}: ${response.status}`)
  return response.text()
}

export const EXAMPLES = {
  fibonacci: {
    path: "/", live: "live", lost: "lost, reconnecting", lines: ["#list", "li"],
    connections: ["/fibonacci"],
    begin: ({ server, sent }) => sent.follow(`${server.base}/fibonacci`, ({ n, value }) => [`${n} ${value}`]),
  },

  redis_feed: {
    path: "/", live: "live", lost: "lost, reconnecting", lines: ["#news", "article"],
    connections: ["/stream"],
    restarted: "restarted: some news may be missing here",
    async publish({ server, sent }, text) {
      await post(`${server.base}/stream`, { author: "me", text })
      sent.lines.push(`me ${text}`)
    },
  },

  // The page that is opened without the proxy is another user, who speaks.
  chat: {
    path: "/?user=ada&room=lobby", directPath: "/?user=bob&room=lobby",
    live: "in lobby as ", lost: "connection lost; next try in ", lines: ["#talk", ".said"],
    connections: ofEachTab("/rooms/lobby?user=ada"),
    restarted: "restarted: some messages may be missing here",
    async publish({ direct, sent }, text) {
      await waitFor("the form", () => direct.run(() => !document.forms.say.elements.text.disabled))
      await direct.run((text) => {
        document.forms.say.elements.text.value = text
        document.forms.say.requestSubmit()
      }, text)
      sent.lines.push(`bob ${text}`)
    },
  },

  notifications: {
    path: "/", live: "inbox of user 7, live", lost: "lost, reconnecting", lines: ["#inbox", "article"],
    connections: ["/inbox"],
    restarted: "(restarted: something may be missing here",
    enter: (tab) => tab.run(() => document.forms.login.requestSubmit()),
    async publish({ server, sent }, title) {
      await post(`${server.base}/inbox/7`, { title })
      sent.lines.push(title)
    },
  },

  // Quotes by a shared stream, and a WebSocket in each tab for the trades that it watches. Some hundred are kept.
  market: {
    path: "/#NVDA", live: "live", lost: "lost, reconnecting", lines: ["#tape", "li"], linesLeast: 200,
    connections: ["/market?trades=false", ...ofEachTab("/trades")],
    restarted: "gap: restarted",
    begin({ server, sent }) {
      const clock = (at) => new Date(at).toLocaleTimeString("en-GB")
      const shown = ({ at, price, size }) => `${clock(at)} ${price.toFixed(2)} ${size.toLocaleString("en")}`
      return sent.follow(`${server.base}/market/NVDA`, (data, event) => (event === "trade" ? [shown(data)] : []))
    },
  },

  // An answer that is being written, whose letters are the lines. It is gone with its server.
  assistant: {
    env: { TOKEN_MS: "250" }, live: "writing", lost: "connection lost", lines: ["#answer", "p"],
    forgotten: "the server was restarted, and has forgotten this answer",
    async begin(scene) {
      const { base } = scene.server
      const run = await post(`${base}/runs`, { question: "Tell me a story about a lighthouse" })
      Object.assign(scene, { path: `/runs/${run}`, connections: [`/runs/${run}/answer`, ...ofEachTab("/runs")] })
      const letters = ({ text }, event) => (event === "token" || event === "text" ? text.replace(/\s/g, "") : "")
      await scene.sent.follow(`${base}/runs/${run}/answer`, letters)
    },
    // Runs in the page.
    letters: () => {
      const paragraphs = [...document.querySelectorAll("#answer p:not(.lost)")]
      return paragraphs.flatMap(({ textContent }) => [...textContent.replace(/\s/g, "")])
    },
  },
}
