import { live, type Numbers } from "../../../examples/fibonacci/tornadose.js"

live<Numbers>("/fibonacci", { message({ n, value }) { console.log(n.toFixed(), BigInt(value)) } })
// @ts-expect-error: the value is a text
live<Numbers>("/fibonacci", { message({ value }) { console.log(value.toFixed()) } })
// @ts-expect-error: it has no such member
live<Numbers>("/fibonacci", { message({ index }) { console.log(index) } })
