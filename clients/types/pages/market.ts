import { live, type Dashboard, type Symbol, type Trades } from "../../../examples/market/tornadose.js"

live<Dashboard>("/market?symbols=AAPL,MSFT", {
  quote({ symbol, bid, ask }) { console.log(symbol, ask - bid) },
  trade({ price, size, at }) { console.log(price * size, new Date(at)) },
})
live<Symbol>("/market/AAPL", { trade({ size }) { console.log(size) } })
const trades = live<Trades>("/trades", { trade({ price }) { console.log(price) } }, { ws: true })
trades.watch("AAPL")
// @ts-expect-error: a key is a symbol
trades.watch({ symbol: "AAPL" })
// @ts-expect-error: there is no event of this name
live<Dashboard>("/market", { trades() {} })
