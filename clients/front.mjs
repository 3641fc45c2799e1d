// A proxy in front of a server, for tests in a browser. It serves pages of its own, knows which streams are open, cuts
// them, and responds 502 while the server is away, or while it is told to.
import { createServer, request as httpRequest } from "node:http"
import { connect } from "node:net"

const BAD_GATEWAY = "HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n"

export class Front {
  isDown = false // responds 502 to everything
  refused = [] // the paths of what was answered with 502
  streams = new Map() // of each open stream or WebSocket: the path

  // `pages`: by path, the headers and the body.
  static async start(serverPort, pages = {}) {
    const front = new Front()
    const http = createServer((request, response) => front.pass(request, response))
    http.on("upgrade", (request, client) => front.passUpgrade(request, client))
    Object.assign(front, { serverPort, pages, http })
    await new Promise((resolve) => http.listen(0, "127.0.0.1", resolve))
    front.origin = `http://127.0.0.1:${http.address().port}`
    return front
  }

  pass(request, response) {
    const { method, url: path, headers } = request
    if (this.pages[path]) return response.writeHead(200, this.pages[path].headers).end(this.pages[path].body)
    if (this.isDown) return this.refuse(path, response)
    const forwarded = httpRequest({ host: "127.0.0.1", port: this.serverPort, method, path, headers }, (answer) => {
      response.writeHead(answer.statusCode, answer.headers).flushHeaders()
      if (answer.headers["content-type"]?.startsWith("text/event-stream")) this.streams.set(response, path)
      answer.on("error", () => response.destroy())
      answer.pipe(response)
    })
    forwarded.on("error", () => (response.headersSent ? response.destroy() : this.refuse(path, response)))
    response.on("close", () => { this.streams.delete(response); forwarded.destroy() })
    request.pipe(forwarded)
  }

  refuse(path, response) {
    this.refused.push(path)
    response.writeHead(502).end()
  }

  passUpgrade({ url: path, rawHeaders }, client) {
    const refuse = () => { this.refused.push(path); client.end(BAD_GATEWAY) }
    client.on("error", () => client.destroy())
    if (this.isDown) return refuse()
    const lines = rawHeaders.map((text, index) => text + (index % 2 ? "\r\n" : ": ")).join("")
    const upstream = connect(this.serverPort, "127.0.0.1", () => {
      this.streams.set(client, path)
      upstream.write(`GET ${path} HTTP/1.1\r\n${lines}\r\n`)
      upstream.pipe(client).pipe(upstream)
    })
    upstream.on("error", () => (this.streams.has(client) ? client.destroy() : refuse()))
    upstream.on("close", () => client.end())
    client.on("close", () => { this.streams.delete(client); upstream.destroy() })
  }

  // Cuts all streams, as a network that fails.
  cut() {
    for (const connection of this.streams.keys()) connection.destroy()
  }

  close() {
    this.http.close()
    this.http.closeAllConnections()
    this.cut() // what was upgraded is not the server's any more
  }
}
