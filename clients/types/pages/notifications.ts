import { live, type Inbox } from "../../../examples/notifications/tornadose.js"

live<Inbox>("/inbox", { message({ user, title }) { console.log(user.toFixed(), title) } }, { ticket: "/ticket", share: "7" })
// @ts-expect-error: a user is a number
live<Inbox>("/inbox", { message({ user }) { console.log(user.name) } })
// @ts-expect-error: a ticket is asked for at a path
live<Inbox>("/inbox", {}, { ticket: 7 })
