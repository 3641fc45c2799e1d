import { live, type NewsFeed } from "../../../examples/redis_feed/tornadose.js"

live<NewsFeed>("/stream", {
  message({ author, text }, id) { console.log(author.trim(), text, id) },
  "tornadose:gap"({ missed }) { console.log(missed) },
})
// @ts-expect-error: events have no name here
live<NewsFeed>("/stream", { news() {} })
// @ts-expect-error: the id is a text
live<NewsFeed>("/stream", { message(_, id) { console.log(id + 1 satisfies number) } })
